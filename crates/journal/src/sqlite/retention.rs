//! Removing whole files: over age or size, and passed by every group that wants what is in them.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use foldhash::{HashMap, HashMapExt as _};
use tokio::sync::oneshot;
use weir_foundation::file::{remove_if_there, with_suffix};
use weir_model::Timestamp;

use super::catalog::Partition;
use super::condition::Condition;
use super::file::{self, FileError};
use super::groups::{GroupsError, Position};
use super::inventory::Summary;
use super::journal::Shared;
use super::marks;
use super::queue::{Job, Remember};
use super::row;
use super::section::Undelivered;
use super::stats::add;

/// A source that was not appended for this long is not remembered beyond its file.
const FORGOTTEN: Duration = Duration::from_secs(90 * 24 * 3600);

/// How many marks one transaction takes over.
const MARKS_AT_ONCE: usize = 10_000;

/// Why a round of retention ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum RetentionError {
    #[error("a journal file could not be removed")]
    Remove(#[source] io::Error),
    #[error("the marks in a journal file could not be taken over")]
    Marks(#[source] FileError),
    #[error("what groups lose could not be noted")]
    Groups(#[source] GroupsError),
}

/// Removes what is due, oldest first. Blocks.
pub(super) fn run(shared: &Shared) -> Result<(), RetentionError> {
    let _turn = shared.retaining.lock().unwrap_or_else(PoisonError::into_inner);
    let limits = shared.settings.retention;
    let mut total: u64 = shared.files().keys().map(|file| size_on_disk(shared, *file)).sum();
    let now = Timestamp::from(shared.clock.now());
    let mut held = 0;
    let sealed = shared.sealed_files();
    for (at, (file, summary)) in sealed.iter().enumerate() {
        let old = limits.age.is_some_and(|age| is_older(sealed.get(at..), now.saturating_sub(age)));
        let large = limits.size.is_some_and(|size| total > size.bytes());
        if !old && !large {
            break;
        }
        let hold = limits.undelivered == Undelivered::Hold;
        // Later files stay as long as an earlier one does: a partition has no holes.
        if held > 0 || (hold && is_awaited(shared, *file)) {
            held += 1;
            continue;
        }
        if hold && is_remembered(shared, *file, summary, now) {
            break;
        }
        note_losses(shared, *file)?;
        if !keep_marks(shared, *file, now).map_err(RetentionError::Marks)? {
            break;
        }
        let size = size_on_disk(shared, *file);
        let owned = shared.ownership();
        if owned.is_none() {
            return Ok(());
        }
        remove(shared, *file).map_err(RetentionError::Remove)?;
        total = total.saturating_sub(size);
    }
    shared.counters.held_files.store(held, Ordering::Relaxed);
    Ok(())
}

/// Whether the first of these files is. One that does not know its own times is as young as those behind it.
fn is_older(files: Option<&[(u32, Summary)]>, limit: Timestamp) -> bool {
    let last = files.into_iter().flatten().find_map(|(_, summary)| summary.received).map(|(_, last)| last);
    last.is_some_and(|last| last < limit)
}

/// Whether a group has not passed what the file holds.
fn is_awaited(shared: &Shared, file: u32) -> bool {
    let is_awaited = |end, partition: &Partition| shared.groups.is_awaited(partition, end);
    let partitions = shared.catalog.partitions();
    partitions.iter().any(|partition| end_in(partition, file).is_some_and(|end| is_awaited(end, partition)))
}

/// Where the records of a partition in a file end, if there are any.
fn end_in(partition: &Partition, file: u32) -> Option<u64> {
    partition.extent().runs.iter().rev().find(|run| run.file == file).map(|run| run.to)
}

/// Whether the file holds batches that a client may still repeat. What can not be looked at now is kept.
fn is_remembered(shared: &Shared, file: u32, summary: &Summary, now: Timestamp) -> bool {
    let since = now.saturating_sub(shared.settings.batch_window);
    if summary.received.is_some_and(|(_, last)| last < since) {
        return false;
    }
    match shared.reader.with(file, |connection| Ok(row::has_batches(connection, since)?)) {
        Ok(remembered) => remembered,
        Err(error) => !matches!(error, FileError::Damaged(_)),
    }
}

/// Notes how many events are before the positions of groups that lose something, so that the loss is counted
/// exactly when it is told.
fn note_losses(shared: &Shared, file: u32) -> Result<(), RetentionError> {
    let mut noted = Vec::new();
    for partition in shared.catalog.partitions() {
        let Some(end) = end_in(&partition, file) else { continue };
        for (group, position) in shared.groups.positions(&partition) {
            if position.offset < end
                && position.event.is_none()
                && let Some(event) = shared.reader.event_at(&partition, position.offset)
            {
                noted.push((group, Arc::clone(&partition), Position { event: Some(event), ..position }));
            }
        }
    }
    shared.groups.note_events(noted).map_err(RetentionError::Groups)
}

/// Takes over the marks that are in no later file; whether they are durable there. What a damaged file does not give
/// is lost: what is sent again of these sources may then be stored again.
fn keep_marks(shared: &Shared, file: u32, now: Timestamp) -> Result<bool, FileError> {
    let since = now.saturating_sub(FORGOTTEN);
    let mut marks = HashMap::new();
    match shared.reader.with(file, |connection| marks::collect(connection, since, &mut marks)) {
        Err(FileError::Damaged(error) | FileError::Unreadable(error)) => {
            tracing::error!(file, %error, "the marks of a damaged journal file are not known");
        }
        collected => collected?,
    }
    let later: Vec<u32> = shared.files().range(file + 1..).map(|(file, _)| *file).collect();
    let newest = later.last().copied().unwrap_or(file);
    for later in later.into_iter().rev() {
        match shared.reader.with(later, |connection| marks::take_out(connection, &mut marks)) {
            Err(FileError::Damaged(_) | FileError::Unreadable(_)) | Ok(()) => {}
            Err(error) => return Err(error),
        }
    }
    let left: Vec<_> = marks.into_values().collect();
    for chunk in left.chunks(MARKS_AT_ONCE) {
        let (answer, answered) = oneshot::channel();
        let remember = Remember { marks: chunk.to_vec(), newest, is_late: false, answer };
        let is_taken = matches!(shared.queue.try_push(Job::Remember(remember)), Ok(None));
        if is_taken && answered.blocking_recv().unwrap_or(false) {
            continue;
        }
        if matches!(shared.condition.get(), Condition::Full(_)) {
            tracing::error!(
                file,
                "there is no space to keep marks: what agents send again may be stored again"
            );
            return Ok(true);
        }
        return Ok(false);
    }
    Ok(true)
}

/// Readers see that the records are gone before the file goes.
fn remove(shared: &Shared, file: u32) -> io::Result<()> {
    for partition in shared.catalog.partitions() {
        partition.extent().remove_file(file);
    }
    shared.forget_file(file);
    shared.reader.forget(file);
    let path = shared.settings.directory.join(file::file_name(file));
    remove_if_there(&path)?;
    remove_if_there(&file::wal_path(&path))?;
    remove_if_there(&with_suffix(&path, "-shm"))?;
    add(&shared.counters.removed_files, 1);
    tracing::info!(file, "removed a journal file");
    Ok(())
}

fn size_on_disk(shared: &Shared, file: u32) -> u64 {
    let path = shared.settings.directory.join(file::file_name(file));
    file::length(&path) + file::length(&file::wal_path(&path))
}
