use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{ClientConnection, ServerConnection};
use tokio::sync::watch;
use tokio::task::yield_now;
use weir_auth::access_key::AccessKey;
use weir_auth::pki::{Certificate, Identity, PrivateKey};
use weir_auth::{AgentName, tls};
use weir_fleet::{
    AgentState, AppLimits, CreatedKey, EnrolError, EnrolRequest, Fleet, FleetSettings, KeySpec, Labels,
    Membership, OperatorName, RenewError, RenewRequest, RevocationReason, Title, Uses,
};
use weir_foundation::clock::{Clock, ManualClock};
use weir_foundation::settings::Secret;
use weir_model::AppName;
use weir_state::memory::MemoryState;
use weir_state::{Changes, CommitError, Entry, Kind, State, StateError, Write};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// Lets others run before whatever it does, so that those who run at the same time meet.
#[derive(Debug, Clone)]
struct Yielding(MemoryState);

#[async_trait]
impl State for Yielding {
    async fn get(&self, kind: Kind, name: &str) -> Result<Option<Entry>, StateError> {
        yield_now().await;
        self.0.get(kind, name).await
    }

    async fn changes(&self, kinds: &[Kind], since: u64) -> Result<Changes, StateError> {
        yield_now().await;
        self.0.changes(kinds, since).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<u64, CommitError> {
        yield_now().await;
        self.0.commit(writes).await
    }

    fn revision(&self) -> watch::Receiver<u64> {
        self.0.revision()
    }
}

/// An instance with the app `shop`, in memory, at a time that stands still.
pub(crate) struct World {
    pub(crate) state: MemoryState,
    pub(crate) clock: ManualClock,
    pub(crate) fleet: Fleet,
    pub(crate) first_operator: Secret,
}

pub(crate) fn settings() -> FleetSettings {
    FleetSettings { enrol: vec!["weir.example:8084".to_owned()], ..FleetSettings::default() }
}

pub(crate) fn clock() -> ManualClock {
    ManualClock::new(UNIX_EPOCH + Duration::from_secs(1_700_000_000))
}

pub(crate) async fn open(state: impl State + 'static, clock: &ManualClock) -> (Fleet, Option<Secret>) {
    let opened = Fleet::open(Arc::new(state), Arc::new(clock.clone()), settings()).await.expect("it opens");
    (opened.fleet, opened.first_operator)
}

pub(crate) async fn world() -> World {
    let (state, clock) = (MemoryState::default(), clock());
    let (fleet, first_operator) = open(Yielding(state.clone()), &clock).await;
    fleet.create_app(&app("shop"), &AppLimits::default(), None, &admin()).await.expect("created");
    World { state, clock, fleet, first_operator: first_operator.expect("it is new") }
}

impl World {
    /// Another process over the same state.
    pub(crate) async fn another(&self) -> Fleet {
        let (fleet, first) = open(Yielding(self.state.clone()), &self.clock).await;
        assert!(first.is_none());
        fleet
    }

    pub(crate) async fn key(&self, spec: KeySpec) -> CreatedKey {
        self.fleet.create_key(&spec, &admin()).await.expect("created")
    }

    /// One who joined with a key for one.
    pub(crate) async fn node(&self, name: &str) -> Node {
        let key = self.key(spec()).await;
        Node::join(&self.fleet, &key.key, name).await.expect("welcome")
    }

    /// Time passes, and what is due is done.
    pub(crate) async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.fleet.maintain(self.clock.now()).await.expect("maintained");
        self.fleet.write_reports().await.expect("written");
    }
}

pub(crate) fn app(name: &str) -> AppName {
    AppName::new(name).expect("legal")
}

pub(crate) fn admin() -> OperatorName {
    operator("admin")
}

pub(crate) fn operator(name: &str) -> OperatorName {
    OperatorName::new(name).expect("legal")
}

pub(crate) fn agent(name: &str) -> AgentName {
    AgentName::new(name).expect("legal")
}

pub(crate) fn labels(text: &str) -> Labels {
    text.parse().expect("legal")
}

/// For one agent of `shop`, for 15 minutes.
pub(crate) fn spec() -> KeySpec {
    KeySpec {
        title: Title::new("nodes").expect("legal"),
        apps: vec![app("shop")],
        labels: labels("zone=eu"),
        life: Some(15 * MINUTE),
        uses: Uses::Times(1.try_into().expect("it is not zero")),
        seal: false,
    }
}

pub(crate) fn times(times: u32) -> Uses {
    Uses::Times(times.try_into().expect("the tests use no zero"))
}

/// An agent as it is on its machine.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: AgentName,
    pub(crate) generation: u64,
    pub(crate) key: Vec<u8>,
    pub(crate) chain: Vec<Certificate>,
    pub(crate) roots: Vec<Certificate>,
    pub(crate) renew_at: SystemTime,
}

