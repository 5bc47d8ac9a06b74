//! Removing whole files: over age or size, and passed by every group that wants what is in them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use weir_model::Timestamp;

use super::catalog::{Partition, Run};
use super::file;
use super::groups::{GroupsError, Position};
use super::inventory::Summary;
use super::journal::Shared;
use super::section::Undelivered;
use super::stats::add;

/// Why a round of retention ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum RetentionError {
    #[error("a journal file could not be removed")]
    Remove(#[source] io::Error),
    #[error("what groups lose could not be noted")]
    Groups(#[source] GroupsError),
}

/// Removes what is due, oldest first. Blocks.
pub(super) fn run(shared: &Shared) -> Result<(), RetentionError> {
    let limits = shared.settings.retention;
    let mut total: u64 = shared.files().keys().map(|file| size_on_disk(shared, *file)).sum();
    let now = Timestamp::from(shared.clock.now());
    let mut held = 0;
    for (file, summary) in shared.sealed_files() {
        let old = limits.age.is_some_and(|age| is_older(&summary, now.saturating_sub(age)));
        let large = limits.size.is_some_and(|size| total > size.bytes());
        if !old && !large {
            break;
        }
        let waiting = waiting(shared, file);
        if !waiting.is_empty() && limits.undelivered == Undelivered::Hold {
            held += 1;
            continue;
        }
        if held > 0 {
            // Later files stay as long as an earlier one does: a partition has no holes.
            continue;
        }
        note_losses(shared, &waiting)?;
        let size = size_on_disk(shared, file);
        let owned = shared.ownership();
        if owned.is_none() {
            return Ok(());
        }
        remove(shared, file).map_err(RetentionError::Remove)?;
        total = total.saturating_sub(size);
    }
    shared.counters.held_files.store(held, Ordering::Relaxed);
    Ok(())
}

/// A group that has not passed what a file holds of a partition.
struct Waiting {
    group: String,
    partition: Arc<Partition>,
    position: Position,
}

fn is_older(summary: &Summary, limit: Timestamp) -> bool {
    summary.received.is_some_and(|(_, last)| last < limit)
}

fn waiting(shared: &Shared, file: u32) -> Vec<Waiting> {
    let mut waiting = Vec::new();
    for partition in shared.catalog.partitions() {
        let last: Option<Run> = partition.extent().runs.iter().rev().find(|run| run.file == file).copied();
        let Some(run) = last else { continue };
        for (group, position) in shared.groups.positions(&partition) {
            if position.offset < run.to {
                waiting.push(Waiting { group, partition: Arc::clone(&partition), position });
            }
        }
    }
    waiting
}

/// Notes how many events are before each position, so that the loss is counted exactly when it is told.
fn note_losses(shared: &Shared, waiting: &[Waiting]) -> Result<(), RetentionError> {
    let unknown = waiting.iter().filter(|waiting| waiting.position.event.is_none());
    let noted = unknown.filter_map(|waiting| {
        let event = shared.reader.event_at(&waiting.partition, waiting.position.offset)?;
        let position = Position { event: Some(event), ..waiting.position };
        Some((waiting.group.clone(), Arc::clone(&waiting.partition), position))
    });
    shared.groups.note_events(noted.collect()).map_err(RetentionError::Groups)
}

/// Readers see that the records are gone before the file goes.
fn remove(shared: &Shared, file: u32) -> io::Result<()> {
    for partition in shared.catalog.partitions() {
        partition.extent().remove_file(file);
    }
    shared.forget_file(file);
    shared.reader.forget(file);
    let path = shared.settings.directory.join(file::file_name(file));
    file::remove_if_there(&path)?;
    file::remove_if_there(&file::wal_path(&path))?;
    file::remove_if_there(&file::with_suffix(&path, "-shm"))?;
    add(&shared.counters.removed_files, 1);
    tracing::info!(file, "removed a journal file");
    Ok(())
}

fn size_on_disk(shared: &Shared, file: u32) -> u64 {
    let path = shared.settings.directory.join(file::file_name(file));
    file::length(&path) + file::length(&file::wal_path(&path))
}
