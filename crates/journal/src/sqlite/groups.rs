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
    /// What is to become durable, by the numbers of the callers that wait for it.
    waiting: BTreeMap<u64, Vec<Change>>,
    /// The number that the last caller got.
    asked: u64,
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

/// A caller among those that wait. What did not become durable is forgotten with it: nothing that was refused
/// is carried out later.
#[derive(Debug)]
struct Asked {
    memory: Arc<Mutex<Memory>>,
    number: u64,
}

/// The one member of a group, until it is dropped.
#[derive(Debug)]
pub(super) struct Membership {
    memory: Arc<Mutex<Memory>>,
    group: String,
}

/// Why a change is not durable.
#[derive(Debug, thiserror::Error)]
pub(super) enum GroupsError {
    #[error("the group has a member")]
    Taken,
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

    /// Nothing while the group has a member.
    pub(super) fn join(&self, name: &str) -> Option<Membership> {
        let mut memory = self.memory();
        let group = memory.groups.entry(name.to_owned()).or_default();
        if group.live {
            return None;
        }
        group.live = true;
        Some(Membership { memory: Arc::clone(&self.memory), group: name.to_owned() })
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
        let asked = Asked::new(&self.memory, changes);
        asked.flush(&mut self.disk.blocking_lock())
    }

    /// Refused while the group has a member.
    pub(super) async fn delete(&self, spawner: &Spawner, name: &str) -> Result<(), GroupsError> {
        // Until it is gone, or known to stay, nobody else becomes its member.
        let member = self.join(name).ok_or(GroupsError::Taken)?;
        let disk = Arc::clone(&self.disk);
        let delete = move || {
            let asked = Asked::new(&member.memory, vec![Change::Deleted { group: member.group.clone() }]);
            asked.flush(&mut disk.blocking_lock())
        };
        spawner.blocking("journal.commit", delete).await.map_err(GroupsError::GivenUp)?
    }

    /// Waits until the changes are durable.
    async fn change(&self, spawner: &Spawner, changes: Vec<Change>) -> Result<(), GroupsError> {
        if changes.is_empty() {
            return Ok(());
        }
        let asked = Asked::new(&self.memory, changes);
        let mut disk = Arc::clone(&self.disk).lock_owned().await;
        if asked.is_durable() {
            return Ok(());
        }
        // The lock moves along: a caller that goes away does not stop the write for the others.
        spawner
            .blocking("journal.commit", move || asked.flush(&mut disk))
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
        let wanting = memory.groups.iter();
        wanting.filter_map(|(name, group)| Some((name.clone(), group.position(partition)?))).collect()
    }

    /// Whether a group that wants a partition is behind an offset in it.
    pub(super) fn is_awaited(&self, partition: &Partition, offset: u64) -> bool {
        self.memory()
            .groups
            .values()
            .any(|group| group.position(partition).is_some_and(|position| position.offset < offset))
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

impl Group {
    /// Where the group is in a partition, if it wants that.
    fn position(&self, partition: &Partition) -> Option<Position> {
        let wants = || self.pattern.as_ref().is_some_and(|pattern| pattern.matches(&partition.place.stream));
        let beginning = || wants().then_some(Position { offset: 0, event: Some(0) });
        self.positions.get(&partition.id).copied().or_else(beginning)
    }
}

impl Asked {
    fn new(memory: &Arc<Mutex<Memory>>, changes: Vec<Change>) -> Self {
        let mut asking = lock(memory);
        asking.asked += 1;
        let number = asking.asked;
        asking.waiting.insert(number, changes);
        drop(asking);
        Self { memory: Arc::clone(memory), number }
    }

    /// Whether another caller's write took it along.
    fn is_durable(&self) -> bool {
        !lock(&self.memory).waiting.contains_key(&self.number)
    }

    /// Makes everything that waits durable, then true in memory.
    fn flush(&self, disk: &mut Option<Disk>) -> Result<(), GroupsError> {
        if self.is_durable() {
            return Ok(());
        }
        let waiting = lock(&self.memory).waiting.clone();
        disk.as_mut().ok_or(GroupsError::Closed)?.write(waiting.values().flatten())?;
        let mut memory = lock(&self.memory);
        for (number, changes) in waiting {
            memory.waiting.remove(&number);
            for change in changes {
                memory.apply(change);
            }
        }
        Ok(())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        lock(&self.memory).waiting.remove(&self.number);
    }
}

impl Membership {
    pub(super) fn group(&self) -> &str {
        &self.group
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut memory = lock(&self.memory);
        let Some(group) = memory.groups.get_mut(&self.group) else { return };
        group.live = false;
        // A member that never got as far as being remembered leaves nothing.
        if group.pattern.is_none() && group.positions.is_empty() {
            memory.groups.remove(&self.group);
        }
    }
}

impl Memory {
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
                // Who deletes it is its member still.
                if let Some(group) = self.groups.get_mut(&group) {
                    *group = Group { live: group.live, ..Group::default() };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
