//! What waits for the writer: bounded by bytes, taken in one go.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use weir_model::{Mark, Offset, Record, StreamName};

use super::catalog::Partition;
use super::feed::Fresh;
use super::frame::{Frame, Label};
use super::marks::MarkRow;
use crate::error::{AppendError, CommitError, CreateStreamError};
use crate::seam::{Creation, StoredRecord};

/// Something for the writer to do.
#[derive(Debug)]
pub(super) enum Job {
    Append(Append),
    /// All in one transaction.
    AppendAll(Vec<Append>),
    Create(Create),
    Skip(Skip),
    Remember(Remember),
    /// Look at limits and at the disk.
    Maintain,
}

#[derive(Debug)]
pub(super) struct Append {
    pub(super) partition: Arc<Partition>,
    pub(super) label: Label,
    pub(super) frame: Frame,
    /// What is in the frame, if somebody will want it as soon as it is durable.
    pub(super) value: Option<Bytes>,
    /// Set with the record, which is the last of its append.
    pub(super) mark: Option<Mark>,
    /// Gets the offset once it is durable.
    pub(super) answer: oneshot::Sender<Result<u64, AppendError>>,
}

#[derive(Debug)]
pub(super) struct Create {
    pub(super) name: StreamName,
    pub(super) partitions: u32,
    pub(super) answer: oneshot::Sender<Result<Creation, CreateStreamError>>,
}

/// Moves the end of a partition up to what a group has dealt with; what is between was cut.
#[derive(Debug)]
pub(super) struct Skip {
    /// Who asks.
    pub(super) group: String,
    pub(super) partition: Arc<Partition>,
    pub(super) to: u64,
    pub(super) answer: oneshot::Sender<Result<(), CommitError>>,
}

/// Takes marks over from a file that is to be removed.
#[derive(Debug)]
pub(super) struct Remember {
    pub(super) marks: Vec<MarkRow>,
    /// The file that was written when it was found that no later file has them.
    pub(super) newest: u32,
    /// Another one is by now: nothing is taken over.
    pub(super) is_late: bool,
    /// Whether they are durable.
    pub(super) answer: oneshot::Sender<bool>,
}

/// The journal takes nothing any more.
#[derive(Debug)]
pub(super) struct QueueClosed;

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    drained: Notify,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Of the jobs, in bytes.
    memory: usize,
    closed: bool,
    /// With how many jobs the writer wants to be woken; it works while there is none.
    writer_wants: Option<usize>,
    callers_wait: bool,
}

/// What the writer takes at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupLimits {
    /// Bytes of jobs, one job at least.
    pub(super) bytes: usize,
    /// How many callers got their answer a moment ago, and how long it pays to wait until they are back: a
    /// commit costs nearly the same for one record as for many.
    pub(super) callers: usize,
    pub(super) linger: Duration,
}

impl Job {
    /// Bytes for the disk.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append(append) => append.frame.len(),
            Self::AppendAll(appends) => appends.iter().map(|append| append.frame.len()).sum(),
            Self::Create(_) | Self::Skip(_) | Self::Remember(_) | Self::Maintain => 0,
        }
    }

    fn memory(&self) -> usize {
        match self {
            Self::Append(append) => append.memory(),
            Self::AppendAll(appends) => appends.iter().map(Append::memory).sum(),
            Self::Create(_) | Self::Skip(_) | Self::Remember(_) | Self::Maintain => 0,
        }
    }
}

impl Append {
    fn memory(&self) -> usize {
        self.frame.len() + self.value.as_ref().map_or(0, Bytes::len)
    }

    /// The record as a reader gets it, if its value was kept.
    pub(super) fn stored(&mut self, offset: Offset, first_event: u64) -> Option<Fresh> {
        let Label { partition, events, received, format, batch, .. } = self.label;
        let value = self.value.take()?;
        let record = Record { format, events: Some(events), received, batch, value };
        Some((partition, StoredRecord { offset, first_event: Some(first_event), record }))
    }
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new(), drained: Notify::new(), limit }
    }

    /// Waits while the queue is full; a job larger than the limit gets in when the queue is empty.
    pub(super) async fn push(&self, job: Job) -> Result<(), QueueClosed> {
        let mut job = job;
        loop {
            let drained = self.drained.notified();
            match self.try_push(job)? {
                None => return Ok(()),
                Some(refused) => job = refused,
            }
            drained.await;
        }
    }

    /// Gives the job back if the queue is full.
    pub(super) fn try_push(&self, job: Job) -> Result<Option<Job>, QueueClosed> {
        let memory = job.memory();
        let mut state = self.state();
        if state.closed {
            return Err(QueueClosed);
        }
        if !state.jobs.is_empty() && state.memory + memory > self.limit {
            state.callers_wait = true;
            return Ok(Some(job));
        }
        state.memory += memory;
        state.jobs.push_back(job);
        let wake = state.writer_wants.is_some_and(|wanted| state.jobs.len() >= wanted);
        if wake {
            state.writer_wants = None;
        }
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
        Ok(None)
    }

    /// Waits for jobs and moves them to `group`. False once the queue is closed and empty.
    pub(super) fn take(&self, group: &mut Vec<Job>, limits: GroupLimits) -> bool {
        let mut state = self.state();
        // Those that waited during the last commit, and those whose answers ended it.
        let expected = state.jobs.len() + limits.callers;
        while state.jobs.is_empty() {
            if state.closed {
                return false;
            }
            state.writer_wants = Some(1);
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state = self.linger(state, expected, limits);
        let mut taken = 0;
        while let Some(job) = state.jobs.pop_front() {
            taken += job.bytes();
            state.memory -= job.memory();
            group.push(job);
            if taken >= limits.bytes {
                break;
            }
        }
        let wake = std::mem::take(&mut state.callers_wait);
        drop(state);
        if wake {
            self.drained.notify_waiters();
        }
        true
    }

    /// Waits for the rest of the expected jobs, if that may take less time than it saves.
    #[expect(clippy::disallowed_methods, reason = "the time of a condition variable is the machine's")]
    fn linger<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        expected: usize,
        limits: GroupLimits,
    ) -> MutexGuard<'a, State> {
        let began = Instant::now();
        while state.jobs.len() < expected && state.memory < limits.bytes && !state.closed {
            let Some(left) = limits.linger.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) else {
                break;
            };
            state.writer_wants = Some(expected);
            (state, _) = self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
        state.writer_wants = None;
        state
    }

    /// Nothing more gets in; what is in is still done.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_one();
        self.drained.notify_waiters();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
