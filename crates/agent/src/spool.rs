//! Events that can not be read again, kept on this node until the server has them.
//!
//! ```text
//! input ──keep──▶ journal ──read, merge, pack──▶ line ──▶ uplink
//!           ▲       │  ▲                          ▲          │
//!          gate     ▼  ╰─── commit ───────────────┴ verdicts ╯
//!           ╰──── files
//! ```
//!
//! Below `spool/` in the folder of the agent each input has a journal of its own, named like it, with one stream of one
//! partition and one group. What [`Spool::keep`] has answered for is durable there. One task per spool sends it:
//! consecutive records become one parcel, at most four of which are in memory, and the group is committed where the server
//! has them. Files of the journal go as soon as all of their records were passed.
//!
//! To the server a spool is a source like a file. Its id is made of the spool's name and the incarnation of the partition;
//! positions are the offsets of records, so that parcels of other sizes after a restart are the same source. Offsets whose
//! records are gone are told as a stretch without events. A folder that was put back from a copy gives offsets again that
//! the server knows: where the server has more than ever was here, what waits is sent as another source.
//!
//! Limits are kept by the gate, at which [`Spool::keep`] waits, and the sender, which makes room: by sending or, where the
//! settings say so, by passing over the oldest file. What was sent once stays in memory until its verdict is known: so what
//! was dropped and what was delivered add up to what was kept, for as long as the process lives.

mod cut;
mod error;
mod gate;
mod life;
mod line;
mod load;
mod measure;
mod report;
mod room;
mod section;
mod sender;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use weir_foundation::clock::Clock;
use weir_foundation::supervise::{DrainPhase, Policy, Spawner};
use weir_journal::sqlite::{Condition, Disk, Retention, Settings, SqliteJournal, SystemDisk, Undelivered};
use weir_journal::{AppendError, Journal, Origin, ReadBudget, ReadError, StreamSpec};
use weir_model::{ByteSize, Offset, StreamName, StreamPartition, Timestamp};
use weir_uplink::{Course, Uplink};
use weir_wire::EventsBuilder;

pub use self::error::{KeepError, SpoolError};
use self::gate::Gate;
use self::life::Life;
use self::line::{Line, Point};
use self::report::Counts;
pub use self::report::{Dropped, SpoolReport};
pub use self::section::{SpoolSection, SpoolSettings, WhenFull};
use self::sender::Sender;
pub use crate::metrics::SpoolMetrics;

/// Memory of records that wait to be written, unless one call brings more.
const QUEUE: ByteSize = ByteSize::mib(1);

/// The largest event. A record is not much larger.
const MAX_EVENT: usize = 1 << 20;

/// How many files there are when the spool is full.
const FILES: u64 = 8;

/// How long a drop has to show on a disk that is full.
const SETTLES: Duration = Duration::from_millis(100);

/// What a spool needs of the process that it lives in.
#[derive(Debug, Clone)]
pub struct SpoolParts {
    pub uplink: Uplink,
    pub clock: Arc<dyn Clock>,
    pub spawner: Spawner,
    pub metrics: SpoolMetrics,
    /// That of the agent.
    pub folder: PathBuf,
}

/// The spool of one input. Clones are the same.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

/// What the handle and the sender have in common.
#[derive(Debug)]
struct Shared {
    settings: SpoolSettings,
    journal: Arc<SqliteJournal>,
    /// Where it is.
    directory: PathBuf,
    partition: StreamPartition,
    gate: Gate,
    counts: Counts,
    clock: Arc<dyn Clock>,
    spawner: Spawner,
}

impl Spool {
    /// Opens or makes the spool, and starts to send what is in it, by a task named `agent.spool`. One spool of a name is
    /// open at a time.
    ///
    /// On drain nothing is sent any more from [`DrainPhase::StopIntake`] on; what is under way then is waited for until the
    /// uplink ends. What is kept until [`DrainPhase::Close`] is durable and is sent by the next process.
    pub async fn open(settings: SpoolSettings, parts: SpoolParts) -> Result<Self, SpoolError> {
        Self::open_on(Arc::new(SystemDisk), settings, parts).await
    }

