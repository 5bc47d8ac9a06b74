use std::time::Duration;

use crate::parcel::{Place, Verdict};

/// How far a source was sent, and how far it is stored: what to send next, whatever the verdicts are.
///
/// Parcels of a source are sent one behind the other without waiting for verdicts. Where one is not stored, the server
/// turns away those behind it too; then nothing more is sent until all that is under way has a verdict, in whatever order
/// they are heard, and the source goes on from where the server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    source: [u8; 16],
    stored: u64,
    sent: u64,
    under_way: usize,
    /// Something that was sent is not stored, or more is stored than was sent.
    turning: bool,
}

/// What a verdict means for the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It is stored as it was sent.
    Advanced,
    /// It will go on from another position than the one where the last parcel ended.
    Turned,
    /// The same, and not before the delay.
    Held { delay: Duration, code: String, message: String },
}

/// How long a source is held whose parcel the server refuses: somebody has to change something.
const REFUSED: Duration = Duration::from_secs(30);

impl Course {
    /// A source of which everything before `stored` was stored.
    #[must_use]
    pub fn new(source: [u8; 16], stored: u64) -> Self {
        Self { source, stored, sent: stored, under_way: 0, turning: false }
    }

    #[must_use]
    pub fn source(&self) -> [u8; 16] {
        self.source
    }

    /// Everything before this is stored, by the server's word.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// Where the next parcel begins; none while the source turns.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        (!self.turning).then_some(self.sent)
    }

    /// How many parcels are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// The next parcel, up to `end`; none while the source turns.
    pub fn depart(&mut self, end: u64) -> Option<Place> {
        let start = self.next()?;
        self.sent = end;
        self.under_way += 1;
        Some(Place { source: self.source, start, end, stored: self.stored })
    }

    /// Takes note of what became of a parcel that departed here.
    pub fn arrived(&mut self, place: Place, verdict: Verdict) -> Effect {
        self.under_way = self.under_way.saturating_sub(1);
        let effect = match verdict {
            Verdict::Stored { mark } => {
                self.stored = self.stored.max(mark);
                if mark == place.end && !self.turning { Effect::Advanced } else { Effect::Turned }
            }
            Verdict::Again { delay, code, message } => Effect::Held { delay, code, message },
            Verdict::Refused { code, message } => Effect::Held { delay: REFUSED, code, message },
        };
        self.turning |= effect != Effect::Advanced;
        if self.turning && self.under_way == 0 {
            self.sent = self.stored;
            self.turning = false;
        }
        effect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again() -> Verdict {
        Verdict::Again { delay: Duration::from_secs(1), code: "x".into(), message: "y".into() }
    }

    fn stored(mark: u64) -> Verdict {
        Verdict::Stored { mark }
    }

    /// A source with parcels that end there.
    fn departed<const N: usize>(stored: u64, ends: [u64; N]) -> (Course, [Place; N]) {
        let mut course = Course::new([1; 16], stored);
        let places = ends.map(|end| course.depart(end).expect("it does not turn"));
        (course, places)
    }

    #[test]
    fn what_is_stored_moves_on() {
        let (mut course, [first, second]) = departed(100, [110, 120]);
        assert_eq!((second.start, second.end, course.next()), (110, 120, Some(120)));
        assert_eq!(course.arrived(first, stored(110)), Effect::Advanced);
        assert_eq!((course.stored(), course.under_way()), (110, 1));
        assert_eq!(course.arrived(second, stored(120)), Effect::Advanced);
        assert_eq!((course.stored(), course.under_way(), course.next()), (120, 0, Some(120)));
    }

    #[test]
    fn one_that_is_not_stored_takes_those_behind_it_back() {
        let (mut course, [first, second, third]) = departed(0, [10, 20, 30]);
        assert_eq!(course.arrived(first, stored(10)), Effect::Advanced);
        assert!(matches!(course.arrived(second, again()), Effect::Held { delay, .. } if !delay.is_zero()));
        assert_eq!((course.next(), course.depart(40)), (None, None), "one is under way");
        assert!(matches!(course.arrived(third, again()), Effect::Held { .. }));
        assert_eq!((course.next(), course.stored()), (Some(10), 10));
        let place = course.depart(25).expect("it has turned");
        assert_eq!(place.start, 10);
        assert_eq!(course.arrived(place, stored(25)), Effect::Advanced);
    }

    /// They are waited for side by side: that of the first may be heard last.
    #[test]
    fn the_order_of_verdicts_does_not_matter() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let (mut course, places) = departed(0, [10, 20, 30]);
            for index in order {
                course.arrived(places[index], if index == 0 { stored(10) } else { again() });
            }
            assert_eq!((course.next(), course.stored()), (Some(10), 10), "{order:?}");
        }
    }

    #[test]
    fn what_was_stored_before_is_passed() {
        let (mut course, [first, second]) = departed(0, [10, 20]);
        assert_eq!(course.arrived(first, stored(35)), Effect::Turned);
        assert_eq!(course.arrived(second, stored(35)), Effect::Turned);
        assert_eq!((course.next(), course.stored()), (Some(35), 35));
        let place = course.depart(50).expect("it has turned");
        assert_eq!(course.arrived(place, stored(40)), Effect::Turned, "a part of it");
        assert_eq!((course.next(), course.stored()), (Some(40), 40));
    }

    #[test]
    fn a_refusal_is_no_reason_to_drop_anything() {
        let (mut course, [place]) = departed(0, [10]);
        let refused = Verdict::Refused { code: "bad-app-name".into(), message: "no".into() };
        let effect = course.arrived(place, refused);
        assert!(
            matches!(effect, Effect::Held { code, delay, .. } if code == "bad-app-name" && delay == REFUSED)
        );
        assert_eq!((course.next(), course.stored()), (Some(0), 0));
    }
}
