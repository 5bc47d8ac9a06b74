//! The state in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::error::{CommitError, StateError};
use crate::seam::{self, Change, Changes, Edit, Entry, Key, Kind, State, TOMBSTONES, Write};

/// Clones are handles of one store.
#[derive(Debug, Clone, Default)]
pub struct MemoryState {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    documents: Mutex<Documents>,
    revision: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Documents {
    revision: u64,
    /// With those that were deleted, as far as they are remembered.
    all: BTreeMap<Key, Document>,
    /// By the revision of their deletion.
    deleted: BTreeSet<(u64, Key)>,
    /// What was deleted up to here is not remembered.
    forgotten: u64,
}

#[derive(Debug)]
struct Document {
    version: u64,
    value: Option<Vec<u8>>,
}

impl Shared {
    fn documents(&self) -> MutexGuard<'_, Documents> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Documents {
    fn version(&self, key: &Key) -> Option<u64> {
        self.all.get(key).filter(|document| document.value.is_some()).map(|document| document.version)
    }

    fn commit(&mut self, writes: &[Write]) -> Result<u64, CommitError> {
        if let Some(write) = writes.iter().find(|write| !write.expect.fits(self.version(&write.key))) {
            return Err(CommitError::Conflict { key: write.key.clone() });
        }
        let changes: Vec<_> =
            writes.iter().filter_map(|write| Some((&write.key, self.value(write)?))).collect();
        if changes.is_empty() {
            return Ok(self.revision);
        }
        self.revision += 1;
        let version = self.revision;
        for (key, value) in changes {
            if value.is_none() {
                self.deleted.insert((version, key.clone()));
            }
            if let Some(before) = self.all.insert(key.clone(), Document { version, value })
                && before.value.is_none()
            {
                self.deleted.remove(&(before.version, key.clone()));
            }
        }
        while self.deleted.len() > TOMBSTONES
            && let Some((version, key)) = self.deleted.pop_first()
        {
            self.all.remove(&key);
            self.forgotten = version;
        }
        Ok(version)
    }

    /// What a write makes of its document; nothing if it changes nothing.
    fn value(&self, write: &Write) -> Option<Option<Vec<u8>>> {
        match &write.edit {
            Edit::Put(value) => Some(Some(value.clone())),
            Edit::Delete => self.version(&write.key).map(|_| None),
            Edit::Keep => None,
        }
    }

    fn changes(&self, kinds: &[Kind], since: u64) -> Changes {
        let whole = since == 0 || since < self.forgotten || since > self.revision;
        let wanted = self.all.iter().filter(|(key, document)| {
            let is_news = if whole { document.value.is_some() } else { document.version > since };
            kinds.contains(&key.kind) && is_news
        });
        let change = |(key, document): (&Key, &Document)| Change {
            kind: key.kind,
            name: key.name.clone(),
            value: document.value.clone(),
            version: document.version,
        };
        let mut changes: Vec<Change> = wanted.map(change).collect();
        changes.sort_by_key(|change| change.version);
        Changes { revision: self.revision, whole, changes }
    }
}

#[async_trait]
impl State for MemoryState {
    async fn get(&self, kind: Kind, name: &str) -> Result<Option<Entry>, StateError> {
        let documents = self.shared.documents();
        let found = documents.all.get(&kind.key(name));
        Ok(found.and_then(|document| {
            let value = document.value.clone()?;
            Some(Entry { name: name.to_owned(), version: document.version, value })
        }))
    }

    async fn changes(&self, kinds: &[Kind], since: u64) -> Result<Changes, StateError> {
        Ok(self.shared.documents().changes(kinds, since))
    }

    async fn commit(&self, writes: &[Write]) -> Result<u64, CommitError> {
        seam::check(writes)?;
        let mut documents = self.shared.documents();
        let revision = documents.commit(writes)?;
        self.shared.revision.send_if_modified(|told| std::mem::replace(told, revision) != revision);
        Ok(revision)
    }

    fn revision(&self) -> watch::Receiver<u64> {
        self.shared.revision.subscribe()
    }
}
