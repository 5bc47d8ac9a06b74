//! Delivery from the journal to the index store.
//!
//! Loops pass messages over bounded channels:
//!
//! ```text
//! journal ──▶ reader ──orders──▶ deliverer ──▶ dead letters, index store
//!               ▲ ╰─rewinds────────╯ │
//!               │                    ╰notices─▶ committer ──▶ journal
//! ```
//!
//! * The **reader** holds at most the budget of bytes that are read and not delivered, and lets no stream have so
//!   much of it that others had to wait for its store. A partition starts where the store says
//!   ([`resume`](IndexStore::resume)): one that remembers positions, behind what it has durably, whatever the group
//!   committed; another, where the group committed.
//! * A **deliverer** decodes, buries what can not be stored, then writes; it repeats a step for ever, which
//!   changes nothing that was done since both stores are idempotent by position. Of each partition one step is in
//!   hand at a time, in order, and as much at once as was read meanwhile; of several partitions at once, since a
//!   store may answer late (`dispatcher`). A partition that is revoked is dropped where it stands; what was done of
//!   it is committed before it goes to others.
//! * The **committer** commits the lesser of delivered and durable. What it hears of a partition comes through the
//!   deliverer, so that nothing of an assignment is heard after its end.
//!
//! So at every instant each event is in the journal at or above the start of the next life, or durably in the
//! store, or a durable dead letter.

mod budget;
mod committer;
mod deliverer;
mod dispatcher;
mod lookout;
mod patience;
mod reader;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tracing::warn;
use weir_foundation::clock::Clock;
use weir_foundation::failure::BoxError;
use weir_foundation::health::Health;
use weir_foundation::supervise::{DrainPhase, Policy, Spawner, TaskHandle};
use weir_journal::{Commit, Journal, ReadBatch, SubscribeError};
use weir_model::{Offset, StreamPartition};
use weir_redaction::Redactor;
use weir_store::{DeadLetterStore, IndexStore};

use self::budget::{Budget, MOST_JOBS, Share};
use self::committer::{Committer, Lanes};
use self::deliverer::Deliverer;
use self::dispatcher::Dispatcher;
use self::lookout::Lookout;
use self::patience::Watched;
use self::reader::Reader;
use crate::metrics::ConsumerMetrics;
use crate::section::ConsumerSettings;
use crate::steps::footprint;

/// What delivery works with.
#[derive(Debug, Clone)]
pub struct Dependencies {
    pub journal: Arc<dyn Journal>,
    pub store: Arc<dyn IndexStore>,
    pub dead_letters: Arc<dyn DeadLetterStore>,
    /// Applied to everything that is decoded, before a store or a dead letter has it.
    pub redactor: Redactor,
    pub clock: Arc<dyn Clock>,
    pub health: Health,
    pub metrics: ConsumerMetrics,
}

/// A subscribed consumer that does not run yet.
#[derive(Debug)]
pub struct Delivery {
    reader: Reader,
    dispatchers: Vec<Dispatcher>,
    committer: Committer,
}

/// What all three loops share.
#[derive(Debug, Clone)]
struct Seams {
    journal: Arc<dyn Journal>,
    store: Arc<dyn IndexStore>,
    dead_letters: Arc<dyn DeadLetterStore>,
    clock: Arc<dyn Clock>,
    group: Arc<str>,
}

/// What a deliverer is told.
#[derive(Debug)]
enum Order {
    Assigned { partition: StreamPartition, committed: Offset, start: Offset },
    Deliver(Job),
    Revoked(Revoked),
}

/// Partitions that are no longer this process's.
#[derive(Debug)]
struct Revoked {
    partitions: Vec<StreamPartition>,
    /// Dropped when what was done of them is committed: then they may go to others.
    _settled: mpsc::Sender<Infallible>,
}

