//! The one thread that turns heads into segments, merges segments and removes old ones.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::statvfs;
use tokio::sync::oneshot;
use weir_foundation::failure::chain;
use weir_foundation::supervise::DrainToken;
use weir_model::{Day, IndexPrefix};

use super::error::WorkError;
use super::file::{self, GROUP_ROWS, SegmentPaths};
use super::gather::{gather, in_time_order};
use super::head::{Head, Sealing};
use super::manifest::{ApplyError, Change};
use super::merge;
use super::open::Segment;
use super::retention;
use super::state::Advance;
use super::store::{Fault, Shared};

/// Bytes of a head at which it is sealed whatever its rows.
pub(super) const HEAD_BYTES: usize = 24 << 20;
/// How often the worker looks for what became due by time.
const TICK: Duration = Duration::from_millis(250);
/// How long after a failure it tries again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often watermarks that moved without a segment are noted.
const WATERMARK_EVERY: Duration = Duration::from_secs(1);
/// How often retention looks.
const RETENTION_EVERY: Duration = Duration::from_secs(60);

/// Whether a head is large enough to become a segment.
pub(super) fn is_large(head: &Head) -> bool {
    head.open_rows() >= GROUP_ROWS || head.open_bytes() >= HEAD_BYTES
}

/// What others ask of the worker.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pending: Mutex<Pending>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    awake: bool,
    /// Nobody holds the store any more.
    stop: bool,
    /// The worker has ended.
    closed: bool,
    flushes: Vec<oneshot::Sender<Result<(), Fault>>>,
    drops: Vec<DropOrder>,
}

#[derive(Debug)]
struct DropOrder {
    prefix: Option<IndexPrefix>,
    before: Day,
    answer: oneshot::Sender<Result<u64, Fault>>,
}

impl Orders {
    pub(super) fn wake(&self) {
        self.with(|pending| pending.awake = true);
    }

    pub(super) fn stop(&self) {
        self.with(|pending| pending.stop = true);
    }

    pub(super) fn flush(&self) -> oneshot::Receiver<Result<(), Fault>> {
        let (answer, answered) = oneshot::channel();
        self.with(|pending| {
            // Once the worker is gone the sender is dropped here, which the receiver sees.
            if !pending.closed {
                pending.flushes.push(answer);
            }
        });
        answered
    }

    pub(super) fn drop_before(
        &self,
        prefix: Option<IndexPrefix>,
        before: Day,
    ) -> oneshot::Receiver<Result<u64, Fault>> {
        let (answer, answered) = oneshot::channel();
        self.with(|pending| {
            if !pending.closed {
                pending.drops.push(DropOrder { prefix, before, answer });
            }
        });
        answered
    }

    fn with(&self, change: impl FnOnce(&mut Pending)) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut pending);
        pending.awake = true;
        self.wake.notify_one();
    }

    fn wait(&self, longest: Duration) -> Pending {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut pending, _) = self
            .wake
            .wait_timeout_while(pending, longest, |pending| !pending.awake)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *pending)
    }

    fn close(&self) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        *pending = Pending { closed: true, ..Pending::default() };
    }
}

