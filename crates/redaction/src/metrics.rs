//! What redaction counts.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use weir_foundation::metrics::{Builder, Counter, Family, Gauge};

use crate::document::RuleKind;

/// The counters of redaction. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct RedactionMetrics {
    redacted: Family<Rule, Counter>,
    loaded: Family<Loaded, Gauge<u64, AtomicU64>>,
    refused: Gauge<u64, AtomicU64>,
    broken: Counter,
    loads: Family<Outcome, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rule {
    app: String,
    rule: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Loaded {
    app_name: String,
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl RedactionMetrics {
    #[must_use]
    pub fn register(builder: &mut Builder) -> Self {
        let metrics = Self::default();
        let registry = builder.weir().sub_registry_with_prefix("redaction");
        registry.register("redacted", "What was redacted, by the rule that did", metrics.redacted.clone());
        registry.register("refused_rules", "Rules that can not be applied", metrics.refused.clone());
        registry.register(
            "broken_events",
            "Events that were no JSON any more and are kept as a message",
            metrics.broken.clone(),
        );
        registry.register("loads", "Attempts to read the rules", metrics.loads.clone());
        builder.raw().register("barito_redaction_status", "Rules of an app", metrics.loaded.clone());
        metrics
    }

    pub(crate) fn of_rule(&self, app: &str, rule: &str) -> Counter {
        self.redacted.get_or_create_owned(&Rule { app: app.to_owned(), rule: rule.to_owned() })
    }

    /// Forgets how many rules there were.
    pub(crate) fn unload(&self) {
        self.loaded.clear();
    }

    pub(crate) fn loaded(&self, app: &str, paths: usize, texts: usize) {
        for (kind, count) in [(RuleKind::Path, paths), (RuleKind::Text, texts)] {
            let r#type = match kind {
                RuleKind::Path => "JsonPathRules",
                RuleKind::Text => "StaticRules",
            };
            self.loaded.get_or_create(&Loaded { app_name: app.to_owned(), r#type }).set(count as u64);
        }
    }

    pub(crate) fn refused(&self, rules: usize) {
        self.refused.set(rules as u64);
    }

    pub(crate) fn broke(&self) {
        self.broken.inc();
    }

    pub(crate) fn load(&self, outcome: &'static str) {
        self.loads.get_or_create(&Outcome { outcome }).inc();
    }
}
