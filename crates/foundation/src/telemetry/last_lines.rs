use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that are kept at most.
const LINES: usize = 1_000;

/// What they may have together.
const BYTES: usize = 256 << 10;

/// The last lines that the process has logged, as plain text, for whoever asks from elsewhere. Clones are the same.
#[derive(Clone, Default)]
pub struct LastLines(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
}

impl LastLines {
    /// At most so many, the oldest first.
    #[must_use]
    pub fn last(&self, lines: usize) -> Vec<String> {
        let kept = self.kept();
        kept.lines.iter().skip(kept.lines.len().saturating_sub(lines)).cloned().collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn push(&mut self, line: &str) {
        self.bytes += line.len();
        self.lines.push_back(line.to_owned());
        while self.lines.len() > LINES || (self.bytes > BYTES && self.lines.len() > 1) {
            let gone = self.lines.pop_front();
            self.bytes -= gone.map_or(0, |line| line.len());
        }
    }
}

/// One event comes in one piece.
impl io::Write for LastLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let mut kept = self.kept();
        text.lines().for_each(|line| kept.push(line));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LastLines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl fmt::Debug for LastLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastLines").field("lines", &self.kept().lines.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_last_ones_are_kept() {
        let mut lines = LastLines::default();
        for number in 0..2_000 {
            lines.write_all(format!("line {number}\n").as_bytes()).expect("memory takes it");
        }
        assert_eq!(lines.last(2), ["line 1998", "line 1999"]);
        assert_eq!(lines.last(usize::MAX).len(), LINES);
        lines.write_all(&vec![b'x'; BYTES]).expect("memory takes it");
        assert_eq!(lines.last(usize::MAX).len(), 1);
        assert_eq!(lines.kept().bytes, BYTES);
    }
}
