//! The handle with which events are redacted.

use std::sync::Arc;

use arc_swap::ArcSwap;
use weir_model::EventBatch;

use crate::apply::apply;
use crate::document::{Document, RefusedRule};
use crate::metrics::RedactionMetrics;
use crate::rules::{Manner, Rules};

/// Takes out of events what the rules of the moment say. Clones share the rules.
///
/// It does so to what is decoded, before anything else sees it. What can not be decoded can not be redacted.
#[derive(Debug, Clone)]
pub struct Redactor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    rules: ArcSwap<Rules>,
    metrics: RedactionMetrics,
}

impl Redactor {
    /// Redacts nothing.
    #[must_use]
    pub fn off() -> Self {
        Self::with(RedactionMetrics::default())
    }

    /// Redacts nothing yet.
    pub(crate) fn with(metrics: RedactionMetrics) -> Self {
        Self { shared: Arc::new(Shared { rules: ArcSwap::default(), metrics }) }
    }

    /// Redacts by the rules of this document, for ever; also what of them can not be applied.
    #[must_use]
    pub fn by(document: &Document, manner: Manner, metrics: RedactionMetrics) -> (Self, Vec<RefusedRule>) {
        let redactor = Self::with(metrics);
        let refused = redactor.replace(document, manner);
        (redactor, refused)
    }

    /// Redacts every event of the batch by the rules for its index prefix. An event that changes has no original
    /// any more. Nothing to do costs a look-up.
    pub fn redact(&self, batch: &mut EventBatch) {
        let rules = self.shared.rules.load();
        if let Some(rules) = rules.of(batch.index_prefix().as_str()) {
            apply(rules, batch, &self.shared.metrics);
        }
    }

    /// Whether nothing would be redacted, whatever comes.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.shared.rules.load().is_empty()
    }

    /// Takes other rules from the next batch on: what of them can not be applied.
    pub(crate) fn replace(&self, document: &Document, manner: Manner) -> Vec<RefusedRule> {
        let metrics = &self.shared.metrics;
        metrics.unload();
        let mut refused = document.refused.clone();
        let rules = Rules::compile(document, manner, metrics, &mut refused);
        metrics.refused(refused.len());
        self.shared.rules.store(Arc::new(rules));
        refused
    }

    pub(crate) fn metrics(&self) -> &RedactionMetrics {
        &self.shared.metrics
    }
}
