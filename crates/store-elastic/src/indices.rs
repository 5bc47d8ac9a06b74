//! The indices that are there: which are weir's, and how long they stay.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use weir_foundation::failure::{BoxError, chain};
use weir_foundation::supervise::{DrainPhase, Policy, Spawner};
use weir_model::{Day, IndexPrefix, Timestamp};
use weir_store::IndexInfo;

use crate::client::{Call, ListedIndex};
use crate::section::{Documents, IndexMode};
use crate::store::{ElasticStore, Refused, Shared};

/// Of an answer about the store itself, in bytes.
pub(crate) const LARGEST_LISTING: usize = 64 << 20;

/// How often it is looked what became too old; days change once a day.
const LOOKS_EVERY: Duration = Duration::from_secs(3600);

/// The field that every index with a document of weir has mapped, whoever made its template.
const MARK: &str = "weir.order";

/// Which fields an index has mapped, of those that were asked for.
#[derive(Debug, Deserialize)]
struct MappedFields {
    #[serde(default)]
    mappings: BTreeMap<String, IgnoredAny>,
}

impl ElasticStore {
    /// Removes daily indices that are older than the settings keep them, now and again and again. To be called by
    /// one role of a fleet; by several it does no harm. Does nothing where the settings keep all.
    pub fn retain(&self, spawner: &Spawner) {
        let Some(keep_for) = self.shared().settings.keep_for else { return };
        let store = self.clone();
        let policy = Policy::essential(DrainPhase::StopIntake);
        spawner.spawn("elastic.retention", policy, |drain| async move {
            loop {
                tokio::select! {
                    () = drain.draining() => return Ok::<(), Infallible>(()),
                    () = store.drop_older(keep_for) => {}
                }
                tokio::select! {
                    () = drain.draining() => return Ok(()),
                    () = store.shared().clock.sleep(LOOKS_EVERY) => {}
                }
            }
        });
    }

    async fn drop_older(&self, keep_for: Duration) {
        let shared = self.shared();
        let day = Timestamp::from(shared.clock.now()).saturating_sub(keep_for).day();
        match shared.drop_before(None, day).await {
            Ok(0) => {}
            Ok(events) => {
                tracing::info!(before = %day, events, "removed indices that retention does not keep")
            }
            Err(error) => {
                tracing::warn!(before = %day, error = %chain(&*error), "old indices could not be removed, trying again later");
            }
        }
    }
}

impl Shared {
    /// Every index that is ours by its name: the name, and what it is.
    pub(crate) async fn listed(&self, pattern: &str) -> Result<Vec<(String, IndexInfo)>, BoxError> {
        let answer = self.http.ask(&Call::indices(pattern), LARGEST_LISTING).await?;
        if answer.status == 404 {
            return Ok(Vec::new());
        }
        if !answer.is_success() {
            return Err(Refused { status: answer.status, reason: answer.reason() }.into());
        }
        let rows: Vec<ListedIndex> = serde_json::from_slice(&answer.body)?;
        let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut listed: Vec<_> = rows
            .into_iter()
            .filter_map(|row| {
                let millis = row.created_millis.as_deref().and_then(|text| text.parse::<i64>().ok());
                let made = millis.map(|millis| Timestamp::from_micros(millis.saturating_mul(1_000)).day());
                let (prefix, day) = self.names.parse(&row.index, made)?;
                let (events, bytes) = (number(&row.documents), number(&row.bytes));
                Some((row.index, IndexInfo { prefix, day, events, bytes, files: Vec::new() }))
            })
            .collect();
        listed.sort_by(|(_, a), (_, b)| (&a.prefix, a.day).cmp(&(&b.prefix, b.day)));
        Ok(listed)
    }

    /// Of a data stream the indices of one day are one.
    pub(crate) async fn indices(&self) -> Result<Vec<IndexInfo>, BoxError> {
        let mut indices: Vec<IndexInfo> = Vec::new();
        for (_, info) in self.listed(&self.names.every_pattern()).await? {
            match indices.last_mut() {
                Some(last) if last.prefix == info.prefix && last.day == info.day => {
                    last.events += info.events;
                    last.bytes += info.bytes;
                }
                _ => indices.push(info),
            }
        }
        Ok(indices)
    }

    /// Removes days before `day`. Where documents have a mark, an index without it is somebody else's, whatever its
    /// name, and stays.
    pub(crate) async fn drop_before(&self, prefix: Option<&IndexPrefix>, day: Day) -> Result<u64, BoxError> {
        if self.settings.mode == IndexMode::DataStream {
            return Ok(0);
        }
        let pattern = prefix.map_or_else(|| self.names.every_pattern(), |prefix| self.names.pattern(prefix));
        let doomed = |info: &IndexInfo| info.day < day && prefix.is_none_or(|prefix| *prefix == info.prefix);
        let mut doomed: Vec<_> =
            self.listed(&pattern).await?.into_iter().filter(|(_, info)| doomed(info)).collect();
        if self.settings.documents == Documents::Weir && !doomed.is_empty() {
            let marked = self.marked(&pattern).await?;
            doomed.retain(|(name, _)| marked.contains(name));
        }
        let mut dropped = 0;
        for (name, info) in doomed {
            self.ask(&Call::delete_index(&name), LARGEST_LISTING).await?;
            dropped += info.events;
        }
        Ok(dropped)
    }

    /// Names of indices that have documents of weir.
    async fn marked(&self, pattern: &str) -> Result<HashSet<String>, BoxError> {
        let answer = self.ask(&Call::mapped_field(pattern, MARK), LARGEST_LISTING).await?;
        let indices: BTreeMap<String, MappedFields> = serde_json::from_slice(&answer.body)?;
        let marked = indices.into_iter().filter(|(_, fields)| !fields.mappings.is_empty());
        Ok(marked.map(|(name, _)| name).collect())
    }
}
