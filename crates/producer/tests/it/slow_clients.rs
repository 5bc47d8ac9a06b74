use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_foundation::clock::ManualClock;
use weir_foundation::http::{Limits, Pace};
use weir_producer::{ProducerSection, Records};

use crate::harness::{World, eventually, while_time_passes};
use crate::journal::MoodyJournal;
use crate::raw::{post, read_answer};

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits {
        connections: 100,
        first_request: SECOND * 30,
        idle: SECOND * 60,
        pace: Pace { window: SECOND * 10, bytes: 100 },
        ..Limits::default()
    }
}

async fn world(limits: Limits) -> World {
    let clock = ManualClock::new(SystemTime::UNIX_EPOCH + SECOND * 1_800_000_000);
    World::over(MoodyJournal::new(&clock), clock, ProducerSection::default(), limits, Records::AsReceived)
        .await
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    matches!(stream.read_to_end(&mut rest).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn a_client_that_dribbles_its_head_is_cut_off() {
    let world = world(limits()).await;
    for address in [world.grpc, world.http] {
        for start in ["", "P", "PRI * HT", "POST /produce HTTP/1.1\r\nhost: we"] {
            let mut stream = TcpStream::connect(address).await.expect("the door is open");
            stream.write_all(start.as_bytes()).await.expect("is taken");
            assert!(while_time_passes(&world.clock, SECOND, is_closed(&mut stream)).await, "{start:?}");
        }
    }
}

#[tokio::test]
async fn a_body_that_does_not_keep_pace_is_refused() {
    let world = world(limits()).await;
    let mut stream = TcpStream::connect(world.http).await.expect("the door is open");
    let head = "POST /api/v1/apps/shop/events HTTP/1.1\r\nhost: weir\r\nconnection: close\r\ncontent-length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("is taken");
    stream.write_all(&[b'x'; 150]).await.expect("is taken");
    let used = || world.metric("weir_producer_budget_used_bytes").expect("is exposed");
    eventually("the bytes have arrived", || used() > 0.0).await;
    let answer = while_time_passes(&world.clock, SECOND, read_answer(&mut stream)).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (408, Some("stalled-body")));
    assert!(world.journal.stored().is_empty());
    eventually("nothing is held for it", || used() == 0.0).await;
}

#[tokio::test]
async fn a_grpc_message_that_does_not_keep_pace_is_refused() {
    let world = world(limits()).await;
    let mut stream = TcpStream::connect(world.grpc).await.expect("the door is open");
    let head = "POST /producer.Producer/Produce HTTP/1.1\r\nhost: weir\r\nconnection: close\r\ncontent-type: application/grpc\r\ncontent-length: 1005\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("is taken");
    stream.write_all(b"\0\0\0\x03\xe8").await.expect("is taken");
    let answer = while_time_passes(&world.clock, SECOND, read_answer(&mut stream)).await;
    assert_eq!(answer.header("grpc-status"), Some("4"));
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_place() {
    let world = world(Limits { connections: 1, ..limits() }).await;
    let first = TcpStream::connect(world.http).await.expect("the door is open");
    let waiting = post(world.http, "/api/v1/apps/shop/events", "one\n");
    let leave = async {
        world.clock.sleepers(1).await;
        drop(first);
    };
    let (answer, ()) = tokio::join!(waiting, leave);
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_connection_is_used_again_and_closed_when_idle() {
    let world = world(limits()).await;
    let mut stream = TcpStream::connect(world.http).await.expect("the door is open");
    for _ in 0..2 {
        let request =
            "POST /api/v1/apps/shop/events HTTP/1.1\r\nhost: weir\r\ncontent-length: 4\r\n\r\none\n";
        stream.write_all(request.as_bytes()).await.expect("is taken");
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            stream.read_buf(&mut answer).await.expect("there is an answer");
        }
    }
    assert_eq!(world.journal.stored_events(), 2);
    assert!(while_time_passes(&world.clock, SECOND, is_closed(&mut stream)).await);
}

#[tokio::test]
async fn an_http2_client_that_answers_no_ping_is_cut_off() {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    let world = world(Limits { first_request: YEAR * 100, idle: YEAR * 100, ..limits() }).await;
    let mut stream = TcpStream::connect(world.grpc).await.expect("the door is open");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // Length, type SETTINGS, flags, stream.
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    stream.write_all(&[&preface[..], settings].concat()).await.expect("is taken");
    let mut received = Vec::new();
    let closed = async { stream.read_to_end(&mut received).await };
    while_time_passes(&world.clock, SECOND, closed).await.expect("it is closed in order");
    let ping = b"\0\0\x08\x06\0\0\0\0\0";
    assert!(received.windows(ping.len()).any(|frame| frame == ping), "{received:?}");
}
