use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tonic::transport::{Channel, Endpoint};
use weir_fleet::{Fleet, FleetSettings};
use weir_foundation::clock::{Clock, ManualClock};
use weir_foundation::health::Health;
use weir_foundation::http::{Limits, Listener, Plaintext, Process, Proxies, Security, serve};
use weir_foundation::metrics::{Builder, Metrics};
use weir_foundation::supervise::{DrainDeadlines, DrainPhase, Supervisor};
use weir_model::ByteSize;
use weir_producer::{Parts, Producer, ProducerSection, Records, Settings};
use weir_state::memory::MemoryState;
use weir_wire::proto::producer::producer_client::ProducerClient;
use weir_wire::proto::producer::{Timber, TimberCollection, TimberContext};

use crate::journal::MoodyJournal;

/// A producer with its doors open, in a world where time stands still unless told to move.
pub(crate) struct World {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) ingest: SocketAddr,
    pub(crate) journal: MoodyJournal,
    pub(crate) clock: ManualClock,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) supervisor: Supervisor,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(ProducerSection::default()).await
    }

    pub(crate) async fn with(section: ProducerSection) -> Self {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let journal = MoodyJournal::new(&clock);
        Self::over(journal, clock, section, Limits::default(), Records::AsReceived).await
    }

    /// Over a journal that takes barito-flow's records, none larger than `limit`.
    pub(crate) async fn shaping(section: ProducerSection, limit: u64) -> Self {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let journal = MoodyJournal::new(&clock);
        let records = Records::Shaped { limit: ByteSize(limit) };
        Self::over(journal, clock, section, Limits::default(), records).await
    }

    pub(crate) async fn over(
        journal: MoodyJournal,
        clock: ManualClock,
        section: ProducerSection,
        limits: Limits,
        records: Records,
    ) -> Self {
        Self::with_fleet(journal, clock, section, limits, records, None).await
    }

    /// One of an instance, whose agents show certificate and token.
    pub(crate) async fn of_instance(section: ProducerSection) -> (Self, Fleet) {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let journal = MoodyJournal::new(&clock);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let settings = FleetSettings { enrol: vec!["127.0.0.1:8084".to_owned()], ..FleetSettings::default() };
        let opened = Fleet::open(Arc::new(MemoryState::default()), shared, settings).await;
        let fleet = opened.expect("memory takes it").fleet;
        let (limits, records) = (Limits::default(), Records::AsReceived);
        let world = Self::with_fleet(journal, clock, section, limits, records, Some(fleet.clone())).await;
        (world, fleet)
    }

    async fn with_fleet(
        journal: MoodyJournal,
        clock: ManualClock,
        section: ProducerSection,
        limits: Limits,
        records: Records,
        fleet: Option<Fleet>,
    ) -> Self {
        let settings = Settings::validate(&section).expect("the settings of a test are valid");
        let shared_clock: Arc<dyn Clock> = Arc::new(clock.clone());
        let supervisor =
            Supervisor::new(Handle::current(), Arc::clone(&shared_clock), DrainDeadlines::default());
        let health = Health::new(Arc::clone(&shared_clock));
        let mut metrics = Builder::new();
        let parts = Parts {
            journal: Arc::new(journal.clone()),
            clock: Arc::clone(&shared_clock),
            spawner: supervisor.spawner(),
            health: &health,
            metrics: &mut metrics,
            records,
            shared_limits: None,
            fleet: fleet.clone(),
        };
        let producer = Producer::start(settings, parts).await.expect("the journal can be read");
        let (grpc_listener, grpc) = listener();
        producer.serve_grpc_within(grpc_listener, limits).expect("the listener works");
        let (ingest_listener, ingest) = listener();
        let security = fleet.map_or(Security::Plain, |fleet| secured(&fleet, &shared_clock));
        let ingest_listener = Listener { socket: ingest_listener, security };
        producer.serve_ingest(ingest_listener, None).expect("the listener works");
        let (http_listener, http) = listener();
        let router = producer.router();
        let process = Process { spawner: &supervisor.spawner(), clock: &shared_clock };
        serve("test.http", http_listener, router, limits, DrainPhase::StopIntake, process)
            .expect("the listener works");
        Self { grpc, http, ingest, journal, clock, health, metrics: metrics.build(), supervisor }
    }

    pub(crate) fn client(&self) -> ProducerClient<Channel> {
        ProducerClient::new(self.channel())
    }

    pub(crate) fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).expect("is an address");
        endpoint.connect_lazy()
    }

    /// The value of a metric with exactly these labels, as printed.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let exposition = self.metrics.exposition();
        let value = exposition.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(|value| value.parse().expect("is a number"))
    }
}

/// TLS on which agents of the instance show who they are.
fn secured(fleet: &Fleet, clock: &Arc<dyn Clock>) -> Security {
    let server = fleet.server_identity(&["127.0.0.1".to_owned()]).expect("it is issued");
    let roots = fleet.instance().roots;
    let config = weir_auth::tls::server_mutual(&server.identity, &roots, Arc::clone(clock));
    let (_, config) = tokio::sync::watch::channel(Arc::new(config.expect("they fit")));
    Security::Tls { config, plaintext: Plaintext::Refused, proxies: Proxies::none() }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

pub(crate) fn context(topic: &str) -> TimberContext {
    TimberContext { kafka_topic: topic.into(), es_index_prefix: topic.into(), ..TimberContext::default() }
}

pub(crate) fn timber(message: &str) -> Timber {
    let value = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(message.into())) };
    let content = prost_types::Struct { fields: [("message".to_owned(), value)].into() };
    Timber { content: Some(content), ..Timber::default() }
}

pub(crate) fn collection(context: TimberContext, messages: &[&str]) -> TimberCollection {
    TimberCollection {
        context: Some(context),
        items: messages.iter().map(|message| timber(message)).collect(),
    }
}

/// Lets time pass in steps until the work is done.
pub(crate) async fn while_time_passes<T>(
    clock: &ManualClock,
    step: Duration,
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            result = work.as_mut() => return result,
            () = tokio::task::yield_now() => clock.advance(step),
        }
    }
}

/// Waits until `condition` holds; fails after a deadline that is never reached by working code.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let outcome = tokio::time::timeout(Duration::from_secs(20), async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    });
    assert!(outcome.await.is_ok(), "waited in vain until {what}");
}