#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    /// Frozen and not yet segments, oldest first.
    queue: VecDeque<(IndexPrefix, Arc<Sealing>)>,
    next_watermark: Instant,
    next_retention: Instant,
    not_before: Option<Instant>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let now = shared.parts.clock.monotonic();
        Self { shared, queue: VecDeque::new(), next_watermark: now, next_retention: now, not_before: None }
    }

    /// Works until the process closes. What is in memory then is delivered again.
    pub(super) fn run(mut self, drain: &DrainToken) -> Result<(), std::convert::Infallible> {
        while !drain.is_draining() {
            let orders = self.shared.orders.wait(TICK);
            if orders.stop {
                break;
            }
            self.round(orders);
        }
        self.shared.orders.close();
        self.shared.room.notify_waiters();
        Ok(())
    }

    fn round(&mut self, orders: Pending) {
        let now = self.shared.parts.clock.monotonic();
        let flush = !orders.flushes.is_empty();
        if self.not_before.is_some_and(|time| now < time) && !flush && orders.drops.is_empty() {
            return;
        }
        // First, and whatever else fails: on a full disk it makes the space that the rest waits for.
        let kept = self.enforce_retention(now);
        let outcome = self.seal_due(now, flush).and_then(|()| self.note_watermarks(now, flush));
        let fault = outcome.as_ref().err().map(|error| self.fault_of(error));
        for answer in orders.flushes {
            // Whoever asked may have left.
            drop(answer.send(fault.clone().map_or(Ok(()), Err)));
        }
        for order in orders.drops {
            let outcome = retention::drop_before(&self.shared, order.prefix.as_ref(), order.before);
            drop(order.answer.send(outcome.map_err(|error| self.fault_of(&error))));
        }
        let outcome = kept.and(outcome).and_then(|()| merge::merge_one(&self.shared));
        match outcome {
            Ok(()) => self.recovered(),
            Err(error) => self.failed(&error, now),
        }
    }

    fn seal_due(&mut self, now: Instant, all: bool) -> Result<(), WorkError> {
        for prefix in self.due(now, all) {
            if let Some(sealing) = self.shared.state().freeze(&prefix) {
                self.queue.push_back((prefix, sealing));
            }
        }
        while let Some((prefix, sealing)) = self.queue.front() {
            self.seal(prefix, sealing)?;
            self.queue.pop_front();
        }
        Ok(())
    }

    /// Prefixes whose heads are to become segments now.
    fn due(&self, now: Instant, all: bool) -> Vec<IndexPrefix> {
        let state = self.shared.state();
        let settings = &self.shared.settings;
        let mut due: Vec<IndexPrefix> = Vec::new();
        let mut biggest: Option<(&IndexPrefix, usize)> = None;
        for (prefix, head) in state.heads() {
            let Some(opened) = head.opened() else { continue };
            let old = now.saturating_duration_since(opened) >= settings.seal_after;
            if all || old || is_large(head) {
                due.push(prefix.clone());
            } else if biggest.is_none_or(|(_, bytes)| head.open_bytes() > bytes) {
                biggest = Some((prefix, head.open_bytes()));
            }
        }
        let short = state.memory >= settings.head_memory.as_usize() / 4 * 3;
        if short && due.is_empty() && self.queue.is_empty() {
            due.extend(biggest.map(|(prefix, _)| prefix.clone()));
        }
        due
    }

    fn seal(&self, prefix: &IndexPrefix, sealing: &Arc<Sealing>) -> Result<(), WorkError> {
        let shared = &*self.shared;
        settle(shared)?;
        check_space(shared)?;
        let rows = in_time_order(&sealing.chunks);
        let gathered = gather(&sealing.chunks, &rows)?;
        let sources = shared.state().sources.clone();
        let (id, paths) = shared.new_segment(prefix)?;
        let bytes = file::write(&paths, &gathered, &sources).inspect_err(|_| remove(&paths))?;
        let info = merge::describe(id, prefix, bytes, &gathered.heads, shared.settings.filing, 0);
        let advance = shared.state().advance_after(Some((prefix, sealing)));
        apply(shared, Change { add: vec![&info], ..Change::default() }, &advance, &[&paths])?;
        let count = info.rows;
        {
            let mut state = shared.state();
            state.sealed(prefix, sealing, Arc::new(Segment::new(info, paths)));
            state.advanced(advance);
        }
        shared.counters.sealed.fetch_add(1, Ordering::Relaxed);
        shared.counters.sealed_rows.fetch_add(count, Ordering::Relaxed);
        shared.counters.sealed_bytes.fetch_add(bytes, Ordering::Relaxed);
        shared.room.notify_waiters();
        shared.announce();
        Ok(())
    }

    /// Notes how far partitions are that moved without rows: everything of them was refused or lost.
    fn note_watermarks(&mut self, now: Instant, at_once: bool) -> Result<(), WorkError> {
        if now < self.next_watermark && !at_once {
            return Ok(());
        }
        self.next_watermark = now + WATERMARK_EVERY;
        let advance = self.shared.state().advance_after(None);
        if advance.watermarks.is_empty() {
            return Ok(());
        }
        apply(&self.shared, Change::default(), &advance, &[])?;
        self.shared.state().advanced(advance);
        self.shared.announce();
        Ok(())
    }

    fn enforce_retention(&mut self, now: Instant) -> Result<(), WorkError> {
        if now < self.next_retention {
            return Ok(());
        }
        self.next_retention = now + RETENTION_EVERY;
        retention::enforce(&self.shared)
    }

    fn fault_of(&self, error: &WorkError) -> Fault {
        Fault { full: error.is_full(), reason: chain(error).to_string() }
    }

    fn recovered(&mut self) {
        self.not_before = None;
        if self.shared.fault().take().is_some() {
            tracing::info!("the index can be written again");
            self.shared.health.recovered();
        }
        self.shared.health.advanced();
        if self.queue.is_empty() {
            self.shared.health.idle();
        }
    }

    fn failed(&mut self, error: &WorkError, now: Instant) {
        let fault = self.fault_of(error);
        self.not_before = Some(now + RETRY_AFTER);
        self.shared.counters.failures.fetch_add(1, Ordering::Relaxed);
        self.shared.health.failed(fault.reason.clone());
        let before = self.shared.fault().replace(fault.clone());
        if before.is_none_or(|before| before.reason != fault.reason) {
            tracing::error!(error = %fault.reason, "the index can not be written, trying again");
        }
        self.shared.room.notify_waiters();
    }
}