/// A batch on its way to the deliverer, with its share of the budget.
#[derive(Debug)]
struct Job {
    batch: ReadBatch,
    /// Where the batch before it ended.
    from: Offset,
    round: u64,
    share: Share,
    /// What its records count as.
    bytes: usize,
    /// Whether, when this one began, another job of the partition waited, or more was to be read than there was
    /// room for.
    more: bool,
}

impl Job {
    fn new(batch: ReadBatch, from: Offset, round: u64, share: Share) -> Self {
        let bytes = batch.records.iter().map(footprint).sum();
        Self { batch, from, round, share, bytes, more: false }
    }

    /// Makes one job of two that follow each other.
    fn absorb(&mut self, other: Self) {
        let ReadBatch { records, losses, next, .. } = other.batch;
        self.batch.records.extend(records);
        self.batch.losses.extend(losses);
        self.batch.next = next;
        self.bytes += other.bytes;
        self.share.absorb(other.share);
    }
}

/// The store expects a partition to go on at `to`; asked for in `round`.
#[derive(Debug)]
struct Rewind {
    partition: StreamPartition,
    to: Offset,
    round: u64,
}

/// What the committer must know.
#[derive(Debug)]
enum Notice {
    Assigned { partition: StreamPartition, committed: Offset, start: Offset },
    Delivered { partition: StreamPartition, next: Offset, events: Option<u64> },
    Revoked(Revoked),
}

/// Waiting for a store that has no room is no stall before it lasts as long as this.
const STALL_AFTER: Duration = Duration::from_secs(60);
const NOTICES: usize = 256;
/// Jobs hold a share of the budget; what else is said waits for its turn.
const ORDERS: usize = MOST_JOBS + 16;

impl Delivery {
    /// Subscribes the group. Once this has returned, no new record gets an offset that the store knows already:
    /// call it before anything is accepted.
    pub async fn subscribe(
        dependencies: Dependencies,
        settings: &ConsumerSettings,
    ) -> Result<Self, SubscribeError> {
        let Dependencies { journal, store, dead_letters, redactor, clock, health, metrics } = dependencies;
        let subscription = journal.subscribe(&settings.group, settings.streams.clone()).await?;
        let progress = store.progress();
        let seams = Seams { journal, store, dead_letters, clock, group: settings.group.as_str().into() };
        seams.move_ends(settings).await?;
        let watched = |name: &str| {
            let progress = health.register(name, STALL_AFTER);
            progress.idle();
            Watched::new(Arc::clone(&seams.clock), settings.retry, progress)
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "at most one of each partition: the next comes when it was heard"
        )]
        let (rewinds, incoming_rewinds) = mpsc::unbounded_channel();
        let (notices, incoming_notices) = mpsc::channel(NOTICES);
        let (mut orders, mut dispatchers) = (Vec::new(), Vec::new());
        let reading = watched("consumer.read");
        let budget = Budget::new(settings.in_flight.as_usize());
        for number in 1..=settings.threads {
            let (to_deliverer, incoming_orders) = mpsc::channel(ORDERS);
            orders.push(to_deliverer);
            let progress = health.register(deliverer_name(number), STALL_AFTER);
            progress.idle();
            let deliverer = Deliverer {
                seams: seams.clone(),
                notices: notices.clone(),
                lookout: Lookout::new(progress),
                retry: settings.retry,
                metrics: metrics.clone(),
                redactor: redactor.clone(),
                batch: settings.batch.as_usize(),
            };
            let rewinds = rewinds.clone();
            dispatchers.push(Dispatcher {
                deliverer,
                orders: incoming_orders,
                rewinds,
                budget: budget.clone(),
            });
        }
        Ok(Self {
            reader: Reader {
                seams: seams.clone(),
                subscription,
                budget,
                deliverers: orders,
                rewinds: incoming_rewinds,
                patience: reading,
                lanes: BTreeMap::new(),
                paused: BTreeSet::new(),
                waiting: None,
            },
            dispatchers,
            committer: Committer {
                patience: watched("consumer.commit"),
                seams,
                notices: incoming_notices,
                progress,
                metrics,
                interval: settings.commit_interval,
                lanes: Lanes::default(),
            },
        })
    }

    /// Starts the loops. Reading and delivery end in [`DrainPhase::FinishDeliveries`], commits in
    /// [`DrainPhase::Commit`]. Fails if there is no thread for a deliverer.
    pub fn start(self, spawner: &Spawner) -> io::Result<()> {
        let Self { reader, dispatchers, committer } = self;
        let delivering = Policy::essential(DrainPhase::FinishDeliveries);
        for (number, dispatcher) in (1..).zip(dispatchers) {
            let (runtime, grace) = (Handle::current(), grace(spawner));
            spawner.spawn_thread(&deliverer_name(number), delivering, move |drain| {
                runtime.block_on(dispatcher.run(grace, drain));
                Ok::<(), io::Error>(())
            })?;
        }
        spawner.spawn("consumer.read", delivering, |drain| async move {
            reader.run(drain).await;
            Ok::<(), io::Error>(())
        });
        let last_commit = last_commit(spawner);
        spawner.spawn("consumer.commit", Policy::essential(DrainPhase::Commit), |drain| async move {
            committer.run(drain, last_commit).await;
            Ok::<(), io::Error>(())
        });
        Ok(())
    }

    /// As [`Delivery::start`], without threads of its own. For tests, which let it die by aborting the tasks.
    pub fn start_as_tasks(self, spawner: &Spawner) -> [TaskHandle; 2] {
        let Self { reader, dispatchers, committer } = self;
        let grace = grace(spawner);
        let delivering = spawner.spawn(
            "consumer.deliver",
            Policy::essential(DrainPhase::FinishDeliveries),
            |drain| async move {
                let delivery = dispatchers.into_iter().map(|dispatcher| dispatcher.run(grace, drain.clone()));
                tokio::join!(reader.run(drain.clone()), join_all(delivery));
                Ok::<(), io::Error>(())
            },
        );
        let last_commit = last_commit(spawner);
        let committing =
            spawner.spawn("consumer.commit", Policy::essential(DrainPhase::Commit), |drain| async move {
                committer.run(drain, last_commit).await;
                Ok::<(), io::Error>(())
            });
        [delivering, committing]
    }
}

