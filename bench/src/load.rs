//! The load generator: connections that send batches that were encoded before, one call at a time each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use weir_system_tests::raw::RawClient;

use crate::Outcome;
use crate::data::BATCH;

/// How a run went.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) events: usize,
    pub(crate) took: Duration,
    /// Time of each call, in order of length.
    calls: Vec<Duration>,
}

/// Which batch is next, and when it is due.
#[derive(Debug)]
struct Schedule {
    batches: Vec<Bytes>,
    next: AtomicUsize,
    count: usize,
    began: Instant,
    /// Between two batches of all connections together; absent: as fast as they are answered.
    every: Option<Duration>,
}

impl Run {
    /// One without calls.
    pub(crate) fn of(events: usize, took: Duration) -> Self {
        Self { events, took, calls: Vec::new() }
    }

    pub(crate) fn rate(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }

    /// A quantile of the calls' times, in milliseconds.
    pub(crate) fn millis(&self, quantile: f64) -> f64 {
        millis(&self.calls, quantile)
    }
}

/// A quantile of times that are in order of length, in milliseconds.
pub(crate) fn millis(times: &[Duration], quantile: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is below the length")]
    let index = ((times.len() as f64 * quantile) as usize).min(times.len().saturating_sub(1));
    times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

pub(crate) async fn grpc(
    address: SocketAddr,
    batches: &[Bytes],
    events: usize,
    rate: Option<f64>,
) -> Outcome<Run> {
    let schedule = Schedule::new(batches, events, rate);
    let run = async |schedule: Arc<Schedule>| -> Outcome<Vec<Duration>> {
        let client = RawClient::connect(address).await;
        let mut calls = Vec::new();
        while let Some((batch, due)) = schedule.take().await {
            client.produce_batch(batch).await?;
            calls.push(due.elapsed());
        }
        Ok(calls)
    };
    schedule.drive(run).await
}

pub(crate) async fn json_lines(address: SocketAddr, bodies: &[Bytes], events: usize) -> Outcome<Run> {
    let schedule = Schedule::new(bodies, events, None);
    let url = format!("http://{address}/api/v1/apps/bench/events");
    let run = async |schedule: Arc<Schedule>| -> Outcome<Vec<Duration>> {
        let client = reqwest::Client::new();
        let mut calls = Vec::new();
        while let Some((body, due)) = schedule.take().await {
            let request = client.post(&url).header("content-type", "application/x-ndjson").body(body);
            request.send().await?.error_for_status()?.bytes().await?;
            calls.push(due.elapsed());
        }
        Ok(calls)
    };
    schedule.drive(run).await
}

const CONNECTIONS: usize = 8;

impl Schedule {
    fn new(batches: &[Bytes], events: usize, rate: Option<f64>) -> Arc<Self> {
        Arc::new(Self {
            batches: batches.to_vec(),
            next: AtomicUsize::new(0),
            count: events / BATCH,
            began: Instant::now(),
            every: rate.map(|rate| Duration::from_secs_f64(BATCH as f64 / rate)),
        })
    }

    /// The next batch, and when it was due: a late answer makes the batches behind it late.
    async fn take(&self) -> Option<(Bytes, Instant)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.count {
            return None;
        }
        let due = match self.every {
            None => Instant::now(),
            Some(every) => {
                let due = self.began + every.mul_f64(number as f64);
                tokio::time::sleep_until(due.into()).await;
                due
            }
        };
        Some((self.batches[number % self.batches.len()].clone(), due))
    }

    async fn drive(self: Arc<Self>, run: impl AsyncFn(Arc<Self>) -> Outcome<Vec<Duration>>) -> Outcome<Run> {
        let [a, b, c, d, e, f, g, h] = [(); CONNECTIONS].map(|()| Box::pin(run(Arc::clone(&self))));
        let (a, b, c, d, e, f, g, h) = tokio::try_join!(a, b, c, d, e, f, g, h)?;
        let mut calls = [a, b, c, d, e, f, g, h].concat();
        calls.sort_unstable();
        Ok(Run { events: self.count * BATCH, took: self.began.elapsed(), calls })
    }
}