impl Node {
    /// Makes a key and joins.
    pub(crate) async fn join(fleet: &Fleet, access_key: &Secret, name: &str) -> Result<Self, EnrolError> {
        let key = PrivateKey::generate();
        let member = enrol(fleet, access_key, name, &key).await?;
        Ok(Self::of(member, &key))
    }

    pub(crate) fn of(member: Membership, key: &PrivateKey) -> Self {
        Self {
            name: member.agent,
            generation: member.generation,
            key: key.pkcs8().to_vec(),
            chain: member.chain,
            roots: member.roots,
            renew_at: member.renew_at,
        }
    }

    pub(crate) fn shown(&self) -> &Certificate {
        &self.chain[0]
    }

    /// Asks for the next certificate with this key.
    pub(crate) async fn ask(&self, fleet: &Fleet, key: &PrivateKey) -> Result<Membership, RenewError> {
        let csr = key.request();
        fleet.renew(RenewRequest { shown: self.shown(), generation: self.generation, csr: &csr }).await
    }

    pub(crate) async fn renew(&mut self, fleet: &Fleet) -> Result<(), RenewError> {
        let key = PrivateKey::generate();
        *self = Self::of(self.ask(fleet, &key).await?, &key);
        Ok(())
    }

    /// What somebody has who copied the machine.
    pub(crate) fn copy(&self) -> Self {
        let Self { name, chain, roots, key, .. } = self;
        Self { name: name.clone(), chain: chain.clone(), roots: roots.clone(), key: key.clone(), ..*self }
    }

    fn identity(&self) -> Identity {
        let key = PrivateKey::from_pkcs8(&self.key).expect("it is a key");
        Identity::new(self.chain.clone(), key).expect("they belong together")
    }

    /// Whether TLS lets it and a server that shows `identity` and trusts the roots of `fleet` speak with each other.
    pub(crate) fn connects(&self, fleet: &Fleet, identity: &Identity, clock: &ManualClock) -> bool {
        let clock: Arc<dyn Clock> = Arc::new(clock.clone());
        let instance = fleet.instance();
        let server =
            tls::server_mutual(identity, &instance.roots, Arc::clone(&clock)).expect("it is a server");
        let client =
            tls::client(&self.roots, &instance.id, Some(&self.identity()), clock).expect("it is a client");
        speak(client, server)
    }
}

/// Whether an instance knows the agent by its certificate alone, as a proxy shows it.
pub(crate) fn is_known(node: &Node, fleet: &Fleet, clock: &ManualClock) -> bool {
    let instance = fleet.instance();
    let agents = tls::agents(&instance.id, &instance.roots, &instance.between).expect("it has roots");
    let now = clock.now().duration_since(UNIX_EPOCH).expect("it is later");
    let (der, now) = (node.shown().der().to_vec().into(), UnixTime::since_unix_epoch(now));
    agents.verify_client_cert(&der, &[], now).is_ok()
}

/// Asks to join with this key.
pub(crate) async fn enrol(
    fleet: &Fleet,
    access_key: &Secret,
    name: &str,
    key: &PrivateKey,
) -> Result<Membership, EnrolError> {
    let access_key: AccessKey = access_key.reveal().parse().expect("it is an access key");
    let csr = key.request();
    fleet.enrol(EnrolRequest { key: &access_key.id, secret: &access_key.secret, name, csr: &csr }).await
}

/// Whether somebody who knows nothing but an access key would join there.
pub(crate) fn would_join(access_key: &Secret, identity: &Identity, clock: &ManualClock) -> bool {
    let access_key: AccessKey = access_key.reveal().parse().expect("it is an access key");
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    let server = tls::server(identity, Arc::clone(&clock)).expect("it is a server");
    let client = tls::client_pinned(&access_key.pins, clock).expect("it is a client");
    speak(client, server)
}

fn speak(client: rustls::ClientConfig, server: rustls::ServerConfig) -> bool {
    let name = ServerName::try_from("weir.example").expect("it is a name");
    let mut client = ClientConnection::new(Arc::new(client), name).expect("it begins");
    let mut server = ServerConnection::new(Arc::new(server)).expect("it begins");
    // Enough for all flights of a handshake.
    for _ in 0..6 {
        if pass(&mut client, &mut server).is_err() || pass(&mut server, &mut client).is_err() {
            return false;
        }
    }
    !client.is_handshaking() && !server.is_handshaking()
}

fn pass<A, B>(
    from: &mut rustls::ConnectionCommon<A>,
    to: &mut rustls::ConnectionCommon<B>,
) -> Result<(), rustls::Error> {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).expect("it is written into memory");
    }
    let mut wire = wire.as_slice();
    while !wire.is_empty() {
        to.read_tls(&mut wire).expect("it is read from memory");
        to.process_new_packets()?;
    }
    Ok(())
}

/// Why an agent is out; nothing if it is not.
pub(crate) fn out(fleet: &Fleet, name: &AgentName) -> Option<RevocationReason> {
    match fleet.agent(name).expect("it is there").state {
        AgentState::Good => None,
        AgentState::Revoked(revoked) => Some(revoked.reason),
    }
}