/// Carries out a change together with the watermarks that it allows; `files` are those of the segments that
/// it adds. They go if it certainly did not happen.
pub(super) fn apply<'a>(
    shared: &Shared,
    mut change: Change<'a>,
    advance: &'a Advance,
    files: &[&SegmentPaths],
) -> Result<(), WorkError> {
    change.sources = advance.sources.iter().map(|(id, partition)| (*id, &**partition)).collect();
    change.watermarks.clone_from(&advance.watermarks);
    change.ahead = advance.ahead.iter().map(|(prefix, source, offset)| (prefix, *source, *offset)).collect();
    let outcome = shared.manifest().apply(&change);
    outcome.map_err(|error| match error {
        ApplyError::Refused(error) => {
            files.iter().for_each(|paths| remove(paths));
            WorkError::Manifest(error)
        }
        ApplyError::Unknown(error) => {
            shared.doubtful().extend(files.iter().copied().cloned());
            WorkError::Doubtful(error)
        }
    })
}

/// Makes sure that the manifest does not name segments that it was not seen to name, and removes their files.
/// To be done before new ones are written, so that repeated failures do not fill the disk.
pub(super) fn settle(shared: &Shared) -> Result<(), WorkError> {
    let mut doubtful = shared.doubtful();
    if !doubtful.is_empty() {
        shared.manifest().settle()?;
        doubtful.drain(..).for_each(|paths| remove(&paths));
    }
    Ok(())
}

pub(super) fn check_space(shared: &Shared) -> Result<(), WorkError> {
    let reserve = shared.settings.free_space_reserve.bytes();
    let disk = statvfs(&shared.settings.directory).map_err(std::io::Error::from)?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < reserve {
        return Err(WorkError::Reserve(reserve));
    }
    Ok(())
}

/// Removes the files of a segment that was never named.
pub(super) fn remove(paths: &SegmentPaths) {
    for path in [&paths.rows, &paths.filter] {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "a half-written segment stays until the next start");
            }
            _ => {}
        }
    }
}
