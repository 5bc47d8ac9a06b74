//! Agents whose TLS ends at a proxy, which reads what it can and changes what it likes.

mod attacks;
mod renewals;
mod silence;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use prost::Message as _;
use weir_agent::{Link, Standing};
use weir_auth::pki::{Certificate, PrivateKey};
use weir_auth::seal::SealKey;
use weir_fleet::ServerRequest;
use weir_testkit::{FastClock, Message, Place, Says, TlsProxy};
use weir_wire::compression::{Encoding, decompress};
use weir_wire::proto::control::EnrolResponse;
use weir_wire::proto::ingest::agent_message::Kind;
use weir_wire::proto::ingest::{AgentMessage, Batch};

use super::agents::{Machine, connected, operator};
use super::*;

/// From where a proxy connects; nobody else does.
const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// What is in every line.
const MARKER: &str = "line ";

/// A server and the proxies in front of its two doors for agents, of which alone agents are told.
struct Front {
    world: World,
    agents: TlsProxy,
    enrolment: TlsProxy,
}

impl Front {
    async fn new(clock: Arc<dyn Clock>, more: &[(&'static str, &'static str)]) -> Self {
        let (agents, enrolment) = (free(), free());
        // For the life of the test: settings are given as they are written.
        let leak = |address: SocketAddr| &*address.to_string().leak();
        let mut settings = vec![
            ("fleet.proxies", "127.0.0.3"),
            ("fleet.advertise.agents", leak(agents)),
            ("fleet.advertise.enrolment", leak(enrolment)),
        ];
        settings.extend(more);
        let directory = tempfile::tempdir().expect("there is space");
        let world = World::with(directory, clock, &settings).await;
        let folder = certified(&world);
        let start = async |near, server| {
            let place = Place { near, from: FROM, server };
            TlsProxy::start(place, folder.path()).await.expect("it listens")
        };
        let doors = world.running.addresses;
        let (agents, enrolment) =
            (start(agents, doors.ingest).await, start(enrolment, doors.enrolment).await);
        Self { world, agents, enrolment }
    }

    /// The batches that agents have sent, with their events.
    fn batches(&self) -> Vec<Batch> {
        batches(&self.agents.seen()).into_iter().filter(|batch| batch.events > 0).collect()
    }

    /// How often agents began a stream.
    fn streams(&self) -> usize {
        self.said(|kind| matches!(kind, Kind::Hello(_)))
    }

    /// How many such messages came on streams of events.
    fn said(&self, is_such: impl Fn(&Kind) -> bool) -> usize {
        let messages = self.agents.seen();
        let kinds = messages.iter().filter_map(|message| AgentMessage::decode(ingest(message)?).ok()?.kind);
        kinds.filter(is_such).count()
    }
}

/// What `weir pki certificate` writes.
fn certified(world: &World) -> tempfile::TempDir {
    let (key, names) = (PrivateKey::generate(), ["proxy.example".to_owned()]);
    let request = ServerRequest { csr: &key.request_pem(), names: &names, life: None };
    let issued = world.fleet().certify_server(request, &operator()).expect("it is issued");
    let folder = tempfile::tempdir().expect("there is space");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
    let pems = |all: &[Certificate]| all.iter().map(Certificate::pem).collect::<String>();
    write("certificate.pem", &pems(&issued.chain)).expect("there is space");
    write("roots.pem", &pems(&issued.roots)).expect("there is space");
    write("key.pem", &key.pem()).expect("there is space");
    folder
}

fn ingest((path, message): &Message) -> Option<Bytes> {
    path.starts_with("/weir.ingest.v1.Ingest/").then(|| message.clone())
}

fn batches(messages: &[Message]) -> Vec<Batch> {
    let read = |message: &Message| match AgentMessage::decode(ingest(message)?).ok()?.kind? {
        Kind::Batch(batch) => Some(batch),
        Kind::Hello(_) | Kind::Token(_) => None,
    };
    messages.iter().filter_map(read).collect()
}

/// Whether the proxy can read a line in it.
fn is_legible(batch: &Batch) -> bool {
    let holds = |bytes: &[u8]| bytes.windows(MARKER.len()).any(|part| part == MARKER.as_bytes());
    holds(&batch.payload)
        || decompress(Encoding::Zstd, &batch.payload, 1 << 24).is_ok_and(|plain| holds(&plain))
}

