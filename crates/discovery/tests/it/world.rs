use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;
use weir_discovery::{Consul, ConsulSection, ConsulSettings, DiscoveryMetrics, Endpoints, Parts, Standby};
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::health::Health;
use weir_foundation::settings::DurationText;
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_services::Home;

/// A Consul, and the process that asks it.
pub(crate) struct World {
    pub(crate) consul: weir_services::Consul,
    pub(crate) supervisor: Supervisor,
    pub(crate) health: Health,
    pub(crate) metrics: DiscoveryMetrics,
    _directory: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let consul = weir_services::Consul::start(&Home::of_the_tree(), directory.path());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let supervisor = Supervisor::new(Handle::current(), Arc::clone(&clock), DrainDeadlines::default());
        Self {
            consul: consul.expect("it starts"),
            supervisor,
            health: Health::new(clock),
            metrics: DiscoveryMetrics::default(),
            _directory: directory,
        }
    }

    pub(crate) fn client(&self, section: ConsulSection) -> Consul {
        let section = ConsulSection {
            url: Some(self.consul.address().to_string()),
            retry_longest: Some(DurationText::from_millis(300)),
            ..section
        };
        let settings = ConsulSettings::validate(&section).expect("are valid").expect("there is a URL");
        Consul::new(settings, Arc::new(SystemClock)).expect("needs no files")
    }

    pub(crate) fn follow(&self, service: &str) -> Endpoints {
        self.follow_beside(service, Standby::Nothing)
    }

    pub(crate) fn follow_beside(&self, service: &str, standby: Standby) -> Endpoints {
        let parts = Parts {
            clock: Arc::new(SystemClock),
            spawner: self.supervisor.spawner(),
            health: self.health.clone(),
            metrics: self.metrics.clone(),
        };
        self.client(ConsulSection::default()).follow(service, standby, parts)
    }

    /// Registers an instance, or moves it.
    pub(crate) async fn register(&self, id: &str, service: &str, address: &str, port: u16) {
        let body = json!({"ID": id, "Name": service, "Address": address, "Port": port,
                          "Meta": {"http_schema": "https"}});
        self.put("/v1/agent/service/register", &body.to_string()).await;
    }

    pub(crate) async fn deregister(&self, id: &str) {
        self.put(&format!("/v1/agent/service/deregister/{id}"), "").await;
    }

    pub(crate) async fn put(&self, path: &str, body: &str) {
        let mut stream = tokio::net::TcpStream::connect(self.consul.address()).await.expect("it listens");
        let head = format!("PUT {path} HTTP/1.1\r\nHost: here\r\nConnection: close");
        let question = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(question.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }

    pub(crate) fn state(&self, service: &str) -> String {
        let name = format!("discovery.{service}");
        let states = self.health.readiness();
        states.iter().find(|state| state.name == name).expect("it is registered").to_string()
    }
}

pub(crate) fn addresses(endpoints: &Endpoints) -> Vec<String> {
    endpoints
        .current()
        .into_iter()
        .flat_map(|known| known.iter().map(ToString::to_string).collect::<Vec<_>>())
        .collect()
}

/// Waits for a condition, for two minutes at most.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let started = SystemClock.monotonic();
    while !condition() {
        let waited = SystemClock.monotonic().saturating_duration_since(started);
        assert!(waited < Duration::from_secs(120), "two minutes passed and still not: {what}");
        SystemClock.sleep(Duration::from_millis(5)).await;
    }
}
