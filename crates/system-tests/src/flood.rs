//! Senders that offer more than can be taken, and remember what they are told.
//!
//! All batches are the same but for their number, which is written into a batch that was encoded once, so that
//! offering a batch costs far less than taking it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use tokio::sync::Semaphore;
use tonic::{Code, Status};

use crate::ledger::Ledger;
use crate::load;
use crate::raw::RawClient;

pub const CONNECTIONS: usize = 16;
/// Requests under way in one connection: fewer than the door allows (256), so that none waits on our side.
const PER_CONNECTION: usize = 200;
/// What an event says, and how often: about 1 KiB.
const MESSAGE: &str = "worker took the next piece of a long job and found nothing to complain about; ";
const MESSAGES: usize = 13;
/// How often it is looked at how much is due.
const TICK: Duration = Duration::from_millis(5);

/// Connections, the batch that is sent over them, and what became of it.
#[derive(Debug, Clone)]
pub struct Flood {
    clients: Vec<RawClient>,
    template: Arc<Template>,
    counts: Arc<Counts>,
    ledger: Arc<Ledger>,
}

/// An encoded batch that carries its number in the id of each event.
#[derive(Debug)]
struct Template {
    events: usize,
    bytes: Vec<u8>,
    /// Where the ids begin.
    ids: Vec<usize>,
}

/// In batches.
#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    refused: AtomicU64,
}

/// What was sent so far and what became of it, in batches.
#[derive(Debug, Clone, Copy)]
pub struct Tally {
    pub sent: u64,
    pub acknowledged: u64,
    pub refused: u64,
}

impl Flood {
    /// Each batch has this many events of the app.
    pub async fn connect(address: SocketAddr, app: &str, events: usize) -> Self {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(RawClient::connect(address).await);
        }
        let template = Arc::new(Template::new(app, events));
        Self { clients, template, counts: Arc::default(), ledger: Arc::default() }
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub fn tally(&self) -> Tally {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { sent, acknowledged, refused } = &*self.counts;
        Tally { sent: count(sent), acknowledged: count(acknowledged), refused: count(refused) }
    }

    /// Sends with `under_way` requests at a time, each after the answer to another, and tells how many batches
    /// a second were taken.
    pub async fn sustained(&self, under_way: usize, duration: Duration) -> f64 {
        let (began, before) = (Instant::now(), self.tally());
        let senders = (0..under_way).map(|_| {
            let flood = self.clone();
            tokio::spawn(async move {
                while began.elapsed() < duration {
                    flood.send().await;
                }
            })
        });
        for sender in senders.collect::<Vec<_>>() {
            sender.await.unwrap();
        }
        (self.tally().acknowledged - before.acknowledged) as f64 / began.elapsed().as_secs_f64()
    }

    /// Offers `factor` times as many batches as are taken, at least `factor` times `rate` a second, without
    /// waiting for answers; returns when all are answered.
    pub async fn overload(&self, factor: f64, rate: f64, duration: Duration) {
        let places = Arc::new(Semaphore::new(CONNECTIONS * PER_CONNECTION));
        let (began, before) = (Instant::now(), self.tally());
        let mut ticks = tokio::time::interval(TICK);
        let mut sent: usize = 0;
        while began.elapsed() < duration {
            let taken = (self.tally().acknowledged - before.acknowledged) as f64;
            if sent as f64 >= factor * taken.max(rate * began.elapsed().as_secs_f64()) {
                ticks.tick().await;
                continue;
            }
            let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
            let flood = self.clone();
            tokio::spawn(async move {
                flood.send().await;
                drop(place);
            });
            sent += 1;
        }
        let all = u32::try_from(CONNECTIONS * PER_CONNECTION).expect("it is a small number");
        drop(places.acquire_many(all).await);
    }

    async fn send(&self) {
        let number = self.counts.sent.fetch_add(1, Ordering::Relaxed);
        let client = &self.clients[number as usize % CONNECTIONS];
        let id = batch_id(number);
        self.ledger.sent(&id, self.template.events);
        match client.produce_batch(self.template.with(&id)).await {
            Ok(_) => {
                self.counts.acknowledged.fetch_add(1, Ordering::Relaxed);
                self.ledger.acknowledge(&id);
            }
            Err(status) if is_over_budget(&status) => {
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
                self.ledger.refuse(&id);
            }
            Err(status) => panic!("neither taken nor refused for its load: {status:?}"),
        }
    }
}

impl Template {
    fn new(app: &str, events: usize) -> Self {
        let id = batch_id(0);
        let bytes = load::collection(app, &id, events, &MESSAGE.repeat(MESSAGES)).encode_to_vec();
        let is_id = |at: &usize| bytes[*at..].starts_with(id.as_bytes());
        let ids: Vec<usize> = (0..bytes.len()).filter(is_id).collect();
        assert_eq!(ids.len(), events, "something else looks like an id");
        Self { events, bytes, ids }
    }

    /// The batch of this id.
    fn with(&self, id: &str) -> Bytes {
        let mut bytes = self.bytes.clone();
        for at in &self.ids {
            bytes[*at..at + id.len()].copy_from_slice(id.as_bytes());
        }
        bytes.into()
    }
}

/// All are of one length.
fn batch_id(number: u64) -> String {
    format!("batch{number:010}")
}

fn is_over_budget(status: &Status) -> bool {
    status.code() == Code::ResourceExhausted && status.message() == "Memory Budget Exceeded"
}
