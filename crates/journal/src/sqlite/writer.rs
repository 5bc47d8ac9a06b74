//! The one thread that writes: takes all that waits, makes it durable in one transaction, answers all.

mod active;
mod group;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) use self::active::{ActiveFile, Unsummarized};
use self::group::{Group, Refusal, Trouble};
use super::condition::{Condition, JournalFailed};
use super::file::FileError;
use super::journal::Shared;
use super::queue::{GroupLimits, Job};
use super::stats::add;

/// Bytes of frames that one transaction takes at most, if it has more than one record.
const GROUP_BYTES: usize = 4 << 20;

/// How long the writer waits at most for callers that it answered a moment ago: a share of what the last
/// commit took. Measured with 8 callers, half of it saves an eighth of the CPU time and costs no throughput;
/// more of it costs throughput.
const LINGER_PER_COMMIT: f64 = 0.5;
const LINGER: Duration = Duration::from_millis(2);

/// While there is no space, how long after a failed attempt the next is made.
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// Free space beyond the reserve that must be there before records are taken again.
const FULL_MARGIN: u64 = 4 << 20;

#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    file: ActiveFile,
    tried_full: Option<Instant>,
    /// What the last commit was like.
    last: LastCommit,
}

#[derive(Debug, Default, Clone, Copy)]
struct LastCommit {
    records: usize,
    took: Duration,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, file: ActiveFile) -> Self {
        Self { shared, file, tried_full: None, last: LastCommit::default() }
    }

    /// Works until the queue is closed and empty, or until the storage fails.
    pub(super) fn run(mut self) -> Result<(), JournalFailed> {
        let mut jobs = Vec::new();
        while self.shared.queue.take(&mut jobs, self.next_group()) {
            if let Err(failure) = self.turn(&mut jobs) {
                return Err(self.fail(&failure));
            }
        }
        let finished = match self.file.finish(&self.shared) {
            // What was answered is durable; the next start deals with the damage.
            Err(FileError::Damaged(error)) => {
                tracing::error!(file = self.file.sequence(), %error, "the journal file is damaged");
                Ok(())
            }
            finished => finished,
        };
        match finished {
            Ok(()) => {
                // The last connection that closes removes the WAL.
                self.shared.reader.close();
                drop(self.file);
                self.shared.closed();
                Ok(())
            }
            Err(failure) => Err(self.fail(&failure)),
        }
    }

    fn next_group(&self) -> GroupLimits {
        let linger = self.last.took.mul_f64(LINGER_PER_COMMIT).min(LINGER);
        GroupLimits { bytes: GROUP_BYTES, callers: self.last.records, linger }
    }

    fn fail(self, failure: &(dyn std::error::Error + 'static)) -> JournalFailed {
        let why: Arc<str> = weir_foundation::failure::chain(failure).to_string().into();
        self.shared.condition.failed(&why);
        self.shared.queue.close();
        let mut rest = Vec::new();
        let all = GroupLimits { bytes: usize::MAX, callers: 0, linger: Duration::ZERO };
        while self.shared.queue.take(&mut rest, all) {
            group::refuse(&mut rest, Refusal::Unavailable, &why);
        }
        self.shared.feeds.close_all();
        JournalFailed(why)
    }

    fn turn(&mut self, jobs: &mut Vec<Job>) -> Result<(), FileError> {
        let free = self.shared.disk.free(&self.shared.settings.directory);
        let free = match free {
            // What is written into files that have no name any more is lost with the process.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let why: Arc<str> = format!("`{}` is gone", self.shared.settings.directory.display()).into();
                self.shared.condition.failed(&why);
                group::refuse(jobs, Refusal::Unavailable, &why);
                return Err(FileError::Io(error));
            }
            free => free,
        };
        if let Err(why) = self.space(jobs, free) {
            // What has to be kept so that a file may go: that frees space, and the reserve is for such things.
            let mut marks: Vec<Job> = jobs.extract_if(.., |job| matches!(job, Job::Remember(_))).collect();
            self.refuse_full(jobs, why);
            if !marks.is_empty() {
                match self.store(&mut marks) {
                    Ok(group) => group.publish(&self.shared, self.file.sequence(), &mut marks),
                    Err(_) => group::refuse(&mut marks, Refusal::Full, &"no space for marks".into()),
                }
            }
            return Ok(());
        }
        let group = match self.store(jobs) {
            Err(Trouble::Damaged(error)) => {
                self.leave_damaged(&error)?;
                self.store(jobs)
            }
            other => other,
        };
        match group {
            Ok(group) => {
                self.shared.condition.running();
                self.tried_full = None;
                group.publish(&self.shared, self.file.sequence(), jobs);
            }
            Err(Trouble::Full(error)) => {
                self.refuse_full(jobs, error.to_string());
                return Ok(());
            }
            Err(Trouble::Busy(error)) => {
                group::refuse(jobs, Refusal::Unavailable, &error.to_string().into());
            }
            Err(Trouble::Damaged(error) | Trouble::Failed(error)) => {
                let why: Arc<str> = error.to_string().into();
                // First, so that whoever gets the answer finds the condition.
                self.shared.condition.failed(&why);
                group::refuse(jobs, Refusal::Failed, &why);
                return Err(FileError::Sqlite(error));
            }
        }
        self.tidy()
    }

    /// One transaction; an error means that nothing of it is stored, unless it is `Failed`.
    fn store(&mut self, jobs: &mut [Job]) -> Result<Group, Trouble> {
        let mut group = Group::default();
        let idle = jobs.iter().all(|job| matches!(job, Job::Maintain));
        if idle && self.tried_full.is_none() {
            return Ok(group);
        }
        let started = self.shared.clock.monotonic();
        self.file.set_page_limit(self.shared.disk.page_limit())?;
        self.file.begin()?;
        let staged = if idle { self.file.probe() } else { group.stage(&self.shared, &self.file, jobs) };
        let stored = staged.and_then(|()| self.file.commit(&group));
        if let Err(trouble) = stored {
            self.file.roll_back();
            return Err(trouble);
        }
        let took = self.shared.clock.monotonic().saturating_duration_since(started);
        let records = group.records().count();
        if records > 0 {
            self.shared.counters.committed(records as u64, took);
            self.last = LastCommit { records, took };
        }
        Ok(group)
    }

    /// What comes after the answers: checkpoints, summaries, the next file.
    fn tidy(&mut self) -> Result<(), FileError> {
        let tidied = self.file.tidy(&self.shared);
        match tidied.map_err(Trouble::from) {
            Ok(()) => Ok(()),
            Err(Trouble::Full(error)) => {
                self.note_full(&error.to_string());
                Ok(())
            }
            Err(Trouble::Busy(_)) => Ok(()),
            Err(Trouble::Damaged(error)) => self.leave_damaged(&error),
            Err(Trouble::Failed(error)) => Err(FileError::Sqlite(error)),
        }
    }

    /// Leaves the file as it is and goes on in a new one; offsets go on where they are.
    fn leave_damaged(&mut self, error: &rusqlite::Error) -> Result<(), FileError> {
        tracing::error!(file = self.file.sequence(), %error, "the journal file is damaged, beginning a new one");
        self.file.leave(&self.shared)
    }

    fn space(&self, jobs: &[Job], free: std::io::Result<u64>) -> Result<(), String> {
        let settings = &self.shared.settings;
        let full = matches!(self.shared.condition.get(), Condition::Full(_));
        let wanted = jobs.iter().map(Job::bytes).sum::<usize>() as u64;
        if full && !self.may_try(jobs) {
            return Err("no space a moment ago".into());
        }
        let margin = if full { FULL_MARGIN } else { 0 };
        let needed = settings.reserve.bytes().saturating_add(wanted).saturating_add(margin);
        match free {
            Ok(free) if free < needed => Err(free_text(&settings.directory, free, settings.reserve.bytes())),
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "the free space of the journal's file system is not known");
                Ok(())
            }
        }
    }

    fn may_try(&self, jobs: &[Job]) -> bool {
        let probe = jobs.iter().any(|job| matches!(job, Job::Maintain));
        let now = self.shared.clock.monotonic();
        probe || self.tried_full.is_none_or(|tried| now.saturating_duration_since(tried) >= FULL_PAUSE)
    }

    fn note_full(&mut self, why: &str) {
        self.shared.condition.full(why);
        self.tried_full = Some(self.shared.clock.monotonic());
    }

    fn refuse_full(&mut self, jobs: &mut Vec<Job>, why: String) {
        self.note_full(&why);
        let appends = jobs.iter().filter(|job| matches!(job, Job::Append(_))).count();
        add(&self.shared.counters.refused_full, appends as u64);
        group::refuse(jobs, Refusal::Full, &why.into());
    }
}

fn free_text(directory: &Path, free: u64, reserve: u64) -> String {
    format!("`{}` has {free} bytes free, {reserve} are reserved", directory.display())
}