/// An agent enrols through the proxy, renews its certificate again and again, is cut off, and comes back after its
/// certificate has ended. Each line is stored once.
async fn lives_behind_a_proxy(seal: bool, says: Says) {
    let lives = [("fleet.certificate_life", "1m"), ("fleet.token_life", "15s")];
    let front = Front::new(Arc::new(FastClock::new(30)), &lives).await;
    front.agents.says(says);
    let world = &front.world;
    let mut machine = Machine::new();
    let key = world.key(seal).await;
    machine.start(&world.process.clock, Some(&key));
    world.configure(&machine.configuration()).await;
    let mut lines = 0;
    let write = |machine: &Machine, lines: &mut usize| {
        machine.append("a.log", &format!("{MARKER}{lines}\n"));
        *lines += 1;
    };
    for generation in 1..5 {
        world.until(async || (world.generation("web-3") > generation).then_some(())).await;
        write(&machine, &mut lines);
        world.has_lines(lines).await;
        front.agents.snap();
        write(&machine, &mut lines);
        world.has_lines(lines).await;
    }
    machine.stop().await;
    write(&machine, &mut lines);
    world.process.clock.sleep(Duration::from_secs(100)).await;
    machine.start(&world.process.clock, None);
    world.has_lines(lines).await;
    machine.stop().await;
    let batches = front.batches();
    let legible = batches.iter().filter(|batch| is_legible(batch)).count();
    assert!(batches.len() >= 9, "{} batches came through the proxy", batches.len());
    assert_eq!(legible, if seal { 0 } else { batches.len() });
    // Its phases have a thirtieth of their time here.
    front.world.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_reads_nothing_of_an_agent_that_seals() {
    lives_behind_a_proxy(true, Says::Rfc9440).await;
}

/// So that what is said of sealed ones is no matter of how they are looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_reads_everything_of_an_agent_that_does_not() {
    lives_behind_a_proxy(false, Says::Nginx).await;
}

/// What becomes of one batch, the third that comes, of an agent that seals. It is refused, which ends the stream; the agent
/// begins another one and sends again.
async fn one_is_tampered_with(tamper: impl Fn(Batch) -> Vec<Batch> + Send + Sync + 'static) {
    let front = Front::new(Arc::new(SystemClock), &[]).await;
    let world = &front.world;
    let mut machine = Machine::new();
    let key = world.key(true).await;
    machine.start(&world.process.clock, Some(&key));
    world.configure(&machine.configuration()).await;
    world.until(async || connected(machine.agent())).await;
    let nth = AtomicUsize::new(0);
    front.agents.becomes(move |path, message| {
        let Some(batch) =
            batches(&[(path.to_owned(), message.clone())]).pop().filter(|batch| batch.events > 0)
        else {
            return vec![message];
        };
        if nth.fetch_add(1, Ordering::Relaxed) != 2 {
            return vec![message];
        }
        let encode = |batch| AgentMessage { kind: Some(Kind::Batch(batch)) }.encode_to_vec().into();
        tamper(batch).into_iter().map(encode).collect()
    });
    for number in 0..2 {
        machine.append("a.log", &format!("{MARKER}{number}\n"));
        world.has_lines(number + 1).await;
    }
    assert_eq!(front.streams(), 1, "nothing was wrong up to here");
    machine.append("a.log", &format!("{MARKER}2\n"));
    let again = world.until(async || (front.streams() > 1).then(|| front.streams())).await;
    assert_eq!(again, 2, "the one that was tampered with was refused, and nothing else");
    machine.append("a.log", &format!("{MARKER}3\n"));
    world.has_lines(4).await;
    assert!(matches!(machine.agent().standing(), Standing::Enrolled { link: Link::Connected { .. }, .. }));
    assert!(front.batches().iter().all(|batch| !is_legible(batch)));
    machine.stop().await;
    assert_eq!(world.audit().await.verdict, AuditVerdict::Agrees);
    assert_eq!(front.world.drain().await.1, ExitCode::Good);
}

/// Who could say with whom to seal would read everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_seals_for_whom_its_access_key_says_and_nobody_else() {
    let front = Front::new(Arc::new(SystemClock), &[]).await;
    let world = &front.world;
    let own = SealKey::generate().public().as_bytes().to_vec();
    for other in [Vec::new(), own] {
        let key = world.key(true).await;
        front.enrolment.answer_becomes(move |_, message| {
            let mut answer = EnrolResponse::decode(message).expect("it is an answer");
            answer.seal.clone_from(&other);
            vec![answer.encode_to_vec().into()]
        });
        let mut machine = Machine::new();
        machine.start(&world.process.clock, Some(&key));
        let why = world
            .until(async || match machine.agent().standing() {
                Standing::Enrolling(why) => why,
                Standing::Enrolled { .. } => unreachable!("it took the key of somebody else"),
            })
            .await;
        assert!(why.contains("another key to seal"), "{why}");
        // It is the same node once nobody is between.
        front.enrolment.answer_becomes(|_, message| vec![message]);
        world.until(async || connected(machine.agent())).await;
        machine.stop().await;
    }
    assert_eq!(front.world.drain().await.1, ExitCode::Good);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_that_was_turned_is_found() {
    one_is_tampered_with(|mut batch| {
        let mut payload = batch.payload.to_vec();
        payload[7] ^= 1;
        batch.payload = payload.into();
        vec![batch]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_comes_twice_is_found() {
    one_is_tampered_with(|batch| vec![batch.clone(), batch]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_another_place_is_found() {
    one_is_tampered_with(|mut batch| {
        if let Some(stretch) = &mut batch.stretch {
            stretch.start += 1;
        }
        vec![batch]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_another_number_is_found() {
    one_is_tampered_with(|mut batch| {
        batch.sequence += 1;
        vec![batch]
    })
    .await;
}
