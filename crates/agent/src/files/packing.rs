//! From what was read of a file to a parcel.

use std::borrow::Cow;
use std::io;

use weir_model::{IndexPrefix, Timestamp};
use weir_wire::EventsBuilder;

use crate::process::{Around, Bound, Fits, Group, Groups, Outcome, Process, Rest, Scene, first};

/// What an event has beside its text, at most, and the frame around it.
const AROUND: usize = 64;

/// How much larger a text can be as JSON: every byte of it `\u0000`.
pub(super) const ESCAPED: usize = 6;

/// What was read of a file from where it goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) source: [u8; 16],
    pub(super) start: u64,
    pub(super) rest: Rest,
    /// Whether more is there than was read.
    pub(super) is_cut: bool,
    pub(super) around: &'a Around,
}

/// What it is packed for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing<'a> {
    pub(super) prefix: &'a IndexPrefix,
    /// Bytes of a text at most.
    pub(super) max_text: usize,
    /// Bytes of a parcel at most.
    pub(super) max_parcel: usize,
    /// Lines at most, unless one event has more.
    pub(super) max_lines: u64,
    pub(super) now: Timestamp,
}

/// Events of the first part of what was read.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) events: EventsBuilder,
    /// Bytes that they are of.
    pub(super) used: usize,
    pub(super) counts: Counts,
}

/// What nothing could be packed of yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nothing {
    /// No line has ended.
    NoLine,
    /// What is there waits for what belongs to it.
    Waits,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) lines: u64,
    /// Bytes that were no text were replaced in so many lines.
    pub(crate) mended: u64,
    /// Events that are as they are in the file because the format or the parser has nothing to say about them.
    pub(crate) unfit: u64,
    /// Events whose time could not be read.
    pub(crate) timeless: u64,
    /// Events that were dropped, and that were left out by chance.
    pub(crate) dropped: u64,
    pub(crate) left_out: u64,
}

pub(super) fn pack(
    process: &Process,
    reading: Reading<'_>,
    mut packing: Packing<'_>,
) -> io::Result<Result<Packed, Nothing>> {
    if process.is_plain() {
        return plain(process, reading, packing).map(|packed| packed.ok_or(Nothing::NoLine));
    }
    let limit = packing.max_parcel / (ESCAPED + 2);
    let cutter = process.cutter(packing.max_text, limit);
    let skip = skip(process, reading);
    let mut bytes = reading.bytes;
    let mut groups = cutter.cut(bytes, skip, reading.rest);
    if groups.bounds.is_empty() && !reading.is_cut {
        return Ok(Err(if groups.waits { Nothing::Waits } else { Nothing::NoLine }));
    }
    if groups.bounds.is_empty() {
        groups = cutter.cut(bytes, skip, Rest::Waited);
    }
    loop {
        if let Some(packed) = fill(process, &groups, reading, packing)? {
            return Ok(if packed.used > 0 { Ok(packed) } else { Err(Nothing::NoLine) });
        }
        // Streams that lie within each other for longer than a parcel can be are cut apart.
        let first = process.encoding.first(bytes, cutter.max_line, Rest::IsAll).map_or(0, |line| line.used);
        let less = (bytes.len() / 2).max(first);
        if less >= bytes.len() {
            // One line that is more than a parcel: there is no smaller one.
            packing.max_parcel = usize::MAX;
        }
        bytes = bytes.get(..less).unwrap_or_default();
        groups = cutter.cut(bytes, skip, Rest::Waited);
    }
}

/// Bytes with which a file may begin that are no text.
fn skip(process: &Process, reading: Reading<'_>) -> usize {
    if reading.start == 0 { process.encoding.mark(reading.bytes) } else { 0 }
}

