//! What a consumer and a server have of their fleet: its journal, its store, its dead letters and its rules.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use weir_dead_letters::{DeadLetterStream, OpenView};
use weir_foundation::metrics::Builder;
use weir_journal_kafka::KafkaJournal;
use weir_store::DeadLetterStore;
use weir_store::segment::{self, SegmentParts, SegmentStore};
use weir_store_elastic::ElasticStore;

use super::discovery::Discovery;
use super::{Process, redaction};
use crate::settings::Settings;

/// Opened, and not served yet.
pub(super) struct Fleet {
    pub(super) journal: Arc<KafkaJournal>,
    pub(super) store: ElasticStore,
    pub(super) dead_letters: Arc<dyn DeadLetterStore>,
    /// Nothing may be shown or delivered before its rules are known.
    pub(super) redaction: weir_redaction::Starting,
}

impl Fleet {
    pub(super) async fn open(settings: &Settings, process: &Process, metrics: &mut Builder) -> Result<Self> {
        let Process { clock, spawner, .. } = process;
        let discovery = Discovery::new(settings, process, metrics)?;
        let journal = KafkaJournal::open(discovery.kafka().await, Arc::clone(clock), spawner, metrics)
            .await
            .context("open the journal")?;
        let redaction = redaction(settings, process, metrics)?;
        let store = discovery.elasticsearch(metrics).await?;
        let dead_letters = Arc::new(dead_letters(settings, process, Arc::clone(&journal)).await?);
        Ok(Self { journal, store, dead_letters, redaction })
    }
}

/// Those of the group, in the topic `<group>-dead`; the view of them is in the data directory.
async fn dead_letters(
    settings: &Settings,
    process: &Process,
    journal: Arc<KafkaJournal>,
) -> Result<DeadLetterStream> {
    let directory = settings.data_dir.join("dead-letters");
    let of_view = segment::Settings { directory, ..settings.store.clone() };
    let Process { clock, spawner, health, .. } = process.clone();
    let view: OpenView = Box::new(move || {
        let parts =
            SegmentParts { clock: Arc::clone(&clock), spawner: spawner.clone(), health: health.clone() };
        Ok(Arc::new(SegmentStore::open(of_view.clone(), parts)?))
    });
    let parts = weir_dead_letters::Parts { journal, view, clock: Arc::clone(&process.clock) };
    DeadLetterStream::open(&settings.consumer.group, parts).await.context("open the dead letters")
}
