//! The seam over the other parts.

mod partitions;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;
use weir_foundation::clock::Clock;
use weir_foundation::failure::BoxError;
use weir_foundation::health::Health;
use weir_foundation::supervise::{DrainPhase, Policy, Spawner};
use weir_model::{Day, EventId, EventRef, IndexPrefix, Offset, Position, StreamPartition, Timestamp};
use weir_store::{
    DropError, IndexInfo, IndexStore, InspectError, PositionRun, Rejection, SearchError, SearchRequest,
    SearchResponse, Verdicts, WriteBatch, WriteError, WriteRecord,
};

use self::partitions::{Partitions, Place};
use crate::bulk::{Claim, Draft, Ticket};
use crate::client::{ACTION_END, Answer, Call, Found, action};
use crate::document::{Extras, Writer};
use crate::http::{BuildError, Http, HttpError};
use crate::indices::LARGEST_LISTING;
use crate::metrics::ElasticMetrics;
use crate::names::Names;
use crate::queues::{Limits, Queues};
use crate::search;
use crate::section::{Documents, IndexMode, Settings};
use crate::sender::Sender;

/// The index store over Elasticsearch or OpenSearch. Clones share it; with the last one the sending ends.
#[derive(Debug, Clone)]
pub struct ElasticStore {
    shared: Arc<Shared>,
}

/// What the store stands on.
#[derive(Debug)]
pub struct ElasticParts {
    /// Time, for waiting.
    pub clock: Arc<dyn Clock>,
    /// A task for the sending.
    pub spawner: Spawner,
    /// Where the store says how it does, as `elastic`.
    pub health: Health,
    /// What it counts.
    pub metrics: ElasticMetrics,
}

/// Why the store can not be used, whatever the nodes do. They are not asked.
#[derive(Debug, thiserror::Error)]
#[error("the connection to the index store can not be made")]
pub struct OpenError(#[source] BoxError);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) names: Names,
    pub(crate) http: Arc<Http>,
    pub(crate) clock: Arc<dyn Clock>,
    queues: Arc<Queues>,
    partitions: Partitions,
    /// Data streams that are there or have a template.
    streams: Mutex<HashSet<IndexPrefix>>,
    /// Dropped with the store.
    _open: watch::Sender<()>,
}

/// A node said no.
#[derive(Debug, thiserror::Error)]
#[error("the store answered {status}: {reason}")]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) reason: String,
}

/// Without an answer to any request for this long while some wait, the store is stuck.
const STALL_AFTER: Duration = Duration::from_secs(120);
/// Ids in one question, of at most some hundred bytes each.
const IDS_AT_ONCE: usize = 1_000;

