use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::*;
use crate::clock::ManualClock;
use crate::health::Progress;
use crate::listen::{self, Exposure};
use crate::metrics;

struct Bench {
    clock: ManualClock,
    ops: Ops,
    progress: Progress,
    status: StatusBoard,
}

impl Bench {
    fn start() -> Self {
        let clock = ManualClock::new(UNIX_EPOCH + Duration::from_secs(1_000_000_000));
        let health = Health::new(Arc::new(clock.clone()));
        let progress = health.register("journal", Duration::from_secs(10));
        let identity = Identity {
            version: "0.1.0".to_owned(),
            role: "up".to_owned(),
            durability: "synced before the answer".to_owned(),
        };
        let status = StatusBoard::new(identity, Arc::new(clock.clone()));
        let views = Views { status: status.clone(), health, metrics: metrics::Builder::new().build() };
        let exposure = Exposure::Loopback { allow_with: "ops.allow_public" };
        let listener = listen::bind(([127, 0, 0, 1], 0).into(), exposure).expect("a free port");
        let ops = start(listener, views).expect("starts");
        Self { clock, ops, progress, status }
    }

    /// Status, headers and body of the answer.
    fn get(&self, path: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.ops.address()).expect("accepts");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .expect("takes a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("has a head");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("has a status");
        (status, head.to_lowercase(), body.to_owned())
    }

    #[track_caller]
    fn check(&self, path: &str, status: u16, body: &str) {
        let (found_status, _, found_body) = self.get(path);
        assert_eq!((found_status, &*found_body), (status, body), "{path}");
    }
}

#[test]
fn readiness_is_that_of_the_components() {
    let bench = Bench::start();
    bench.check("/readyz", 503, "journal: starting: starting for 0 s\n");
    bench.check("/healthz", 200, "ok\n");
    bench.progress.idle();
    bench.check("/readyz", 200, "ready\n");
    bench.check("/readyz?verbose", 200, "journal: idle\n");
    bench.progress.failed("disk full");
    bench.check("/readyz?verbose=1", 503, "journal: failed: disk full\n");
    bench.progress.advanced();
    bench.progress.busy();
    bench.clock.advance(Duration::from_secs(11));
    bench.check("/readyz", 503, "journal: stuck: 1 pending and no progress for 11 s\n");
    bench.check("/healthz", 200, "ok\n");
}

#[test]
fn status_shows_identity_components_and_sections() {
    let bench = Bench::start();
    bench.progress.pending(3);
    bench.status.section("journal", || json!({ "files": 2 }));
    bench.clock.advance(Duration::from_secs(5));
    let (status, head, body) = bench.get("/status");
    let page: Value = serde_json::from_str(&body).expect("is JSON");
    let expected = json!({
        "version": "0.1.0",
        "role": "up",
        "durability": "synced before the answer",
        "started": "2001-09-09T01:46:40Z",
        "uptime_seconds": 5,
        "ready": true,
        "components": [{ "name": "journal", "condition": "working", "reason": null, "pending": 3 }],
        "sections": { "journal": { "files": 2 } },
    });
    assert_eq!((status, page), (200, expected));
    assert!(head.contains("content-type: application/json"), "{head}");
}

#[test]
fn metrics_are_open_metrics() {
    let bench = Bench::start();
    let (status, head, body) = bench.get("/metrics");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.contains("\nprocess_open_fds ") && body.ends_with("# EOF\n"), "{body}");
}

#[test]
fn what_is_not_there_is_not_found() {
    let bench = Bench::start();
    assert_eq!(bench.get("/").0, 404);
}

#[test]
fn stops_although_a_client_stays_connected() {
    let bench = Bench::start();
    let address = bench.ops.address();
    let mut idle = TcpStream::connect(address).expect("accepts");
    idle.write_all(b"GET /healthz HTTP/1.1\r\n").expect("takes half a request");
    bench.ops.stop();
    assert!(TcpStream::connect(address).is_err(), "the listener is closed");
}
