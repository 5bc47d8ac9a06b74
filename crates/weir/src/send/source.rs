//! Where lines come from.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};

/// A file or standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    File(PathBuf),
    Standard,
}

/// A line, or what stands in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawLine {
    /// From 1.
    pub(super) number: u64,
    /// Without its end.
    pub(super) bytes: Vec<u8>,
    /// With its end.
    pub(super) raw_length: u64,
}

pub(super) struct Lines {
    reader: Box<dyn AsyncBufRead + Send + Unpin>,
    number: u64,
}

/// Larger reads mean fewer trips to the threads that do them.
const BUFFER: usize = 256 << 10;

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

    pub(super) async fn open(&self) -> Result<Lines> {
        let reader: Box<dyn AsyncBufRead + Send + Unpin> = match self {
            Self::File(path) => {
                let file = File::open(path).await.with_context(|| format!("open `{}`", path.display()))?;
                Box::new(BufReader::with_capacity(BUFFER, file))
            }
            Self::Standard => Box::new(BufReader::with_capacity(BUFFER, tokio::io::stdin())),
        };
        Ok(Lines { reader, number: 0 })
    }
}

impl Lines {
    pub(super) async fn next(&mut self) -> std::io::Result<Option<RawLine>> {
        let mut bytes = Vec::new();
        let read = self.reader.read_until(b'\n', &mut bytes).await?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if bytes.ends_with(b"\n") {
            bytes.pop();
            if bytes.ends_with(b"\r") {
                bytes.pop();
            }
        }
        Ok(Some(RawLine { number: self.number, bytes, raw_length: read as u64 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_without_their_ends_and_are_counted() {
        let text: &[u8] = b"one\r\n\ntwo  \nlast";
        let mut lines = Lines { reader: Box::new(text), number: 0 };
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.expect("memory can be read") {
            found.push((line.number, String::from_utf8(line.bytes).expect("is text"), line.raw_length));
        }
        let expected = [(1, "one", 5), (2, "", 1), (3, "two  ", 6), (4, "last", 4)];
        assert_eq!(found, expected.map(|(number, text, length)| (number, text.to_owned(), length)));
    }
}
