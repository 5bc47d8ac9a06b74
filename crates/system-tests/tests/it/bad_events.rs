//! Odd and broken events through the real gRPC door: the batch is taken, the event is stored as it is or kept
//! as a dead letter with its bytes, and its neighbours are stored once.

use std::fmt;

use prost::Message;
use prost_types::value::Kind;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use weir_system_tests::process::Setup;
use weir_system_tests::raw::{RawClient, collection, field};
use weir_system_tests::reckoning::{delivered, verified};

/// An event that is sent between two good ones.
struct Case {
    /// Also the name of the app.
    name: &'static str,
    timber: Vec<u8>,
    fate: Fate,
}

enum Fate {
    Stored {
        /// JSON text.
        content: String,
        time: Time,
    },
    /// A dead letter with this code.
    Dead(&'static str),
}

#[derive(Clone, Copy)]
enum Time {
    OfReceipt,
    /// As the command line shows it in UTC; the end of the year 9999 is beyond its calendar and ends in `Z`.
    At(&'static str),
}

/// A line of `weir query -o json`.
#[derive(Deserialize)]
struct Hit {
    time: String,
    received: String,
    content: Members,
}

/// A line of `weir dead list -o json`, and what `weir dead show -o json` says.
#[derive(Deserialize)]
struct Letter {
    id: String,
    stream: String,
    prefix: String,
    events: u32,
    format: String,
    code: String,
    message: String,
    /// Absent in a list.
    #[serde(default)]
    original: String,
}

/// The members of an object, each value as its text. In the order of the keys, since stores keep no other; a
/// key that occurs twice is there twice.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Members(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    members.push((key, value.get().to_owned()));
                }
                members.sort_by(|(one, _), (other, _)| one.cmp(other));
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

const BEFORE: &str = r#"{"good":"before"}"#;
const AFTER: &str = r#"{"good":"after"}"#;

/// A `google.protobuf.Value`.
fn value(kind: Kind) -> Vec<u8> {
    prost_types::Value { kind: Some(kind) }.encode_to_vec()
}

fn number(number: f64) -> Vec<u8> {
    value(Kind::NumberValue(number))
}

fn text(text: &str) -> Vec<u8> {
    value(Kind::StringValue(text.to_owned()))
}

fn list(elements: &[Vec<u8>]) -> Vec<u8> {
    field(6, &elements.iter().flat_map(|element| field(1, element)).collect::<Vec<_>>())
}

fn object(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    field(5, &structure(members))
}

/// A `google.protobuf.Struct`, with its members as they are given.
fn structure(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entry = |(key, value): &(&str, Vec<u8>)| [field(1, key.as_bytes()), field(2, value)].concat();
    members.iter().flat_map(|member| field(1, &entry(member))).collect()
}

fn timber(timestamp: &str, members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    [field(2, timestamp.as_bytes()), field(3, &structure(members))].concat()
}

fn stored(name: &'static str, members: &[(&str, Vec<u8>)], content: &str) -> Case {
    let fate = Fate::Stored { content: content.to_owned(), time: Time::OfReceipt };
    Case { name, timber: timber("", members), fate }
}

fn dead(name: &'static str, members: &[(&str, Vec<u8>)], code: &'static str) -> Case {
    Case { name, timber: timber("", members), fate: Fate::Dead(code) }
}

fn timed(name: &'static str, timestamp: &str, time: Time) -> Case {
    let content = r#"{"a":1}"#.to_owned();
    Case { name, timber: timber(timestamp, &[("a", number(1.0))]), fate: Fate::Stored { content, time } }
}

/// `{"a":{"a":…1}}` with this many objects.
fn nested(depth: usize) -> Vec<(&'static str, Vec<u8>)> {
    vec![("a", (1..depth).fold(number(1.0), |inner, _| object(&[("a", inner)])))]
}

fn contents() -> Vec<Case> {
    let nested_text = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let lists = |depth: usize| vec![("a", (1..depth).fold(number(1.0), |inner, _| list(&[inner])))];
    let lists_text = |depth: usize| format!(r#"{{"a":{}1{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
    let keys: Vec<String> = (0..10_000).map(|key| format!("key{key}")).collect();
    let many: Vec<_> = keys.iter().map(|key| (key.as_str(), number(7.0))).collect();
    let many_text: Vec<_> = keys.iter().map(|key| format!(r#""{key}":7"#)).collect();
    let without_value = field(1, &field(1, b"a"));
    vec![
        stored("objects-64", &nested(64), &nested_text(64)),
        dead("objects-65", &nested(65), "too-deep"),
        // About as deep as the door lets pass, which is where barito-flow's parser ends.
        dead("objects-3300", &nested(3300), "too-deep"),
        stored("lists-64", &lists(64), &lists_text(64)),
        dead("lists-65", &lists(65), "too-deep"),
        dead("no-kind", &[("a", Vec::new())], "value-without-kind"),
        dead(
            "no-kind-inside",
            &[("a", object(&[("b", list(&[text("x"), Vec::new()]))]))],
            "value-without-kind",
        ),
        Case { name: "no-value", timber: field(3, &without_value), fate: Fate::Dead("value-without-kind") },
        Case {
            name: "no-content",
            timber: field(2, b"2026-01-01T00:00:00Z"),
            fate: Fate::Dead("missing-content"),
        },
        dead("no-keys", &[], "empty-content"),
        Case { name: "nothing", timber: Vec::new(), fate: Fate::Dead("missing-content") },
        stored("nan", &[("n", number(f64::NAN))], r#"{"n":"NaN"}"#),
        stored(
            "infinities",
            &[("down", number(f64::NEG_INFINITY)), ("up", number(f64::INFINITY))],
            r#"{"down":"-Infinity","up":"Infinity"}"#,
        ),
        stored(
            "not-finite-in-a-list",
            &[(
                "n",
                list(&[number(f64::NAN), number(1.5), number(f64::INFINITY), number(f64::NEG_INFINITY)]),
            )],
            r#"{"n":["NaN",1.5,"Infinity","-Infinity"]}"#,
        ),
        stored("keys-10000", &many, &format!("{{{}}}", many_text.join(","))),
        stored(
            "dots",
            &[
                ("a.b", number(1.0)),
                ("a", object(&[("b", number(2.0))])),
                (".", number(3.0)),
                ("..", number(4.0)),
                ("a.", number(5.0)),
            ],
            r#"{"a.b":1,"a":{"b":2},".":3,"..":4,"a.":5}"#,
        ),
        stored("empty-keys", &[("", object(&[("", text("x"))]))], r#"{"":{"":"x"}}"#),
        stored("empty-key-among-others", &[("a", number(1.0)), ("", text(""))], r#"{"a":1,"":""}"#),
        stored("keys-twice", &[("a", number(1.0)), ("a", number(2.0))], r#"{"a":1,"a":2}"#),
        stored("keys-twice-other-type", &[("a", text("x")), ("a", list(&[]))], r#"{"a":"x","a":[]}"#),
        stored(
            "keys-twice-inside",
            &[("a", object(&[("b", text("x")), ("b", text("y"))]))],
            r#"{"a":{"b":"x","b":"y"}}"#,
        ),
    ]
}

fn times() -> Vec<Case> {
    let of_content = |name, at: &str, time| {
        let content = format!(r#"{{"@timestamp":"{at}"}}"#);
        Case { name, timber: timber("", &[("@timestamp", text(at))]), fate: Fate::Stored { content, time } }
    };
    vec![
        timed("year-0", "0000-01-01T00:00:00Z", Time::At("0000-01-01T00:00:00.000+00:00")),
        timed("year-9999", "9999-12-31T23:59:59.999999Z", Time::At("9999-12-31T23:59:59.999999Z")),
        timed("before-year-0", "0000-01-01T00:00:00+00:01", Time::OfReceipt),
        timed("after-year-9999", "9999-12-31T23:59:59-00:01", Time::OfReceipt),
        timed("year-10000", "10000-01-01T00:00:00Z", Time::OfReceipt),
        timed("no-zone", "2026-01-01T00:00:00", Time::OfReceipt),
        timed("no-time", "yesterday", Time::OfReceipt),
        timed("other-zone", "2026-01-01T00:30:00+01:00", Time::At("2025-12-31T23:30:00.000+00:00")),
        of_content("content-year-0", "0000-01-01T00:00:00Z", Time::At("0000-01-01T00:00:00.000+00:00")),
        of_content("content-year-9999", "9999-12-31T23:59:59Z", Time::At("9999-12-31T23:59:59Z")),
        of_content("content-no-zone", "2026-01-01T00:00:00", Time::OfReceipt),
    ]
}

fn check_stored(setup: &Setup, case: &Case) {
    let hits: Vec<Hit> = setup.run(&["query", case.name, "--limit", "10", "-o", "json"]).json();
    let members = |json: &str| serde_json::from_str::<Members>(json).expect("an object");
    let mut expected = vec![members(BEFORE), members(AFTER)];
    if let Fate::Stored { content, time } = &case.fate {
        let content = members(content);
        let hit = hits.iter().find(|hit| hit.content == content);
        let hit = hit.unwrap_or_else(|| panic!("{}: the event itself is not found", case.name));
        match time {
            Time::OfReceipt => assert_eq!(hit.time, hit.received, "{}", case.name),
            Time::At(time) => assert_eq!(hit.time, *time, "{}", case.name),
        }
        expected.push(content);
    }
    let mut found: Vec<Members> = hits.into_iter().map(|hit| hit.content).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "{}", case.name);
}

fn check_dead(setup: &Setup, case: &Case) {
    let stream = format!("{}_logs", case.name);
    let letters: Vec<Letter> = setup.run(&["dead", "list", "--stream", &stream, "-o", "json"]).json();
    let Fate::Dead(code) = case.fate else {
        assert_eq!(letters.len(), 0, "{}: {}", case.name, letters[0].message);
        return;
    };
    let [letter] = &letters[..] else { panic!("{}: {} dead letters", case.name, letters.len()) };
    let shown: Vec<Letter> = setup.run(&["dead", "show", &letter.id, "-o", "json"]).json();
    let [shown] = &shown[..] else { panic!("{}: {} letters of one id", case.name, shown.len()) };
    assert_eq!((&*shown.code, &*shown.stream, &*shown.prefix), (code, &*stream, case.name));
    assert_eq!((shown.events, &*shown.format), (1, "TimberCollection"), "{}", case.name);
    assert!(!shown.message.is_empty(), "{}: no reason for people", case.name);
    assert!(of_base64(&shown.original) == case.timber, "{}: these are not the original bytes", case.name);
}

fn of_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=').as_bytes();
    let digit = |digit: &u8| ALPHABET.iter().position(|known| known == digit).expect("a digit") as u32;
    let bytes = |chunk: &[u8]| {
        let word = chunk.iter().enumerate().fold(0, |word, (at, byte)| word | digit(byte) << (26 - 6 * at));
        word.to_be_bytes()[..chunk.len() * 3 / 4].to_vec()
    };
    digits.chunks(4).flat_map(bytes).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_events_are_stored_or_kept_and_harm_no_neighbour() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path());
    let weir = setup.start().await;
    let cases: Vec<Case> = contents().into_iter().chain(times()).collect();
    let client = RawClient::connect(setup.addresses.grpc).await;
    let (before, after) = (timber("", &[("good", text("before"))]), timber("", &[("good", text("after"))]));
    for case in &cases {
        let batch = collection(case.name, [&before[..], &case.timber, &after]);
        let stream = client.produce_batch(batch).await;
        let stream = stream.unwrap_or_else(|status| panic!("{}: {status:?}", case.name));
        assert_eq!(stream, format!("{}_logs", case.name));
    }
    delivered(setup.addresses).await;
    // From memory, and then from the segments.
    check_all(&setup, &cases);
    assert!(weir.terminate().await.success());
    let weir = setup.start().await;
    check_all(&setup, &cases);
    assert!(weir.terminate().await.success());
}

fn check_all(setup: &Setup, cases: &[Case]) {
    for case in cases {
        check_stored(setup, case);
        check_dead(setup, case);
    }
    verified(setup);
}
