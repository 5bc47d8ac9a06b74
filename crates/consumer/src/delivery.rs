//! Delivery from the journal to the index store.
//!
//! Three loops pass messages over bounded channels:
//!
//! ```text
//! journal ──▶ reader ──jobs──▶ deliverer ──▶ dead letters, index store
//!               ▲ ╰─rewinds──────╯ │
//!               │                  ╰notices─▶ committer ──▶ journal
//! ```
//!
//! * The **reader** holds at most the budget of bytes that are read and not delivered. A partition starts where
//!   the store's durable records end, whatever the group committed: behind that the store has all, below it
//!   the store may have lost what it only had taken.
//! * The **deliverer** decodes, buries what can not be stored, then writes; it repeats a step for ever, which
//!   changes nothing that was done since both stores are idempotent by position.
//! * The **committer** commits the lesser of delivered and durable.
//!
//! So at every instant each event is in the journal at or above the start of the next life, or durably in the
//! store, or a durable dead letter.

mod committer;
mod deliverer;
mod patience;
mod reader;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::warn;
use weir_foundation::clock::Clock;
use weir_foundation::failure::BoxError;
use weir_foundation::health::Health;
use weir_foundation::supervise::{DrainPhase, Policy, Spawner, TaskHandle};
use weir_journal::{Commit, Journal, ReadBatch, SubscribeError};
use weir_model::{Offset, StreamPartition};
use weir_store::{DeadLetterStore, IndexStore};

use self::committer::{Committer, Lanes};
use self::deliverer::Deliverer;
use self::patience::Patience;
use self::reader::{Budget, MOST_JOBS, Reader};
use crate::metrics::ConsumerMetrics;
use crate::section::ConsumerSettings;

/// What delivery works with.
#[derive(Debug, Clone)]
pub struct Dependencies {
    pub journal: Arc<dyn Journal>,
    pub store: Arc<dyn IndexStore>,
    pub dead_letters: Arc<dyn DeadLetterStore>,
    pub clock: Arc<dyn Clock>,
    pub health: Health,
    pub metrics: ConsumerMetrics,
}

/// A subscribed consumer that does not run yet.
#[derive(Debug)]
pub struct Delivery {
    reader: Reader,
    deliverer: Deliverer,
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

/// A batch on its way to the deliverer, with its share of the budget.
#[derive(Debug)]
struct Job {
    batch: ReadBatch,
    /// Where the batch before it ended.
    from: Offset,
    round: u64,
    permit: OwnedSemaphorePermit,
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
    Revoked(Vec<StreamPartition>),
}

/// Waiting for a store that has no room is no stall before it lasts as long as this.
const STALL_AFTER: Duration = Duration::from_secs(60);
const NOTICES: usize = 256;

impl Delivery {
    /// Subscribes the group. Once this has returned, no new record gets an offset that the store knows already:
    /// call it before anything is accepted.
    pub async fn subscribe(
        dependencies: Dependencies,
        settings: &ConsumerSettings,
    ) -> Result<Self, SubscribeError> {
        let Dependencies { journal, store, dead_letters, clock, health, metrics } = dependencies;
        let subscription = journal.subscribe(&settings.group, settings.streams.clone()).await?;
        let progress = store.progress();
        let seams = Seams { journal, store, dead_letters, clock, group: settings.group.as_str().into() };
        seams.move_ends(settings).await?;
        let patience = |name: &str| {
            let progress = health.register(name, STALL_AFTER);
            progress.idle();
            Patience::new(Arc::clone(&seams.clock), settings.retry, progress)
        };
        let (jobs, incoming_jobs) = mpsc::channel(MOST_JOBS as usize);
        let (rewinds, incoming_rewinds) = mpsc::channel(MOST_JOBS as usize);
        let (notices, incoming_notices) = mpsc::channel(NOTICES);
        Ok(Self {
            reader: Reader {
                seams: seams.clone(),
                subscription,
                budget: Budget::new(settings.in_flight.as_usize()),
                jobs,
                rewinds: incoming_rewinds,
                notices: notices.clone(),
                patience: patience("consumer.read"),
                lanes: BTreeMap::new(),
                waiting: None,
            },
            deliverer: Deliverer {
                seams: seams.clone(),
                jobs: incoming_jobs,
                rewinds,
                notices,
                patience: patience("consumer.deliver"),
                metrics: metrics.clone(),
                batch: settings.batch.as_usize(),
                lanes: BTreeMap::new(),
            },
            committer: Committer {
                patience: patience("consumer.commit"),
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
    /// [`DrainPhase::Commit`]. Fails if there is no thread for the deliverer.
    pub fn start(self, spawner: &Spawner) -> io::Result<()> {
        let Self { reader, deliverer, committer } = self;
        let delivering = Policy::essential(DrainPhase::FinishDeliveries);
        let runtime = Handle::current();
        spawner.spawn_thread("consumer.deliver", delivering, move |drain| {
            runtime.block_on(deliverer.run(drain));
            Ok::<(), io::Error>(())
        })?;
        spawner.spawn("consumer.read", delivering, |drain| async move {
            reader.run(drain).await;
            Ok::<(), io::Error>(())
        });
        spawner.spawn("consumer.commit", Policy::essential(DrainPhase::Commit), |drain| async move {
            committer.run(drain).await;
            Ok::<(), io::Error>(())
        });
        Ok(())
    }

    /// As [`Delivery::start`], without a thread of its own. For tests, which let it die by aborting the tasks.
    pub fn start_as_tasks(self, spawner: &Spawner) -> [TaskHandle; 2] {
        let Self { reader, deliverer, committer } = self;
        let delivering = spawner.spawn(
            "consumer.deliver",
            Policy::essential(DrainPhase::FinishDeliveries),
            |drain| async move {
                tokio::join!(reader.run(drain.clone()), deliverer.run(drain));
                Ok::<(), io::Error>(())
            },
        );
        let committing =
            spawner.spawn("consumer.commit", Policy::essential(DrainPhase::Commit), |drain| async move {
                committer.run(drain).await;
                Ok::<(), io::Error>(())
            });
        [delivering, committing]
    }
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
