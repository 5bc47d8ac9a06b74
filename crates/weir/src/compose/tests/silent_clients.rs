//! Whoever comes to a door of agents and then says nothing: his place is free again after a time, and others are served.

use std::net::{IpAddr, Ipv4Addr};

use futures_util::stream;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tonic::{Code, Request, Status, Streaming};
use weir_testkit::JumpingClock;
use weir_wire::proto::control::control_client::ControlClient;
use weir_wire::proto::ingest::ingest_client::IngestClient;

use super::agents::Machine;
use super::*;

/// How long a first word is waited for.
const FIRST: Duration = Duration::from_secs(10);

/// The same of a connection, with its handshake.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// What work comes to while time leaps in such steps.
async fn while_time_leaps<T>(clock: &JumpingClock, step: Duration, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let leaping = async {
        loop {
            tokio::select! {
                biased;
                result = work.as_mut() => return result,
                () = SystemClock.sleep(Duration::from_millis(50)) => clock.jump(step),
            }
        }
    };
    let outcome = weir_foundation::clock::timeout(&SystemClock, Duration::from_secs(60), leaping).await;
    outcome.expect("it comes to that in time")
}

/// How a stream ends on which nothing was said.
async fn end<T>(clock: &JumpingClock, mut answers: Streaming<T>) -> Status {
    let said = while_time_leaps(clock, FIRST, answers.message()).await;
    said.err().expect("nothing is said to who says nothing")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_a_first_word_ends() {
    let clock = JumpingClock::new();
    let directory = tempfile::tempdir().expect("there is space");
    let world = World::with(directory, Arc::new(clock.clone()), &[("fleet.token_life", "1d")]).await;
    let web = world.enrolled("web-1").await;
    let channel = world.by_tls(IpAddr::V4(Ipv4Addr::LOCALHOST), &web.identity).await;
    let bearer = format!("Bearer {}", web.token.reveal());
    let attended = {
        let mut request = Request::new(stream::pending());
        request.metadata_mut().insert("authorization", bearer.parse().expect("is ASCII"));
        ControlClient::new(channel.clone()).attend(request).await.expect("it is welcome").into_inner()
    };
    let status = end(&clock, attended).await;
    assert_eq!(
        (status.code(), status.message()),
        (Code::DeadlineExceeded, "an agent begins with an Introduction")
    );
    let streamed = {
        let mut request = Request::new(stream::pending());
        request.metadata_mut().insert("authorization", bearer.parse().expect("is ASCII"));
        IngestClient::new(channel).stream(request).await.expect("it is welcome").into_inner()
    };
    let status = end(&clock, streamed).await;
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "an agent begins with a Hello"));
    assert_eq!(world.drain().await.1, ExitCode::Good);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_handshake_is_closed() {
    let clock = JumpingClock::new();
    let directory = tempfile::tempdir().expect("there is space");
    let world = World::with(directory, Arc::new(clock.clone()), &[]).await;
    let doors = world.running.addresses;
    for door in [doors.ingest, doors.enrolment] {
        let mut silent = TcpStream::connect(door).await.expect("it listens");
        let mut said = Vec::new();
        // However it is closed.
        drop(while_time_leaps(&clock, HANDSHAKE, silent.read_to_end(&mut said)).await);
        assert_eq!(said, b"");
    }
    let mut machine = Machine::new();
    machine.append("a.log", "line 0\n");
    machine.start(&world.process.clock, Some(&world.key(false).await));
    world.configure(&machine.configuration()).await;
    world.has_lines(1).await;
    machine.stop().await;
    assert_eq!(world.drain().await.1, ExitCode::Good);
}
