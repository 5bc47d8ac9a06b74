//! The order in which jobs are delivered.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, abortable};
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tracing::warn;
use weir_foundation::clock::timeout;
use weir_foundation::failure::chain;
use weir_foundation::supervise::DrainToken;
use weir_model::StreamPartition;

use super::budget::Budget;
use super::deliverer::{Deliverer, Ended};
use super::{Job, Notice, Order, Rewind, STALL_AFTER};

/// Has one job of each partition done at a time, and of all partitions at once, as the store takes longer to answer
/// than to be asked: how many that are is bounded by what is read ahead.
///
/// All of it runs on one thread: decoding is heavy, and a store that answers at once never lets a second job begin.
#[derive(Debug)]
pub(super) struct Dispatcher {
    pub(super) deliverer: Deliverer,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) rewinds: mpsc::UnboundedSender<Rewind>,
    /// What is read ahead, as the reader has it.
    pub(super) budget: Budget,
}

/// What is known of a partition while it is assigned.
#[derive(Debug, Default)]
struct Lane {
    /// Jobs below are of before the last rewind.
    round: u64,
    /// How many events the partition took before the next record, if a record was seen.
    events: Option<u64>,
    waiting: VecDeque<Job>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    abort: AbortHandle,
    since: Instant,
    round: u64,
}

#[derive(Debug, Default)]
struct Lanes {
    lanes: BTreeMap<StreamPartition, Lane>,
    /// Partitions with jobs and none in hand.
    ready: VecDeque<StreamPartition>,
    /// Jobs that wait.
    waiting: usize,
    /// When the slow were last looked for.
    looked: Option<Instant>,
}

/// There may be thousands of partitions.
const LOOK_EVERY: Duration = Duration::from_secs(1);

type Work<'a> = Pin<Box<dyn Future<Output = (StreamPartition, Option<Ended>)> + Send + 'a>>;

enum Event {
    Draining,
    Order(Option<Order>),
    /// None if it was aborted.
    Ended(StreamPartition, Option<Ended>),
}

enum Flow {
    GoOn,
    End,
}

impl Dispatcher {
    /// On drain the steps in hand have `grace` to be finished, and what was taken is made durable.
    pub(super) async fn run(self, grace: Duration, drain: DrainToken) {
        let Self { deliverer, mut orders, rewinds, budget } = self;
        let mut lanes = Lanes::default();
        let mut works: FuturesUnordered<Work<'_>> = FuturesUnordered::new();
        loop {
            while let Some((job, events)) = lanes.next(deliverer.batch, &budget) {
                works.push(lanes.start(&deliverer, job, events, &drain));
            }
            deliverer.lookout.pending(works.len() + lanes.waiting + orders.len());
            let event = tokio::select! {
                biased;
                () = drain.draining() => Event::Draining,
                Some((partition, ended)) = works.next(), if !works.is_empty() => Event::Ended(partition, ended),
                order = orders.recv() => Event::Order(order),
            };
            let flow = match event {
                Event::Draining | Event::Order(None) => Flow::End,
                Event::Order(Some(order)) => lanes.take(order, &deliverer).await,
                Event::Ended(partition, ended) => {
                    lanes.name_the_slow(&deliverer);
                    lanes.ended(partition, ended, &rewinds)
                }
            };
            if let Flow::End = flow {
                break;
            }
        }
        let finish = async { while works.next().await.is_some() {} };
        if timeout(&*deliverer.seams.clock, grace, finish).await.is_err() {
            warn!("a store did not answer before the end; what it was given is delivered again");
        }
        drop(works);
        if let Err(error) = deliverer.seams.store.flush().await {
            warn!(error = %chain(&error), "could not make everything durable, the rest is delivered again");
        }
    }
}

