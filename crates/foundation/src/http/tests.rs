use std::net::{SocketAddr, TcpListener};
use std::time::SystemTime;

use axum::routing::get;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use super::*;
use crate::clock::ManualClock;
use crate::exit::ExitCode;
use crate::supervise::{DrainDeadlines, Supervisor};

const SECOND: Duration = Duration::from_secs(1);

struct World {
    supervisor: Supervisor,
    clock: ManualClock,
    address: SocketAddr,
}

fn world(router: Router) -> World {
    world_of(router, Security::Plain)
}

fn world_of(router: Router, security: Security) -> World {
    let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let supervisor = Supervisor::new(Handle::current(), Arc::clone(&shared), DrainDeadlines::default());
    let socket = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = socket.local_addr().expect("it is bound");
    let listener = Listener { socket, security };
    let spawner = supervisor.spawner();
    let process = Process { spawner: &spawner, clock: &shared };
    serve("test", listener, router, Limits::default(), DrainPhase::StopIntake, process).expect("it listens");
    World { supervisor, clock, address }
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("the server listens")
}

/// Asks and reads up to the end of the answer's body, `hello`.
async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: weir\r\n\r\n").await.expect("is taken");
    let mut answer = Vec::new();
    while !answer.trim_ascii_end().ends_with(b"hello") {
        let count = stream.read_buf(&mut answer).await.expect("there is an answer");
        assert_ne!(count, 0, "the answer ends early");
    }
    String::from_utf8(answer).expect("is text")
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    matches!(stream.read_to_end(&mut rest).await, Ok(0) | Err(_))
}

async fn while_time_passes<T>(clock: &ManualClock, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            result = work.as_mut() => return result,
            () = tokio::task::yield_now() => clock.advance(SECOND),
        }
    }
}

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_and_closed_when_idle() {
    let world = world(hello());
    let mut stream = connect(world.address).await;
    for _ in 0..3 {
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    world.clock.advance(SECOND * 599);
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"), "not idle long enough");
    assert!(while_time_passes(&world.clock, is_closed(&mut stream)).await);
}

/// Of an answer that is larger than what the machine buffers, nothing is taken; a tail that has nothing to say
/// for as long is left alone.
#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    let (dropped, gone) = oneshot::channel::<()>();
    let dropped = Arc::new(std::sync::Mutex::new(Some(dropped)));
    let large = move || {
        let dropped = dropped.lock().expect("no test panics with it").take();
        let pieces = futures_util::stream::repeat_with(move || {
            let _held = &dropped;
            Ok::<_, Infallible>(vec![b'x'; 64 << 10])
        });
        async move { axum::body::Body::from_stream(pieces) }
    };
    let quiet = || async {
        let pieces = futures_util::stream::once(async { Ok::<_, Infallible>("hello") });
        axum::body::Body::from_stream(pieces.chain(futures_util::stream::pending()))
    };
    let world = world(Router::new().route("/", get(quiet)).route("/large", get(large)));
    let mut tail = connect(world.address).await;
    ask(&mut tail).await;
    let mut client = connect(world.address).await;
    client.write_all(b"GET /large HTTP/1.1\r\nhost: weir\r\n\r\n").await.expect("is taken");
    assert!(
        while_time_passes(&world.clock, gone).await.is_err(),
        "the answer is dropped with its connection"
    );
    let mut more = [0];
    let ten_windows = async {
        for _ in 0..300 {
            tokio::task::yield_now().await;
        }
    };
    let quiet = async {
        tokio::select! {
            biased;
            _ = tail.read(&mut more) => false,
            () = ten_windows => true,
        }
    };
    assert!(while_time_passes(&world.clock, quiet).await, "the tail is cut off");
}

