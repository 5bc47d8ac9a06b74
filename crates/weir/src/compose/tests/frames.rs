//! What comes to the doors of agents and is no message: too large, cut off, with a length that is a lie. Whoever sends it is
//! told, nothing of it is stored, and everybody else is served.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::ServiceExt as _;
use weir_auth::access_key::AccessKey;
use weir_auth::tls;
use weir_model::IndexPrefix;
use weir_wire::EventsBuilder;
use weir_wire::proto::control::{EnrolRequest, Introduction, Report, TokenRequest, report};
use weir_wire::proto::ingest::{AgentMessage, Batch, Hello, Stretch, agent_message};

use super::agents::{Machine, SHOP};
use super::*;

/// What may be in a message of an agent: a batch, and what surrounds it.
const OF_EVENTS: u32 = (4 << 20) + (64 << 10);
/// And in one of those beside the events.
const OF_CONTROL: u32 = 1 << 20;
/// And in one of somebody of whom nothing is known.
const OF_STRANGERS: u32 = 16 << 10;

/// How the bytes of a request end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Orderly,
    /// As where a client dies.
    Reset,
}

/// Who calls a door, and where.
struct Caller {
    channel: Channel,
    token: Option<String>,
}

impl Caller {
    /// What the door says to these bytes in the end; nothing where the call is broken off by the caller.
    async fn told(&self, path: &str, bytes: Vec<u8>, end: End) -> Option<Status> {
        let first = stream::iter([Ok(Frame::data(Bytes::from(bytes)))]);
        let rest: BoxStream<'static, Result<Frame<Bytes>, std::io::Error>> = match end {
            End::Orderly => stream::empty().boxed(),
            End::Reset => stream::iter([Err(std::io::Error::other("the client dies"))]).boxed(),
        };
        let body = Body::new(StreamBody::new(first.chain(rest)));
        let request =
            ::http::Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
        let request = match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let request = request.body(body).expect("it is legal");
        let answer = self.channel.clone().oneshot(request).await.ok()?;
        assert_eq!(answer.status(), 200, "{path}");
        if let Some(status) = Status::from_header_map(answer.headers()) {
            return Some(status);
        }
        let trailers = answer.into_body().collect().await.ok()?.trailers().cloned();
        Status::from_header_map(&trailers.expect("a call ends with a status"))
    }
}

/// A message as gRPC frames it, with a length of its own choice.
fn frame(length: u32, message: &[u8]) -> Vec<u8> {
    [&[0], length.to_be_bytes().as_slice(), message].concat()
}

fn honest(message: &impl prost::Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    frame(u32::try_from(message.len()).expect("it is small"), &message)
}

/// A channel for somebody of whom nothing is known.
async fn stranger(door: SocketAddr, key: &AccessKey, clock: &Arc<dyn Clock>) -> Channel {
    let config = tls::client_pinned(&key.pins, Arc::clone(clock)).expect("it is a client");
    let connector = TlsConnector::from(Arc::new(config));
    let connect = move |_| {
        let connector = connector.clone();
        async move {
            let stream = tokio::net::TcpStream::connect(door).await?;
            let name = ServerName::try_from("weir").expect("it is a name");
            connector.connect(name, stream).await.map(TokioIo::new)
        }
    };
    let endpoint = Endpoint::from_shared(format!("http://{door}")).expect("is a URL");
    endpoint.connect_with_connector(tower::service_fn(connect)).await.expect("it is pinned")
}

/// What is wrong with a message, behind those that are good, and the code and the words with which that is answered.
async fn bad_frames_are_refused(caller: &Caller, path: &str, limit: u32, good: &[u8], message: &[u8]) {
    let length = u32::try_from(message.len()).expect("it is small");
    let half = &message[..message.len() / 2];
    let whole = vec![0; limit as usize + 1];
    let too_large = format!("found {} bytes, the limit is: {limit} bytes", limit + 1);
    let cases = [
        ("too large, and said so", frame(limit + 1, &whole), Code::OutOfRange, too_large.as_str()),
        ("4 GiB, it says", frame(u32::MAX, message), Code::OutOfRange, "the limit is"),
        ("cut in the middle", frame(length, half), Code::Internal, "Unexpected EOF"),
        ("cut in its prefix", frame(length, message)[..3].to_vec(), Code::Internal, "Unexpected EOF"),
        ("longer than it says", frame(length - 1, message), Code::Internal, ""),
        ("shorter than it says", frame(length + 1, message), Code::Internal, "Unexpected EOF"),
        ("of no known form", [&[7], &frame(length, message)[1..]].concat(), Code::Internal, "flag"),
        ("noise", frame(4, &[0xff; 4]), Code::Internal, "decode"),
    ];
    for (what, bytes, code, words) in cases {
        let status = caller.told(path, [good, &bytes].concat(), End::Orderly).await;
        let status = status.unwrap_or_else(|| unreachable!("{path}, {what}: it is told why"));
        assert_eq!(status.code(), code, "{path}, {what}: {status:?}");
        assert!(
            !status.message().is_empty() && status.message().contains(words),
            "{path}, {what}: {status:?}"
        );
    }
    // Whoever dies in the middle is told nothing.
    caller.told(path, [good, &frame(length, half)].concat(), End::Reset).await;
}

