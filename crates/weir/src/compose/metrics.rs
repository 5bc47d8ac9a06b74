//! What the journal and the index count, as metrics.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use weir_foundation::metrics::Builder;
use weir_journal::sqlite::SqliteJournal;
use weir_store::segment::SegmentStore;

pub(super) fn register(builder: &mut Builder, journal: &Arc<SqliteJournal>, store: &SegmentStore) {
    let counts = StorageCounts { journal: Arc::clone(journal), store: store.clone() };
    builder.weir().register_collector(Box::new(counts));
}

/// Asked at every scrape; neither the journal nor the index knows of metrics.
#[derive(Debug)]
struct StorageCounts {
    journal: Arc<SqliteJournal>,
    store: SegmentStore,
}

impl Collector for StorageCounts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut out = Encoder(&mut encoder);
        let journal = self.journal.stats();
        out.counter("journal_records", "Records that became durable", journal.records)?;
        out.counter("journal_events", "Events that became durable", journal.events)?;
        out.counter("journal_value_bytes", "Bytes of records as they came", journal.value_bytes)?;
        out.counter("journal_stored_bytes", "Bytes of records as they are stored", journal.stored_bytes)?;
        out.counter("journal_commits", "Syncs of the journal", journal.commits)?;
        let seconds = journal.commit_time.as_secs_f64();
        out.counter("journal_commit_seconds", "Time in syncs of the journal", seconds)?;
        out.counter("journal_refused_full", "Records refused for want of space", journal.refused_full)?;
        out.counter("journal_removed_files", "Files removed by retention", journal.removed_files)?;
        out.gauge("journal_files", "Files of the journal", journal.files)?;
        out.gauge("journal_retained_bytes", "Bytes of the records in them", journal.retained_bytes)?;
        out.gauge("journal_quarantined_files", "Files that could not be read", journal.quarantined_files)?;
        out.gauge("journal_held_files", "Files over a limit that a group holds back", journal.held_files)?;
        let store = self.store.stats();
        out.counter("index_sealed_segments", "Segments made from memory", store.sealed)?;
        out.counter("index_sealed_rows", "Rows in them", store.sealed_rows)?;
        out.counter("index_sealed_bytes", "Bytes in them", store.sealed_bytes)?;
        out.counter("index_merged_segments", "Segments made from segments", store.merged)?;
        out.counter("index_merged_rows", "Rows in them", store.merged_rows)?;
        out.counter("index_dropped_rows", "Rows removed by retention", store.dropped_rows)?;
        out.counter("index_failures", "Attempts of the index that had to be repeated", store.failures)?;
        out.gauge("index_head_bytes", "Bytes of rows that are only in memory", self.store.memory() as u64)
    }
}

struct Encoder<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Encoder<'_, '_> {
    fn counter<N>(&mut self, name: &str, help: &str, value: N) -> std::fmt::Result
    where
        ConstCounter<N>: EncodeMetric,
    {
        self.metric(name, help, &ConstCounter::new(value))
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> std::fmt::Result {
        self.metric(name, help, &ConstGauge::new(value))
    }

    fn metric(&mut self, name: &str, help: &str, metric: &impl EncodeMetric) -> std::fmt::Result {
        metric.encode(self.0.encode_descriptor(name, help, None, metric.metric_type())?)
    }
}