impl ElasticStore {
    /// Reads certificates and starts the sending; whether a node is there is seen when something is to be done.
    pub fn open(settings: Settings, parts: ElasticParts) -> Result<Self, OpenError> {
        let ElasticParts { clock, spawner, health, metrics } = parts;
        let failed = |error: BuildError| OpenError(error.into());
        let http = Arc::new(Http::new(&settings, Arc::clone(&clock)).map_err(failed)?);
        let queues = Arc::new(Queues::new(limits(&settings)));
        let (open, closed) = watch::channel(());
        let health = health.register("elastic", STALL_AFTER);
        health.idle();
        let sender = Sender {
            queues: Arc::clone(&queues),
            http: Arc::clone(&http),
            clock: Arc::clone(&clock),
            metrics,
            health,
            mode: settings.mode,
            closed,
            complained: false,
        };
        spawner.spawn("elastic.send", Policy::essential(DrainPhase::Close), |drain| async move {
            sender.run(drain).await;
            Ok::<(), std::convert::Infallible>(())
        });
        let names = Names { namespace: settings.namespace.clone(), mode: settings.mode };
        let partitions = Partitions::default();
        let shared = Shared {
            settings,
            names,
            http,
            clock,
            queues,
            partitions,
            streams: Mutex::default(),
            _open: open,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// From now on the nodes are there. What is on its way to others is not lost: it has a verdict, or is sent
    /// again.
    pub fn nodes_are_at(&self, urls: &[String]) -> Result<(), OpenError> {
        let nodes = self.shared.settings.nodes_at(urls);
        self.shared.http.replace_nodes(&nodes).map_err(|error| OpenError(error.into()))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        bulk_documents: if settings.mode == IndexMode::Single { 1 } else { settings.bulk_documents },
        bulk_bytes: settings.bulk_bytes,
        requests: settings.requests,
        buffer: settings.buffer,
        gzip_level: settings.gzip_level,
        retry: settings.retry,
    }
}

#[async_trait]
impl IndexStore for ElasticStore {
    /// Answers when every document has a verdict; retries for as long as it takes. Dropped, it leaves what is on
    /// its way to be stored or not.
    async fn write(&self, mut batch: WriteBatch) -> Result<Verdicts, WriteError> {
        let shared = &*self.shared;
        let place = shared.partitions.expect(&batch.partition, batch.from)?;
        shared.ensure_streams(&batch).await?;
        let present = shared.present(&batch, &place).await?;
        let claim = Claim(Arc::default());
        let written = shared.hand_over(&batch, &place, &present, &claim.0).await;
        // The queues have the documents; the answer may take long.
        drop(std::mem::take(&mut batch.records));
        let verdicts = claim.verdicts().await;
        shared.partitions.wrote(&batch.partition, &place, batch.next);
        if place.unsure > 0 {
            shared.partitions.looked(
                &batch.partition,
                &place,
                present.len(),
                written,
                shared.settings.recheck,
            );
        }
        Ok(verdicts)
    }

    fn resume(&self, partition: &StreamPartition, committed: Offset) -> Offset {
        let unsure = match self.shared.settings.mode {
            IndexMode::DataStream => self.shared.settings.recheck,
            IndexMode::Daily | IndexMode::Single => 0,
        };
        self.shared.partitions.resume(partition, committed, unsure);
        committed
    }

    fn release(&self, partitions: &[StreamPartition]) {
        self.shared.partitions.release(partitions);
        self.shared.queues.forget_abandoned();
    }

    fn durable(&self, partition: &StreamPartition) -> Option<Offset> {
        self.shared.partitions.durable(partition)
    }

    fn progress(&self) -> watch::Receiver<u64> {
        self.shared.partitions.progress()
    }

    /// Nothing is to be done: what a write has answered is durable.
    async fn flush(&self) -> Result<(), WriteError> {
        Ok(())
    }

    async fn search(&self, request: SearchRequest) -> Result<SearchResponse, SearchError> {
        search::search(&self.shared, request).await
    }

    /// As of the last refresh of each index.
    async fn indices(&self) -> Result<Vec<IndexInfo>, InspectError> {
        self.shared.indices().await.map_err(InspectError)
    }

    /// Removes whole days of indices that weir wrote. A data stream is left to its own lifecycle: nothing of it is
    /// removed.
    async fn drop_before(&self, prefix: Option<&IndexPrefix>, day: Day) -> Result<u64, DropError> {
        self.shared.drop_before(prefix, day).await.map_err(DropError)
    }

    async fn holds(
        &self,
        partition: &StreamPartition,
        wanted: &[PositionRun],
    ) -> Result<Vec<PositionRun>, InspectError> {
        let pattern = self.shared.names.every_pattern();
        let held = self.shared.held(&pattern, ids_of_runs(partition, wanted)).await.map_err(InspectError)?;
        Ok(PositionRun::select(wanted, |offset, index| held.contains(&(offset, index))))
    }
}

impl Shared {
    const fn extras(&self) -> Extras {
        match self.settings.documents {
            Documents::Weir => Extras::Weir,
            Documents::Barito => Extras::Barito,
        }
    }

    fn day(&self, event: &EventRef<'_>, received: Timestamp) -> Day {
        match self.settings.documents {
            Documents::Weir => self.settings.filing.day(event.time, received),
            Documents::Barito => received.day(),
        }
    }

    /// Gives the documents of the batch to the queues, as far as they are not `present`, and answers how many
    /// bytes that were.
    async fn hand_over(
        &self,
        batch: &WriteBatch,
        place: &Place,
        present: &HashSet<(Offset, u32)>,
        ticket: &Arc<Ticket>,
    ) -> usize {
        let mut sheets = Sheets::default();
        let mut writer = Writer::new(&batch.partition);
        let mut written = 0;
        for record in &batch.records {
            if record.offset < place.durable {
                continue;
            }
            writer.start_record(record.offset, record.received, self.extras());
            for (index, event) in (0..).zip(record.events.events()) {
                if event.content.is_err() || present.contains(&(record.offset, index)) {
                    continue;
                }
                let day = self.day(&event, record.received);
                let sheet = sheets.of(record.events.index_prefix(), day, &self.names);
                let draft = sheet.draft.get_or_insert_with(|| Draft::new(ticket, self.due(batch)));
                written += self.add(draft, &sheet.action, &mut writer, record, index, &event, ticket);
                if self.queues.is_full(draft)
                    && let Some(draft) = sheet.draft.take()
                {
                    self.queues.submit(&sheet.index, draft).await;
                }
            }
        }
        for sheet in sheets.0 {
            if let Some(draft) = sheet.draft.filter(|draft| !draft.is_empty()) {
                self.queues.submit(&sheet.index, draft).await;
            }
        }
        written
    }

    /// Until when documents wait for others of their index.
    fn due(&self, batch: &WriteBatch) -> Instant {
        let now = self.clock.monotonic();
        if batch.more { now } else { now + self.settings.linger }
    }

    #[expect(clippy::too_many_arguments, reason = "the innermost loop, on what the loops around it hold")]
    fn add(
        &self,
        draft: &mut Draft,
        action: &[u8],
        writer: &mut Writer,
        record: &WriteRecord,
        index: u32,
        event: &EventRef<'_>,
        ticket: &Ticket,
    ) -> usize {
        let Ok(content) = event.content else { return 0 };
        let before = draft.size();
        let added = draft.add(record.offset, index, |lines| {
            lines.extend_from_slice(action);
            writer.append_id(index, lines);
            lines.extend_from_slice(ACTION_END);
            writer.append(index, event.time, content, self.extras(), lines)?;
            lines.push(b'\n');
            Ok(())
        });
        match added {
            Ok(()) => ticket.open(),
            Err(occupied) => {
                let occupied: crate::document::Occupied = occupied;
                let reason = occupied.to_string();
                ticket.reject(Rejection { offset: record.offset, index, reason, label: "undefined_error" });
            }
        }
        draft.size() - before
    }

    async fn ensure_streams(&self, batch: &WriteBatch) -> Result<(), WriteError> {
        if self.settings.mode != IndexMode::DataStream {
            return Ok(());
        }
        let streams = || self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for prefix in prefixes_of(batch) {
            if streams().contains(&prefix) {
                continue;
            }
            self.ensure_stream(&self.names.pattern(&prefix)).await.map_err(WriteError::Unavailable)?;
            streams().insert(prefix);
        }
        Ok(())
    }

    /// Which events of the batch a data stream has already, as long as that is in doubt.
    async fn present(&self, batch: &WriteBatch, place: &Place) -> Result<HashSet<(Offset, u32)>, WriteError> {
        if place.unsure == 0 {
            return Ok(HashSet::new());
        }
        let mut present = HashSet::new();
        for prefix in prefixes_of(batch) {
            let held = self.held(&self.names.pattern(&prefix), ids_of_prefix(batch, &prefix)).await;
            present.extend(held.map_err(WriteError::Unavailable)?);
        }
        Ok(present)
    }

    /// Which of these events the indices have, of one partition.
    async fn held(&self, pattern: &str, ids: Vec<String>) -> Result<HashSet<(Offset, u32)>, BoxError> {
        let mut held = HashSet::new();
        if ids.is_empty() {
            return Ok(held);
        }
        self.refresh(pattern).await?;
        for some in ids.chunks(IDS_AT_ONCE) {
            let answer = self.ask(&Call::existing(pattern, some), LARGEST_LISTING).await?;
            let found: Found = serde_json::from_slice(&answer.body)?;
            if found.shards.failed > 0 || found.timed_out {
                return Err(
                    Refused { status: answer.status, reason: "not all shards answered".to_owned() }.into()
                );
            }
            let ids = found.hits.hits.iter().filter_map(|hit| hit.id.parse::<EventId>().ok());
            held.extend(ids.map(|EventId(position)| (position.offset, position.index)));
        }
        Ok(held)
    }

    /// Searches see only what was refreshed. Who may not ask for that sees what is older than the interval of the
    /// index, a second if nobody set it.
    async fn refresh(&self, pattern: &str) -> Result<(), BoxError> {
        let answer = self.http.ask(&Call::refresh(pattern), LARGEST_LISTING).await?;
        match answer.status {
            200..=299 | 404 => Ok(()),
            401 | 403 => {
                self.clock.sleep(Duration::from_secs(2)).await;
                Ok(())
            }
            status => Err(Refused { status, reason: answer.reason() }.into()),
        }
    }

    /// An answer that is good, or the reason why it is not.
    pub(crate) async fn ask(&self, call: &Call, most: usize) -> Result<Answer, BoxError> {
        let answer = self.http.ask(call, most).await.map_err(|error: HttpError| BoxError::from(error))?;
        match answer.is_success() {
            true => Ok(answer),
            false => Err(Refused { status: answer.status, reason: answer.reason() }.into()),
        }
    }
}

/// Each once.
fn prefixes_of(batch: &WriteBatch) -> Vec<IndexPrefix> {
    let mut prefixes: Vec<_> =
        batch.records.iter().map(|record| record.events.index_prefix().clone()).collect();
    prefixes.sort();
    prefixes.dedup();
    prefixes
}

fn ids_of_prefix(batch: &WriteBatch, prefix: &IndexPrefix) -> Vec<String> {
    let mut ids = Vec::new();
    for record in batch.records.iter().filter(|record| record.events.index_prefix() == prefix) {
        for (index, _) in (0..).zip(record.events.events()).filter(|(_, event)| event.content.is_ok()) {
            let position = Position { partition: batch.partition.clone(), offset: record.offset, index };
            ids.push(EventId(position).to_string());
        }
    }
    ids
}

fn ids_of_runs(partition: &StreamPartition, runs: &[PositionRun]) -> Vec<String> {
    let mut ids = Vec::new();
    for run in runs {
        for index in (run.first_index..).take(run.count as usize) {
            let position = Position { partition: partition.clone(), offset: run.offset, index };
            ids.push(EventId(position).to_string());
        }
    }
    ids
}

/// The drafts of one write, by index.
#[derive(Debug, Default)]
struct Sheets(Vec<Sheet>);

#[derive(Debug)]
struct Sheet {
    prefix: IndexPrefix,
    day: Day,
    index: Arc<str>,
    action: Vec<u8>,
    draft: Option<Draft>,
}

impl Sheets {
    /// The last one is looked at first: neighbours go to one index.
    fn of(&mut self, prefix: &IndexPrefix, day: Day, names: &Names) -> &mut Sheet {
        let known = self.0.iter().rposition(|sheet| sheet.day == day && sheet.prefix == *prefix);
        let at = known.unwrap_or_else(|| {
            let index = names.target(prefix, day);
            let action = action(&index).into_bytes();
            self.0.push(Sheet { prefix: prefix.clone(), day, index: index.into(), action, draft: None });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}
