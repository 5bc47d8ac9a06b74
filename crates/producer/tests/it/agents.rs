//! Agents of an instance, and those who would like to pass for one.

mod greedy;

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::service_fn;
use weir_auth::AgentIdentity;
use weir_auth::pki::{Certificate, Identity, PrivateKey};
use weir_auth::seal::{SealOffer, Sealer, ServerRandom};
use weir_auth::tls;
use weir_fleet::{
    AppLimits, EnrolRequest, Fleet, FleetSettings, KeySpec, Labels, NewSecret, OperatorName, Title, Uses,
};
use weir_foundation::clock::Clock;
use weir_foundation::settings::Secret;
use weir_model::{AppName, IndexPrefix, Record};
use weir_producer::{ProducerSection, UnknownApps};
use weir_state::memory::MemoryState;
use weir_wire::decode_record;
use weir_wire::proto::ingest::agent_message::Kind;
use weir_wire::proto::ingest::{Batch, Hello, Stretch, Token, server_message};

use crate::harness::{World, while_time_passes};
use crate::raw::request;
use crate::raw_agent::{Agent, batch, later, refused, stored};

/// An agent that is enrolled.
struct Member {
    identity: Identity,
    roots: Vec<Certificate>,
    agent: AgentIdentity,
    seal: Option<weir_auth::seal::SealPublic>,
}

fn operator() -> OperatorName {
    OperatorName::new("admin").expect("a name")
}

fn app(name: &str) -> AppName {
    AppName::new(name).expect("a name")
}

async fn create_app(fleet: &Fleet, name: &str) -> Secret {
    let made =
        fleet.create_app(&app(name), &AppLimits::default(), Some(&NewSecret::Random), &operator()).await;
    made.expect("it is new").expect("it is random")
}

/// An agent of the apps, which are there.
async fn enrol(fleet: &Fleet, name: &str, apps: &[&str], seal: bool) -> Member {
    let spec = KeySpec {
        title: Title::new("test").expect("a title"),
        apps: apps.iter().map(|name| app(name)).collect(),
        labels: Labels::default(),
        life: None,
        uses: Uses::Times(NonZeroU32::MIN),
        seal,
    };
    let key = fleet.create_key(&spec, &operator()).await.expect("it can be made").key;
    let key: weir_auth::access_key::AccessKey = key.reveal().parse().expect("it is one");
    let private = PrivateKey::generate();
    let request = EnrolRequest { key: &key.id, secret: &key.secret, name, csr: &private.request() };
    let member = fleet.enrol(request).await.expect("the key is good");
    let identity = Identity::new(member.chain, private).expect("they fit");
    let agent = identity.certificate().agent().expect("of an agent").clone();
    Member { identity, roots: member.roots, agent, seal: member.seal }
}

impl Member {
    async fn token(&self, fleet: &Fleet) -> String {
        let (token, _) = fleet.token(self.identity.certificate()).await.expect("it is good");
        token.reveal().to_owned()
    }

    async fn channel(&self, world: &World) -> Channel {
        self.try_channel(world).await.expect("it is taken")
    }

    async fn try_channel(&self, world: &World) -> Result<Channel, tonic::transport::Error> {
        let clock: Arc<dyn Clock> = Arc::new(world.clock.clone());
        let config = tls::client(&self.roots, &self.agent.instance, Some(&self.identity), clock);
        connect(world, config.expect("they fit")).await
    }

    /// A stream whose agent is welcome.
    async fn welcome(&self, world: &World, fleet: &Fleet) -> Agent {
        let token = self.token(fleet).await;
        let mut agent = Agent::begin(self.channel(world).await, Some(&token)).await.expect("it begins");
        agent.say(self.hello(&[])).await;
        let welcome = agent.hear().await.expect("the stream goes on");
        assert!(matches!(welcome, Some(server_message::Kind::Welcome(_))), "{welcome:?}");
        agent
    }