/// Every line is an event.
fn plain(process: &Process, reading: Reading<'_>, packing: Packing<'_>) -> io::Result<Option<Packed>> {
    let Reading { bytes, rest, around, .. } = reading;
    let mut events = EventsBuilder::with_capacity(packing.prefix, bytes.len() + bytes.len() / 2);
    let mut counts = Counts::default();
    let mut used = skip(process, reading);
    let mut json = Vec::new();
    while let Some(line) = first(bytes.get(used..).unwrap_or_default(), packing.max_text, rest) {
        if !line.text.is_empty() {
            let text = String::from_utf8_lossy(line.text);
            around.plain(&text, &mut json)?;
            let is_full = events.bytes() + json.len() + AROUND > packing.max_parcel
                || counts.lines >= packing.max_lines;
            if is_full && !events.is_empty() {
                break;
            }
            counts.mended += u64::from(matches!(text, Cow::Owned(_)));
            events.push_json(std::str::from_utf8(&json).map_err(io::Error::other)?, Some(packing.now));
            counts.lines += 1;
        }
        used += line.used;
    }
    Ok((used > 0).then_some(Packed { events, used, counts }))
}

/// As many events as there is room for, up to a bound; none if there is no room for those before the first.
fn fill(
    process: &Process,
    groups: &Groups<'_>,
    reading: Reading<'_>,
    packing: Packing<'_>,
) -> io::Result<Option<Packed>> {
    let room = packing.max_parcel.saturating_sub(AROUND + packing.prefix.as_str().len());
    let scene = Scene {
        around: reading.around,
        source: reading.source,
        start: reading.start,
        now: packing.now,
        room,
    };
    let capacity = reading.bytes.len() + reading.bytes.len() / 2;
    let mut packed = Packed {
        events: EventsBuilder::with_capacity(packing.prefix, capacity),
        used: 0,
        counts: Counts::default(),
    };
    let mut span = Span::default();
    let mut done = 0;
    for Bound { groups: behind, at } in &groups.bounds {
        span.clear();
        for group in groups.groups.get(done..*behind).unwrap_or_default() {
            span.render(process, group, scene, packing.max_text)?;
        }
        let is_full = packed.events.bytes() + span.bytes() > packing.max_parcel;
        let is_enough = packed.counts.lines + span.counts.lines > packing.max_lines;
        if (is_full || is_enough) && packed.used > 0 {
            break;
        }
        if is_full && span.events.len() > 1 {
            return Ok(None);
        }
        span.push_to(&mut packed)?;
        packed.used = *at;
        done = *behind;
    }
    Ok(Some(packed))
}

/// The events between two bounds.
#[derive(Debug, Default)]
struct Span {
    json: Vec<u8>,
    /// Where each ends.
    events: Vec<(usize, Timestamp)>,
    counts: Counts,
}

impl Span {
    fn clear(&mut self) {
        self.json.clear();
        self.events.clear();
        self.counts = Counts::default();
    }

    fn bytes(&self) -> usize {
        self.json.len() + self.events.len() * AROUND
    }

    fn render(
        &mut self,
        process: &Process,
        group: &Group<'_>,
        scene: Scene<'_>,
        max_text: usize,
    ) -> io::Result<()> {
        self.counts.lines += u64::from(group.lines);
        self.counts.mended += u64::from(group.mended);
        let mut left = &*group.text;
        while !left.is_empty() {
            let (part, rest) = left.split_at(left.floor_char_boundary(max_text.max(4)));
            left = rest;
            match process.render(group, part, scene, &mut self.json)? {
                Outcome::Event { time, fits } => {
                    self.counts.unfit += u64::from(fits == Fits::No || group.unfit > 0);
                    self.counts.timeless += u64::from(fits == Fits::ButItsTime);
                    self.events.push((self.json.len(), time));
                }
                Outcome::Dropped => self.counts.dropped += 1,
                Outcome::LeftOut => self.counts.left_out += 1,
            }
        }
        Ok(())
    }

    fn push_to(&self, packed: &mut Packed) -> io::Result<()> {
        let mut start = 0;
        for (end, time) in &self.events {
            let json = self.json.get(start..*end).unwrap_or_default();
            packed.events.push_json(std::str::from_utf8(json).map_err(io::Error::other)?, Some(*time));
            start = *end;
        }
        packed.counts.add(self.counts);
        Ok(())
    }
}

impl Counts {
    pub(super) fn add(&mut self, more: Self) {
        self.lines += more.lines;
        self.mended += more.mended;
        self.unfit += more.unfit;
        self.timeless += more.timeless;
        self.dropped += more.dropped;
        self.left_out += more.left_out;
    }
}

#[cfg(test)]
mod tests;
