//! How long an acknowledged event takes to be seen, while others come in.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::mpsc;
use weir_system_tests::raw::RawClient;

use crate::child::Measured;
use crate::data::{self, Lines};
use crate::load;
use crate::report::Report;
use crate::{Extent, Outcome};

/// Of the others, a second.
const EVENTS: f64 = 20_000.0;
/// From one probe's end to the next one's beginning, so that they meet every moment of weir's rounds.
const PAUSE: Duration = Duration::from_millis(7);
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn latency(report: &mut Report, extent: &Extent, lines: &Lines) -> Outcome<()> {
    let directory = tempfile::tempdir()?;
    let weir = Measured::weir(directory.path(), &[]).await?;
    let batches = data::structured(&lines.texts);
    let mut probe = Probe::new(&weir).await?;
    let (mut searchable, mut shown) = (Vec::new(), Vec::new());
    let probes = async {
        for number in 0..extent.probes {
            let (found, seen) = probe.event(number).await?;
            searchable.push(found);
            shown.push(seen);
            tokio::time::sleep(PAUSE).await;
        }
        Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    };
    // More than come in before the last probe: the load ends with it.
    let load = Box::pin(load::grpc(weir.grpc, &batches, 100_000_000, Some(EVENTS)));
    tokio::select! {
        probes = probes => probes?,
        ended = load => return Err(format!("the load ended early: {ended:?}").into()),
    }
    for (names, times) in [
        (["searchable.p50", "searchable.p99", "searchable.max"], &mut searchable),
        (["tail.p50", "tail.p99", "tail.max"], &mut shown),
    ] {
        times.sort_unstable();
        for (name, quantile) in names.into_iter().zip([0.5, 0.99, 1.0]) {
            report.figures.note(name, load::millis(times, quantile));
        }
    }
    Ok(())
}

struct Probe {
    door: RawClient,
    http: reqwest::Client,
    search: String,
    shown: mpsc::Receiver<(u32, Instant)>,
}

impl Probe {
    /// Its app is there, and its tail is open.
    async fn new(weir: &Measured) -> Outcome<Self> {
        let door = RawClient::connect(weir.grpc).await;
        door.produce_batch(data::probe(u32::MAX)).await?;
        let (sender, shown) = mpsc::channel(64);
        let events = reqwest::get(format!("http://{}/api/v1/tail/probe", weir.http)).await?;
        tokio::task::spawn(follow(events.error_for_status()?, sender));
        let search = search(weir.http);
        Ok(Self { door, http: reqwest::Client::new(), search, shown })
    }

    /// From the acknowledgement of an event until a search finds it, and until the tail shows it.
    async fn event(&mut self, number: u32) -> Outcome<(Duration, Duration)> {
        self.door.produce_batch(data::probe(number)).await?;
        let acknowledged = Instant::now();
        let url = format!("{}{number}", self.search);
        loop {
            let answer: serde_json::Value = self.http.get(&url).send().await?.json().await?;
            if answer["hits"].as_array().is_some_and(|hits| !hits.is_empty()) {
                break;
            }
            if acknowledged.elapsed() > PATIENCE {
                return Err(format!("probe {number} was not found: {answer}").into());
            }
        }
        let found = acknowledged.elapsed();
        loop {
            let next = tokio::time::timeout(PATIENCE, self.shown.recv()).await?;
            let (shown, at) = next.ok_or("the tail ended")?;
            if shown == number {
                // It may be shown before its answer has come.
                return Ok((found, at.saturating_duration_since(acknowledged)));
            }
        }
    }
}

fn search(http: SocketAddr) -> String {
    format!("http://{http}/api/v1/search?prefix=probe&limit=1&q=probe")
}

/// Tells which probes the tail shows, and when.
async fn follow(mut events: reqwest::Response, sender: mpsc::Sender<(u32, Instant)>) {
    let mut received = BytesMut::new();
    while let Ok(Some(piece)) = events.chunk().await {
        let at = Instant::now();
        received.extend_from_slice(&piece);
        while let Some(end) = memchr::memchr(b'\n', &received) {
            let line: Bytes = received.split_to(end).freeze();
            received.advance(1);
            let Some(number) = data::probe_in(&line) else { continue };
            if sender.send((number, at)).await.is_err() {
                return;
            }
        }
    }
}
