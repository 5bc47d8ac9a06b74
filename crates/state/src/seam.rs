use std::collections::HashSet;
use std::fmt;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::error::{CommitError, IllegalWrite, StateError};

/// Bytes of the longest name; the shortest has one.
pub const MAX_NAME: usize = 512;
/// Bytes of the largest value.
pub const MAX_VALUE: usize = 4 << 20;
/// Writes of the largest commit.
pub const MAX_WRITES: usize = 256;
/// How many deletions a store remembers at least; see [`State::changes`].
pub const TOMBSTONES: usize = 1024;

/// What a document is, such as `agent`. Each kind has names of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(&'static str);

/// Which document.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub kind: Kind,
    pub name: String,
}

/// A document as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// The revision of the store at which it was written. No two states of a document have the same, not even
    /// when it was deleted in between.
    pub version: u64,
    pub value: Vec<u8>,
}

/// What must be true of a document for a commit to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// It is not there.
    Absent,
    /// It is there and was not written since.
    Version(u64),
    Any,
}

/// What happens to a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    Put(Vec<u8>),
    /// Nothing happens to one that is not there.
    Delete,
    /// Stays as it is: what is written beside it depends on it.
    Keep,
}

/// One document of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub key: Key,
    pub expect: Expect,
    pub edit: Edit,
}

/// How a document is after it was written or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub kind: Kind,
    pub name: String,
    /// Absent if it was deleted.
    pub value: Option<Vec<u8>>,
    /// The revision at which that happened.
    pub version: u64,
}

/// What became of a store, all of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The revision of that moment.
    pub revision: u64,
    /// Whether `changes` are all documents that there are: what is not among them is not there.
    pub whole: bool,
    /// One for each document, by version, then by kind and name.
    pub changes: Vec<Change>,
}

/// Documents that several processes share.
///
/// Guarantees:
///
/// * A commit happens as a whole or not at all, and is durable when it returns. Commits have an order: each that
///   changed something has a revision above that of the one before.
/// * A read sees every commit that had returned, through whatever handle, when it began, and of each commit all or
///   nothing.
/// * An expectation is compared with the documents as the commit before it left them: of those who expect the same
///   version of a document, one succeeds.
/// * A commit that failed changed nothing, but for one whose outcome [is not known](CommitError::outcome_unknown).
/// * [`State::revision`] tells of every commit, after it happened: at once where it was made through this handle,
///   within a second otherwise. It may tell of several at once.
///
/// Freedoms: revisions may have gaps. A future that is dropped may be carried out nevertheless. Secrets in documents
/// are not encrypted; a store keeps others from reading them.
#[async_trait]
pub trait State: fmt::Debug + Send + Sync {
    async fn get(&self, kind: Kind, name: &str) -> Result<Option<Entry>, StateError>;

    /// What was written after revision `since`, of these kinds; everything if `since` is 0, if the store does not
    /// remember all that was deleted since then, or if it never had such a revision.
    async fn changes(&self, kinds: &[Kind], since: u64) -> Result<Changes, StateError>;

    /// All documents of a kind, in the order of the bytes of their names.
    async fn list(&self, kind: Kind) -> Result<Vec<Entry>, StateError> {
        let changes = self.changes(&[kind], 0).await?.changes;
        let entry = |change: Change| {
            let Change { name, version, value, .. } = change;
            value.map(|value| Entry { name, version, value })
        };
        let mut entries: Vec<Entry> = changes.into_iter().filter_map(entry).collect();
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Carries out all writes and returns the revision of the store. No document may be written twice.
    async fn commit(&self, writes: &[Write]) -> Result<u64, CommitError>;

    /// The revision of the store, now and later. Reads through this handle see what it tells of.
    fn revision(&self) -> watch::Receiver<u64>;
}

impl Kind {
    /// Of lower-case letters and `-`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The key of a document of this kind.
    #[must_use]
    pub fn key(self, name: impl Into<String>) -> Key {
        Key { kind: self, name: name.into() }
    }
}

impl Key {
    #[must_use]
    pub fn put(self, expect: Expect, value: Vec<u8>) -> Write {
        Write { key: self, expect, edit: Edit::Put(value) }
    }

    #[must_use]
    pub fn delete(self, expect: Expect) -> Write {
        Write { key: self, expect, edit: Edit::Delete }
    }

    #[must_use]
    pub fn keep(self, expect: Expect) -> Write {
        Write { key: self, expect, edit: Edit::Keep }
    }
}

impl Expect {
    /// Whether it is true of a document with that version, or of none.
    #[must_use]
    pub fn fits(self, found: Option<u64>) -> bool {
        match self {
            Self::Absent => found.is_none(),
            Self::Version(version) => found == Some(version),
            Self::Any => true,
        }
    }
}

/// What every store refuses before it looks at a document: too many writes, a document that is written twice, a name
/// that is empty, too long or with a NUL, a value that is too large. For those who implement [`State`].
pub fn check(writes: &[Write]) -> Result<(), CommitError> {
    if writes.len() > MAX_WRITES {
        return Err(CommitError::TooMany { writes: writes.len(), limit: MAX_WRITES });
    }
    let mut keys = HashSet::with_capacity(writes.len());
    for Write { key, edit, .. } in writes {
        let why = match edit {
            _ if key.name.is_empty() => IllegalWrite::EmptyName,
            _ if key.name.len() > MAX_NAME => IllegalWrite::LongName,
            _ if key.name.contains('\0') => IllegalWrite::NulInName,
            Edit::Put(value) if value.len() > MAX_VALUE => IllegalWrite::LargeValue { bytes: value.len() },
            _ if !keys.insert(key) => IllegalWrite::Twice,
            _ => continue,
        };
        return Err(CommitError::Illegal { key: key.clone(), why });
    }
    Ok(())
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.name.escape_debug())
    }
}
