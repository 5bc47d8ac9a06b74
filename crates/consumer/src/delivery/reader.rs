use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{debug, info, warn};
use weir_foundation::failure::chain;
use weir_foundation::supervise::DrainToken;
use weir_journal::{Assignment, Commit, ReadBatch, ReadError, Subscription, SubscriptionEvent};
use weir_model::{Offset, StreamPartition};

use super::budget::{Budget, Full, Share};
use super::patience::{Waited, Watched};
use super::{Job, Order, Revoked, Rewind, Seams};

/// Reads ahead of the deliverers, as far as the budget of bytes goes.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) seams: Seams,
    pub(super) subscription: Box<dyn Subscription>,
    pub(super) budget: Budget,
    /// Each partition has its own one of them for good.
    pub(super) deliverers: Vec<mpsc::Sender<Order>>,
    pub(super) rewinds: mpsc::UnboundedReceiver<Rewind>,
    pub(super) patience: Watched,
    pub(super) lanes: BTreeMap<StreamPartition, Lane>,
    /// Nothing is read of them until their streams have used up less of their shares.
    pub(super) paused: BTreeSet<StreamPartition>,
    /// Read, and waiting for room.
    pub(super) waiting: Option<ReadBatch>,
}

/// How far a partition is.
#[derive(Debug)]
pub(super) struct Lane {
    /// Where the next batch begins.
    at: Offset,
    /// How often it was rewound; a job of an earlier round is stale.
    round: u64,
}

enum Event {
    Draining,
    Rewind(Rewind),
    Freed,
    /// The batch waited long enough.
    Late,
    Read(Result<SubscriptionEvent, ReadError>),
}

/// Why the loop goes on or not.
enum Flow {
    GoOn,
    End,
}

/// How long a stream that has its share may hold up the others: as long as its store takes something now and then,
/// reading the same again would cost more than to wait.
const PATIENCE: Duration = Duration::from_secs(1);

impl Default for Lane {
    fn default() -> Self {
        Self { at: Offset::ZERO, round: 0 }
    }
}

impl Reader {
    pub(super) async fn run(mut self, drain: DrainToken) {
        loop {
            let event = tokio::select! {
                biased;
                () = drain.draining() => Event::Draining,
                Some(rewind) = self.rewinds.recv() => Event::Rewind(rewind),
                () = self.budget.freed() => Event::Freed,
                () = self.seams.clock.sleep(PATIENCE), if self.waiting.is_some() => Event::Late,
                read = self.subscription.next(), if self.waiting.is_none() => Event::Read(read),
            };
            let flow = match event {
                Event::Draining => Flow::End,
                Event::Rewind(rewind) => self.rewind(&rewind),
                Event::Freed => self.use_room().await,
                Event::Late => self.pause_waiting(),
                Event::Read(Ok(event)) => self.take(event, &drain).await,
                Event::Read(Err(error)) => self.wait_out(&error, &drain).await,
            };
            if matches!(flow, Flow::End) {
                return;
            }
        }
    }

    async fn take(&mut self, event: SubscriptionEvent, drain: &DrainToken) -> Flow {
        self.patience.succeeded();
        match event {
            SubscriptionEvent::Batch(batch) => self.admit(batch).await,
            SubscriptionEvent::Assigned(assignments) => self.assign(assignments, drain).await,
            SubscriptionEvent::Revoked(partitions) => {
                self.waiting.take_if(|batch| partitions.contains(&batch.partition));
                self.revoke(partitions, drain).await
            }
        }
    }

    async fn assign(&mut self, assignments: Vec<Assignment>, drain: &DrainToken) -> Flow {
        for assignment in assignments {
            let Assignment { partition, next: committed } = assignment;
            let start = self.seams.store.resume(&partition, committed);
            if start > committed {
                info!(%partition, %committed, durable = %start, "the store is ahead of the journal's commit");
                if let Flow::End = self.commit_ahead(&partition, start, drain).await {
                    return Flow::End;
                }
            }
            if start != committed {
                self.subscription.seek(&partition, start);
            }
            self.lanes.entry(partition.clone()).or_default().at = start;
            self.paused.remove(&partition);
            debug!(%partition, %start, "delivering");
            let committed = committed.max(start);
            let deliverer = self.deliverer(&partition);
            let order = Order::Assigned { partition, committed, start };
            if let Flow::End = self.order(deliverer, order).await {
                return Flow::End;
            }
        }
        Flow::GoOn
    }

    /// Before the partition is read: if its end was cut below `start`, new records must not get offsets that
    /// the store knows already.
    async fn commit_ahead(&mut self, partition: &StreamPartition, start: Offset, drain: &DrainToken) -> Flow {
        let commit = [Commit { partition: partition.clone(), offset: start }];
        loop {
            match self.seams.journal.commit(&self.seams.group, &commit).await {
                Ok(()) => {
                    self.patience.succeeded();
                    return Flow::GoOn;
                }
                Err(error) => {
                    warn!(%partition, error = %chain(&error), "could not commit what the store has");
                    if let Waited::Draining = self.patience.wait(&error, drain).await {
                        return Flow::End;
                    }
                }
            }
        }
    }