    fn hello(&self, seal_public: &[u8]) -> Kind {
        Kind::Hello(Hello {
            agent: self.agent.agent.to_string(),
            version: "1".to_owned(),
            seal_public: seal_public.to_vec(),
        })
    }

    /// Why a stream with this token does not begin.
    async fn turned_away(&self, world: &World, token: Option<&str>) -> (Code, String) {
        let status = match Agent::begin(self.channel(world).await, token).await {
            Err(status) => status,
            Ok(_) => unreachable!("it begins"),
        };
        (status.code(), word(&status))
    }
}

/// The code for programs.
fn word(status: &Status) -> String {
    let word = status.metadata().get("weir-code").and_then(|word| word.to_str().ok());
    word.unwrap_or_default().to_owned()
}

async fn connect(world: &World, config: rustls::ClientConfig) -> Result<Channel, tonic::transport::Error> {
    let (address, connector) = (world.ingest, TlsConnector::from(Arc::new(config)));
    let connect = service_fn(move |_| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from("weir").expect("a name");
            Ok::<_, io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    Endpoint::from_static("http://weir").connect_with_connector(connect).await
}

async fn instance() -> (World, Fleet) {
    World::of_instance(ProducerSection::default()).await
}

#[tokio::test]
async fn who_shows_certificate_and_token_may_send() {
    let (world, fleet) = instance().await;
    create_app(&fleet, "shop").await;
    let web = enrol(&fleet, "web-1", &["shop"], false).await;
    let mut agent = web.welcome(&world, &fleet).await;
    agent.send(1, 0..10, &["a", "b"]).await;
    assert_eq!(agent.answer().await, (1, stored(10)));
    assert_eq!(world.journal.stored_events(), 2);
}

#[tokio::test]
async fn nobody_comes_in_by_a_certificate_that_is_not_good() {
    let (world, fleet) = instance().await;
    create_app(&fleet, "shop").await;
    let web = enrol(&fleet, "web-1", &["shop"], false).await;
    // None at all, or that of another instance: the handshake fails, at the latest with the first answer.
    let clock: Arc<dyn Clock> = Arc::new(world.clock.clone());
    let without = tls::client(&web.roots, &web.agent.instance, None, Arc::clone(&clock)).expect("they fit");
    let is_refused = async |channel: Result<Channel, tonic::transport::Error>| match channel {
        Err(_) => true,
        Ok(channel) => Agent::begin(channel, Some("token")).await.is_err(),
    };
    assert!(is_refused(connect(&world, without).await).await);
    let settings = FleetSettings { enrol: vec!["127.0.0.1:1".to_owned()], ..FleetSettings::default() };
    let other = Fleet::open(Arc::new(MemoryState::default()), Arc::clone(&clock), settings).await;
    let other = other.expect("memory takes it").fleet;
    create_app(&other, "shop").await;
    let foreign = enrol(&other, "web-1", &["shop"], false).await;
    let foreign = Member { roots: web.roots.clone(), ..foreign };
    let config = tls::client(&web.roots, &web.agent.instance, Some(&foreign.identity), clock);
    assert!(is_refused(connect(&world, config.expect("they fit")).await).await);
    // Its own, once it has ended.
    world.clock.advance(Duration::from_secs(25 * 3_600));
    assert!(is_refused(web.try_channel(&world).await).await);
    // Plaintext is not spoken here.
    let endpoint = Endpoint::from_shared(format!("http://{}", world.ingest)).expect("is an address");
    assert!(is_refused(endpoint.connect().await).await);
}

#[tokio::test]
async fn nobody_comes_in_by_a_token_that_is_not_good() {
    let (world, fleet) = instance().await;
    create_app(&fleet, "shop").await;
    let web = enrol(&fleet, "web-1", &["shop"], false).await;
    let thief = enrol(&fleet, "web-2", &["shop"], false).await;
    let good = web.token(&fleet).await;
    let check = async |member: &Member, token: Option<&str>, code: &str| {
        assert_eq!(member.turned_away(&world, token).await, (Code::Unauthenticated, code.to_owned()));
    };
    check(&web, None, "no-token").await;
    check(&web, Some(""), "bad-token").await;
    check(&web, Some("x.y.z"), "bad-token").await;
    let tampered = format!("{}A{}", &good[..good.len() - 5], &good[good.len() - 4..]);
    check(&web, Some(&tampered), "bad-token").await;
    // A stolen token is of no use without the key of its certificate.
    check(&thief, Some(&good), "bad-token").await;
    world.clock.advance(Duration::from_secs(11 * 60));
    check(&web, Some(&good), "token-expired").await;
}

#[tokio::test]
async fn an_agent_speaks_for_itself_and_its_apps_only() {
    let (world, fleet) = instance().await;
    create_app(&fleet, "shop").await;
    create_app(&fleet, "bank").await;
    let web = enrol(&fleet, "web-1", &["shop"], false).await;
    let token = web.token(&fleet).await;
    // Under another name than that of its token.
    let mut liar = Agent::begin(web.channel(&world).await, Some(&token)).await.expect("it begins");
    liar.say(Kind::Hello(Hello { agent: "web-2".to_owned(), ..Hello::default() })).await;
    let status = liar.hear().await.expect_err("it is none of its business");
    assert_eq!((status.code(), word(&status).as_str()), (Code::PermissionDenied, "other-agent"));
    // In the name of another app, while its own goes on.
    let mut agent = web.welcome(&world, &fleet).await;
    agent.sequence += 1;
    let foreign = Batch { sequence: agent.sequence, app: "bank".to_owned(), ..batch("shop", &["x"]) };
    agent.say(Kind::Batch(foreign)).await;
    let (_, outcome) = agent.answer().await;
    assert_eq!(refused(&outcome).0, "foreign-app");
    agent.send(1, 0..10, &["a"]).await;
    assert_eq!(agent.answer().await.1, stored(10));
    // What another agent calls the same source is another one.
    let other = enrol(&fleet, "web-2", &["shop"], false).await;
    let mut second = other.welcome(&world, &fleet).await;
    second.send(1, 0..10, &["b"]).await;
    assert_eq!(second.answer().await.1, stored(10));
    assert_eq!(world.journal.stored_events(), 2);
    // Nothing of a source is skipped, or comes before its turn, by a forged stretch.
    second.sequence += 1;
    let forged = Stretch { source: vec![1; 16], start: 500, end: 600, stored: 10 };
    second
        .say(Kind::Batch(Batch { sequence: second.sequence, stretch: Some(forged), ..batch("shop", &["x"]) }))
        .await;
    assert_eq!(later(&second.answer().await.1), "out-of-order");
    for (start, end, stored) in [(600, 500, 0), (20, 30, 25)] {
        let mut forger = other.welcome(&world, &fleet).await;
        let stretch = Stretch { source: vec![1; 16], start, end, stored };
        forger.say(Kind::Batch(Batch { sequence: 1, stretch: Some(stretch), ..batch("shop", &["x"]) })).await;
        let status = forger.end().await.expect("it is told why");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    assert_eq!(world.journal.stored_events(), 2);
}

#[tokio::test]
async fn a_revoked_agent_is_cut_off_in_mid_stream() {
    let (world, fleet) = instance().await;
    create_app(&fleet, "shop").await;
    let web = enrol(&fleet, "web-1", &["shop"], false).await;
    let mut agent = web.welcome(&world, &fleet).await;
    agent.send(1, 0..10, &["a"]).await;
    assert_eq!(agent.answer().await.1, stored(10));
    fleet.revoke_agent(&web.agent.agent, "lost", &operator()).await.expect("it is known");
    let status = agent.end().await.expect("it is told why");
    assert_eq!((status.code(), word(&status).as_str()), (Code::PermissionDenied, "agent-revoked"));
    // Its token, which has not expired, is of no use either.
    let refused = fleet.token(web.identity.certificate()).await.expect_err("it is revoked");
    assert_eq!(refused.to_string(), "the agent was revoked");
}

#[tokio::test]
async fn a_stream_lives_on_new_tokens() {
    let (world, fleet) = instance().await;
    create_app(&fleet, "shop").await;
    let web = enrol(&fleet, "web-1", &["shop"], false).await;
    let mut agent = web.welcome(&world, &fleet).await;
    let mut place = 0;
    for _ in 0..20 {
        world.clock.advance(Duration::from_secs(9 * 60));
        agent.say(Kind::Token(Token { token: web.token(&fleet).await })).await;
        agent.send(1, place..place + 10, &["a"]).await;
        assert_eq!(agent.answer().await.1, stored(place + 10));
        place += 10;
    }
    // Without one, batches are turned away for a while, and then the stream ends.
    world.clock.advance(Duration::from_secs(10 * 60 + 1));
    agent.send(1, place..place + 10, &["b"]).await;
    assert_eq!(later(&agent.answer().await.1), "token-expired");
    agent.say(Kind::Token(Token { token: web.token(&fleet).await })).await;
    agent.send(1, place..place + 10, &["b"]).await;
    assert_eq!(agent.answer().await.1, stored(place + 10));
    world.clock.advance(Duration::from_secs(10 * 60));
    let status = while_time_passes(&world.clock, Duration::from_secs(1), agent.end()).await;
    assert_eq!(status.expect("it is told why").code(), Code::Unauthenticated);
    assert_eq!(world.journal.stored_events(), 21);
    // That of another agent does not keep it alive.
    let other = enrol(&fleet, "web-2", &["shop"], false).await;
    let mut agent = other.welcome(&world, &fleet).await;
    let fresh = enrol(&fleet, "web-3", &["shop"], false).await.token(&fleet).await;
    agent.say(Kind::Token(Token { token: fresh })).await;
    assert_eq!(agent.end().await.expect("it is told why").code(), Code::Unauthenticated);
}

#[tokio::test]
async fn an_app_that_is_disabled_keeps_its_agents_waiting() {
    let (world, fleet) = instance().await;
    create_app(&fleet, "shop").await;
    let web = enrol(&fleet, "web-1", &["shop"], false).await;
    let mut agent = web.welcome(&world, &fleet).await;
    let limits = AppLimits { enabled: false, ..AppLimits::default() };
    fleet.limit_app(&app("shop"), &limits, &operator()).await.expect("it is known");
    agent.send(1, 0..10, &["a"]).await;
    assert_eq!(refused(&agent.answer().await.1).0, "app-disabled");
    fleet.limit_app(&app("shop"), &AppLimits::default(), &operator()).await.expect("it is known");
    agent.send(1, 0..10, &["a"]).await;
    assert_eq!(agent.answer().await.1, stored(10));
}

/// A stream with sealed payloads.
async fn sealed(world: &World, fleet: &Fleet, member: &Member) -> (Agent, Sealer) {
    let token = member.token(fleet).await;
    let mut agent = Agent::begin(member.channel(world).await, Some(&token)).await.expect("it begins");
    let offer = SealOffer::generate();
    agent.say(member.hello(offer.public().as_bytes())).await;
    let Some(server_message::Kind::Welcome(welcome)) = agent.hear().await.expect("the stream goes on") else {
        unreachable!("it is welcome")
    };
    let random = ServerRandom::try_from(welcome.seal_salt.as_slice()).expect("it has 32 bytes");
    let public = member.seal.expect("it has to seal");
    (agent, offer.accepted(&public, &random, &member.agent).expect("it is a good key"))
}

fn seal(sealer: &mut Sealer, member: &Member, batch: Batch) -> Batch {
    let bound = weir_wire::sealing::bound(member.agent.agent.as_str(), &batch);
    let payload = sealer.seal(batch.sequence, &bound, &batch.payload).expect("sequences grow").into();
    Batch { payload, ..batch }
}

#[tokio::test]
async fn sealed_payloads_open_as_they_were_and_nowhere_else() {
    let (world, fleet) = instance().await;
    create_app(&fleet, "shop").await;
    let web = enrol(&fleet, "web-1", &["shop"], true).await;
    let (mut agent, mut sealer) = sealed(&world, &fleet, &web).await;
    let stretch = |start: u64| Stretch { source: vec![1; 16], start, end: start + 10, stored: start };
    let next = |sequence: u64| Batch {
        sequence,
        stretch: Some(stretch(sequence * 10 - 10)),
        ..batch("shop", &["secret"])
    };
    let first = seal(&mut sealer, &web, next(1));
    assert!(!first.payload.windows(6).any(|window| window == b"secret"));
    agent.say(Kind::Batch(first.clone())).await;
    assert_eq!(agent.answer().await, (1, stored(10)));
    let second = seal(&mut sealer, &web, next(2));
    agent.say(Kind::Batch(second.clone())).await;
    assert_eq!(agent.answer().await, (2, stored(20)));
    // Again; changed in a bit; moved; by another stream; not sealed at all.
    let flipped = {
        let sealed = seal(&mut sealer, &web, next(3));
        let mut bytes = sealed.payload.to_vec();
        bytes[7] ^= 1;
        Batch { payload: bytes.into(), ..sealed }
    };
    let moved = Batch { stretch: Some(stretch(500)), ..seal(&mut sealer, &web, next(4)) };
    let attacks = [Batch { sequence: 2, ..second }, first, flipped, moved, next(1)];
    for attack in attacks {
        let (mut agent, mut sealer) = sealed(&world, &fleet, &web).await;
        let own = seal(&mut sealer, &web, Batch { sequence: 1, ..next(2) });
        agent.say(Kind::Batch(own)).await;
        assert!(matches!(agent.answer().await, (1, _)));
        agent.say(Kind::Batch(attack.clone())).await;
        let status = agent.end().await.expect("it is told why");
        assert_eq!(
            (status.code(), word(&status).as_str()),
            (Code::InvalidArgument, "bad-seal"),
            "{attack:?}"
        );
    }
    // Nor does an agent come in that has to seal and does not, or offers a key that everybody knows.
    for offer in [&[][..], &[0; 32], &[1; 31]] {
        let token = web.token(&fleet).await;
        let mut agent = Agent::begin(web.channel(&world).await, Some(&token)).await.expect("it begins");
        agent.say(web.hello(offer)).await;
        let status = agent.hear().await.expect_err("it has to seal");
        assert_eq!((status.code(), word(&status).as_str()), (Code::FailedPrecondition, "bad-seal"));
    }
    assert_eq!(world.journal.stored_events(), 2);
}

#[tokio::test]
async fn clients_show_the_secret_of_an_app_that_has_one() {
    let section = ProducerSection { unknown_apps: Some(UnknownApps::Refuse), ..ProducerSection::default() };
    let (world, fleet) = World::of_instance(section).await;
    let secret = create_app(&fleet, "shop").await;
    let check = async |topic: &str, secret: &str, expected: Option<Code>| {
        let mut context = crate::harness::context(topic);
        context.app_secret = secret.to_owned();
        let outcome = world.client().produce_batch(crate::harness::collection(context, &["a"])).await;
        assert_eq!(outcome.err().map(|status| status.code()), expected, "{topic}");
    };
    check("shop", secret.reveal(), None).await;
    check("shop", "", Some(Code::Unauthenticated)).await;
    check("shop", "weira1_wrong", Some(Code::Unauthenticated)).await;
    check("bank", secret.reveal(), Some(Code::PermissionDenied)).await;
    let limits = AppLimits { max_tps: NonZeroU32::new(1), ..AppLimits::default() };
    fleet.limit_app(&app("shop"), &limits, &operator()).await.expect("it is known");
    for _ in 0..9 {
        check("shop", secret.reveal(), None).await;
    }
    check("shop", secret.reveal(), None).await;
    check("shop", secret.reveal(), Some(Code::ResourceExhausted)).await;
    let disabled = AppLimits { enabled: false, ..AppLimits::default() };
    fleet.limit_app(&app("shop"), &disabled, &operator()).await.expect("it is known");
    check("shop", secret.reveal(), Some(Code::PermissionDenied)).await;
}

/// What was taken before is not judged again, and nothing is left of how that was shown.
#[tokio::test]
async fn a_process_of_the_instance_sends_in_the_name_of_any_app() {
    let section = ProducerSection {
        unknown_apps: Some(UnknownApps::Refuse),
        store_app_secret: Some(true),
        ..ProducerSection::default()
    };
    let (world, fleet) = World::of_instance(section).await;
    let (_, stranger) = World::of_instance(ProducerSection::default()).await;
    create_app(&fleet, "shop").await;
    let send = async |topic: &str, secret: &Secret| {
        let mut context = crate::harness::context(topic);
        context.app_secret = secret.reveal().to_owned();
        let mut request = tonic::Request::new(crate::harness::collection(context, &["a"]));
        request.metadata_mut().insert("weir-batch-id", "1".parse().expect("is ASCII"));
        world.client().produce_batch(request).await.err().map(|status| status.code())
    };
    let pass = fleet.pass();
    assert_eq!((send("shop", &pass).await, send("bank", &pass).await), (None, None));
    assert_eq!(send("shop", &stranger.pass()).await, Some(Code::Unauthenticated));
    // The batch is the same, though what is shown is not.
    world.clock.advance(Duration::from_secs(1));
    let later = fleet.pass();
    assert_ne!(later.reveal(), pass.reveal());
    assert_eq!(send("shop", &later).await, None);
    let stored = world.journal.stored();
    assert_eq!(stored.len(), 2);
    let pass = pass.reveal().as_bytes();
    let has_it = |value: &[u8]| value.windows(pass.len()).any(|part| part == pass);
    assert!(stored.iter().all(|(_, record)| !has_it(&record.value)));
}

#[tokio::test]
async fn events_are_filed_where_the_instance_files_those_of_their_app() {
    let (world, fleet) = instance().await;
    let secret = create_app(&fleet, "shop").await;
    let web = enrol(&fleet, "web-1", &["shop"], false).await;
    let mut agent = web.welcome(&world, &fleet).await;
    let bearer = format!("Bearer {}", secret.reveal());
    let store = IndexPrefix::new("store").expect("is legal");
    let mut expected = Vec::new();
    for (pass, index_prefix) in [(0, None), (1, Some(store)), (2, None)] {
        let limits = AppLimits { index_prefix: index_prefix.clone(), ..AppLimits::default() };
        fleet.limit_app(&app("shop"), &limits, &operator()).await.expect("it is known");
        agent.send(1, pass * 10..pass * 10 + 10, &["a"]).await;
        assert_eq!(agent.answer().await.1, stored(pass * 10 + 10));
        let headers = [("authorization", bearer.as_str()), ("content-type", "text/plain")];
        let answer = request(world.http, "POST /api/v1/apps/shop/events", &headers, "b").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut context = crate::harness::context("shop");
        context.app_secret = secret.reveal().to_owned();
        context.es_index_prefix = "its-own".to_owned();
        world.client().produce_batch(crate::harness::collection(context, &["c"])).await.expect("it is taken");
        let prefix = index_prefix.map_or("shop".to_owned(), |prefix| prefix.to_string());
        expected.extend([prefix.clone(), prefix, "its-own".to_owned()]);
    }
    let prefixes: Vec<String> = world.journal.stored().iter().map(|(_, record)| filed(record)).collect();
    assert_eq!(prefixes, expected);
}

fn filed(record: &Record) -> String {
    let batch = decode_record(record.format, &record.value, record.received).expect("it is whole");
    assert_eq!(batch.len(), 1);
    batch.index_prefix().to_string()
}
