//! How far each file is sent, on disk: `files.json` in the folder of the agent.
//!
//! ```json
//! {"format": 1, "files": [{"id": {"device": 1, "inode": 2}, "fingerprint": {"bytes": 1024, "hash": 3}, "born": 5,
//!   "source": "…32 hex digits…", "stored": 4096, "path": "/var/log/app.log", "seen": 1795910400}],
//!   "patterns": {"/var/log/*.log": 1795910400}}
//! ```
//!
//! A source is written down before its first line is sent, so that the disk has it for certain: what is stored of it is then
//! found again under the same name. Positions follow later: one that is too low costs an answer of the server, which knows.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::identity::{FileId, Fingerprint};

const FORMAT: u32 = 1;
const NAME: &str = "files.json";

/// How long, in seconds, a file is remembered that is not there: a disk may come back.
pub(crate) const REMEMBERED: u64 = 7 * 24 * 3_600;

/// The register could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("could not read `{path}`")]
    Read { path: PathBuf, source: io::Error },
    #[error("`{path}` is not what an agent writes; without it everything is read from the beginning")]
    Malformed { path: PathBuf, source: serde_json::Error },
    #[error("`{path}` has format {found}, this weir knows {FORMAT}: use a newer weir")]
    Newer { path: PathBuf, found: u32 },
}

/// What is known of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) id: FileId,
    pub(crate) fingerprint: Fingerprint,
    /// When it was made, in nanoseconds since 1970, if that is known: another file may have its place, and begin alike.
    #[serde(default)]
    pub(crate) born: Option<u64>,
    #[serde(with = "hex")]
    pub(crate) source: [u8; 16],
    /// Everything before this is stored by the server's word.
    pub(crate) stored: u64,
    pub(crate) path: PathBuf,
    /// When it was last there, in seconds since 1970.
    pub(crate) seen: u64,
}

/// Patterns by which files were looked for, and when last, in seconds since 1970.
pub(crate) type Patterns = BTreeMap<String, u64>;

/// What a register has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) entries: Vec<Entry>,
    /// None where an older weir has written it: all patterns were looked for then.
    pub(crate) patterns: Option<Patterns>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    format: u32,
    #[serde(default)]
    files: Vec<Entry>,
    #[serde(default)]
    patterns: Option<Patterns>,
}

/// Whether what is written has to survive the death of the machine. What was there before does in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    Yes,
    No,
}

/// The register of a folder: one writer.
#[derive(Debug)]
pub(crate) struct Register {
    path: PathBuf,
}

impl Register {
    /// With what is in it; none for a folder that has no register.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Option<Contents>), RegisterError> {
        let path = folder.join(NAME);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Self { path }, None)),
            Err(source) => return Err(RegisterError::Read { path, source }),
        };
        match serde_json::from_slice(&text) {
            Ok(Document { format, .. }) if format > FORMAT => {
                Err(RegisterError::Newer { path, found: format })
            }
            Ok(Document { files, patterns, .. }) => {
                Ok((Self { path }, Some(Contents { entries: files, patterns })))
            }
            Err(source) => Err(RegisterError::Malformed { path, source }),
        }
    }

    /// Writes all entries in the place of those that are there, at once.
    pub(crate) fn write(
        &self,
        entries: &[&Entry],
        patterns: Option<&Patterns>,
        sync: Sync,
    ) -> io::Result<()> {
        let files = entries.iter().map(|entry| (*entry).clone()).collect();
        let text = serde_json::to_vec(&Document { format: FORMAT, files, patterns: patterns.cloned() })?;
        let draft = self.path.with_extension("json.new");
        let mut file = File::create(&draft)?;
        file.write_all(&text)?;
        // A name that has no bytes yet must not take the place of one that has.
        file.sync_all()?;
        std::fs::rename(&draft, &self.path)?;
        if sync == Sync::Yes
            && let Some(folder) = self.path.parent()
        {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

/// Sixteen bytes as text.
mod hex {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{:032x}", u128::from_be_bytes(*bytes)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 16], D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u128::from_str_radix(&text, 16).map_err(D::Error::custom)?;
        Ok(number.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(inode: u64, seen: u64) -> Entry {
        Entry {
            id: FileId { device: 1, inode },
            fingerprint: Fingerprint { bytes: 3, hash: u64::MAX },
            born: Some(1 << 60),
            source: [u8::try_from(inode).unwrap_or(0); 16],
            stored: 1 << 40,
            path: "/var/log/é.log".into(),
            seen,
        }
    }

    #[test]
    fn what_is_written_is_found_again() {
        let folder = tempfile::tempdir().expect("there is space");
        let (register, found) = Register::open(folder.path()).expect("it is new");
        assert_eq!(found, None);
        register.write(&[], None, Sync::Yes).expect("there is space");
        assert_eq!(Register::open(folder.path()).expect("it can be read").1, Some(Contents::default()));
        let entries = [entry(7, 1_000_000), Entry { born: None, ..entry(8, 2_000_000) }];
        let patterns = Some(Patterns::from([("/var/log/*.log".to_owned(), 3)]));
        for sync in [Sync::Yes, Sync::No] {
            register.write(&entries.each_ref(), patterns.as_ref(), sync).expect("there is space");
            let (_, found) = Register::open(folder.path()).expect("it can be read");
            let expected = Contents { entries: entries.to_vec(), patterns: patterns.clone() };
            assert_eq!(found, Some(expected));
        }
    }

    #[test]
    fn what_is_no_register_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("there is space");
        let check = |text: &str, expected: &str| {
            std::fs::write(folder.path().join(NAME), text).expect("there is space");
            let error = Register::open(folder.path()).expect_err("it is refused").to_string();
            assert!(error.contains(expected) && error.contains(NAME), "{error}");
        };
        check("", "not what an agent writes");
        check("{\"format\":1,\"files\":[{}]}", "not what an agent writes");
        check("{\"format\":2}", "has format 2, this weir knows 1");
    }
}
