//! Events to send, encoded once.

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

/// Lines of the files, or made-up ones without files.
pub(crate) fn lines(files: impl Iterator<Item = String>) -> Outcome<Vec<String>> {
    let mut lines = Vec::new();
    for file in files {
        let text = std::fs::read(file)?;
        lines.extend(String::from_utf8_lossy(&text).lines().map(|line| line.trim_end().to_owned()));
    }
    if lines.is_empty() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for number in 0..8000u32 {
            let mut line = format!("Dec 10 06:55:{:02} combo svc[{}]:", number % 60, 20_000 + number % 977);
            for _ in 0..rng.random_range(6..16) {
                line.push_str(&format!(" word{}", rng.random_range(0..2000)));
            }
            lines.push(line);
        }
    }
    Ok(lines)
}

/// A line and two short fields, as the peers were measured with.
pub(crate) fn simple(lines: &[String]) -> Vec<Bytes> {
    batches(lines, |rng, message| {
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
    batches(lines, |rng, message| {
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

fn batches(
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
        let context = TimberContext {
            kafka_topic: "bench".to_owned(),
            kafka_partition: 1,
            es_index_prefix: "bench".to_owned(),
            app_max_tps: i32::MAX / 10,
            ..TimberContext::default()
        };
        Bytes::from(TimberCollection { context: Some(context), items }.encode_to_vec())
    };
    (0..BATCHES).map(|_| batch()).collect()
}

fn text(text: String) -> Value {
    Value { kind: Some(Kind::StringValue(text)) }
}

fn number(number: i32) -> Value {
    Value { kind: Some(Kind::NumberValue(f64::from(number))) }
}