    /// As [`Spool::open`], with another view of the free space.
    pub async fn open_on(
        disk: Arc<dyn Disk>,
        settings: SpoolSettings,
        parts: SpoolParts,
    ) -> Result<Self, SpoolError> {
        let SpoolParts { uplink, clock, spawner, metrics, folder } = parts;
        let name = StreamName::new(&settings.name)?;
        let directory = folder.join("spool").join(name.as_str());
        let journal = {
            let (settings, clock, spawning) =
                (journal_settings(&settings, directory.clone()), Arc::clone(&clock), spawner.clone());
            let open = move || SqliteJournal::open_on(disk, settings, clock, &spawning);
            spawner.blocking("agent.spool.open", open).await??
        };
        let spec = StreamSpec { partitions: Some(1), ..StreamSpec::new(name) };
        let creation = journal.create_stream(spec).await?;
        let bounds = creation.info().partitions.first().ok_or(SpoolError::NoPartition)?;
        let partition = bounds.partition.clone();
        let (life, committed) = Life::find(&journal, &partition, bounds.start).await?;
        let event = event_at(&journal, &partition, committed).await?;
        let waiting = bounds.end_event.unwrap_or(0).saturating_sub(event);
        let course = Course::new(life.source(&partition), committed.0);
        let line = Line::new(course, event, bounds.end.0);
        let shared = Arc::new(Shared {
            gate: Gate::new(settings.max_size.bytes()),
            counts: Counts::new(waiting, metrics.of(&settings.name)),
            settings,
            journal,
            directory,
            partition,
            clock,
            spawner: spawner.clone(),
        });
        let sender = Sender::new(Arc::clone(&shared), uplink, line, (life, committed));
        let stop = spawner.token(DrainPhase::StopIntake);
        spawner.spawn("agent.spool", Policy::essential(DrainPhase::FlushJournal), |_| async move {
            Box::pin(sender.run(&stop)).await;
            Ok::<(), std::convert::Infallible>(())
        });
        Ok(Self { shared })
    }

    /// Makes events durable on this node: all of them, or none where the error does not say otherwise. Those of one call
    /// keep their order, as do those of calls that follow one another. What has no time gets that of the call.
    ///
    /// Waits while the spool is full, until there is room by what the settings say. Whoever cancels the call does not know
    /// whether the events are kept.
    pub async fn keep(&self, events: EventsBuilder) -> Result<(), KeepError> {
        let Shared { journal, partition, gate, settings, clock, .. } = &*self.shared;
        let records = cut::cut(events, Timestamp::from(clock.now()), MAX_EVENT)?;
        let (size, limit) = (records.iter().map(|record| record.value.len()).sum(), file_size(settings));
        if size > limit.as_usize() {
            return Err(KeepError::TooMuch { size, limit: limit.as_usize() });
        }
        if records.is_empty() {
            return Ok(());
        }
        loop {
            let entered = gate.enter(cut::on_disk(&records)).await?;
            let appended = journal.append(&partition.stream, Origin::Any, records.clone()).await;
            drop(entered);
            match appended {
                Ok(_) => {
                    self.shared.counts.kept(journal);
                    return Ok(());
                }
                Err(AppendError::Full(_)) => {}
                Err(error) => return Err(error.into()),
            }
            self.wait_for_space().await?;
        }
    }

    /// What it did since it was opened, and how it is.
    #[must_use]
    pub fn report(&self) -> SpoolReport {
        self.shared.counts.report(&self.shared.journal)
    }

    /// The file system is full. The journal finds out by itself when it is not any more.
    async fn wait_for_space(&self) -> Result<(), KeepError> {
        let Shared { journal, gate, settings, clock, .. } = &*self.shared;
        let mut condition = journal.condition();
        let other = condition.wait_for(|condition| !matches!(condition, Condition::Full(_)));
        let dropped = async {
            match settings.when_full {
                WhenFull::Block => std::future::pending().await,
                WhenFull::DropOldest => {
                    gate.ask_for_drop().await;
                    clock.sleep(SETTLES).await;
                }
            }
        };
        tokio::select! {
            _other = other => Ok(()),
            () = dropped => Ok(()),
            () = gate.closed() => Err(KeepError::Closing),
        }
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("name", &self.shared.settings.name).finish_non_exhaustive()
    }
}

fn file_size(settings: &SpoolSettings) -> ByteSize {
    ByteSize(settings.max_size.bytes() / FILES)
}

/// What the group has passed goes at once, and nothing else ever: limits are the sender's.
fn journal_settings(settings: &SpoolSettings, directory: PathBuf) -> Settings {
    Settings {
        file_size: file_size(settings),
        max_partitions: 1,
        max_streams: 1,
        max_record: ByteSize(2 * MAX_EVENT as u64),
        queue: QUEUE,
        read_batch: QUEUE,
        retention: Retention { age: None, size: Some(ByteSize(0)), undelivered: Undelivered::Hold },
        ..Settings::new(directory)
    }
}

/// How many events are before an offset, as far as that is known: what is not known counts as before it.
async fn event_at(
    journal: &SqliteJournal,
    partition: &StreamPartition,
    offset: Offset,
) -> Result<u64, ReadError> {
    let end = end(journal, partition).await?;
    let batch = journal.read(partition, offset, ReadBudget { bytes: 0, records: 1 }).await?;
    let lost: u64 = batch.losses.iter().filter_map(|loss| loss.events).sum();
    let next = batch.records.first().and_then(|record| record.first_event).unwrap_or(end.event);
    Ok(next.saturating_sub(lost))
}

/// Behind everything that there is.
async fn end(journal: &SqliteJournal, partition: &StreamPartition) -> Result<Point, ReadError> {
    let streams = journal.streams().await?;
    let mut bounds = streams.iter().filter_map(|stream| stream.partition(partition.partition));
    let bounds = bounds.find(|bounds| bounds.partition == *partition);
    let known = bounds.map(|bounds| Point { offset: bounds.end.0, event: bounds.end_event.unwrap_or(0) });
    known.ok_or_else(|| ReadError::UnknownPartition(partition.clone()))
}
