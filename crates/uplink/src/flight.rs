//! What is under way on one stream.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use weir_auth::seal::Sealer;
use weir_wire::proto::ingest::answer::Outcome;
use weir_wire::proto::ingest::{Answer, Batch, Compression, Later, Refused, Stored, Stretch, Welcome};

use crate::parcel::{Parcel, Verdict};

/// A parcel with the one who waits for its verdict.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) parcel: Parcel,
    pub(crate) verdict: oneshot::Sender<Verdict>,
}

/// The parcels that were sent and are not answered.
#[derive(Debug)]
pub(crate) struct Flight {
    window: Welcome,
    /// Absent where payloads are not sealed.
    seal: Option<Seal>,
    sequence: u64,
    pending: BTreeMap<u64, Pending>,
    bytes: u64,
}

/// How payloads are sealed on this stream, and whose they are.
#[derive(Debug)]
pub(crate) struct Seal {
    pub(crate) sealer: Sealer,
    pub(crate) agent: String,
}

#[derive(Debug)]
struct Pending {
    verdict: oneshot::Sender<Verdict>,
    bytes: u64,
    sent: Instant,
}

/// The server does not keep to the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Nonsense {
    #[error("the server answered for batch {0}, which it was not sent")]
    UnknownBatch(u64),
    #[error("the answer for batch {0} says nothing")]
    NoOutcome(u64),
}

impl Flight {
    pub(crate) fn new(window: Welcome, seal: Option<Seal>) -> Self {
        Self { window, seal, sequence: 0, pending: BTreeMap::new(), bytes: 0 }
    }

    /// Whether the server wants more before it has answered. One batch it always wants.
    pub(crate) fn has_room(&self) -> bool {
        let within =
            self.pending.len() < self.window.window_batches as usize && self.bytes < self.window.window_bytes;
        self.pending.is_empty() || within
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// When the oldest of them was sent.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.pending.values().map(|pending| pending.sent).min()
    }

    /// The message that a parcel is sent in.
    pub(crate) fn depart(&mut self, sending: Sending, now: Instant) -> Batch {
        let Sending { parcel, verdict } = sending;
        self.sequence += 1;
        let bytes = parcel.payload.len() as u64;
        self.bytes += bytes;
        self.pending.insert(self.sequence, Pending { verdict, bytes, sent: now });
        let mut batch = Batch {
            sequence: self.sequence,
            app: parcel.app,
            stretch: parcel.place.map(|place| Stretch {
                source: place.source.to_vec(),
                start: place.start,
                end: place.end,
                stored: place.stored,
            }),
            events: parcel.events,
            compression: if parcel.events == 0 { Compression::None } else { Compression::Zstd }.into(),
            payload: parcel.payload,
        };
        if let Some(Seal { sealer, agent }) = &mut self.seal {
            let bound = weir_wire::sealing::bound(agent, &batch);
            let sealed = sealer.seal(batch.sequence, &bound, &batch.payload);
            batch.payload = sealed.expect("sequences grow, and no parcel has 64 GiB").into();
        }
        batch
    }

    /// Tells the one who waits. Nobody may be waiting any more.
    pub(crate) fn answered(&mut self, answer: Answer) -> Result<(), Nonsense> {
        let Answer { sequence, outcome } = answer;
        let pending = self.pending.remove(&sequence).ok_or(Nonsense::UnknownBatch(sequence))?;
        self.bytes -= pending.bytes;
        let verdict = match outcome.ok_or(Nonsense::NoOutcome(sequence))? {
            Outcome::Stored(Stored { mark }) => Verdict::Stored { mark },
            Outcome::Later(Later { delay_millis, code, message }) => {
                Verdict::Again { delay: Duration::from_millis(delay_millis), code, message }
            }
            Outcome::Refused(Refused { code, message }) => Verdict::Refused { code, message },
        };
        drop(pending.verdict.send(verdict));
        Ok(())
    }

    /// The stream is over: what it does not answer any more comes back.
    pub(crate) fn ended(self, why: &str) {
        for pending in self.pending.into_values() {
            let verdict = Verdict::Again {
                delay: Duration::ZERO,
                code: "disconnected".to_owned(),
                message: why.to_owned(),
            };
            drop(pending.verdict.send(verdict));
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_foundation::clock::{Clock as _, SystemClock};

    use super::*;

    fn flight(batches: u32, bytes: u64) -> Flight {
        Flight::new(Welcome { window_bytes: bytes, window_batches: batches, ..Welcome::default() }, None)
    }

    fn sending(bytes: usize) -> (Sending, oneshot::Receiver<Verdict>) {
        let (verdict, answered) = oneshot::channel();
        let payload = vec![0; bytes].into();
        (
            Sending { parcel: Parcel { app: "shop".into(), place: None, events: 1, payload }, verdict },
            answered,
        )
    }

    fn stored(sequence: u64) -> Answer {
        Answer { sequence, outcome: Some(Outcome::Stored(Stored { mark: sequence })) }
    }

    #[test]
    fn the_window_of_the_server_is_kept() {
        let mut by_number = flight(2, 1_000);
        let mut by_size = flight(100, 10);
        for (flight, size) in [(&mut by_number, 1), (&mut by_size, 6)] {
            let now = SystemClock.monotonic();
            assert!(flight.has_room() && flight.is_empty());
            flight.depart(sending(size).0, now);
            assert!(flight.has_room());
            flight.depart(sending(size).0, now);
            assert!(!flight.has_room());
            flight.answered(stored(2)).expect("it was sent");
            assert!(flight.has_room());
        }
        let mut small = flight(100, 10);
        small.depart(sending(100).0, SystemClock.monotonic());
        assert!(!small.has_room(), "one is sent whatever its size");
    }

    #[test]
    fn everybody_is_told() {
        let mut flight = flight(10, 1_000);
        let (first, mut answered) = sending(1);
        let (second, mut cut) = sending(1);
        flight.depart(first, SystemClock.monotonic());
        flight.depart(second, SystemClock.monotonic());
        assert_eq!(flight.answered(stored(3)), Err(Nonsense::UnknownBatch(3)));
        flight.answered(stored(1)).expect("it was sent");
        assert_eq!(answered.try_recv(), Ok(Verdict::Stored { mark: 1 }));
        flight.ended("the server is gone");
        assert!(matches!(cut.try_recv(), Ok(Verdict::Again { code, .. }) if code == "disconnected"));
    }
}