#[tokio::test]
async fn the_drain_closes_idle_connections_at_once() {
    let world = world(hello());
    let mut used = connect(world.address).await;
    ask(&mut used).await;
    let mut fresh = connect(world.address).await;
    // Both connections have begun to wait, each with two timers.
    world.clock.sleepers(4).await;
    let drain = world.supervisor.run_until(async {});
    let closed = async { is_closed(&mut used).await && is_closed(&mut fresh).await };
    let both = async { tokio::join!(drain, closed) };
    let (code, closed) = both.await;
    assert!(closed);
    assert_eq!(code, ExitCode::Good);
}

#[tokio::test]
async fn the_drain_waits_for_an_answer_and_cuts_off_what_never_ends() {
    let entered = watch::Sender::new(0);
    let gate = watch::Sender::new(false);
    let slow = {
        let (entered, gate) = (entered.clone(), gate.clone());
        move || {
            entered.send_modify(|entered| *entered += 1);
            let mut open = gate.subscribe();
            async move { open.wait_for(|open| *open).await.map(|_| "hello").expect("the gate lives") }
        }
    };
    let endless = {
        let entered = entered.clone();
        move || {
            entered.send_modify(|entered| *entered += 1);
            std::future::pending::<()>()
        }
    };
    let world = world(Router::new().route("/", get(slow)).route("/endless", get(endless)));
    let mut answered = connect(world.address).await;
    answered.write_all(b"GET / HTTP/1.1\r\nhost: weir\r\n\r\n").await.expect("is taken");
    let mut cut_off = connect(world.address).await;
    cut_off.write_all(b"GET /endless HTTP/1.1\r\nhost: weir\r\n\r\n").await.expect("is taken");
    entered.subscribe().wait_for(|entered| *entered == 2).await.expect("the sender lives");

    let (stop, stopped) = oneshot::channel::<()>();
    let drain = world.supervisor.run_until(async { stopped.await.expect("the test says so") });
    let test = async {
        stop.send(()).expect("the supervisor waits");
        gate.send_replace(true);
        let mut answer = String::new();
        answered.read_to_string(&mut answer).await.expect("there is an answer");
        assert!(while_time_passes(&world.clock, is_closed(&mut cut_off)).await);
        answer
    };
    let (code, answer) = tokio::join!(drain, test);
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(code, ExitCode::Good);
}

/// What a client without TLS is told that it is, where this address is that of a proxy; nothing where it is cut off.
async fn told(proxies: &str, plaintext: Plaintext) -> Option<String> {
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("they are known")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
    let (_config, config) = watch::channel(Arc::new(config));
    let (_verifier, verifier) = watch::channel(rustls::server::WebPkiClientVerifier::no_client_auth());
    let proxies = Proxies::of_certificates(&[proxies.parse().expect("is one")], verifier);
    let tell = |axum::Extension(peer): axum::Extension<Peer>| async move {
        let code = peer.refused.as_ref().map_or("none", crate::failure::Failure::code);
        format!("{}, {code}, hello", peer.certificate.is_some())
    };
    let security = Security::Tls { config, plaintext, proxies };
    let world = world_of(Router::new().route("/", get(tell)), security);
    let mut stream = connect(world.address).await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: weir\r\nclient-cert: x\r\nconnection: close\r\n\r\n")
        .await
        .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8(answer).ok().filter(|answer| answer.starts_with("HTTP/1.1 200"))?;
    answer.rsplit_once("\r\n").map(|(_, body)| body.to_owned())
}

#[tokio::test]
async fn a_header_is_believed_of_proxies_only() {
    let check = async |proxies: &str, plaintext, expected: Option<&str>| {
        assert_eq!(told(proxies, plaintext).await.as_deref(), expected, "{proxies} {plaintext:?}");
    };
    check("127.0.0.1", Plaintext::Refused, Some("false, malformed-certificate, hello")).await;
    // Who may come from this machine is nobody there if a proxy is.
    check("127.0.0.0/8", Plaintext::FromThisMachine, Some("false, malformed-certificate, hello")).await;
    check("127.0.0.2", Plaintext::Refused, None).await;
    check("127.0.0.2", Plaintext::FromThisMachine, Some("false, none, hello")).await;
}