/// How long stores may take over what is in hand when the process drains: what is left of the phase is for making
/// it durable.
fn grace(spawner: &Spawner) -> Duration {
    spawner.deadline(DrainPhase::FinishDeliveries) / 2
}

/// How long the journal may take over the last commit: a little is left for the task to end.
fn last_commit(spawner: &Spawner) -> Duration {
    spawner.deadline(DrainPhase::Commit) / 5 * 4
}

fn deliverer_name(number: usize) -> String {
    if number == 1 { "consumer.deliver".to_owned() } else { format!("consumer.deliver-{number}") }
}

impl Seams {
    /// Where the journal lost its end behind what the store has durably, moves the end there.
    async fn move_ends(&self, settings: &ConsumerSettings) -> Result<(), SubscribeError> {
        let failed = |source: BoxError| SubscribeError::Failed { group: settings.group.clone(), source };
        let streams = self.journal.streams().await.map_err(|error| failed(error.into()))?;
        let commits: Vec<Commit> = streams
            .iter()
            .filter(|stream| settings.streams.matches(&stream.name))
            .flat_map(|stream| &stream.partitions)
            .filter_map(|bounds| {
                let durable = self.store.durable(&bounds.partition)?;
                (durable > bounds.end)
                    .then(|| Commit { partition: bounds.partition.clone(), offset: durable })
            })
            .collect();
        if commits.is_empty() {
            return Ok(());
        }
        warn!(partitions = commits.len(), "the store is ahead of the end of the journal, which is moved");
        self.journal.commit(&settings.group, &commits).await.map_err(|error| failed(error.into()))
    }
}
