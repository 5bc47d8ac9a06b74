//! What goes into one transaction, and what it means once the transaction is durable.

use std::sync::Arc;

use foldhash::HashMap;
use rand::Rng;
use rusqlite::ErrorCode;
use weir_model::{Incarnation, Offset, StreamName, Timestamp};

use super::active::ActiveFile;
use crate::error::{AppendError, CommitError, CreateStreamError};
use crate::seam::{Creation, LossReason};
use crate::sqlite::catalog::{Gap, Partition, Stream, new_partitions};
use crate::sqlite::feed::Fresh;
use crate::sqlite::file::FileError;
use crate::sqlite::frame::claimed_length;
use crate::sqlite::inventory::StreamRow;
use crate::sqlite::journal::Shared;
use crate::sqlite::marks::MarkRow;
use crate::sqlite::queue::{Append, Job, Skip};
use crate::sqlite::stats::add;

/// Why a transaction was given up.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No space; nothing is stored.
    Full(rusqlite::Error),
    /// Somebody else holds the file; nothing is stored.
    Busy(rusqlite::Error),
    /// The file contradicts itself; nothing is stored.
    Damaged(rusqlite::Error),
    /// Whether it is stored is not known.
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(error),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(error),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error),
            _ => Self::Failed(error),
        }
    }
}

impl From<FileError> for Trouble {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Damaged(error) | FileError::Unreadable(error) | FileError::Sqlite(error) => {
                error.into()
            }
            FileError::Io(ref io) if io.kind() == std::io::ErrorKind::StorageFull => {
                Self::Full(rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
            }
            FileError::Foreign(_) | FileError::Newer(_) | FileError::Io(_) => {
                Self::Failed(rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
            }
        }
    }
}

/// A transaction in the making: what changes when it is durable.
#[derive(Debug, Default)]
pub(super) struct Group {
    heads: HashMap<u32, Head>,
    created: Vec<Arc<Stream>>,
    outcomes: Vec<Outcome>,
}

/// Where a partition stands, with what the group added.
#[derive(Debug, Clone, Copy)]
struct Head {
    offset: u64,
    event: u64,
}

/// A record in the open transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Staged {
    offset: u64,
    event: u64,
    pub(super) bytes: u64,
    value_bytes: u64,
    pub(super) received: Timestamp,
}

#[derive(Debug)]
enum Outcome {
    Stored(Staged),
    StoredAll(Vec<Staged>),
    Created(usize),
    Existed(Arc<Stream>),
    TooMany,
    Skipped(u64),
    Nothing,
}

impl Group {
    pub(super) fn records(&self) -> impl Iterator<Item = &Staged> {
        self.outcomes.iter().flat_map(|outcome| match outcome {
            Outcome::Stored(staged) => std::slice::from_ref(staged),
            Outcome::StoredAll(staged) => staged,
            _ => &[],
        })
    }

    /// Number of partitions that got records.
    pub(super) fn partitions(&self) -> usize {
        self.heads.len()
    }

    pub(super) fn touched(&self) -> impl Iterator<Item = u32> {
        self.heads.keys().copied()
    }

    /// Does the jobs inside the open transaction.
    pub(super) fn stage(
        &mut self,
        shared: &Shared,
        file: &ActiveFile,
        jobs: &mut [Job],
    ) -> Result<(), Trouble> {
        for job in jobs {
            let outcome = match job {
                Job::Append(append) => Outcome::Stored(self.append(file, append)?),
                Job::AppendAll(appends) => {
                    let staged = appends.iter_mut().map(|append| self.append(file, append));
                    Outcome::StoredAll(staged.collect::<Result<_, _>>()?)
                }
                Job::Create(create) => self.create(shared, file, &create.name, create.partitions)?,
                Job::Skip(skip) => self.skip(file, skip)?,
                Job::Remember(remember) => {
                    // Else a later mark may be in a file that was not looked at.
                    remember.is_late = file.sequence() != remember.newest;
                    if !remember.is_late {
                        file.keep_marks(&remember.marks)?;
                    }
                    Outcome::Nothing
                }
                Job::Maintain => Outcome::Nothing,
            };
            self.outcomes.push(outcome);
        }
        Ok(())
    }

