//! What is between the place that the server has and the place up to which the journal was read.

use std::collections::VecDeque;

use weir_model::Timestamp;
use weir_uplink::{Course, Effect, Parcel, Place, Verdict};

/// Parcels in memory, which may be under way at once: enough to hide a round trip.
pub(super) const AHEAD: usize = 4;

/// Offsets of the journal in the order in which the server is to have them.
#[derive(Debug)]
pub(super) struct Line {
    course: Course,
    /// Each begins where the one before it ends; the last one ends at the cursor.
    segments: VecDeque<Segment>,
    /// What comes next from the journal, and how many events are before it.
    cursor: Point,
    /// The server has what is before the cursor, though it was not read here.
    is_ahead: bool,
    /// Behind everything that the server can have.
    reach: u64,
}

/// An offset, with the number of events before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) offset: u64,
    pub(super) event: u64,
}

#[derive(Debug)]
struct Segment {
    from: Point,
    to: Point,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It was in memory, and is to be read again.
    Unread,
    Loaded(Cargo),
    /// There is nothing.
    Gap,
}

/// Records as a parcel.
#[derive(Debug)]
pub(super) struct Cargo {
    pub(super) parcel: Parcel,
    pub(super) app: String,
    /// Bytes before they were packed.
    pub(super) raw: usize,
    /// When the first of its records was received.
    pub(super) received: Timestamp,
    /// Where each record ends.
    pub(super) ends: Vec<Point>,
}

/// What to read: up to `to`, or as far as there is something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unread {
    pub(super) from: Point,
    pub(super) to: Option<Point>,
}

/// What a verdict did.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) effect: Effect,
    /// Events that the server has, and did not have before.
    pub(super) sent: u64,
    /// The server has what never was here.
    pub(super) is_foreign: bool,
}

impl Segment {
    fn events(&self) -> u64 {
        self.to.event.saturating_sub(self.from.event)
    }

    fn is_loaded(&self) -> bool {
        matches!(self.state, State::Loaded(_))
    }

    fn is_gap(&self) -> bool {
        matches!(self.state, State::Gap)
    }
}

impl Line {
    /// Of a source before whose place there are so many events; what was sent before now ends at `reach` at most.
    pub(super) fn new(course: Course, event: u64, reach: u64) -> Self {
        let cursor = Point { offset: course.stored(), event };
        Self { course, segments: VecDeque::new(), cursor, is_ahead: false, reach }
    }

    pub(super) fn source(&self) -> [u8; 16] {
        self.course.source()
    }

    /// Everything that is not known to be with the server is sent as another source. What was under way is not any more.
    pub(super) fn becomes(&mut self, source: [u8; 16]) {
        let first = self.segments.front().map_or(self.cursor, |segment| segment.from);
        self.course = Course::new(source, first.offset);
    }

    pub(super) fn cursor(&self) -> Point {
        self.cursor
    }

    /// Bytes of all parcels in memory.
    pub(super) fn bytes(&self) -> usize {
        self.segments.iter().map(Segment::bytes).sum()
    }

    /// When the first of what is in memory was received.
    pub(super) fn received(&self) -> Option<Timestamp> {
        self.segments.iter().find_map(|segment| match &segment.state {
            State::Loaded(cargo) => Some(cargo.received),
            State::Unread | State::Gap => None,
        })
    }

    /// Everything before this is with the server, or gone.
    pub(super) fn passed(&self) -> u64 {
        let first = self.segments.iter().find(|segment| !segment.is_gap());
        first.map_or(self.cursor.offset, |segment| segment.from.offset)
    }

    /// What is to be read next; none while there is enough in memory.
    pub(super) fn unread(&self) -> Option<Unread> {
        if self.segments.iter().filter(|segment| segment.is_loaded()).count() >= AHEAD {
            return None;
        }
        let again = self.segments.iter().find(|segment| matches!(segment.state, State::Unread));
        Some(again.map_or(Unread { from: self.cursor, to: None }, |segment| Unread {
            from: segment.from,
            to: Some(segment.to),
        }))
    }

    /// That at the place which was asked for by [`Line::unread`] nothing was found up to there.
    pub(super) fn is_gone(&mut self, from: Point, to: Point) {
        self.put(from, to, State::Gap);
    }

    /// What was found there.
    pub(super) fn is_loaded(&mut self, from: Point, cargo: Cargo) {
        let Some(to) = cargo.ends.last().copied() else { return };
        self.put(from, to, State::Loaded(cargo));
    }

    /// By the journal there are so many events before the cursor; how many more than were counted.
    pub(super) fn corrects(&mut self, event: u64) -> u64 {
        let missing = event.saturating_sub(self.cursor.event);
        self.cursor.event = event;
        self.is_ahead = false;
        missing
    }

    /// Whether the server has more than was read here, so that it is not known how many events are before the cursor.
    pub(super) fn is_ahead(&self) -> bool {
        self.is_ahead
    }

