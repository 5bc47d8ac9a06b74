//! How far each group is: kept in a small file of its own, `groups.db`, beside the records.
//!
//! Callers that commit at the same time share one transaction. What is in memory as a position is durable.

mod disk;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use weir_foundation::supervise::Spawner;
use weir_model::Offset;

use self::disk::Disk;
use super::catalog::{Catalog, Partition};
use super::file::FileError;
use crate::error::OpenError;
use crate::seam::{GroupInfo, GroupPosition, StreamPattern};

#[derive(Debug)]
pub(super) struct Groups {
    memory: Arc<Mutex<Memory>>,
    disk: Arc<tokio::sync::Mutex<Option<Disk>>>,
}

#[derive(Debug, Default)]
struct Memory {
    groups: BTreeMap<String, Group>,
    waiting: Vec<Change>,
    /// Number of the last change, and of the last that is durable.
    asked: u64,
    durable: u64,
}

#[derive(Debug, Default)]
struct Group {
    live: bool,
    pattern: Option<StreamPattern>,
    positions: HashMap<u32, Position>,
}

/// A place in a partition below which a group has dealt with everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) offset: u64,
    /// Number of events before it, noted when the records around it go.
    pub(super) event: Option<u64>,
}

/// Something to be made durable.
#[derive(Debug, Clone)]
enum Change {
    Group { name: String, pattern: Option<StreamPattern> },
    Position { group: String, partition: Arc<Partition>, position: Position },
    Deleted { group: String },
}

/// The group has a live subscription.
#[derive(Debug)]
pub(super) struct Taken;

