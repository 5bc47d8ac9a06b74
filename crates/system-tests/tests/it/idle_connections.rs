//! Thousands of clients that keep their connections open and say nothing cost a bounded amount of memory and
//! stand in nobody's way.
//!
//! Each has been answered once: such a connection may stay for ten minutes. One over which nothing was asked yet
//! is closed after 30 s, which the producer's tests of slow clients show.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_system_tests::process::{Addresses, Setup, Weir, allow_open_files};
use weir_system_tests::raw::{RawClient, collection, field};
use weir_system_tests::reckoning::{delivered, each_stored, verified};
use weir_system_tests::wait::until;

/// At each of the two doors.
const CONNECTIONS: usize = 2_500;

/// Files of the process beside connections: journal, index, listeners.
const OTHER_FILES: usize = 200;

/// A connection costs 26 KiB by gRPC and 22 KiB by HTTP/1.1 (measured) and may cost 32 KiB; the process serves
/// the few requests beside them with 26 MiB (measured, most of it the code) and may take 64 MiB.
const MEMORY: u64 = (64 << 20) + 2 * CONNECTIONS as u64 * (32 << 10);

/// The soft limit of open files that a login shell commonly has, and systemd gives.
const SOFT_LIMIT: &str = "-Sn 1024";

const APP: &str = "idle";

/// A client that asks over HTTP/1.1 and keeps its connection.
struct HttpClient(TcpStream);

impl HttpClient {
    async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("the door is open"))
    }

    async fn ask(&mut self) {
        let request = "POST /api/v1/apps/idle/events HTTP/1.1\r\nhost: weir\r\ncontent-length: 0\r\n\r\n";
        self.0.write_all(request.as_bytes()).await.expect("the connection is kept");
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            let count = self.0.read_buf(&mut answer).await.expect("the connection is kept");
            assert_ne!(count, 0, "the connection was closed");
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&answer));
    }
}

/// Clients of both doors, each answered once.
async fn idle_clients(addresses: Addresses) -> (Vec<RawClient>, Vec<HttpClient>) {
    let (mut by_grpc, mut by_http) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let client = RawClient::connect(addresses.grpc).await;
        client.produce_batch(collection(APP, [])).await.expect("an empty batch is taken");
        by_grpc.push(client);
        let mut client = HttpClient::connect(addresses.http).await;
        client.ask().await;
        by_http.push(client);
    }
    (by_grpc, by_http)
}

/// New clients of weir find what they need: health, a batch is taken, and found.
async fn serves(setup: &Setup, id: &str) {
    let health = reqwest::get(format!("http://{}/healthz", setup.addresses.ops)).await.unwrap();
    assert!(health.status().is_success());
    // {"id": …} as a Timber.
    let value = field(3, id.as_bytes());
    let timber = field(3, &field(1, &[field(1, b"id"), field(2, &value)].concat()));
    let client = RawClient::connect(setup.addresses.grpc).await;
    client.produce_batch(collection(APP, [&timber[..]])).await.expect("is taken");
    delivered(setup.addresses).await;
    let mut count = 0;
    each_stored(setup.addresses, APP, |found| count += usize::from(found == id)).await;
    assert_eq!(count, 1, "{id}");
}

async fn has_open(weir: &Weir, what: &str, condition: impl Fn(usize) -> bool) {
    until(what, Duration::from_secs(60), async || condition(weir.open_files()).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_idle_connections_harm_nobody() {
    // Ours, and each of our clients' needs two for a moment.
    allow_open_files(2 * (2 * CONNECTIONS + OTHER_FILES) as u64);
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path());
    let weir = setup.start_under_limit(SOFT_LIMIT).await;
    serves(&setup, "before").await;
    let alone = weir.peak_memory();

    let all = tokio::time::timeout(Duration::from_secs(120), idle_clients(setup.addresses)).await;
    let (by_grpc, mut by_http) = all.expect("all are answered");
    assert!(weir.open_files() > 2 * CONNECTIONS, "{} files are open", weir.open_files());
    serves(&setup, "meanwhile").await;

    // Nothing of them was closed, and each still serves its client.
    for client in &mut by_http {
        client.ask().await;
    }
    for client in &by_grpc {
        client.produce_batch(collection(APP, [])).await.expect("an empty batch is taken");
    }
    let open = weir.open_files();
    assert!((2 * CONNECTIONS..2 * CONNECTIONS + OTHER_FILES).contains(&open), "{open} files are open");
    let peak = weir.peak_memory();
    eprintln!("{} MiB before, {} MiB with {open} files", alone >> 20, peak >> 20);
    assert!(peak < MEMORY, "peak memory {} MiB", peak >> 20);

    drop((by_grpc, by_http));
    has_open(&weir, "connections are gone with their clients", |open| open < OTHER_FILES).await;
    serves(&setup, "after").await;
    verified(&setup);
    assert!(weir.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_can_not_use_up_the_open_files() {
    const FILES: usize = 300;
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path());
    let weir = setup.start_under_limit(&format!("-n {FILES}")).await;
    let mut clients = Vec::new();
    for _ in 0..2 * FILES {
        clients.push(TcpStream::connect(setup.addresses.http).await.expect("the system takes it"));
    }
    has_open(&weir, "the door holds as many as it may", |open| open > FILES / 3).await;
    // By the other door, into the journal.
    let client = RawClient::connect(setup.addresses.grpc).await;
    let value = field(3, b"x");
    let timber = field(3, &field(1, &[field(1, b"id"), field(2, &value)].concat()));
    client.produce_batch(collection(APP, [&timber[..]])).await.expect("is taken");
    assert!(weir.open_files() < FILES, "{} files are open", weir.open_files());
    drop(clients);
    serves(&setup, "after").await;
    verified(&setup);
    assert!(weir.terminate().await.success());
}
