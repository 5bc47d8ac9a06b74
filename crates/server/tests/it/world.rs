//! A server with something in it.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use tokio::runtime::Handle;
use weir_fleet::{Fleet, FleetSettings, Opened};
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::http;
use weir_foundation::settings::{Problem, Problems, Secret, load_text};
use weir_foundation::supervise::{DrainDeadlines, DrainPhase, Policy, Spawner, Supervisor};
use weir_journal::memory::MemoryJournal;
use weir_journal::{Journal, Origin, ReadBudget, StreamSpec};
use weir_model::{IndexPrefix, Offset, Record, RecordFormat, StreamName, StreamPartition, Timestamp};
use weir_redaction::Redactor;
use weir_server::agents::{AgentParts, Hub};
use weir_server::api::{Audit, AuditVerdict};
use weir_server::{
    AuditDepth, AuditFailed, Auditor, Door, JournalFiles, Parts, Reach, Refused, Remedy, Server,
    ServerSettings, StreamNames,
};
use weir_state::memory::MemoryState;
use weir_store::memory::{Durability, MemoryStore};
use weir_store::segment::FilingWindow;
use weir_store::{DeadLetter, IndexStore, WriteBatch, WriteRecord};
use weir_wire::EventsBuilder;

pub(crate) const T0: i64 = 1_700_000_000_000_000;

pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) http: reqwest::Client,
    pub(crate) journal: MemoryJournal,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) door: Arc<FakeDoor>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) spawner: Spawner,
    pub(crate) hub: Hub,
    registry: Registry,
    operators: Operators,
    supervisor: Option<Supervisor>,
}

/// Those of a world, with what the first of them shows.
struct Operators {
    state: MemoryState,
    fleet: Fleet,
    token: Secret,
}

/// What a world is made of.
struct Make {
    settings: ServerSettings,
    redactor: Redactor,
    journal_files: JournalFiles,
    reach: Reach,
}

impl Default for Make {
    fn default() -> Self {
        Self {
            settings: ServerSettings::default(),
            redactor: Redactor::off(),
            journal_files: JournalFiles::OfThisProcess,
            reach: Reach::ThisMachine,
        }
    }
}

/// Takes what it is told to take, and remembers it.
#[derive(Debug, Default)]
pub(crate) struct FakeDoor {
    pub(crate) taken: Mutex<Vec<DeadLetter>>,
}

#[async_trait]
impl Door for FakeDoor {
    async fn give_again(&self, letter: &DeadLetter) -> Result<(), Refused> {
        if letter.original.is_empty() {
            return Err(Refused { reason: "there is nothing to send".to_owned(), remedy: Remedy::None });
        }
        self.taken.lock().expect("no test panics with it").push(letter.clone());
        Ok(())
    }
}

#[derive(Debug)]
struct FakeAuditor;

#[async_trait]
impl Auditor for FakeAuditor {
    async fn audit(&self, depth: AuditDepth) -> Result<Audit, AuditFailed> {
        let verified = depth == AuditDepth::Positions;
        Ok(Audit { verdict: AuditVerdict::Agrees, verified, streams: Vec::new(), findings: Vec::new() })
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::made_of(Make::default(), |store| store).await
    }

    pub(crate) async fn redacting(redactor: Redactor) -> Self {
        Self::made_of(Make { redactor, ..Make::default() }, |store| store).await
    }

    /// As over a shared journal, without a door.
    pub(crate) async fn apart() -> Self {
        let journal_files = JournalFiles::OfOthers;
        Self::made_of(Make { journal_files, ..Make::default() }, |store| store).await
    }

    /// At an address that other machines reach, as far as the server knows.
    pub(crate) async fn public() -> Self {
        Self::made_of(Make { reach: Reach::OtherMachines, ..Make::default() }, |store| store).await
    }

    /// `wrap` may put something between the server and the store.
    pub(crate) async fn with(
        settings: ServerSettings,
        wrap: impl FnOnce(Arc<dyn IndexStore>) -> Arc<dyn IndexStore>,
    ) -> Self {
        Self::made_of(Make { settings, ..Make::default() }, wrap).await
    }

