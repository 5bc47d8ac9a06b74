//! Lines to batches whose ids say what they hold: a batch that is sent again, also by a later run over the
//! same file, has the id that it had, and weir stores it once.

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

/// How large a batch may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// What tells two batches with the same bytes apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Once {
    /// The app, how the lines are read, the name of the file and the place in it: sent again, it is the same batch.
    Ever { app: String, media_type: &'static str, file: String },
    /// This run too: for standard input, whose second run is new input.
    PerRun { app: String, run: u128 },
}

/// Lines that are sent together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) id: String,
    /// Each line ends in a line feed.
    pub(crate) body: Bytes,
    /// The number of each line in its source, from 1.
    pub(crate) lines: Vec<u64>,
    /// Bytes of the source that are dealt with once this batch is, blank lines and line ends included.
    pub(crate) source_bytes: u64,
}

/// Cuts the lines of one source into batches.
#[derive(Debug)]
pub(crate) struct Batcher {
    limits: Limits,
    once: Once,
    body: Vec<u8>,
    lines: Vec<u64>,
    /// Where the open batch begins in the source.
    start: u64,
    /// Where the next line begins.
    at: u64,
}

impl Batcher {
    pub(crate) fn new(limits: Limits, once: Once) -> Self {
        Self { limits, once, body: Vec::new(), lines: Vec::new(), start: 0, at: 0 }
    }

    /// Adds a line without its end. Answers the batch before it, if there is no more room in that.
    pub(crate) fn line(&mut self, number: u64, line: &[u8], raw_length: u64) -> Option<Batch> {
        let full = self.lines.len() >= self.limits.events
            || (!self.lines.is_empty() && self.body.len() + line.len() + 1 > self.limits.bytes);
        let finished = if full { self.finish() } else { None };
        self.body.extend_from_slice(line);
        self.body.push(b'\n');
        self.lines.push(number);
        self.at += raw_length;
        finished
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Passes over a part of the source that is no event.
    pub(crate) fn skip(&mut self, raw_length: u64) {
        self.at += raw_length;
    }

    /// Ends the open batch.
    pub(crate) fn finish(&mut self) -> Option<Batch> {
        if self.lines.is_empty() {
            return None;
        }
        let body = Bytes::from(std::mem::take(&mut self.body));
        let batch = Batch {
            id: self.once.id(self.start, &body),
            body,
            lines: std::mem::take(&mut self.lines),
            source_bytes: self.at - self.start,
        };
        self.start = self.at;
        Some(batch)
    }
}

impl Once {
    fn id(&self, start: u64, body: &[u8]) -> String {
        let mut hash = Xxh3::new();
        let (kind, app, media_type, rest) = match self {
            Self::Ever { app, media_type, file } => (0u8, app, *media_type, file.as_bytes().to_vec()),
            Self::PerRun { app, run } => (1u8, app, "", run.to_le_bytes().to_vec()),
        };
        hash.update(&[kind]);
        // Lengths in front, so that no two lists of parts are the same bytes.
        for part in [app.as_bytes(), media_type.as_bytes(), &rest, body] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update(&start.to_le_bytes());
        format!("send-{:032x}", hash.digest128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ever() -> Once {
        of("text/plain", "/var/log/app.log")
    }

    fn of(media_type: &'static str, file: &str) -> Once {
        Once::Ever { app: "shop".to_owned(), media_type, file: file.to_owned() }
    }

    fn batches(limits: Limits, once: Once, lines: &[&str]) -> Vec<Batch> {
        let mut batcher = Batcher::new(limits, once);
        let mut batches: Vec<Batch> = Vec::new();
        for (number, line) in (1..).zip(lines) {
            batches.extend(batcher.line(number, line.as_bytes(), line.len() as u64 + 1));
        }
        batches.extend(batcher.finish());
        batches
    }

    #[test]
    fn batches_are_cut_by_events_and_by_bytes() {
        let check = |events: usize, bytes: usize, expected: &[&[u64]]| {
            let made = batches(Limits { events, bytes }, ever(), &["aaaa", "bb", "cc", "dddddddddd", "e"]);
            let lines: Vec<&[u64]> = made.iter().map(|batch| &*batch.lines).collect();
            assert_eq!(lines, expected, "{events} events, {bytes} bytes");
            assert_eq!(made.iter().map(|batch| batch.source_bytes).sum::<u64>(), 24);
        };
        check(100, 100, &[&[1, 2, 3, 4, 5]]);
        check(2, 100, &[&[1, 2], &[3, 4], &[5]]);
        check(100, 8, &[&[1, 2], &[3], &[4], &[5]]);
        check(100, 1, &[&[1], &[2], &[3], &[4], &[5]]);
    }

    #[test]
    fn a_file_that_is_sent_again_has_the_ids_it_had() {
        let limits = Limits { events: 2, bytes: 100 };
        let lines = ["same", "same", "same", "same"];
        let first = batches(limits, ever(), &lines);
        assert_eq!(first, batches(limits, ever(), &lines));
        assert_ne!(first[0].id, first[1].id, "the place in the file is part of the id");
        for other in [of("text/plain", "/var/log/app.log.1"), of("application/x-ndjson", "/var/log/app.log")]
        {
            assert_ne!(first[0].id, batches(limits, other, &lines)[0].id);
        }
    }

    #[test]
    fn standard_input_is_new_with_every_run() {
        let limits = Limits { events: 2, bytes: 100 };
        let id = |run| batches(limits, Once::PerRun { app: "shop".to_owned(), run }, &["same"])[0].id.clone();
        assert_eq!(id(1), id(1));
        assert_ne!(id(1), id(2));
    }

    #[test]
    fn a_file_that_grew_keeps_the_ids_of_its_whole_batches() {
        let limits = Limits { events: 2, bytes: 100 };
        let before = batches(limits, ever(), &["a", "b", "c"]);
        let after = batches(limits, ever(), &["a", "b", "c", "d"]);
        assert_eq!(before[0].id, after[0].id);
        assert_ne!(before[1].id, after[1].id);
    }
}
