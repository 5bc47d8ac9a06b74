//! Random events, written, sealed and lost in random steps, then searched at random: whatever a store is made
//! of, it answers as the plainest one does.
//!
//! A failure is printed with the least scenario that fails and the seed to run it again.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use weir_model::Offset;
use weir_store::conformance::Subject;
use weir_store::conformance::fixture::{Recording, at, partition, request, search, write, write_of};
use weir_store::conformance::json::Json;
use weir_store::memory::{Durability, MemoryStore};
use weir_store::query::TimeRange;
use weir_store::segment::FilingWindow;
use weir_store::{
    Bucket, Hit, IndexStore, Interval, SearchRequest, SearchResponse, TopRequest, WriteBatch, WriteRecord,
};

use crate::memory::Memory;
use crate::segment::Segments;

/// What happens to a store, and what is asked of it at the end and before every restart.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    steps: Vec<Step>,
    questions: Vec<Question>,
}

#[derive(Debug, Clone)]
enum Step {
    /// To a partition.
    Write(u32, Vec<Document>),
    Flush,
    Restart,
}

#[derive(Debug, Clone)]
struct Document {
    prefix: &'static str,
    seconds: i64,
    content: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) prefix: &'static str,
    pub(crate) query: String,
    pub(crate) from: Option<i64>,
    pub(crate) to: Option<i64>,
    pub(crate) limit: usize,
    pub(crate) field: &'static str,
}

const PREFIXES: [&str; 2] = ["cafe", "shop"];
const KEYS: [&str; 9] = ["a", "b", "c", "a.b", "level", "status", "", "b.c", "Ü"];
const TEXTS: [&str; 16] = [
    "error",
    "Error timed out",
    "time-out",
    "10.0.0.17",
    "käse",
    "KÄSE Straße",
    "500",
    "500.5",
    "true",
    "null",
    "",
    "trace_id=4bf92f",
    "2026-11-21T10:00:00Z",
    "GET /api/v1/apps?x=1",
    "a",
    "ERROR: disk \"sda\" is full \\o/",
];
const NUMBERS: [&str; 10] =
    ["0", "1", "-1", "7", "500", "500.5", "-2.5", "1.0", "9007199254740993", "12345678901234567890"];
const LEAVES: [&str; 34] = [
    "*",
    "error",
    "ERROR",
    "timed",
    "\"timed out\"",
    "time",
    "\"10.0.0\"",
    "10.0.0.17",
    "10.0.*",
    "k*",
    "käse",
    "*se",
    "500",
    "true",
    "null",
    "a:error",
    "a:500",
    "level:Error",
    "status:>=500",
    "status:<7",
    "a:>0",
    "b:*",
    "a.b:*",
    "c:null",
    "a:true",
    "a:1.0",
    "b:err*",
    "level:\"timed out\"",
    "a:[0 TO 7]",
    "a.b:error",
    "a.b.c:*",
    "status:500.5",
    "b:>2026-11-20",
    "strasse",
];

fn content() -> impl Strategy<Value = String> {
    let text = proptest::sample::select(&TEXTS[..]);
    let scalar = prop_oneof![
        4 => text.prop_map(|text| serde_json::to_string(text).expect("is text")),
        4 => proptest::sample::select(&NUMBERS[..]).prop_map(str::to_owned),
        1 => Just("true".to_owned()),
        1 => Just("false".to_owned()),
        1 => Just("null".to_owned()),
    ];
    let value = scalar.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|all| format!("[{}]", all.join(","))),
            members(inner, 0),
        ]
    });
    members(value, 1)
}

fn members(value: impl Strategy<Value = String>, least: usize) -> impl Strategy<Value = String> {
    let member = (proptest::sample::select(&KEYS[..]), value)
        .prop_map(|(key, value)| format!("{}:{value}", serde_json::to_string(key).expect("is text")));
    proptest::collection::vec(member, least..5).prop_map(|members| format!("{{{}}}", members.join(",")))
}

fn query() -> impl Strategy<Value = String> {
    let leaf = proptest::sample::select(&LEAVES[..]).prop_map(str::to_owned);
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|a| format!("-({a})")),
        ]
    })
}

pub(crate) fn scenario() -> impl Strategy<Value = Scenario> {
    let document = (proptest::sample::select(&PREFIXES[..]), -90_000..90_000_i64, content())
        .prop_map(|(prefix, seconds, content)| Document { prefix, seconds, content });
    let step = prop_oneof![
        6 => (0..3_u32, proptest::collection::vec(document, 1..12)).prop_map(|(to, all)| Step::Write(to, all)),
        2 => Just(Step::Flush),
        1 => Just(Step::Restart),
    ];
    let bound = || proptest::option::weighted(0.3, -90_000..90_000_i64);
    let question = (
        proptest::sample::select(&PREFIXES[..]),
        query(),
        bound(),
        bound(),
        0..6_usize,
        proptest::sample::select(&KEYS[..]),
    )
        .prop_map(|(prefix, query, from, to, limit, field)| Question {
            prefix,
            query,
            from,
            to,
            limit,
            field,
        });
    (proptest::collection::vec(step, 1..12), proptest::collection::vec(question, 1..12))
        .prop_map(|(steps, questions)| Scenario { steps, questions })
}