    async fn made_of(make: Make, wrap: impl FnOnce(Arc<dyn IndexStore>) -> Arc<dyn IndexStore>) -> Self {
        let Make { settings, redactor, journal_files, reach } = make;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let journal = MemoryJournal::new(Arc::clone(&clock));
        let store = Arc::new(MemoryStore::new(Durability::Immediate, FilingWindow::default()));
        let door = Arc::new(FakeDoor::default());
        let supervisor = Supervisor::new(Handle::current(), Arc::clone(&clock), DrainDeadlines::default());
        let spawner = supervisor.spawner();
        let hub = Hub::default();
        let operators = Operators::new(&clock).await;
        let fleet = operators.fleet.clone();
        let parts = Parts {
            journal: Arc::new(journal.clone()),
            store: wrap(Arc::<MemoryStore>::clone(&store)),
            dead_letters: Arc::<MemoryStore>::clone(&store),
            redactor,
            journal_files,
            door: (journal_files == JournalFiles::OfThisProcess).then(|| door.clone() as Arc<dyn Door>),
            auditor: Arc::new(FakeAuditor),
            clock: Arc::clone(&clock),
            spawner: spawner.clone(),
            names: StreamNames { prefix: String::new(), suffix: "_logs".to_owned() },
            fleet,
            hub: hub.clone(),
            check,
            reach,
        };
        let mut registry = Registry::default();
        let server = Server::new(parts, settings, &mut registry);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let phase = DrainPhase::StopIntake;
        let router = server.router(spawner.token(phase)).fallback(weir_server::not_found);
        let process = http::Process { spawner: &spawner, clock: &clock };
        http::serve("http", listener, router, http::Limits::default(), phase, process).expect("it is bound");
        let http = reqwest::Client::builder().no_proxy().build().expect("it needs nothing");
        let supervisor = Some(supervisor);
        Self { address, http, journal, store, door, clock, spawner, hub, registry, operators, supervisor }
    }

    /// Of agents that come to this process.
    pub(crate) fn agents(&self) -> AgentParts {
        self.agents_of(self.fleet().clone(), self.hub.clone())
    }

    /// Of agents that come to another process of the instance. Each of the two sees what the other one writes.
    pub(crate) async fn agents_elsewhere(&self) -> AgentParts {
        let other = open(&self.operators.state, &self.clock).await.fleet;
        for fleet in [self.fleet().clone(), other.clone()] {
            let clock = Arc::clone(&self.clock);
            self.spawner.spawn("fleet", Policy::expendable(DrainPhase::Close), |drain| async move {
                let tells = async {
                    loop {
                        fleet.write_reports().await.expect("memory takes it");
                        clock.sleep(Duration::from_millis(10)).await;
                    }
                };
                tokio::select! {
                    () = fleet.follow() => {}
                    () = tells => {}
                    () = drain.draining() => {}
                }
                Ok::<(), Infallible>(())
            });
        }
        self.agents_of(other, Hub::default())
    }

    fn agents_of(&self, fleet: Fleet, hub: Hub) -> AgentParts {
        let (clock, spawner) = (Arc::clone(&self.clock), self.spawner.clone());
        AgentParts { fleet, hub, servers: Arc::new([]), clock, spawner }
    }