/// A batch whose one line is `line`.
fn batch(line: &str) -> AgentMessage {
    let mut events = EventsBuilder::new(&IndexPrefix::new(SHOP).expect("is legal"));
    events.push_line(line, None);
    let (payload, events) = events.finish();
    let stretch = Some(Stretch { source: vec![9; 16], start: 0, end: 10, stored: 0 });
    let batch = Batch { sequence: 1, app: SHOP.to_owned(), events, payload, stretch, ..Batch::default() };
    AgentMessage { kind: Some(agent_message::Kind::Batch(batch)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_no_messages_are_answered_and_not_stored() {
    let world = World::new().await;
    let web = world.enrolled("web-1").await;
    let near = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let channel = world.by_tls(near, &web.identity).await;
    let agent = Caller { channel, token: Some(web.token.reveal().to_owned()) };

    let hello = Hello { agent: web.name.clone(), version: "1".to_owned(), seal_public: Vec::new() };
    let hello = AgentMessage { kind: Some(agent_message::Kind::Hello(hello)) };
    let lost = batch("lost").encode_to_vec();
    let stream = "/weir.ingest.v1.Ingest/Stream";
    bad_frames_are_refused(&agent, stream, OF_EVENTS, &[], &hello.encode_to_vec()).await;
    bad_frames_are_refused(&agent, stream, OF_EVENTS, &honest(&hello), &lost).await;

    let introduction = Introduction { host: "web".to_owned(), ..Introduction::default() };
    let introduction = Report { kind: Some(report::Kind::Introduction(introduction)) };
    let attend = "/weir.control.v1.Control/Attend";
    bad_frames_are_refused(&agent, attend, OF_CONTROL, &[], &introduction.encode_to_vec()).await;
    bad_frames_are_refused(&agent, attend, OF_CONTROL, &honest(&introduction), &introduction.encode_to_vec())
        .await;
    let token = "/weir.control.v1.Control/Token";
    bad_frames_are_refused(&agent, token, OF_CONTROL, &[], b"unknown field\n").await;
    let renewal =
        weir_wire::proto::control::RenewRequest { certificate_request: vec![1; 100], generation: 1 };
    let renew = "/weir.control.v1.Control/Renew";
    bad_frames_are_refused(&agent, renew, OF_CONTROL, &[], &renewal.encode_to_vec()).await;

    let key: AccessKey = world.key(false).await.reveal().parse().expect("it was just made");
    let enrolment = world.running.addresses.enrolment;
    let channel = stranger(enrolment, &key, &world.process.clock).await;
    let node = Caller { channel, token: None };
    let enrol = EnrolRequest {
        key_id: key.id.to_string(),
        secret: key.secret.reveal().to_owned(),
        name: "lost".to_owned(),
        ..EnrolRequest::default()
    };
    for method in ["Enrol", "Recover"] {
        let path = format!("/weir.control.v1.Enrolment/{method}");
        bad_frames_are_refused(&node, &path, OF_STRANGERS, &[], &enrol.encode_to_vec()).await;
    }

    // The same connections are good for what is right, and nobody has joined or sent anything.
    let asked = agent.told(token, honest(&TokenRequest {}), End::Orderly).await;
    assert_eq!(asked.map(|status| status.code()), Some(Code::Ok));
    let refused = node.told("/weir.control.v1.Enrolment/Enrol", honest(&enrol), End::Orderly).await;
    let refused = refused.expect("it is told why");
    assert_eq!(refused.code(), Code::InvalidArgument, "it has no request for a certificate: {refused:?}");
    let known: Vec<String> = world.fleet().agents().iter().map(|agent| agent.name.to_string()).collect();
    assert_eq!(known, ["web-1"]);
    assert_eq!(world.generation("web-1"), 1);
    let mut machine = Machine::new();
    machine.append("a.log", "line 0\n");
    machine.start(&world.process.clock, Some(&world.key(false).await));
    world.configure(&machine.configuration()).await;
    world.has_lines(1).await;
    machine.stop().await;
    assert_eq!(world.audit().await.streams[0].accepted, Some(1));
    assert_eq!(world.drain().await.1, ExitCode::Good);
}
