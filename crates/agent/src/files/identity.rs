//! Which file is which, whatever it is called.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Where a file is on its disk. Another one may be there once it was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// What a file begins with, so that another one in its place is noticed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    /// How many bytes of it are looked at.
    pub(crate) bytes: u64,
    pub(crate) hash: u64,
}

/// Bytes of a fingerprint at most.
const BYTES: u64 = 1_024;

impl FileId {
    pub(crate) fn of(metadata: &std::fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// When a file was made, in nanoseconds since 1970, where its disk knows.
pub(crate) fn born(metadata: &std::fs::Metadata) -> Option<u64> {
    let since = metadata.created().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

impl Fingerprint {
    /// Of as much as there is, and never changes: at most of `end` bytes.
    pub(crate) fn of(file: &File, end: u64) -> io::Result<Self> {
        Self::of_first(file, end.min(BYTES))
    }

    fn of_first(file: &File, bytes: u64) -> io::Result<Self> {
        let mut beginning = vec![0; usize::try_from(bytes).unwrap_or(0)];
        file.read_exact_at(&mut beginning, 0)?;
        Ok(Self { bytes, hash: xxh3_64(&beginning) })
    }

    /// Whether the file begins as this one did.
    pub(crate) fn fits(self, file: &File) -> io::Result<bool> {
        if self.bytes == 0 {
            return Ok(true);
        }
        match Self::of_first(file, self.bytes) {
            Ok(found) => Ok(found == self),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Of as much as there is by now, up to `end`; none if the file does not begin as this one did.
    pub(crate) fn grown(self, file: &File, end: u64) -> io::Result<Option<Self>> {
        let mut beginning = vec![0; usize::try_from(end.min(BYTES)).unwrap_or(0)];
        match file.read_exact_at(&mut beginning, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let known = usize::try_from(self.bytes).ok().and_then(|known| beginning.get(..known));
        let is_same = known.is_some_and(|known| self.bytes == 0 || xxh3_64(known) == self.hash);
        let grown = Self { bytes: end.min(BYTES), hash: xxh3_64(&beginning) };
        Ok(is_same.then_some(grown))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_that_grows_stays_the_same_and_another_one_is_noticed() {
        let mut file = tempfile::tempfile().expect("there is space");
        file.write_all(b"first line\n").expect("there is space");
        let of_nothing = Fingerprint::of(&file, 0).expect("it can be read");
        let early = Fingerprint::of(&file, 11).expect("it can be read");
        file.write_all(&[b'x'; 5_000]).expect("there is space");
        let full = Fingerprint::of(&file, 5_011).expect("it can be read");
        assert_eq!((early.bytes, full.bytes), (11, 1_024));
        for fingerprint in [Fingerprint::default(), of_nothing, early, full] {
            assert_eq!(fingerprint.grown(&file, 5_011).expect("it can be read"), Some(full));
        }
        assert_eq!(full.grown(&file, 1_000).expect("it can be read"), None, "it was shortened");
        assert_eq!(full.grown(&file, 9_000).expect("it can be read"), Some(full));
        for fingerprint in [Fingerprint::default(), of_nothing, early, full] {
            assert!(fingerprint.fits(&file).expect("it can be read"));
        }
        let mut other = tempfile::tempfile().expect("there is space");
        other.write_all(b"other line\n").expect("there is space");
        assert!(of_nothing.fits(&other).expect("it can be read"));
        assert!(!early.fits(&other).expect("it can be read"));
        assert!(!full.fits(&other).expect("it can be read"), "it is shorter");
        for end in [0, 11, 5_000] {
            assert_eq!(early.grown(&other, end).expect("it can be read"), None, "{end}");
        }
        assert!(of_nothing.grown(&other, 11).expect("it can be read").is_some());
    }
}
