//! More than can be taken is refused; memory stays bounded, and health and queries are answered all the while.
//! In the end every event that was acknowledged is there once, and none that was refused.

use std::time::Duration;

use serde_json::Value;
use weir_system_tests::flood::{CONNECTIONS, Flood};
use weir_system_tests::process::{Addresses, Setup};
use weir_system_tests::reckoning::settle;

const APP: &str = "flood";

/// In one batch, of 1 KiB each: so many that taking a batch costs weir far more than offering it costs the test,
/// and so few that all can be looked up in the end.
const EVENTS: usize = 50;

/// How often the senders offer what was taken so far. They learn of it a moment later than weir does, and so aim
/// higher than at the four times that are asked for.
const AIM: f64 = 5.0;
const ASKED: f64 = 4.0;

const CALIBRATION: Duration = Duration::from_secs(3);
const OVERLOAD: Duration = Duration::from_secs(60);

/// Batches under way while it is measured what can be taken: they fit into the budget, and keep weir busy.
const UNDER_WAY: usize = 64;

/// `producer.memory_budget`: small, so that it is what refuses; no other limit is met.
const BATCHES: u64 = 6 << 20;
/// `store.head_memory`, `journal.queue` and `consumer.in_flight`.
const OTHER_BUDGETS: u64 = (16 + 16 + 8) << 20;
/// What HTTP/2 lets a client send ahead, before the producer sees it: `Http2Limits::connection_window`.
const SENT_AHEAD: u64 = CONNECTIONS as u64 * (4 << 20);
/// Batches of records as they are decoded, two row groups as they are merged, a search.
const CONSTANT: u64 = 102 << 20;

/// One round of the questions that have to be answered.
async fn ask(http: &reqwest::Client, addresses: Addresses) {
    let health = http.get(format!("http://{}/healthz", addresses.ops)).send().await.unwrap();
    assert!(health.status().is_success());
    let url = format!("http://{}/api/v1/search?prefix={APP}&q=level:error&limit=5", addresses.http);
    let search = http.get(url).send().await.unwrap();
    assert!(search.status().is_success(), "{}", search.text().await.unwrap());
}

/// How many events weir's own books say were accepted.
async fn accepted(addresses: Addresses) -> u64 {
    let answer = reqwest::get(format!("http://{}/api/v1/audit", addresses.http)).await.unwrap();
    let body: Value = answer.text().await.unwrap().parse().unwrap();
    let streams = body["streams"].as_array().expect("streams");
    streams.iter().map(|stream| stream["accepted"].as_u64().expect("a count")).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overload_is_refused_and_everything_answers() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path())
        .with("producer.max_message", "1MiB")
        .with("producer.memory_budget", &format!("{BATCHES}B"))
        .with("store.head_memory", "16MiB")
        .with("consumer.in_flight", "8MiB")
        .with("consumer.batch", "1MiB");
    let weir = setup.start().await;
    // Most of it is the program itself.
    let without_load = weir.peak_memory();
    let flood = Flood::connect(setup.addresses.grpc, APP, EVENTS).await;
    let rate = flood.sustained(UNDER_WAY, CALIBRATION).await;
    let calibrated = flood.tally();

    let overload = {
        let flood = flood.clone();
        tokio::spawn(async move { flood.overload(AIM, rate, OVERLOAD).await })
    };
    // A search may take as long as weir itself lets it: 30 s.
    let http = reqwest::Client::builder().timeout(Duration::from_secs(40)).build().unwrap();
    let mut answered = 0;
    while !overload.is_finished() {
        ask(&http, setup.addresses).await;
        answered += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    overload.await.unwrap();
    let peak = weir.peak_memory();

    let tally = flood.tally();
    let (sent, taken) = (tally.sent - calibrated.sent, tally.acknowledged - calibrated.acknowledged);
    eprintln!(
        "{rate:.0} batches/s can be taken; under overload {sent} sent, {taken} taken, {answered} rounds of \
         questions answered, {} MiB",
        peak >> 20
    );
    assert_eq!(tally.sent, tally.acknowledged + tally.refused, "some were neither");
    assert!(sent as f64 > ASKED * taken as f64, "it was no overload: {taken} of {sent} batches taken");
    assert!(answered > 10, "only {answered} rounds of questions were answered");
    let bound = without_load + BATCHES + OTHER_BUDGETS + SENT_AHEAD + CONSTANT;
    assert!(peak < bound, "peak memory {} MiB of {} MiB", peak >> 20, bound >> 20);
    assert_eq!(accepted(setup.addresses).await, tally.acknowledged * EVENTS as u64);
    settle(&setup, APP, flood.ledger()).await;
    assert!(weir.terminate().await.success());
}
