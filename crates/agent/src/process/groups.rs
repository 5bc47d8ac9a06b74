//! The lines that are one event each, in what was read of a file.

use std::borrow::Cow;
use std::time::Duration;

use weir_model::Timestamp;

use super::encoding::{Decoded, Encoding};
use super::formats::{Format, Stream, Unwrapped};
use super::lines::{Line, Rest};
use super::multiline::{Multiline, State};

/// Lines of a group at most.
const LINES: u32 = 1_000;

/// How bytes become groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cutter<'p> {
    pub(crate) encoding: Encoding,
    pub(crate) format: Format,
    pub(crate) multiline: Option<&'p Multiline>,
    /// Bytes of a text at most, beyond which it becomes several.
    pub(crate) max_text: usize,
    /// Bytes of a line of the file at most, beyond which it is cut.
    pub(crate) max_line: usize,
    /// Bytes from the beginning of a group to its end at most, whatever comes in between.
    pub(crate) max_extent: usize,
}

/// Lines that are one event, unless their text is too long for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group<'a> {
    /// Where its first line begins in what was read.
    pub(crate) start: usize,
    /// The first place behind its last line.
    pub(crate) end: usize,
    pub(crate) text: Cow<'a, str>,
    /// By the format, of its first line.
    pub(crate) time: Option<Timestamp>,
    pub(crate) stream: Option<Stream>,
    /// What else the format has, as JSON.
    pub(crate) attributes: Option<Cow<'a, str>>,
    pub(crate) lines: u32,
    /// Lines with bytes that were no text.
    pub(crate) mended: u32,
    /// Lines that are not of the format: they are as they are in the file.
    pub(crate) unfit: u32,
}

/// The groups of what was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Groups<'a> {
    /// By where they begin. Those of two streams may lie within each other.
    pub(crate) groups: Vec<Group<'a>>,
    /// Places behind which nothing has to do with what is before them, and how many groups are before them.
    pub(crate) bounds: Vec<Bound>,
    /// Whether there are lines behind the last bound that wait for others.
    pub(crate) waits: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) groups: usize,
    pub(crate) at: usize,
}

/// What is open of one stream.
#[derive(Debug, Default)]
struct Lane<'a> {
    /// A line of which the end is still to come.
    part: Option<Group<'a>>,
    group: Option<Open<'a>>,
}

#[derive(Debug)]
struct Open<'a> {
    group: Group<'a>,
    state: State,
    /// Empty lines behind it, which are of it if another line is.
    blanks: u32,
    last_time: Option<Timestamp>,
}

#[derive(Debug)]
struct Cutting<'p, 'a> {
    cutter: Cutter<'p>,
    lanes: [Lane<'a>; 2],
    done: Vec<Group<'a>>,
}

impl Cutter<'_> {
    /// What is read of a file at once at least, so that the groups that begin in it are whole, or are cut as they always are.
    pub(crate) fn window(self) -> usize {
        self.max_line + self.max_extent + 2
    }

    /// The groups in bytes that begin where nothing is open; `skip` of them are no text.
    pub(crate) fn cut<'a>(self, bytes: &'a [u8], skip: usize, rest: Rest) -> Groups<'a> {
        let mut cutting =
            Cutting { cutter: self, lanes: [Lane::default(), Lane::default()], done: Vec::new() };
        let mut used = skip;
        while let Some(Line { text, used: more }) =
            self.encoding.first(bytes.get(used..).unwrap_or_default(), self.max_line, rest)
        {
            let Decoded { text, mended } = self.encoding.decode(text);
            cutting.line(text, used, used + more, mended);
            used += more;
        }
        if rest != Rest::MayGrow {
            cutting.close_all();
        }
        cutting.finish(used)
    }

    fn timeout(self) -> Duration {
        self.multiline.map_or(Duration::from_secs(1), |multiline| multiline.timeout)
    }
}