impl Lanes {
    /// The next job. What else of its partition waits is done with it, up to `batch` bytes: the fewer and larger its
    /// steps, the less it waits for the store.
    fn next(&mut self, batch: usize, budget: &Budget) -> Option<(Job, Option<u64>)> {
        let partition = self.ready.pop_front()?;
        let lane = self.lanes.get_mut(&partition)?;
        let mut job = lane.waiting.pop_front()?;
        self.waiting -= 1;
        while let Some(next) = lane.waiting.pop_front_if(|next| job.bytes + next.bytes <= batch) {
            self.waiting -= 1;
            job.absorb(next);
        }
        job.more = !lane.waiting.is_empty() || budget.is_short();
        Some((job, lane.events))
    }

    fn start<'a>(
        &mut self,
        deliverer: &'a Deliverer,
        job: Job,
        events: Option<u64>,
        drain: &'a DrainToken,
    ) -> Work<'a> {
        let partition = job.batch.partition.clone();
        let round = job.round;
        let (work, abort) = abortable(deliverer.deliver(job, events, drain));
        if let Some(lane) = self.lanes.get_mut(&partition) {
            lane.running = Some(Running { abort, since: deliverer.seams.clock.monotonic(), round });
        }
        Box::pin(async move { (partition, work.await.ok()) })
    }

    async fn take(&mut self, order: Order, deliverer: &Deliverer) -> Flow {
        let notice = match order {
            Order::Deliver(job) => {
                self.queue(job);
                return Flow::GoOn;
            }
            Order::Assigned { partition, committed, start } => {
                self.lanes.insert(partition.clone(), Lane::default());
                Notice::Assigned { partition, committed, start }
            }
            Order::Revoked(revoked) => {
                for partition in &revoked.partitions {
                    self.forget(partition);
                    deliverer.lookout.succeeded(partition);
                }
                Notice::Revoked(revoked)
            }
        };
        match deliverer.notices.send(notice).await {
            Ok(()) => Flow::GoOn,
            Err(_) => Flow::End,
        }
    }

    fn queue(&mut self, job: Job) {
        let partition = &job.batch.partition;
        // A job of a partition that is gone.
        let Some(lane) = self.lanes.get_mut(partition) else { return };
        if job.round < lane.round {
            return;
        }
        if lane.waiting.is_empty() && lane.running.is_none() {
            self.ready.push_back(partition.clone());
        }
        lane.waiting.push_back(job);
        self.waiting += 1;
    }

    /// Drops what is in hand and what waits.
    fn forget(&mut self, partition: &StreamPartition) {
        let Some(lane) = self.lanes.remove(partition) else { return };
        self.waiting -= lane.waiting.len();
        self.ready.retain(|ready| ready != partition);
        if let Some(running) = lane.running {
            running.abort.abort();
        }
    }

    fn ended(
        &mut self,
        partition: StreamPartition,
        ended: Option<Ended>,
        rewinds: &mpsc::UnboundedSender<Rewind>,
    ) -> Flow {
        // Aborted: the partition is gone, or has come again and has another job in hand.
        let Some(ended) = ended else { return Flow::GoOn };
        let Some(lane) = self.lanes.get_mut(&partition) else { return Flow::GoOn };
        let Some(Running { round, .. }) = lane.running.take() else { return Flow::GoOn };
        match ended {
            Ended::Done { events } => lane.events = events,
            Ended::Draining => return Flow::End,
            Ended::Rewind { to } => {
                self.waiting -= lane.waiting.len();
                *lane = Lane { round: round + 1, ..Lane::default() };
                let rewind = Rewind { partition, to, round };
                return match rewinds.send(rewind) {
                    Ok(()) => Flow::GoOn,
                    Err(_) => Flow::End,
                };
            }
        }
        if !lane.waiting.is_empty() {
            self.ready.push_back(partition);
        }
        Flow::GoOn
    }

    /// A partition that waits for long while others get on would not be seen otherwise.
    fn name_the_slow(&mut self, deliverer: &Deliverer) {
        let now = deliverer.seams.clock.monotonic();
        if self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < LOOK_EVERY) {
            return;
        }
        self.looked = Some(now);
        for (partition, lane) in &self.lanes {
            let Some(running) = &lane.running else { continue };
            let waited = now.saturating_duration_since(running.since);
            if waited >= STALL_AFTER {
                deliverer.lookout.waits(partition, waited.as_secs());
            }
        }
    }
}