/// Why a change is not durable.
#[derive(Debug, thiserror::Error)]
pub(super) enum GroupsError {
    #[error("the file of the groups is closed")]
    Closed,
    #[error("the file of the groups has no space")]
    Full(#[source] rusqlite::Error),
    #[error("the file of the groups could not be written")]
    Failed(#[source] FileError),
    #[error("the write was given up")]
    GivenUp(#[source] weir_foundation::supervise::BlockingError),
}

impl Groups {
    pub(super) fn open(directory: &Path, catalog: &Catalog) -> Result<Self, OpenError> {
        let (disk, groups) = Disk::open(directory, catalog)?;
        let memory = Memory { groups, ..Memory::default() };
        Ok(Self { memory: Arc::new(Mutex::new(memory)), disk: Arc::new(tokio::sync::Mutex::new(Some(disk))) })
    }

    /// Marks the group as having a member, until `leave`.
    pub(super) fn join(&self, name: &str) -> Result<(), Taken> {
        let mut memory = self.memory();
        let group = memory.groups.entry(name.to_owned()).or_default();
        if group.live {
            return Err(Taken);
        }
        group.live = true;
        Ok(())
    }

    pub(super) fn leave(&self, name: &str) {
        let mut memory = self.memory();
        let Some(group) = memory.groups.get_mut(name) else { return };
        group.live = false;
        // A member that never got as far as being remembered leaves nothing.
        if group.pattern.is_none() && group.positions.is_empty() {
            memory.groups.remove(name);
        }
    }

    pub(super) fn position(&self, name: &str, partition: u32) -> Option<Position> {
        self.memory().groups.get(name)?.positions.get(&partition).copied()
    }

    /// Remembers the group and what it wants, and where it begins in each partition that it never committed.
    pub(super) async fn subscribed(
        &self,
        spawner: &Spawner,
        name: &str,
        pattern: &StreamPattern,
        begins: Vec<(Arc<Partition>, Position)>,
    ) -> Result<(), GroupsError> {
        let mut changes = Vec::new();
        {
            let memory = self.memory();
            let group = memory.groups.get(name);
            if group.is_none_or(|group| group.pattern.as_ref() != Some(pattern)) {
                changes.push(Change::Group { name: name.to_owned(), pattern: Some(pattern.clone()) });
            }
            for (partition, position) in begins {
                if group.is_none_or(|group| !group.positions.contains_key(&partition.id)) {
                    changes.push(Change::Position { group: name.to_owned(), partition, position });
                }
            }
        }
        self.change(spawner, changes).await
    }

    /// Moves a group forward; never back.
    pub(super) async fn commit(
        &self,
        spawner: &Spawner,
        name: &str,
        commits: Vec<(Arc<Partition>, u64)>,
    ) -> Result<(), GroupsError> {
        let mut changes = Vec::new();
        {
            let memory = self.memory();
            let group = memory.groups.get(name);
            if group.is_none() {
                changes.push(Change::Group { name: name.to_owned(), pattern: None });
            }
            for (partition, offset) in commits {
                let known = group.and_then(|group| group.positions.get(&partition.id));
                if known.is_none_or(|known| known.offset < offset) {
                    let position = Position { offset, event: None };
                    changes.push(Change::Position { group: name.to_owned(), partition, position });
                }
            }
        }
        self.change(spawner, changes).await
    }

    /// Notes how many events are before positions, while that can still be found out.
    pub(super) fn note_events(
        &self,
        noted: Vec<(String, Arc<Partition>, Position)>,
    ) -> Result<(), GroupsError> {
        let changes: Vec<Change> = noted
            .into_iter()
            .map(|(group, partition, position)| Change::Position { group, partition, position })
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let asked = self.memory().ask(changes);
        let mut disk = self.disk.blocking_lock();
        flush(&self.memory, &mut disk, asked)
    }

    pub(super) async fn delete(&self, spawner: &Spawner, name: &str) -> Result<(), GroupsError> {
        self.change(spawner, vec![Change::Deleted { group: name.to_owned() }]).await
    }

    /// Waits until the changes, and all before them, are durable.
    async fn change(&self, spawner: &Spawner, changes: Vec<Change>) -> Result<(), GroupsError> {
        let asked = {
            let mut memory = self.memory();
            if changes.is_empty() && memory.durable == memory.asked {
                return Ok(());
            }
            memory.ask(changes)
        };
        let mut disk = Arc::clone(&self.disk).lock_owned().await;
        if self.memory().durable >= asked {
            return Ok(());
        }
        let memory = Arc::clone(&self.memory);
        // The lock moves along: a caller that goes away does not stop the write for the others.
        spawner
            .blocking("journal.commit", move || flush(&memory, &mut disk, asked))
            .await
            .map_err(GroupsError::GivenUp)?
    }

    pub(super) fn infos(&self, catalog: &Catalog) -> Vec<GroupInfo> {
        let memory = self.memory();
        let infos = memory.groups.iter().map(|(name, group)| {
            let mut positions: Vec<GroupPosition> = group
                .positions
                .iter()
                .filter_map(|(id, position)| {
                    let partition = catalog.by_id(*id)?.place.clone();
                    Some(GroupPosition { partition, committed: Offset(position.offset) })
                })
                .collect();
            positions.sort_unstable_by(|a, b| a.partition.cmp(&b.partition));
            GroupInfo { name: name.clone(), live: group.live, positions }
        });
        infos.collect()
    }

    /// All groups that want a partition, with where they are in it.
    pub(super) fn positions(&self, partition: &Partition) -> Vec<(String, Position)> {
        let memory = self.memory();
        let wanting = memory.groups.iter().filter_map(|(name, group)| {
            let wants =
                group.pattern.as_ref().is_some_and(|pattern| pattern.matches(&partition.place.stream));
            let beginning = wants.then_some(Position { offset: 0, event: Some(0) });
            let position = group.positions.get(&partition.id).copied().or(beginning)?;
            Some((name.clone(), position))
        });
        wanting.collect()
    }

    /// Every position that any group has.
    pub(super) fn highest(&self) -> HashMap<u32, u64> {
        let mut highest: HashMap<u32, u64> = HashMap::default();
        for group in self.memory().groups.values() {
            for (id, position) in &group.positions {
                let offset = highest.entry(*id).or_default();
                *offset = (*offset).max(position.offset);
            }
        }
        highest
    }

    pub(super) fn close(&self) {
        drop(self.disk.blocking_lock().take());
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes everything that waits durable, then true in memory.
fn flush(memory: &Mutex<Memory>, disk: &mut Option<Disk>, asked: u64) -> Result<(), GroupsError> {
    let (changes, upto) = {
        let memory = lock(memory);
        if memory.durable >= asked {
            return Ok(());
        }
        (memory.waiting.clone(), memory.asked)
    };
    disk.as_mut().ok_or(GroupsError::Closed)?.write(&changes)?;
    let mut memory = lock(memory);
    memory.waiting.drain(..changes.len());
    memory.durable = upto;
    for change in changes {
        memory.apply(change);
    }
    Ok(())
}

impl Memory {
    fn ask(&mut self, changes: Vec<Change>) -> u64 {
        if !changes.is_empty() {
            self.waiting.extend(changes);
            self.asked += 1;
        }
        self.asked
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Group { name, pattern } => {
                let group = self.groups.entry(name).or_default();
                group.pattern = pattern.or(group.pattern.take());
            }
            Change::Position { group, partition, position } => {
                let positions = &mut self.groups.entry(group).or_default().positions;
                let known = positions.entry(partition.id).or_insert(position);
                if known.offset <= position.offset {
                    *known = position;
                }
            }
            Change::Deleted { group } => {
                self.groups.remove(&group);
            }
        }
    }
}