impl<'a> Cutting<'_, 'a> {
    /// A line of the file.
    fn line(&mut self, line: Cow<'a, str>, start: usize, end: usize, mended: bool) {
        let group = |text, unfit| Group {
            start,
            end,
            text,
            time: None,
            stream: None,
            attributes: None,
            lines: 1,
            mended: u32::from(mended),
            unfit,
        };
        match self.cutter.format.unwrap(line) {
            Ok(Unwrapped { stream, time, text, ends, attributes }) => {
                self.close_late(time);
                let line = Group { time: Some(time), stream: Some(stream), attributes, ..group(text, 0) };
                self.part(line, ends);
            }
            Err(text) if self.cutter.format == Format::Plain => self.whole(group(text, 0)),
            // Nobody knows where it belongs: it stays alone.
            Err(text) => {
                self.close_all();
                if !text.is_empty() {
                    self.done.push(group(text, 1));
                }
            }
        }
        self.close_wide(end);
    }

    fn lane(&mut self, stream: Option<Stream>) -> &mut Lane<'a> {
        let [out, err] = &mut self.lanes;
        if stream == Some(Stream::Err) { err } else { out }
    }

    /// A line of a stream, or the next part of one.
    fn part(&mut self, part: Group<'a>, ends: bool) {
        let max_text = self.cutter.max_text;
        let lane = self.lane(part.stream);
        let joined = match lane.part.take() {
            Some(before) if before.text.len() + part.text.len() > max_text => {
                self.whole(before);
                part
            }
            Some(before) => before.and(&part, ""),
            None => part,
        };
        if ends {
            self.whole(joined);
        } else {
            let lane = self.lane(joined.stream);
            lane.part = Some(joined);
        }
    }

    /// A whole line of a stream.
    fn whole(&mut self, line: Group<'a>) {
        let cutter = self.cutter;
        let Some(multiline) = cutter.multiline else {
            if !line.text.is_empty() {
                self.done.push(line);
            }
            return;
        };
        let lane = self.lane(line.stream);
        if line.text.is_empty() {
            if let Some(open) = &mut lane.group {
                open.blanks += 1;
            }
            return;
        }
        if let Some(open) = lane.group.take() {
            let state =
                multiline.rule.goes_on(open.state, &line.text).filter(|_| open.has_room(&line, cutter));
            if let Some(state) = state {
                lane.group = Some(open.and(&line, state));
                return;
            }
            self.done.push(open.group);
        }
        match multiline.rule.begins(&line.text) {
            Some(state) => {
                let (last_time, lane) = (line.time, self.lane(line.stream));
                lane.group = Some(Open { group: line, state, blanks: 0, last_time });
            }
            None => self.done.push(line),
        }
    }

    /// Groups that have waited too long for a line when another one was written.
    fn close_late(&mut self, time: Timestamp) {
        let timeout = self.cutter.timeout();
        for index in 0..self.lanes.len() {
            // The rest of a line comes, however late.
            let lane = self.lanes.get(index).filter(|lane| lane.part.is_none());
            let last = lane.and_then(|lane| lane.group.as_ref()?.last_time);
            if last.is_some_and(|last| time.since(last) > timeout) {
                self.close(index);
            }
        }
    }

    /// What began too far before this place. A line of which the end is to come has nothing to do with a group that is
    /// too wide for it: whoever begins to read behind the group has to find the same line.
    fn close_wide(&mut self, end: usize) {
        let max_extent = self.cutter.max_extent;
        let is_wide = |group: &Group<'_>| end - group.start > max_extent;
        for index in 0..self.lanes.len() {
            let Some(lane) = self.lanes.get_mut(index) else { continue };
            let wide = lane.group.take_if(|open| is_wide(&open.group));
            self.done.extend(wide.map(|open| open.group));
            if lane.part.as_ref().is_some_and(is_wide) {
                self.close(index);
            }
        }
    }

    fn close_all(&mut self) {
        for index in 0..self.lanes.len() {
            self.close(index);
        }
    }

    fn close(&mut self, index: usize) {
        let part = self.lanes.get_mut(index).and_then(|lane| lane.part.take());
        if let Some(part) = part {
            self.whole(part);
        }
        let open = self.lanes.get_mut(index).and_then(|lane| lane.group.take());
        self.done.extend(open.map(|open| open.group));
    }

    /// With the bounds, up to where lines were found.
    fn finish(mut self, used: usize) -> Groups<'a> {
        self.done.sort_by_key(|group| group.start);
        let open = self.lanes.iter().filter_map(Lane::start).min();
        let limit = open.unwrap_or(used);
        let mut bounds = Vec::with_capacity(self.done.len() + 1);
        let mut reached = 0;
        for (index, group) in self.done.iter().enumerate() {
            if group.start > limit {
                break;
            }
            if index > 0 && reached <= group.start {
                bounds.push(Bound { groups: index, at: group.start });
            }
            reached = reached.max(group.end);
        }
        let before = self.done.partition_point(|group| group.start < limit);
        if limit > 0 && reached <= limit && bounds.last().is_none_or(|last| last.at < limit) {
            bounds.push(Bound { groups: before, at: limit });
        }
        Groups { groups: self.done, bounds, waits: open.is_some() }
    }
}

impl Lane<'_> {
    /// Where what is open begins.
    fn start(&self) -> Option<usize> {
        let part = self.part.as_ref().map(|part| part.start);
        self.group.as_ref().map(|open| open.group.start).or(part)
    }
}

impl<'a> Group<'a> {
    /// With what comes behind it.
    fn and(mut self, other: &Self, between: &str) -> Self {
        let text = self.text.to_mut();
        text.push_str(between);
        text.push_str(&other.text);
        self.end = other.end;
        self.lines += other.lines;
        self.mended += other.mended;
        self
    }
}

impl<'a> Open<'a> {
    fn has_room(&self, line: &Group<'a>, cutter: Cutter<'_>) -> bool {
        let text = self.group.text.len() + self.blanks as usize + 1 + line.text.len();
        let lines = self.group.lines.saturating_add(self.blanks).saturating_add(line.lines);
        text <= cutter.max_text && lines <= LINES && line.end - self.group.start <= cutter.max_extent
    }

    fn and(self, line: &Group<'a>, state: State) -> Self {
        let between = "\n".repeat(self.blanks as usize + 1);
        let last_time = line.time.or(self.last_time);
        let mut group = self.group.and(line, &between);
        group.lines += self.blanks;
        Self { group, state, blanks: 0, last_time }
    }
}

#[cfg(test)]
mod tests;
