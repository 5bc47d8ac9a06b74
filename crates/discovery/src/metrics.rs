//! What discovery counts.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use weir_foundation::metrics::{Builder, Counter, Family, Gauge};

/// The counters of discovery. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct DiscoveryMetrics {
    endpoints: Family<Service, Gauge<u64, AtomicU64>>,
    moves: Family<Service, Counter>,
    failures: Family<Service, Counter>,
    away: Family<Service, Gauge<u64, AtomicU64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Service {
    service: String,
}

impl DiscoveryMetrics {
    #[must_use]
    pub fn register(builder: &mut Builder) -> Self {
        let metrics = Self::default();
        let registry = builder.weir().sub_registry_with_prefix("discovery");
        registry.register(
            "endpoints",
            "Instances that Consul knows, as of its last answer",
            metrics.endpoints.clone(),
        );
        registry.register("moves", "Times that they were others than before", metrics.moves.clone());
        registry.register("failures", "Questions to Consul without a good answer", metrics.failures.clone());
        registry.register("away", "1 while Consul can not be asked", metrics.away.clone());
        metrics
    }

    pub(crate) fn found(&self, service: &str, endpoints: usize) {
        let service = label(service);
        self.endpoints.get_or_create(&service).set(endpoints as u64);
        self.away.get_or_create(&service).set(0);
    }

    pub(crate) fn moved(&self, service: &str) {
        self.moves.get_or_create(&label(service)).inc();
    }

    pub(crate) fn failed(&self, service: &str) {
        let service = label(service);
        self.failures.get_or_create(&service).inc();
        self.away.get_or_create(&service).set(1);
    }
}

fn label(service: &str) -> Service {
    Service { service: service.to_owned() }
}