    fn head(&mut self, partition: &Partition) -> &mut Head {
        self.heads.entry(partition.id).or_insert_with(|| {
            let extent = partition.extent();
            Head { offset: extent.end, event: extent.end_event }
        })
    }

    fn append(&mut self, file: &ActiveFile, append: &mut Append) -> Result<Staged, Trouble> {
        let label = append.label;
        let head = self.head(&append.partition);
        let (offset, event) = (head.offset, head.event);
        head.offset += 1;
        head.event += u64::from(label.events);
        let frame = append.frame.seal(offset, event);
        file.insert(&label, offset, event, frame)?;
        if let Some(mark) = append.mark {
            file.put_mark(&MarkRow { mark, touched: label.received })?;
        }
        Ok(Staged {
            offset,
            event,
            bytes: frame.len() as u64,
            value_bytes: claimed_length(frame) as u64,
            received: label.received,
        })
    }

    fn create(
        &mut self,
        shared: &Shared,
        file: &ActiveFile,
        name: &StreamName,
        partitions: u32,
    ) -> Result<Outcome, Trouble> {
        if let Some(stream) = shared.catalog.stream(name) {
            return Ok(Outcome::Existed(stream));
        }
        if let Some(stream) = self.created.iter().find(|stream| stream.name == *name) {
            return Ok(Outcome::Existed(Arc::clone(stream)));
        }
        if shared.catalog.len() + self.created.len() >= shared.settings.max_streams {
            return Ok(Outcome::TooMany);
        }
        let pending: usize = self.created.iter().map(|stream| stream.partitions.len()).sum();
        let first_partition = shared.catalog.next_id() + u32::try_from(pending).unwrap_or(u32::MAX);
        let row = StreamRow {
            name: name.clone(),
            incarnation: Incarnation(rand::rng().next_u64()),
            first_partition,
            partitions,
            created: Timestamp::from(shared.clock.now()),
        };
        file.insert_stream(&row)?;
        let partitions = new_partitions(name, row.incarnation, first_partition, partitions);
        self.created.push(Arc::new(Stream::new(row.name, row.created, partitions)));
        Ok(Outcome::Created(self.created.len() - 1))
    }

    fn skip(&mut self, file: &ActiveFile, skip: &Skip) -> Result<Outcome, Trouble> {
        let head = self.head(&skip.partition);
        if skip.to <= head.offset {
            return Ok(Outcome::Nothing);
        }
        let gap = Gap { from: head.offset, to: skip.to, event: head.event, reason: LossReason::Cut };
        head.offset = skip.to;
        file.insert_gap(skip.partition.id, &gap)?;
        Ok(Outcome::Skipped(skip.to))
    }

    /// The transaction is durable: shows it to readers, then answers.
    pub(super) fn publish(self, shared: &Shared, file: u32, jobs: &mut Vec<Job>) {
        let mut fresh = Vec::new();
        for (job, outcome) in jobs.iter_mut().zip(&self.outcomes) {
            match (job, outcome) {
                (Job::Append(append), Outcome::Stored(staged)) => {
                    fresh.extend(publish(shared, file, append, staged));
                }
                (Job::AppendAll(appends), Outcome::StoredAll(all)) => {
                    let records = appends.iter_mut().zip(all);
                    fresh
                        .extend(records.filter_map(|(append, staged)| publish(shared, file, append, staged)));
                }
                (Job::Skip(skip), Outcome::Skipped(to)) => skip.partition.extent().skip(*to, LossReason::Cut),
                _ => {}
            }
        }
        add(&shared.counters.records, self.records().count() as u64);
        for stream in &self.created {
            shared.catalog.insert(Arc::clone(stream));
        }
        let grown: Vec<u32> = self.heads.keys().copied().collect();
        if !grown.is_empty() || !self.created.is_empty() {
            shared.feeds.publish(&self.created, &grown, &fresh);
            shared.changes.send_modify(|change| *change = change.wrapping_add(1));
        }
        self.answer(shared, jobs);
    }

