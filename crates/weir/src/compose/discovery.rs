//! Where the servers are that a process works with, where Consul is to say so.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use weir_discovery::{Consul, DiscoveryMetrics, Endpoint, Endpoints, Parts, Standby};
use weir_foundation::clock::timeout;
use weir_foundation::failure::chain;
use weir_foundation::metrics::Builder;
use weir_foundation::supervise::{DrainPhase, Policy, Spawner};
use weir_store_elastic::{ElasticMetrics, ElasticParts, ElasticStore};

use super::Process;
use crate::settings::Settings;

/// Whom a process asks where servers are.
pub(super) struct Discovery<'a> {
    settings: &'a Settings,
    process: &'a Process,
    /// Absent if nobody is asked.
    consul: Option<(Consul, Parts)>,
}

type Instances = Arc<BTreeSet<Endpoint>>;

/// A service that Consul was asked for.
struct Service {
    name: String,
    /// Absent if Consul did not answer at the start: until it does, the addresses of the settings are used.
    first: Option<Instances>,
    endpoints: Endpoints,
}

impl<'a> Discovery<'a> {
    pub(super) fn new(settings: &'a Settings, process: &'a Process, metrics: &mut Builder) -> Result<Self> {
        let Some(consul) = &settings.consul else { return Ok(Self { settings, process, consul: None }) };
        let Process { clock, spawner, health, .. } = process;
        let parts = Parts {
            clock: Arc::clone(clock),
            spawner: spawner.clone(),
            health: health.clone(),
            metrics: DiscoveryMetrics::register(metrics),
        };
        let consul = Consul::new(consul.clone(), Arc::clone(clock)).context("prepare to ask Consul")?;
        Ok(Self { settings, process, consul: Some((consul, parts)) })
    }

    /// The settings of the journal, with brokers that stay where Consul says.
    pub(super) async fn kafka(&self) -> weir_journal_kafka::Settings {
        let kafka = self.settings.kafka.clone();
        let brokers = kafka.brokers.clone();
        if let Some(service) = self.find(kafka.consul_service.as_deref(), brokers.addresses().len()).await {
            let addresses = |found: &Instances| found.iter().map(ToString::to_string).collect();
            service.follow(&self.process.spawner, move |found| brokers.are_at(addresses(found)));
        }
        kafka
    }

    /// The store, with nodes that stay where Consul says.
    pub(super) async fn elasticsearch(&self, metrics: &mut Builder) -> Result<ElasticStore> {
        let Process { clock, spawner, health, .. } = self.process;
        let settings = self.settings.elasticsearch.clone();
        let service = self.find(settings.consul_service.as_deref(), settings.nodes.len()).await;
        let parts = ElasticParts {
            clock: Arc::clone(clock),
            spawner: spawner.clone(),
            health: health.clone(),
            metrics: ElasticMetrics::register(metrics),
        };
        let store = ElasticStore::open(settings, parts).context("open the store")?;
        if let Some(service) = service {
            let store = store.clone();
            service.follow(spawner, move |found| {
                let urls: Vec<_> = found.iter().map(Endpoint::url).collect();
                if let Err(error) = store.nodes_are_at(&urls) {
                    tracing::warn!(error = %chain(&error), "the nodes stay where they were");
                }
            });
        }
        Ok(store)
    }

    /// Waits until an instance is known, unless there are addresses to begin with.
    async fn find(&self, name: Option<&str>, addresses: usize) -> Option<Service> {
        let (name, (consul, parts)) = (name?, self.consul.as_ref()?);
        let standby = if addresses == 0 { Standby::Nothing } else { Standby::Addresses };
        let mut endpoints = consul.follow(name, standby, parts.clone());
        let found = first(name, &mut endpoints);
        let first = match standby {
            Standby::Nothing => found.await,
            Standby::Addresses => {
                let patience = self.settings.consul.as_ref()?.timeout;
                timeout(&*self.process.clock, patience, found).await.unwrap_or_else(|error| {
                    tracing::warn!(service = name, %error, "Consul is not waited for: the addresses of the settings are used until it knows better");
                    None
                })
            }
        };
        Some(Service { name: name.to_owned(), first, endpoints })
    }
}

/// The first instances that are known; `None` if the process ends before.
async fn first(service: &str, endpoints: &mut Endpoints) -> Option<Instances> {
    let mut found = endpoints.known().await?;
    if found.is_empty() {
        tracing::warn!(service, "Consul knows no instance that counts, waiting for one");
    }
    while found.is_empty() {
        found = endpoints.changed().await?;
    }
    Some(found)
}

impl Service {
    /// Tells where the instances are, now and whenever they have moved. Where there are none any more, those of
    /// before stay: they may be the only ones that can be reached.
    fn follow(self, spawner: &Spawner, tell: impl Fn(&Instances) + Send + 'static) {
        let Self { name, first, mut endpoints } = self;
        if let Some(found) = &first {
            tell(found);
        }
        let policy = Policy::expendable(DrainPhase::Commit);
        spawner.spawn(&format!("discovery.{name}"), policy, |drain| async move {
            loop {
                let changed = tokio::select! {
                    biased;
                    () = drain.draining() => return Ok::<(), Infallible>(()),
                    changed = endpoints.changed() => changed,
                };
                match changed {
                    Some(found) if found.is_empty() => {
                        tracing::warn!(
                            service = name,
                            "Consul knows no instance any more, those of before stay"
                        );
                    }
                    Some(found) => tell(&found),
                    None => return Ok(()),
                }
            }
        });
    }
}