/// Every record that was ever written, to write it again after a restart.
#[derive(Debug, Default)]
struct Written(BTreeMap<u32, Vec<Vec<Document>>>);

impl Written {
    fn record(&self, to: u32, offset: u64) -> Option<Vec<WriteRecord>> {
        let documents = self.0.get(&to)?.get(usize::try_from(offset).expect("is small"))?;
        // A record has one prefix, so a step's documents become one record each.
        Some(documents.iter().map(|document| of_document(document, offset)).collect())
    }
}

fn of_document(document: &Document, offset: u64) -> WriteRecord {
    Recording::new(document.prefix).event(at(document.seconds), &document.content).at_offset(offset)
}

/// Plays a scenario on the subject and on the reference, and compares their answers.
pub(crate) async fn agree(subject: &mut dyn Subject, scenario: &Scenario) {
    let reference = MemoryStore::new(Durability::Immediate, FilingWindow::default());
    let mut written = Written::default();
    for step in &scenario.steps {
        match step {
            Step::Write(to, documents) => {
                for document in documents {
                    let records = written.0.entry(*to).or_default();
                    let offset = records.len() as u64;
                    records.push(vec![document.clone()]);
                    write(&reference, &partition(*to), vec![of_document(document, offset)]).await;
                    write(&*subject.index(), &partition(*to), vec![of_document(document, offset)]).await;
                }
            }
            Step::Flush => subject.index().flush().await.expect("flushes"),
            Step::Restart => {
                compare(&*subject.index(), &reference, &scenario.questions).await;
                subject.reopen().await;
                deliver_again(&*subject.index(), &written).await;
            }
        }
    }
    compare(&*subject.index(), &reference, &scenario.questions).await;
    subject.index().flush().await.expect("flushes");
    compare(&*subject.index(), &reference, &scenario.questions).await;
}

async fn deliver_again(store: &dyn IndexStore, written: &Written) {
    for to in written.0.keys() {
        let start = store.durable(&partition(*to)).unwrap_or(Offset::ZERO).0;
        let records: Vec<WriteRecord> =
            (start..).map_while(|offset| written.record(*to, offset)).flatten().collect();
        let batch = WriteBatch { from: Offset(start), ..write_of(&partition(*to), records) };
        let batch = WriteBatch { next: batch.next.max(batch.from), ..batch };
        store.write(batch).await.expect("is taken again");
    }
}

/// Asks both, page after page; times of questions are seconds after `RECEIVED`.
pub(crate) async fn compare(store: &dyn IndexStore, reference: &dyn IndexStore, questions: &[Question]) {
    for question in questions {
        let mut after = None;
        for page in 0.. {
            let asked = SearchRequest { after, ..question.request() };
            let found = search(store, asked.clone()).await;
            let expected = search(reference, asked).await;
            assert_same(&found, &expected, &format!("page {page} of {question:?}"));
            after = expected.next;
            if after.is_none() || page == 4 {
                break;
            }
        }
    }
}

impl Question {
    fn request(&self) -> SearchRequest {
        SearchRequest {
            range: TimeRange { from: self.from.map(at), to: self.to.map(at) },
            limit: self.limit,
            histogram: Interval::new(Duration::from_secs(3_600)).ok(),
            top: Some(TopRequest { field: self.field.to_owned(), limit: 3 }),
            ..request(self.prefix, &self.query)
        }
    }
}

fn assert_same(found: &SearchResponse, expected: &SearchResponse, of: &str) {
    let hits = |hits: &[Hit]| -> Vec<_> {
        hits.iter().map(|hit| (hit.id.clone(), hit.time, hit.received, Json::parse(&hit.content))).collect()
    };
    let buckets = |response: &SearchResponse| -> Vec<Bucket> {
        response.histogram.as_ref().map(|histogram| histogram.buckets.clone()).unwrap_or_default()
    };
    assert_eq!(hits(&found.hits), hits(&expected.hits), "hits of {of}");
    assert_eq!(found.next, expected.next, "the next page of {of}");
    assert_eq!(found.total, expected.total, "the count of {of}");
    assert_eq!(buckets(found), buckets(expected), "the histogram of {of}");
    assert_eq!(found.top, expected.top, "the top values of {of}");
}

/// Runs random scenarios, each on a subject of its own.
#[expect(clippy::panic, reason = "that is how a test fails")]
pub(crate) fn run<S: Subject>(cases: u32, subject: impl AsyncFn() -> S) {
    let runtime = tokio::runtime::Runtime::new().expect("starts a runtime");
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let seed: [u8; 32] = rand::random();
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let outcome = runner.run(&scenario(), |scenario| {
        runtime.block_on(async {
            let mut subject = subject().await;
            agree(&mut subject, &scenario).await;
        });
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}\nthe seed was {seed:?}");
    }
}

#[test]
fn a_memory_store_that_forgets_agrees_with_one_that_does_not() {
    run(64, async || Memory::new(Durability::OnFlush));
}

#[test]
fn the_segment_store_agrees() {
    run(48, async || Segments::new());
}
