//! Keeping up with a service.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tracing::{info, warn};
use weir_foundation::clock::Clock;
use weir_foundation::failure::chain;
use weir_foundation::health::{Health, Progress};
use weir_foundation::retry::Delays;
use weir_foundation::supervise::{DrainPhase, DrainToken, Policy, Spawner};

use crate::client::{Consul, Found, ResolveError};
use crate::endpoint::Endpoint;
use crate::metrics::DiscoveryMetrics;

/// What following needs of the process it lives in.
#[derive(Debug, Clone)]
pub struct Parts {
    pub clock: Arc<dyn Clock>,
    pub spawner: Spawner,
    pub health: Health,
    pub metrics: DiscoveryMetrics,
}

/// What there is to work with before Consul has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standby {
    Nothing,
    /// Addresses from elsewhere: the process is ready without an answer.
    Addresses,
}

type Known = Option<Arc<BTreeSet<Endpoint>>>;

/// Where a service is now. Clones see the same, each at its own pace.
#[derive(Debug, Clone)]
pub struct Endpoints {
    known: watch::Receiver<Known>,
}

impl Endpoints {
    /// What is known; nothing before the first answer of Consul. The set may be empty: then there is no instance
    /// that counts.
    #[must_use]
    pub fn current(&self) -> Known {
        self.known.borrow().clone()
    }

    /// Waits for the first answer; `None` if the process drains before. Cancel safe.
    pub async fn known(&mut self) -> Known {
        self.known.wait_for(Option::is_some).await.ok().and_then(|known| known.clone())
    }

    /// Waits until the service is elsewhere than when this was asked last; `None` once nobody follows it any
    /// more. Cancel safe.
    pub async fn changed(&mut self) -> Known {
        self.known.changed().await.ok()?;
        self.known.borrow_and_update().clone()
    }
}

/// A question is held for ten minutes at the most.
const STALL: Duration = Duration::from_secs(3600);
/// A service whose checks change all the time is asked for no more often.
const PACE: Duration = Duration::from_millis(100);
/// Where something between here and Consul takes the versions out of the answers.
const POLL: Duration = Duration::from_secs(5);

impl Consul {
    /// Follows a service by a task of its own, as long as the process lives. While Consul is away the endpoints
    /// stay as they were, and `discovery.<service>` in the health says so; it is not ready before the first
    /// answer, unless something else stands by.
    #[must_use]
    pub fn follow(&self, service: &str, standby: Standby, parts: Parts) -> Endpoints {
        let (sender, known) = watch::channel(None);
        let follower = Follower {
            consul: self.clone(),
            service: service.to_owned(),
            standby,
            clock: parts.clock,
            progress: parts.health.register(format!("discovery.{service}"), STALL),
            metrics: parts.metrics,
            known: sender,
            delays: None,
        };
        let policy = Policy::expendable(DrainPhase::Commit);
        parts.spawner.spawn("discovery.follow", policy, |drain| async move {
            follower.run(&drain).await;
            Ok::<(), Infallible>(())
        });
        Endpoints { known }
    }
}

struct Follower {
    consul: Consul,
    service: String,
    standby: Standby,
    clock: Arc<dyn Clock>,
    progress: Progress,
    metrics: DiscoveryMetrics,
    known: watch::Sender<Known>,
    /// Present while Consul is away.
    delays: Option<Delays<StdRng>>,
}

impl Follower {
    async fn run(mut self, drain: &DrainToken) {
        let mut index = 0;
        loop {
            let answer = tokio::select! {
                biased;
                () = drain.draining() => return,
                answer = self.consul.ask(&self.service, index) => answer,
            };
            let pause = match answer {
                Ok(found) => {
                    let holds = found.index > 0 || index > 0;
                    index = found.index;
                    self.take(found);
                    if holds { PACE } else { POLL }
                }
                Err(error) => {
                    // The next answer shall come at once, and tell whether anything was missed.
                    index = 0;
                    self.miss(&error)
                }
            };
            tokio::select! {
                biased;
                () = drain.draining() => return,
                () = self.clock.sleep(pause) => {}
            }
        }
    }

    fn take(&mut self, found: Found) {
        let service = &*self.service;
        if self.delays.take().is_some() {
            info!(service, "Consul can be asked again");
        }
        self.progress.recovered();
        if found.endpoints.is_empty() {
            self.progress.degraded(format!("Consul knows no instance of `{service}` that counts"));
        }
        self.metrics.found(service, found.endpoints.len());
        let endpoints = Arc::new(found.endpoints);
        let changed = self.known.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&endpoints);
            if changed {
                *known = Some(Arc::clone(&endpoints));
            }
            changed
        });
        if changed {
            self.metrics.moved(service);
            let endpoints: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
            info!(service, ?endpoints, "where the service is");
        }
    }

    fn miss(&mut self, error: &ResolveError) -> Duration {
        let service = &*self.service;
        self.metrics.failed(service);
        let is_known = self.known.borrow().is_some();
        if self.delays.is_none() {
            let then = if is_known { "what is known stays" } else { "it is asked until it answers" };
            warn!(service, error = %chain(error), "Consul can not be asked: {then}");
        }
        match self.standby {
            _ if is_known => self.progress.degraded(format!("what was known last stays: {}", chain(error))),
            Standby::Addresses => {
                self.progress.degraded(format!("the addresses of the settings are used: {}", chain(error)));
            }
            Standby::Nothing => {
                self.progress.failed(format!("it is not known yet where it is: {}", chain(error)));
            }
        }
        let retry = self.consul.settings.retry;
        let delays = self.delays.get_or_insert_with(|| retry.delays(StdRng::from_rng(&mut rand::rng())));
        delays.next().unwrap_or(PACE)
    }
}
