//! Cutting a body into parts of whole lines, in bounded memory.

use bytes::{Buf, Bytes, BytesMut};

/// How large a part may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartSize {
    pub(super) lines: usize,
    /// A part is given out as soon as it has so many bytes.
    pub(super) bytes: usize,
    /// The longest line; the rest of a longer one is thrown away.
    pub(super) line: usize,
}

/// Collects the bytes of a body until they are a part.
#[derive(Debug)]
pub(super) struct LineParts {
    size: PartSize,
    buffer: BytesMut,
    /// How far `buffer` has been searched, and how many lines end before.
    searched: usize,
    lines: usize,
    /// End of the last whole line in `buffer`.
    whole: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// In the rest of a line that is too long.
    Skipping,
}

/// A piece of the body, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Whole lines, with their ends; only the last part of a body may lack one.
    Lines(Bytes),
    /// A line that is too long was left out.
    Overlong,
}

impl LineParts {
    pub(super) fn new(size: PartSize) -> Self {
        Self { size, buffer: BytesMut::new(), searched: 0, lines: 0, whole: 0, state: State::Reading }
    }

    /// Bytes in hand.
    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn push(&mut self, data: &[u8]) {
        let data = match self.state {
            State::Reading => data,
            State::Skipping => match memchr::memchr(b'\n', data) {
                None => return,
                Some(end) => {
                    self.state = State::Reading;
                    &data[end + 1..]
                }
            },
        };
        self.buffer.extend_from_slice(data);
    }

    /// The next part that is complete. Ask until there is none before pushing more.
    pub(super) fn next_part(&mut self) -> Option<Part> {
        for end in memchr::memchr_iter(b'\n', &self.buffer[self.searched..]) {
            let end = self.searched + end;
            if end - self.whole > self.size.line {
                return Some(self.cut_or_drop(end + 1));
            }
            self.whole = end + 1;
            self.lines += 1;
            if self.lines >= self.size.lines || self.whole >= self.size.bytes {
                return Some(self.cut());
            }
        }
        self.searched = self.buffer.len();
        if self.searched - self.whole <= self.size.line {
            return None;
        }
        let part = self.cut_or_drop(self.searched);
        if part == Part::Overlong {
            self.state = State::Skipping;
        }
        Some(part)
    }

    /// Gives out the lines before one that is too long; if there are none, drops it, up to `end`.
    fn cut_or_drop(&mut self, end: usize) -> Part {
        if self.whole > 0 {
            return self.cut();
        }
        self.buffer.advance(end);
        self.searched = 0;
        Part::Overlong
    }

    /// What is left at the end of the body.
    pub(super) fn finish(self) -> Option<Bytes> {
        (!self.buffer.is_empty()).then(|| self.buffer.freeze())
    }

    fn cut(&mut self) -> Part {
        let lines = self.buffer.split_to(self.whole).freeze();
        (self.searched, self.whole, self.lines) = (0, 0, 0);
        Part::Lines(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: PartSize = PartSize { lines: 3, bytes: 20, line: 30 };

    /// The parts of a body that comes in pieces of `step` bytes.
    fn parts(body: &str, step: usize) -> Vec<String> {
        let mut parts = LineParts::new(SIZE);
        let mut found = Vec::new();
        for data in body.as_bytes().chunks(step) {
            parts.push(data);
            while let Some(part) = parts.next_part() {
                found.push(match part {
                    Part::Lines(lines) => String::from_utf8(lines.to_vec()).expect("is text"),
                    Part::Overlong => "(overlong)".to_owned(),
                });
            }
        }
        found.extend(parts.finish().map(|lines| String::from_utf8(lines.to_vec()).expect("is text")));
        found
    }

    #[test]
    fn parts_are_whole_lines() {
        let check = |body: &str, expected: &[&str]| {
            for step in [1, 2, 3, 7, 1000] {
                assert_eq!(parts(body, step), expected, "in pieces of {step}");
            }
        };
        check("", &[]);
        check("a", &["a"]);
        check("a\nb\nc\nd", &["a\nb\nc\n", "d"]);
        check("a\n\n\n\n", &["a\n\n\n", "\n"]);
        check("0123456789\n0123456789\n0\n", &["0123456789\n0123456789\n", "0\n"]);
    }

    #[test]
    fn a_long_line_is_left_out_and_its_neighbours_are_kept() {
        let long = "x".repeat(100);
        let check = |body: &str, expected: &[&str]| {
            for step in [1, 7, 31, 1000] {
                assert_eq!(parts(body, step), expected, "in pieces of {step}");
            }
        };
        check(&format!("a\n{long}\nb\n"), &["a\n", "(overlong)", "b\n"]);
        check(&format!("{long}\n{long}"), &["(overlong)", "(overlong)"]);
        check(&long, &["(overlong)"]);
    }

    #[test]
    fn memory_is_bounded_by_a_part_a_line_and_a_piece() {
        let mut parts = LineParts::new(SIZE);
        for _ in 0..1000 {
            parts.push(b"xxxxxxxxxx");
            while parts.next_part().is_some() {}
            assert!(parts.len() <= SIZE.line);
        }
    }
}
