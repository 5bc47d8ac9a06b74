//! What goes wrong in the shop now and then.

use rand::{Rng, RngExt};

/// Trouble that lasts for a while and shows in the events of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Incident {
    pub(super) kind: Kind,
    /// How many more requests it touches.
    pub(super) left: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The bank answers late or not at all.
    SlowBank,
    /// The catalog's database has no connections left.
    PoolExhausted,
    /// A bad release of the cart.
    BadRelease,
}

/// One request in so many begins an incident.
const RARITY: u32 = 4_000;

impl Incident {
    pub(super) fn maybe(rng: &mut impl Rng) -> Option<Self> {
        if rng.random_range(0..RARITY) != 0 {
            return None;
        }
        let kind = match rng.random_range(0..3) {
            0 => Kind::SlowBank,
            1 => Kind::PoolExhausted,
            _ => Kind::BadRelease,
        };
        Some(Self { kind, left: rng.random_range(200..800) })
    }

    /// The incident after one more request; nothing once it is over.
    pub(super) fn after_request(self) -> Option<Self> {
        (self.left > 1).then_some(Self { left: self.left - 1, ..self })
    }
}

impl Kind {
    pub(super) const fn service(self) -> &'static str {
        match self {
            Self::SlowBank => "payment",
            Self::PoolExhausted => "catalog",
            Self::BadRelease => "cart",
        }
    }

    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::SlowBank => "authorization timed out: no answer from bank within 5s",
            Self::PoolExhausted => "query failed: connection pool exhausted (32 of 32 in use)",
            Self::BadRelease => "panic in handler: index out of range [3] with length 3",
        }
    }

    pub(super) const fn status(self) -> u16 {
        match self {
            Self::SlowBank => 504,
            Self::PoolExhausted => 503,
            Self::BadRelease => 500,
        }
    }

    /// Milliseconds that a request takes which it touches.
    pub(super) fn latency(self, rng: &mut impl Rng) -> f64 {
        match self {
            Self::SlowBank => rng.random_range(4_900.0..5_100.0),
            Self::PoolExhausted => rng.random_range(900.0..3_000.0),
            Self::BadRelease => rng.random_range(1.0..9.0),
        }
    }
}