    fn answer(self, shared: &Shared, jobs: &mut Vec<Job>) {
        let mut outcomes = self.outcomes.into_iter();
        for job in jobs.drain(..) {
            match (job, outcomes.next()) {
                (Job::Append(append), Some(Outcome::Stored(staged))) => {
                    // Nobody may be waiting any more; the record is durable all the same.
                    drop(append.answer.send(Ok(staged.offset)));
                }
                (Job::AppendAll(appends), Some(Outcome::StoredAll(all))) => {
                    for (append, staged) in appends.into_iter().zip(all) {
                        drop(append.answer.send(Ok(staged.offset)));
                    }
                }
                (Job::Create(create), outcome) => {
                    let answer = match outcome {
                        Some(Outcome::Created(index)) => match self.created.get(index) {
                            Some(stream) => Ok(Creation::Created(stream.info())),
                            None => continue,
                        },
                        Some(Outcome::Existed(stream)) => Ok(Creation::Existed(stream.info())),
                        _ => Err(CreateStreamError::TooMany {
                            name: create.name,
                            limit: shared.settings.max_streams,
                        }),
                    };
                    drop(create.answer.send(answer));
                }
                (Job::Skip(skip), _) => drop(skip.answer.send(Ok(()))),
                (Job::Remember(remember), _) => drop(remember.answer.send(!remember.is_late)),
                _ => {}
            }
        }
    }
}

/// Shows a record that is durable to readers of files, and gives it to those who follow.
fn publish(shared: &Shared, file: u32, append: &mut Append, staged: &Staged) -> Option<Fresh> {
    let Staged { offset, event, bytes, value_bytes, .. } = *staged;
    let events = append.label.events;
    append.partition.extent().push(file, offset, event, events, bytes);
    add(&shared.counters.events, u64::from(events));
    add(&shared.counters.stored_bytes, bytes);
    add(&shared.counters.value_bytes, value_bytes);
    append.stored(Offset(offset), event)
}

/// A reason that many answers share.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
struct Reason(Arc<str>);

/// How jobs are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    /// They were not tried, or are not stored for certain.
    Unavailable,
    /// Whether they are stored is not known.
    Failed,
}

impl Refusal {
    fn of_append(self, reason: Reason) -> AppendError {
        match self {
            Self::Full => AppendError::Full(Some(reason.into())),
            Self::Unavailable => AppendError::Unavailable(reason.into()),
            Self::Failed => AppendError::Failed(reason.into()),
        }
    }

    fn of_creation(self, name: StreamName, reason: Reason) -> CreateStreamError {
        match self {
            Self::Full => CreateStreamError::Full(Some(reason.into())),
            Self::Unavailable | Self::Failed => CreateStreamError::Failed { name, source: reason.into() },
        }
    }
}

pub(super) fn refuse(jobs: &mut Vec<Job>, refusal: Refusal, why: &Arc<str>) {
    for job in jobs.drain(..) {
        let reason = Reason(Arc::clone(why));
        match job {
            Job::Append(append) => drop(append.answer.send(Err(refusal.of_append(reason)))),
            Job::AppendAll(appends) => {
                for append in appends {
                    drop(append.answer.send(Err(refusal.of_append(reason.clone()))));
                }
            }
            Job::Create(create) => drop(create.answer.send(Err(refusal.of_creation(create.name, reason)))),
            Job::Skip(skip) => {
                let error = CommitError::Failed { group: skip.group, source: reason.into() };
                drop(skip.answer.send(Err(error)));
            }
            Job::Remember(remember) => drop(remember.answer.send(false)),
            Job::Maintain => {}
        }
    }
}
