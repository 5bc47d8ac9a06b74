use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tracing::warn;
use weir_foundation::failure::chain;
use weir_foundation::supervise::DrainToken;
use weir_journal::{Commit, Journal, PartitionBounds};
use weir_model::{Offset, StreamPartition};

use super::patience::Watched;
use super::{Notice, Revoked, Seams};
use crate::census::events_within;
use crate::metrics::ConsumerMetrics;

/// Tells the journal what is durable in the store, and measures how far delivery is behind.
#[derive(Debug)]
pub(super) struct Committer {
    pub(super) seams: Seams,
    pub(super) notices: mpsc::Receiver<Notice>,
    pub(super) progress: watch::Receiver<u64>,
    pub(super) patience: Watched,
    pub(super) metrics: ConsumerMetrics,
    /// The shortest time between two commits.
    pub(super) interval: Duration,
    pub(super) lanes: Lanes,
}

/// How far each assigned partition is.
#[derive(Debug, Default)]
pub(super) struct Lanes(BTreeMap<StreamPartition, Lane>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lane {
    committed: Offset,
    /// Everything below was given to the store, and is buried where the store refused it.
    delivered: Offset,
    /// How many events the partition took before `delivered`, if that is known.
    events: Option<u64>,
}

/// How far delivery of a partition is behind.
struct Lag {
    partition: StreamPartition,
    records: u64,
    events: Option<u64>,
}

enum Event {
    Draining,
    Notice(Option<Notice>),
    Durable,
    Due,
    Measure,
    Measured(Vec<Lag>),
}

const AGAIN: &str = "what became durable since the commit before is delivered again, under the same ids";

const MEASURE_EVERY: Duration = Duration::from_secs(5);

impl Lanes {
    fn note(&mut self, notice: Notice) {
        match notice {
            Notice::Assigned { partition, committed, start } => {
                self.0.insert(partition, Lane { committed, delivered: start, events: None });
            }
            Notice::Delivered { partition, next, events } => {
                if let Some(lane) = self.0.get_mut(&partition)
                    && next > lane.delivered
                {
                    *lane = Lane { delivered: next, events, ..*lane };
                }
            }
            Notice::Revoked(Revoked { partitions, .. }) => {
                self.0.retain(|partition, _| !partitions.contains(partition));
            }
        }
    }

    /// What is durable and delivered, and not yet committed. Delivered too, because a store may be durable
    /// beyond an event that it refused before that event is a dead letter.
    fn due(&self, durable: impl Fn(&StreamPartition) -> Option<Offset>) -> Vec<Commit> {
        let commit = |(partition, lane): (&StreamPartition, &Lane)| {
            let offset = durable(partition)?.min(lane.delivered);
            (offset > lane.committed).then(|| Commit { partition: partition.clone(), offset })
        };
        self.0.iter().filter_map(commit).collect()
    }

    fn committed(&mut self, commits: &[Commit]) {
        for commit in commits {
            if let Some(lane) = self.0.get_mut(&commit.partition) {
                lane.committed = lane.committed.max(commit.offset);
            }
        }
    }
}

impl Committer {
    /// On drain commits once more and ends; the deliverer has ended by then and has flushed. A journal that does
    /// not answer is not waited for longer than `time`.
    pub(super) async fn run(self, drain: DrainToken, time: Duration) {
        let clock = Arc::clone(&self.seams.clock);
        let overdue = async {
            drain.draining().await;
            clock.sleep(time).await;
        };
        tokio::select! {
            () = self.work(&drain) => {}
            () = overdue => warn!("the journal does not answer, {AGAIN}"),
        }
    }

    async fn work(mut self, drain: &DrainToken) {
        let clock = Arc::clone(&self.seams.clock);
        let mut measure_at = clock.monotonic();
        let mut commit_at = clock.monotonic();
        // Brokers that are away answer late: commits do not wait for it.
        let mut measuring = FuturesUnordered::new();
        let mut dirty = false;
        let mut open = true;
        loop {
            let event = tokio::select! {
                biased;
                () = drain.draining() => Event::Draining,
                notice = self.notices.recv(), if open => Event::Notice(notice),
                Ok(()) = self.progress.changed() => Event::Durable,
                () = until(&self.seams, commit_at), if dirty => Event::Due,
                Some(lags) = measuring.next(), if !measuring.is_empty() => Event::Measured(lags),
                () = until(&self.seams, measure_at), if measuring.is_empty() => Event::Measure,
            };
            match event {
                Event::Draining => break,
                Event::Notice(Some(Notice::Revoked(revoked))) => self.give_up(revoked).await,
                Event::Notice(Some(notice)) => {
                    self.lanes.note(notice);
                    dirty = true;
                }
                Event::Notice(None) => open = false,
                Event::Durable => dirty = true,
                Event::Due => {
                    let outcome = self.commit().await;
                    dirty = matches!(outcome, Committed::Failed { .. });
                    commit_at = clock.monotonic() + outcome.next_after(self.interval);
                }
                Event::Measure => {
                    measuring.push(measure(Arc::clone(&self.seams.journal), self.lanes.0.clone()));
                }
                Event::Measured(lags) => {
                    measure_at = clock.monotonic() + MEASURE_EVERY;
                    self.show(lags);
                }
            }
        }
        self.drain_notices();
        if let Committed::Failed { .. } = self.commit().await {
            warn!("the last commit failed, {AGAIN}");
        }
    }

    /// Commits what was done of the partitions while they are this process's; then they may go.
    async fn give_up(&mut self, revoked: Revoked) {
        if let Committed::Failed { .. } = self.commit().await {
            warn!("what was not committed of partitions that go to others is delivered again by them");
        }
        self.seams.store.release(&revoked.partitions);
        self.lanes.note(Notice::Revoked(revoked));
    }

    fn drain_notices(&mut self) {
        while let Ok(notice) = self.notices.try_recv() {
            self.lanes.note(notice);
        }
    }

    async fn commit(&mut self) -> Committed {
        let commits = self.lanes.due(|partition| self.seams.store.durable(partition));
        if commits.is_empty() {
            self.patience.progress().idle();
            return Committed::Done;
        }
        self.patience.progress().pending(commits.len() as u64);
        match self.seams.journal.commit(&self.seams.group, &commits).await {
            Ok(()) => {
                self.lanes.committed(&commits);
                self.metrics.committed();
                self.patience.succeeded();
                self.patience.progress().advanced();
                self.patience.progress().idle();
                Committed::Done
            }
            Err(error) => {
                warn!(error = %chain(&error), "could not commit");
                Committed::Failed { retry_after: self.patience.failed(&error) }
            }
        }
    }

    /// Of partitions that are still this process's.
    fn show(&self, lags: Vec<Lag>) {
        for Lag { partition, records, events } in lags {
            if self.lanes.0.contains_key(&partition) {
                self.metrics.lag(&partition, records, events);
            }
        }
    }
}

async fn measure(journal: Arc<dyn Journal>, lanes: BTreeMap<StreamPartition, Lane>) -> Vec<Lag> {
    let streams = journal.streams().await.unwrap_or_else(|error| {
        warn!(error = %chain(&error), "could not measure how far delivery is behind");
        Vec::new()
    });
    let mut lags = Vec::new();
    for bounds in streams.iter().flat_map(|stream| &stream.partitions) {
        let Some(lane) = lanes.get(&bounds.partition) else { continue };
        let records = bounds.end.0.saturating_sub(lane.delivered.0);
        let events = match bounds.end_event {
            Some(end) => events_delivered(&*journal, bounds, lane).await.map(|at| end.saturating_sub(at)),
            None => None,
        };
        lags.push(Lag { partition: bounds.partition.clone(), records, events });
    }
    lags
}

async fn events_delivered(journal: &dyn Journal, bounds: &PartitionBounds, lane: &Lane) -> Option<u64> {
    match lane.events {
        Some(events) => Some(events),
        None => events_within(journal, bounds, lane.delivered).await.ok().flatten(),
    }
}

enum Committed {
    Done,
    Failed { retry_after: Duration },
}

impl Committed {
    fn next_after(&self, interval: Duration) -> Duration {
        match self {
            Self::Done => interval,
            Self::Failed { retry_after } => interval.max(*retry_after),
        }
    }
}

async fn until(seams: &Seams, deadline: Instant) {
    let left = deadline.saturating_duration_since(seams.clock.monotonic());
    if !left.is_zero() {
        seams.clock.sleep(left).await;
    }
}

#[cfg(test)]
mod tests {
    use weir_model::{Incarnation, PartitionIndex, StreamName};

    use super::*;

    fn partition(index: u32) -> StreamPartition {
        StreamPartition {
            stream: StreamName::new("shop_logs").expect("is legal"),
            incarnation: Incarnation(1),
            partition: PartitionIndex(index),
        }
    }

    fn assigned(committed: u64, start: u64) -> Notice {
        Notice::Assigned { partition: partition(0), committed: Offset(committed), start: Offset(start) }
    }

    fn delivered(next: u64) -> Notice {
        Notice::Delivered { partition: partition(0), next: Offset(next), events: None }
    }

    fn revoked(index: u32) -> Notice {
        let (settled, _) = mpsc::channel(1);
        Notice::Revoked(Revoked { partitions: vec![partition(index)], _settled: settled })
    }

    #[track_caller]
    fn check(notices: Vec<Notice>, durable: Option<u64>, expected: Option<u64>) {
        let mut lanes = Lanes::default();
        notices.into_iter().for_each(|notice| lanes.note(notice));
        let due = lanes.due(|_| durable.map(Offset));
        assert_eq!(due.first().map(|commit| commit.offset.0), expected);
        lanes.committed(&due);
        assert_eq!(lanes.due(|_| durable.map(Offset)), [], "is committed once");
    }

    #[test]
    fn commits_what_is_durable_and_delivered() {
        check(vec![assigned(0, 0)], None, None);
        check(vec![assigned(0, 0)], Some(0), None);
        check(vec![assigned(0, 0), delivered(5)], Some(0), None);
        check(vec![assigned(0, 0), delivered(5)], Some(3), Some(3));
        check(vec![assigned(0, 0), delivered(5)], Some(7), Some(5));
        check(vec![assigned(5, 5), delivered(4)], Some(9), None);
        check(vec![assigned(8, 2), delivered(6)], Some(6), None);
        check(vec![assigned(8, 2), delivered(9)], Some(9), Some(9));
    }

    #[test]
    fn what_is_not_assigned_is_not_committed() {
        check(vec![delivered(5)], Some(5), None);
        check(vec![assigned(0, 0), delivered(5), revoked(0)], Some(5), None);
        check(vec![assigned(0, 0), delivered(5), revoked(1)], Some(5), Some(5));
    }
}
