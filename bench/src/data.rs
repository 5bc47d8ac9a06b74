//! Events to send, encoded once.

use std::path::Path;

use bytes::Bytes;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use weir_wire::proto::producer::{Timber, TimberCollection, TimberContext};

use crate::Outcome;

pub(crate) const BATCH: usize = 100;
const BATCHES: usize = 2000;

/// What messages are made of.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) texts: Vec<String>,
    /// Where they are from, for the report.
    pub(crate) origin: String,
}

impl Lines {
    /// Lines of the files, or made-up ones without files.
    pub(crate) fn read(files: &[String]) -> Outcome<Self> {
        let mut texts = Vec::new();
        for file in files {
            let text = std::fs::read(file)?;
            texts.extend(String::from_utf8_lossy(&text).lines().map(|line| line.trim_end().to_owned()));
        }
        if files.is_empty() {
            let origin = "made up, 8000 of them; `make bench LOGS=\"FILE …\"` takes real ones".to_owned();
            return Ok(Self { texts: made_up(), origin });
        }
        let names = files.iter().filter_map(|file| Path::new(file).file_name()?.to_str());
        let origin = format!("{} of {}", texts.len(), names.collect::<Vec<_>>().join(", "));
        Ok(Self { texts, origin })
    }
}

fn made_up() -> Vec<String> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let line = |number: u32| {
        let mut line = format!("Dec 10 06:55:{:02} combo svc[{}]:", number % 60, 20_000 + number % 977);
        for _ in 0..rng.random_range(6..16) {
            line.push_str(&format!(" word{}", rng.random_range(0..2000)));
        }
        line
    };
    (0..8000).map(line).collect()
}

/// A line and two short fields, as the peers were measured with; for a stream of so many partitions.
pub(crate) fn simple(lines: &[String], partitions: i32) -> Vec<Bytes> {
    batches_of(BATCHES, partitions, lines, |rng, message| {
        vec![
            ("message", text(message)),
            ("host", text(format!("host-{:02}", rng.random_range(0..50)))),
            ("level", text("info".to_owned())),
        ]
    })
}

/// Seven fields of which one is unique, as the peers' stores were measured with.
pub(crate) fn structured(lines: &[String]) -> Vec<Bytes> {
    const SERVICES: [&str; 8] =
        ["checkout", "cart", "payment", "catalog", "search", "shipping", "auth", "web"];
    batches_of(BATCHES, 1, lines, |rng, message| {
        vec![
            ("message", text(message)),
            ("service", text(SERVICES[rng.random_range(0..8)].to_owned())),
            ("level", text(["debug", "info", "warn", "error"][rng.random_range(0..4)].to_owned())),
            ("host", text(format!("host-{:02}", rng.random_range(0..50)))),
            ("status", number([200, 200, 201, 404, 500][rng.random_range(0..5)])),
            ("dur_ms", number(rng.random_range(1..2000))),
            ("trace_id", text(format!("{:032x}", rng.random::<u128>()))),
        ]
    })
}

/// Events of some ten kilobytes, to fill a journal soon: many lines in one.
pub(crate) fn long(lines: &[String]) -> Vec<Bytes> {
    let long: Vec<String> = lines.chunks(80).take(16).map(|lines| lines.join(" ")).collect();
    batches_of(50, 1, &long, |_, message| vec![("message", text(message))])
}

/// The batch of one event that is looked for.
pub(crate) fn probe(number: u32) -> Bytes {
    let message = ("message".to_owned(), text(format!("probe{number}")));
    let content = Struct { fields: [message].into() };
    let item = Timber { context: None, timestamp: String::new(), content: Some(content) };
    Bytes::from(TimberCollection { context: Some(context("probe", 1)), items: vec![item] }.encode_to_vec())
}

/// The number of the probe in a line that a tail sent.
pub(crate) fn probe_in(line: &[u8]) -> Option<u32> {
    let hit: serde_json::Value = serde_json::from_slice(line.strip_prefix(b"data:")?).ok()?;
    hit["content"]["message"].as_str()?.strip_prefix("probe")?.parse().ok()
}

/// The same events as JSON lines.
pub(crate) fn json_lines(batches: &[Bytes]) -> Outcome<Vec<Bytes>> {
    let mut bodies = Vec::with_capacity(batches.len());
    for batch in batches {
        let mut body = String::new();
        for item in TimberCollection::decode(batch.clone())?.items {
            let fields = item.content.unwrap_or_default().fields.into_iter();
            let object: serde_json::Map<String, serde_json::Value> =
                fields.map(|(key, value)| (key, json(value))).collect();
            body.push_str(&serde_json::to_string(&object)?);
            body.push('\n');
        }
        bodies.push(Bytes::from(body));
    }
    Ok(bodies)
}

fn json(value: Value) -> serde_json::Value {
    match value.kind {
        Some(Kind::StringValue(text)) => text.into(),
        #[expect(clippy::cast_possible_truncation, reason = "they are small integers")]
        Some(Kind::NumberValue(number)) => (number as i64).into(),
        _ => serde_json::Value::Null,
    }
}

fn batches_of(
    count: usize,
    partitions: i32,
    lines: &[String],
    mut fields: impl FnMut(&mut ChaCha8Rng, String) -> Vec<(&'static str, Value)>,
) -> Vec<Bytes> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut number = 0u64;
    let mut batch = || {
        let items = (0..BATCH).map(|_| {
            number += 1;
            let line = &lines[rng.random_range(0..lines.len())];
            let fields = fields(&mut rng, format!("{line} #{number:07}"));
            let fields = fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            Timber { context: None, timestamp: String::new(), content: Some(Struct { fields }) }
        });
        let items = items.collect();
        Bytes::from(TimberCollection { context: Some(context("bench", partitions)), items }.encode_to_vec())
    };
    (0..count).map(|_| batch()).collect()
}

fn context(app: &str, partitions: i32) -> TimberContext {
    TimberContext {
        kafka_topic: app.to_owned(),
        kafka_partition: partitions,
        es_index_prefix: app.to_owned(),
        app_max_tps: i32::MAX / 10,
        ..TimberContext::default()
    }
}

fn text(text: String) -> Value {
    Value { kind: Some(Kind::StringValue(text)) }
}

fn number(number: i32) -> Value {
    Value { kind: Some(Kind::NumberValue(f64::from(number))) }
}