    /// What is collected of it.
    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("memory takes it");
        text
    }

    pub(crate) async fn create_stream(&self, stream: &str) -> StreamPartition {
        let name = StreamName::new(stream).expect("is legal");
        let spec = StreamSpec { partitions: Some(1), ..StreamSpec::new(name) };
        let creation = self.journal.create_stream(spec).await.expect("there is room");
        creation.info().partitions[0].partition.clone()
    }

    /// Makes one record of JSON texts durable, each a second after the one before, from `first` seconds after
    /// [`T0`] on.
    pub(crate) async fn append(&self, partition: &StreamPartition, first: i64, events: &[String]) -> Offset {
        let prefix = partition.stream.as_str().trim_end_matches("_logs");
        let mut builder = EventsBuilder::new(&IndexPrefix::new(prefix).expect("is legal"));
        for (second, event) in (first..).zip(events) {
            builder.push_json(event, Some(Timestamp::from_micros(T0 + second * 1_000_000)));
        }
        let (value, events) = builder.finish();
        let received = Timestamp::from_micros(T0 + first * 1_000_000);
        let record =
            Record { format: RecordFormat::Events, events: Some(events), received, batch: None, value };
        self.journal
            .append(&partition.stream, Origin::Any, vec![record])
            .await
            .expect("there is room")
            .remove(0)
            .offset
    }

    /// Takes everything from the journal into the store, as a consumer would.
    pub(crate) async fn deliver(&self, partition: &StreamPartition) {
        let from = self.store.durable(partition).unwrap_or(Offset::ZERO);
        let budget = ReadBudget { bytes: usize::MAX, records: usize::MAX };
        let batch = self.journal.read(partition, from, budget).await.expect("it is there");
        let record = |stored: &weir_journal::StoredRecord| {
            let Record { format, value, received, .. } = &stored.record;
            let events = weir_wire::decode_record(*format, value, *received).expect("it was made here");
            WriteRecord { offset: stored.offset, received: *received, events }
        };
        let records = batch.records.iter().map(record).collect();
        let batch = WriteBatch { partition: partition.clone(), from, records, next: batch.next, more: false };
        self.store.write(batch).await.expect("memory takes it");
    }

    /// A shop with `count` events, ready to be searched.
    pub(crate) async fn shop(&self, count: usize) -> StreamPartition {
        let partition = self.create_stream("shop_logs").await;
        let event = |n: usize| {
            let level = if n.is_multiple_of(5) { "error" } else { "info" };
            format!(r#"{{"n":{n},"level":"{level}","service":"cart"}}"#)
        };
        self.append(&partition, 0, &(0..count).map(event).collect::<Vec<_>>()).await;
        self.deliver(&partition).await;
        partition
    }

    pub(crate) fn fleet(&self) -> &Fleet {
        &self.operators.fleet
    }

    /// Of the first operator.
    pub(crate) fn token(&self) -> &str {
        self.operators.token.reveal()
    }

    /// Asks as somebody who shows no token.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        self.ask_as(None, method, path, body).await
    }

    /// Asks as the first operator.
    pub(crate) async fn operate(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        json(self.ask_as(Some(&format!("Bearer {}", self.token())), method, path, body).await).await
    }

    pub(crate) async fn ask_as(
        &self,
        authorization: Option<&str>,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Response {
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        let request = match authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        };
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        request.timeout(Duration::from_secs(20)).send().await.expect("the server answers")
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        json(self.ask(Method::GET, path, None).await).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        json(self.ask(Method::POST, path, Some(body)).await).await
    }

    /// Ends the server as a signal would.
    pub(crate) async fn drain(&mut self) {
        let supervisor = self.supervisor.take().expect("it is drained once");
        supervisor.run_until(async {}).await;
    }
}

impl Operators {
    async fn new(clock: &Arc<dyn Clock>) -> Self {
        let state = MemoryState::default();
        let opened = open(&state, clock).await;
        Self { state, fleet: opened.fleet, token: opened.first_operator.expect("it is new") }
    }
}

async fn open(state: &MemoryState, clock: &Arc<dyn Clock>) -> Opened {
    let settings = FleetSettings { enrol: vec!["weir.example:8084".to_owned()], ..FleetSettings::default() };
    let opened = Fleet::open(Arc::new(state.clone()), Arc::clone(clock), settings).await;
    opened.expect("memory takes it")
}

/// What the agents of these tests could run: a list of inputs, each of which has paths.
fn check(text: &str) -> Result<(), Problems> {
    #[derive(Default, serde::Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Raw {
        inputs: Vec<Input>,
    }
    #[derive(Default, serde::Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Input {
        paths: Vec<String>,
    }
    let mut loaded = load_text::<Raw>("configuration", text);
    loaded.section("inputs", |raw| {
        let mut problems = Problems::default();
        for index in (0..raw.inputs.len()).filter(|index| raw.inputs[*index].paths.is_empty()) {
            problems.push(Problem::at(format!("[{index}].paths"), "must have at least one"));
        }
        problems.or(())
    });
    loaded.finish().map(drop)
}

pub(crate) async fn json(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.bytes().await.expect("the answer is whole");
    let value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("is JSON") };
    (status, value)
}
