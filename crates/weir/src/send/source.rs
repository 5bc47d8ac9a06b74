//! Where lines come from.

use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use futures_util::FutureExt;
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};

/// A file or standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    File(PathBuf),
    Standard,
}

/// What can be expected of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// A regular file: it ends, and is the same when it is read again.
    Regular,
    /// It goes on as somebody writes.
    Live,
}

/// A line of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawLine {
    /// From 1.
    pub(super) number: u64,
    /// Without its end; absent if it is longer than [`LINE_LIMIT`].
    pub(super) bytes: Option<Vec<u8>>,
    /// With its end.
    pub(super) raw_length: u64,
}

/// A program that compressed a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compression {
    pub(super) name: &'static str,
    /// Writes to standard output what was compressed.
    pub(super) undone_by: &'static str,
}

/// Lines of a source, read when they are asked for.
pub(super) struct Lines {
    reader: Box<dyn AsyncBufRead + Send + Unpin>,
    number: u64,
    /// What was read of the next line.
    partial: Vec<u8>,
    partial_length: u64,
    /// Nothing more is waited for.
    ended: bool,
}

/// Bytes of the longest line: well below what a door takes at once.
pub(super) const LINE_LIMIT: usize = 8 << 20;

/// By the first bytes of a file: RFC 1952, RFC 8878.
const COMPRESSIONS: [(&[u8], Compression); 2] = [
    (b"\x1f\x8b", Compression { name: "gzip", undone_by: "zcat" }),
    (b"\x28\xb5\x2f\xfd", Compression { name: "zstd", undone_by: "zstdcat" }),
];

/// Larger reads mean fewer trips to the threads that do them.
const BUFFER: usize = 256 << 10;

impl RawLine {
    /// What compressed the source, if this line is the beginning of such a file: no text begins like that.
    pub(super) fn compression(&self) -> Option<Compression> {
        let beginning = self.bytes.as_ref().filter(|_| self.number == 1)?;
        let found = COMPRESSIONS.iter().find(|(magic, _)| beginning.starts_with(magic));
        found.map(|(_, compression)| *compression)
    }
}

impl Source {
    /// `-` is standard input.
    pub(crate) fn named(name: PathBuf) -> Self {
        if name.as_os_str() == "-" { Self::Standard } else { Self::File(name) }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Standard => "standard input".to_owned(),
        }
    }

    /// Bytes to come, where that is known.
    pub(super) async fn size(&self) -> Option<u64> {
        match self {
            Self::File(path) => {
                tokio::fs::metadata(path).await.ok().filter(std::fs::Metadata::is_file).map(|m| m.len())
            }
            Self::Standard => None,
        }
    }

    pub(super) async fn nature(&self) -> Nature {
        if self.size().await.is_some() { Nature::Regular } else { Nature::Live }
    }

    pub(super) async fn open(&self) -> Result<Lines> {
        let reader: Box<dyn AsyncBufRead + Send + Unpin> = match self {
            Self::File(path) => {
                let file = File::open(path).await.with_context(|| format!("open `{}`", path.display()))?;
                Box::new(BufReader::with_capacity(BUFFER, file))
            }
            Self::Standard => Box::new(BufReader::with_capacity(BUFFER, tokio::io::stdin())),
        };
        Ok(Lines::new(reader))
    }
}

impl Lines {
    fn new(reader: Box<dyn AsyncBufRead + Send + Unpin>) -> Self {
        Self { reader, number: 0, partial: Vec::new(), partial_length: 0, ended: false }
    }

    /// From now on what was read is all that there is.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// The next line; nothing at the end. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> io::Result<Option<RawLine>> {
        loop {
            let read = match self.ended {
                true => self.reader.fill_buf().now_or_never().transpose()?.unwrap_or_default(),
                false => self.reader.fill_buf().await?,
            };
            if read.is_empty() {
                return Ok((self.partial_length > 0).then(|| self.finish()));
            }
            let end = memchr::memchr(b'\n', read).map(|at| at + 1);
            let taken = end.unwrap_or(read.len());
            if self.partial.len() <= LINE_LIMIT {
                self.partial.extend_from_slice(&read[..taken]);
            }
            self.partial_length += taken as u64;
            self.reader.consume(taken);
            if end.is_some() {
                return Ok(Some(self.finish()));
            }
        }
    }

    fn finish(&mut self) -> RawLine {
        self.number += 1;
        let mut bytes = std::mem::take(&mut self.partial);
        if bytes.ends_with(b"\n") {
            bytes.pop();
            if bytes.ends_with(b"\r") {
                bytes.pop();
            }
        }
        let raw_length = std::mem::take(&mut self.partial_length);
        let bytes = Some(bytes).filter(|_| raw_length <= LINE_LIMIT as u64);
        RawLine { number: self.number, bytes, raw_length }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn lines_come_without_their_ends_and_are_counted() {
        let text: &[u8] = b"one\r\n\ntwo  \nlast";
        let mut lines = Lines::new(Box::new(BufReader::with_capacity(3, text)));
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.expect("memory can be read") {
            found.push((
                line.number,
                String::from_utf8(line.bytes.expect("is short")).expect("is text"),
                line.raw_length,
            ));
        }
        let expected = [(1, "one", 5), (2, "", 1), (3, "two  ", 6), (4, "last", 4)];
        assert_eq!(found, expected.map(|(number, text, length)| (number, text.to_owned(), length)));
    }

    #[tokio::test]
    async fn what_was_read_when_reading_is_ended_is_still_given() {
        let (mut writer, reader) = tokio::io::duplex(100);
        let mut lines = Lines::new(Box::new(BufReader::new(reader)));
        writer.write_all(b"one\ntwo\nhal").await.expect("there is room");
        let next = async |lines: &mut Lines| lines.next().await.expect("memory can be read");
        assert_eq!(next(&mut lines).await.expect("was written").bytes, Some(b"one".to_vec()));
        lines.end();
        assert_eq!(next(&mut lines).await.expect("was written").bytes, Some(b"two".to_vec()));
        assert_eq!(next(&mut lines).await.expect("was written").bytes, Some(b"hal".to_vec()));
        assert_eq!(next(&mut lines).await, None, "although the writer may go on");
    }

    #[test]
    fn compressed_sources_are_known_by_their_first_bytes() {
        let check = |number: u64, bytes: &[u8], expected: Option<&str>| {
            let line = RawLine { number, bytes: Some(bytes.to_vec()), raw_length: bytes.len() as u64 };
            assert_eq!(line.compression().map(|compression| compression.name), expected, "{bytes:?}");
        };
        check(1, b"\x1f\x8b\x08\0", Some("gzip"));
        check(1, b"\x28\xb5\x2f\xfd\x24", Some("zstd"));
        check(2, b"\x1f\x8b\x08\0", None);
        check(1, b"(text", None);
        check(1, b"", None);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_passed_over() {
        let mut text = vec![b'x'; LINE_LIMIT + 100_000];
        text.extend_from_slice(b"\nshort\n");
        let mut lines = Lines::new(Box::new(BufReader::new(io::Cursor::new(text))));
        let long = lines.next().await.expect("memory can be read").expect("there is one");
        assert_eq!((long.number, long.bytes, long.raw_length), (1, None, LINE_LIMIT as u64 + 100_001));
        let short = lines.next().await.expect("memory can be read").expect("there is one");
        assert_eq!((short.number, short.bytes), (2, Some(b"short".to_vec())));
        assert_eq!(lines.next().await.expect("memory can be read"), None);
    }
}