    fn put(&mut self, from: Point, to: Point, state: State) {
        let Some(index) =
            self.segments.iter().position(|segment| segment.from.offset == from.offset && !segment.is_gap())
        else {
            self.cursor = to;
            match (self.segments.back_mut(), &state) {
                (Some(last), State::Gap) if last.is_gap() => last.to = to,
                _ => self.segments.push_back(Segment { from, to, state }),
            }
            return;
        };
        let Some(segment) = self.segments.get_mut(index) else { return };
        let end = std::mem::replace(&mut segment.to, to);
        segment.state = state;
        if to.offset < end.offset {
            self.segments.insert(index + 1, Segment { from: to, to: end, state: State::Unread });
        }
    }

    /// The next parcel, if there is one and not too many are under way. A gap goes only before something else.
    pub(super) fn depart(&mut self) -> Option<Parcel> {
        if self.course.under_way() >= AHEAD {
            return None;
        }
        let next = self.course.next()?;
        let index = self
            .segments
            .iter()
            .position(|segment| segment.from.offset <= next && next < segment.to.offset)?;
        let segment = self.segments.get(index)?;
        let (end, parcel) = match &segment.state {
            State::Unread => return None,
            State::Loaded(cargo) if next == segment.from.offset => (segment.to.offset, cargo.parcel.clone()),
            State::Loaded(_) => return None,
            State::Gap => {
                let behind = self.segments.iter().skip(index + 1);
                let app = behind.filter_map(Segment::app).next()?;
                (segment.to.offset, nothing(app)?)
            }
        };
        self.reach = self.reach.max(end);
        self.course.depart(end).map(|place| parcel.of(place))
    }

    /// Takes note of what became of a parcel that departed here.
    pub(super) fn arrived(&mut self, place: Place, verdict: Verdict) -> Heard {
        let effect = self.course.arrived(place, verdict);
        let is_foreign = self.course.stored() > self.reach;
        let sent = if is_foreign { 0 } else { self.advance() };
        Heard { effect, sent, is_foreign }
    }

    /// Forgets what the server has; how many events that were.
    fn advance(&mut self) -> u64 {
        let stored = self.course.stored();
        let mut sent = 0;
        while let Some(front) = self.segments.front_mut().filter(|front| front.from.offset < stored) {
            if front.to.offset <= stored {
                sent += if front.is_gap() { 0 } else { front.events() };
                self.segments.pop_front();
                continue;
            }
            // The server had a part of it from an earlier process, whose parcels ended elsewhere.
            if let State::Loaded(Cargo { ends, .. }) = &front.state {
                let known = ends.iter().rev().find(|end| end.offset <= stored);
                let event = known.map_or(front.from.event, |end| end.event);
                sent += event.saturating_sub(front.from.event);
                front.from.event = event;
                front.state = State::Unread;
            }
            front.from.offset = stored;
        }
        if self.cursor.offset < stored {
            self.cursor.offset = stored;
            self.is_ahead = true;
        }
        sent
    }

    /// Passes over everything before a point that is not in memory; how many events that are.
    pub(super) fn drop_before(&mut self, point: Point) -> u64 {
        let mut dropped = 0;
        for segment in &mut self.segments {
            if matches!(segment.state, State::Unread) && segment.from.offset < point.offset {
                dropped += segment.events();
                segment.state = State::Gap;
            }
        }
        if self.cursor.offset < point.offset {
            let from = self.cursor;
            dropped += point.event.saturating_sub(from.event);
            self.put(from, Point { event: point.event.max(from.event), ..point }, State::Gap);
        }
        dropped
    }

    /// Events that are only in memory, since the group is beyond them.
    pub(super) fn only_in_memory(&self, committed: u64) -> u64 {
        let beyond =
            self.segments.iter().filter(|segment| segment.to.offset <= committed && !segment.is_gap());
        beyond.map(Segment::events).sum()
    }

    /// What is too large for the server by now is read again. Of what is under way the verdict is waited for.
    pub(super) fn fit(&mut self, max_parcel: usize) {
        if self.course.under_way() > 0 {
            return;
        }
        for segment in &mut self.segments {
            if matches!(&segment.state, State::Loaded(cargo) if cargo.raw > max_parcel) {
                segment.state = State::Unread;
            }
        }
    }
}

impl Segment {
    fn app(&self) -> Option<&str> {
        match &self.state {
            State::Loaded(cargo) => Some(&cargo.app),
            State::Unread | State::Gap => None,
        }
    }

    fn bytes(&self) -> usize {
        match &self.state {
            State::Loaded(cargo) => cargo.parcel.bytes(),
            State::Unread | State::Gap => 0,
        }
    }
}

/// A parcel without events.
fn nothing(app: &str) -> Option<Parcel> {
    let prefix = Parcel::prefix(app).ok()?;
    Parcel::pack(app, None, weir_wire::EventsBuilder::new(&prefix)).ok()
}

#[cfg(test)]
mod tests;