    /// Hands a batch over, or has it wait.
    async fn admit(&mut self, batch: ReadBatch) -> Flow {
        match self.budget.admit(&batch) {
            Ok(share) => self.hand_over(batch, share).await,
            // A stream that holds the others up already does not do so with each of its partitions.
            Err(Full::Stream) if self.has_paused(&batch) => {
                self.pause(&batch);
                Flow::GoOn
            }
            Err(_) => {
                self.waiting = Some(batch);
                Flow::GoOn
            }
        }
    }

    /// Every job in the queue of a deliverer holds a share of the budget, so there is a place in it.
    async fn hand_over(&mut self, batch: ReadBatch, share: Share) -> Flow {
        let lane = self.lanes.entry(batch.partition.clone()).or_default();
        let from = std::mem::replace(&mut lane.at, batch.next);
        let round = lane.round;
        let deliverer = self.deliverer(&batch.partition);
        self.order(deliverer, Order::Deliver(Job::new(batch, from, round, share))).await
    }

    async fn use_room(&mut self) -> Flow {
        if let Some(batch) = self.waiting.take()
            && let Flow::End = self.admit(batch).await
        {
            return Flow::End;
        }
        for partition in self.paused.extract_if(.., |partition| self.budget.wants(&partition.stream)) {
            let at = self.lanes.get(&partition).map_or(Offset::ZERO, |lane| lane.at);
            self.subscription.seek(&partition, at);
        }
        Flow::GoOn
    }

    fn has_paused(&self, batch: &ReadBatch) -> bool {
        self.paused.iter().any(|partition| partition.stream == batch.partition.stream)
    }

    /// What waits is read again when its stream has room; if nobody has any, all wait.
    fn pause_waiting(&mut self) -> Flow {
        let waiting = self.waiting.take_if(|batch| self.budget.is_over_share(batch));
        if let Some(batch) = waiting {
            self.pause(&batch);
        }
        Flow::GoOn
    }

    fn pause(&mut self, batch: &ReadBatch) {
        self.subscription.pause(&batch.partition);
        self.paused.insert(batch.partition.clone());
    }

    /// Tells each deliverer of the partitions that it has no more, and waits until what it did of them is
    /// committed: the journal keeps them until the next event is asked for.
    async fn revoke(&mut self, partitions: Vec<StreamPartition>, drain: &DrainToken) -> Flow {
        let mut by_deliverer: BTreeMap<usize, Vec<StreamPartition>> = BTreeMap::new();
        for partition in partitions {
            self.lanes.remove(&partition);
            self.paused.remove(&partition);
            by_deliverer.entry(self.deliverer(&partition)).or_default().push(partition);
        }
        let (settled, mut unsettled) = mpsc::channel(1);
        for (deliverer, partitions) in by_deliverer {
            let revoked = Revoked { partitions, _settled: settled.clone() };
            if let Flow::End = self.order(deliverer, Order::Revoked(revoked)).await {
                return Flow::End;
            }
        }
        drop(settled);
        tokio::select! {
            biased;
            () = drain.draining() => Flow::End,
            // Nothing is ever sent: it ends when all that was handed out is dropped.
            None = unsettled.recv() => Flow::GoOn,
        }
    }

    fn deliverer(&self, partition: &StreamPartition) -> usize {
        let mut hasher = DefaultHasher::new();
        partition.hash(&mut hasher);
        (hasher.finish() % self.deliverers.len().max(1) as u64) as usize
    }

    async fn order(&mut self, deliverer: usize, order: Order) -> Flow {
        let Some(orders) = self.deliverers.get(deliverer) else { return Flow::End };
        match orders.send(order).await {
            Ok(()) => Flow::GoOn,
            Err(_) => Flow::End,
        }
    }

    /// The store wants records again that were read already.
    fn rewind(&mut self, rewind: &Rewind) -> Flow {
        let lane = self.lanes.entry(rewind.partition.clone()).or_default();
        if lane.round == rewind.round {
            *lane = Lane { at: rewind.to, round: lane.round + 1 };
            self.paused.remove(&rewind.partition);
            warn!(partition = %rewind.partition, to = %rewind.to, "the store missed records, reading again");
            self.subscription.seek(&rewind.partition, rewind.to);
            self.waiting.take_if(|batch| batch.partition == rewind.partition);
        }
        Flow::GoOn
    }

    async fn wait_out(&mut self, error: &ReadError, drain: &DrainToken) -> Flow {
        if !matches!(error, ReadError::Closing) {
            warn!(error = %chain(error), "could not read from the journal");
        }
        match self.patience.wait(error, drain).await {
            Waited::Draining => Flow::End,
            Waited::Over => Flow::GoOn,
        }
    }
}
