//! Records as nobody should write them, at which others write to Kafka: each becomes a dead letter with its reason
//! and its bytes, and all around it is stored.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use weir_system_tests::raw::field;
use weir_wire::proto::producer::{Timber, TimberCollection, TimberContext};

use crate::kafka::Message;
use crate::world::{World, timber};

const COLLECTION: (&str, &str) = ("message_format", "TimberCollection");

/// A record and what becomes of it.
struct Case {
    message: Message,
    /// Ids of its events that are stored.
    stored: Vec<String>,
    /// Codes and bytes of its dead letters.
    dead: Vec<(&'static str, Vec<u8>)>,
}

impl Case {
    fn stored(headers: &[(&'static str, &'static str)], value: Vec<u8>, ids: &[&str]) -> Self {
        let stored = ids.iter().map(ToString::to_string).collect();
        Self { message: message(headers, value), stored, dead: Vec::new() }
    }

    /// Nothing of it can be stored.
    fn dead(headers: &[(&'static str, &'static str)], value: Vec<u8>, code: &'static str) -> Self {
        let dead = vec![(code, value.clone())];
        Self { message: message(headers, value), stored: Vec::new(), dead }
    }
}

fn message(headers: &[(&'static str, &'static str)], value: Vec<u8>) -> Message {
    Message { headers: headers.to_vec(), value: Some(value) }
}

fn value(kind: Option<Kind>) -> Value {
    Value { kind }
}

fn with_content(timber: Timber, name: &str, kind: Option<Kind>) -> Timber {
    let mut content = timber.content.clone().unwrap_or_default();
    content.fields.insert(name.to_owned(), value(kind));
    Timber { content: Some(content), ..timber }
}

/// A value in as many lists.
fn nested(depth: usize) -> Kind {
    (0..depth).fold(Kind::BoolValue(true), |inner, _| {
        Kind::ListValue(prost_types::ListValue { values: vec![value(Some(inner))] })
    })
}

/// Records that are dead as a whole.
fn dead_records(app: &str) -> Vec<Case> {
    let context = |context: TimberContext| Timber { context: Some(context), ..timber(app, "context") };
    let good = timber(app, "read as what it is not");
    let pair = TimberCollection { context: good.context.clone(), items: vec![good.clone(), good.clone()] };
    let prefix = |prefix: &str| {
        context(TimberContext { es_index_prefix: prefix.to_owned(), ..TimberContext::default() })
    };
    let undecodable = "undecodable-record";
    vec![
        Case::dead(&[], b"\xff\xff\xff no protobuf at all".to_vec(), undecodable),
        Case::dead(&[], Vec::new(), undecodable),
        Case { message: Message::default(), ..Case::dead(&[], Vec::new(), undecodable) },
        Case::dead(&[COLLECTION], b"\xff\xff\xff no protobuf at all".to_vec(), undecodable),
        Case::dead(&[], Timber { context: None, ..good.clone() }.encode_to_vec(), undecodable),
        Case::dead(&[], prefix("").encode_to_vec(), undecodable),
        Case::dead(&[], prefix("UPPER case").encode_to_vec(), undecodable),
        // Headers that say what the bytes are not.
        Case::dead(&[COLLECTION], good.encode_to_vec(), undecodable),
        Case::dead(&[], pair.encode_to_vec(), "missing-content"),
        Case::dead(&[COLLECTION, ("weir-events", "5")], pair.encode_to_vec(), "event-count-mismatch"),
    ]
}

/// Records of which every event is stored, odd as they are.
fn odd_records(app: &str) -> Vec<Case> {
    let pair = TimberCollection {
        context: timber(app, "any").context,
        items: vec![Timber { context: None, ..timber(app, "first") }, timber(app, "second")],
    };
    let none = TimberCollection { items: Vec::new(), ..pair.clone() };
    vec![
        Case::stored(&[], timber(app, "plain").encode_to_vec(), &["plain-0"]),
        Case::stored(&[("message_format", "Sonnet")], timber(app, "sonnet").encode_to_vec(), &["sonnet-0"]),
        Case::stored(&[("trace", "7")], timber(app, "traced").encode_to_vec(), &["traced-0"]),
        Case::stored(&[COLLECTION], pair.encode_to_vec(), &["first-0", "second-0"]),
        Case::stored(&[COLLECTION], none.encode_to_vec(), &[]),
    ]
}

/// A collection whose bad items do not take the others with them.
fn mixed_collection(app: &str) -> Case {
    let item = |name: &str| Timber { context: None, ..timber(app, name) };
    let empty = Some(Struct::default());
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("missing-content", Timber { content: None, ..item("missing") }.encode_to_vec()),
        ("empty-content", Timber { content: empty, ..item("empty") }.encode_to_vec()),
        ("value-without-kind", with_content(item("kindless"), "what", None).encode_to_vec()),
        ("too-deep", with_content(item("deep"), "down", Some(nested(200))).encode_to_vec()),
        ("undecodable", field(3, b"\xff\xff\xff no struct")),
        ("rejected", with_content(item("status"), "status", Some(nested_object())).encode_to_vec()),
    ];
    let context = timber(app, "any").context.expect("it has one");
    let mut value = field(1, &context.encode_to_vec());
    let mut stored = Vec::new();
    for (index, (_, bad)) in bad.iter().enumerate() {
        let name = format!("neighbour{index}");
        value.extend(field(2, &item(&name).encode_to_vec()));
        value.extend(field(2, bad));
        stored.push(format!("{name}-0"));
    }
    Case { message: message(&[COLLECTION], value), stored, dead: bad }
}

/// What an index refuses in a field that is a number.
fn nested_object() -> Kind {
    let fields = [("deeper".to_owned(), value(Some(Kind::BoolValue(true))))].into();
    Kind::StructValue(Struct { fields })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_records_die_alone_with_their_reason_and_their_bytes() {
    let world = World::shared("bad");
    let app = world.app(0);
    let topic = format!("{app}_logs");
    world.outsider.create_topic(&topic).await;
    let consumer = world.consumer().await;
    // The first document says what `status` is.
    let mut cases = odd_records(&app);
    world.outsider.send(&topic, &[cases[0].message.clone()]);
    world.grows().await;
    cases.extend(dead_records(&app));
    cases.push(mixed_collection(&app));
    cases.push(Case::stored(&[], timber(&app, "last").encode_to_vec(), &["last-0"]));
    let rest: Vec<Message> = cases[1..].iter().map(|case| case.message.clone()).collect();
    world.outsider.send(&topic, &rest);
    world.caught_up().await;

    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    let id = |hit: &serde_json::Value| hit["_source"]["id"].as_str().expect("all have one").to_owned();
    world.documents().each(|hit| *found.entry(id(hit)).or_default() += 1).await;
    let expected: BTreeMap<String, u32> =
        cases.iter().flat_map(|case| &case.stored).map(|id| (id.clone(), 1)).collect();
    assert_eq!(found, expected);

    let letters = world.books().await.letters(world.name).await;
    let text = |code: &str, bytes: &[u8]| format!("{code} {}", bytes.escape_ascii());
    let mut dead: Vec<_> = letters.iter().map(|letter| text(&letter.reason.code, &letter.original)).collect();
    let mut expected: Vec<_> =
        cases.iter().flat_map(|case| &case.dead).map(|(code, bytes)| text(code, bytes)).collect();
    dead.sort();
    expected.sort();
    assert_eq!(dead, expected);
    assert!(letters.iter().all(|letter| !letter.reason.message.is_empty()), "{letters:?}");
    assert!(consumer.terminate().await.success());
}
