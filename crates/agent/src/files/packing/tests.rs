use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use weir_model::RecordFormat;
use weir_wire::decode_record;

use super::*;
use crate::section::{FilesSettings, InputSection};

const PATH: &str = "/var/log/pods/shop_web-0_17/app/0.log";

/// 2026-11-29T00:00:00Z
const NOW: Timestamp = Timestamp::from_micros(1_795_910_400_000_000);

/// An input with this beside what it must have.
fn settings(json: &str) -> FilesSettings {
    let raw: InputSection = serde_json::from_str(json).expect("the test writes settings");
    let raw = InputSection { app: Some("shop".into()), paths: vec!["/var/log/a".into()], ..raw };
    FilesSettings::validate_all(&[raw]).expect("they are valid").remove(0)
}

/// An event as it is sent.
#[derive(Debug, Clone, PartialEq)]
struct Sent {
    time: Timestamp,
    content: Value,
}

/// What reads a file.
struct Reader {
    settings: FilesSettings,
    around: Around,
    prefix: IndexPrefix,
    max_parcel: usize,
    max_lines: u64,
    counts: Counts,
}

impl Reader {
    fn new(json: &str) -> Self {
        let settings = settings(json);
        let around = Around::of(settings.process.about, "web-1", Path::new(PATH));
        let prefix = IndexPrefix::new("shop").expect("it is legal");
        let counts = Counts::default();
        Self { settings, around, prefix, max_parcel: 1 << 20, max_lines: u64::MAX, counts }
    }

    /// The next events of a file that begin there, and where they end.
    fn next(&mut self, bytes: &[u8], at: usize, window: usize, rest: Rest) -> Option<(Vec<Sent>, usize)> {
        let left = bytes.get(at..).expect("it is in the file");
        let is_cut = left.len() > window;
        let reading = Reading {
            bytes: left.get(..window).unwrap_or(left),
            source: [7; 16],
            start: at as u64,
            rest: if is_cut { Rest::MayGrow } else { rest },
            is_cut,
            around: &self.around,
        };
        let packing = Packing {
            prefix: &self.prefix,
            max_text: self.settings.max_line.as_usize().min(self.max_parcel / (ESCAPED + 2)),
            max_parcel: self.max_parcel,
            max_lines: self.max_lines,
            now: NOW,
        };
        let packed = pack(&self.settings.process, reading, packing).expect("memory takes it").ok()?;
        self.counts.add(packed.counts);
        assert!(packed.used > 0);
        let (value, count) = packed.events.finish();
        assert!(count <= 1 || value.len() <= self.max_parcel, "{} bytes", value.len());
        Some((sent(&value, count), at + packed.used))
    }

    fn all(&mut self, bytes: &[u8]) -> Vec<Sent> {
        let (mut all, mut at) = (Vec::new(), 0);
        while let Some((events, to)) = self.next(bytes, at, 1 << 20, Rest::IsAll) {
            all.extend(events);
            at = to;
        }
        assert_eq!(at, bytes.len());
        all
    }
}

fn sent(value: &[u8], count: u32) -> Vec<Sent> {
    if count == 0 {
        return Vec::new();
    }
    let batch = decode_record(RecordFormat::Events, &value.to_vec().into(), Timestamp::default());
    let batch = batch.expect("it was made here");
    let events = batch.events().map(|event| Sent {
        time: event.time,
        content: serde_json::from_str(&event.content.expect("it is an event").to_string())
            .expect("it is JSON"),
    });
    events.collect()
}

/// What becomes of a file, without `host` and `file`.
#[track_caller]
fn check(json: &str, bytes: &str, expected: &[Value]) -> (Vec<Sent>, Counts) {
    let mut reader = Reader::new(json);
    let events = reader.all(bytes.as_bytes());
    let without = |event: &Sent| {
        let mut content = event.content.clone();
        let members = content.as_object_mut().expect("it is an object");
        assert_eq!(members.remove("host"), Some(json!("web-1")));
        assert_eq!(members.remove("file"), Some(json!(PATH)));
        content
    };
    let found: Vec<Value> = events.iter().map(without).collect();
    assert_eq!(found, expected, "{json} {bytes}");
    (events, reader.counts)
}

#[test]
fn lines_are_messages() {
    let (events, counts) = check(
        "{}",
        "one\n\ntwo\r\nthree",
        &[json!({"message": "one"}), json!({"message": "two"}), json!({"message": "three"})],
    );
    assert_eq!((counts.lines, events[0].time), (3, NOW));
    check("{}", "\u{feff}one\n", &[json!({"message": "one"})]);
    let long = "x".repeat(2_000);
    let pieces = [json!({"message": &long[..1_024]}), json!({"message": &long[..976]})];
    check(r#"{"max_line": "1KiB"}"#, &long, &pieces);
    // The same by the long way.
    check(r#"{"max_line": "1KiB", "multiline": {"start": "."}}"#, &long, &pieces);
}

#[test]
fn formats_are_taken_off() {
    let pod = json!({"namespace": "shop", "pod": "web-0", "pod_uid": "17", "container": "app"});
    let cri = "2026-11-28T10:00:00.5Z stdout P on\n2026-11-28T10:00:01Z stderr F err\n\
               2026-11-28T10:00:02Z stdout F e\nsomething else\n";
    let (events, counts) = check(
        r#"{"format": "cri"}"#,
        cri,
        &[
            json!({"message": "one", "stream": "stdout", "kubernetes": pod}),
            json!({"message": "err", "stream": "stderr", "kubernetes": pod}),
            json!({"message": "something else", "kubernetes": pod}),
        ],
    );
    let times: Vec<String> = events.iter().map(|event| event.time.to_string()).collect();
    assert_eq!(times, ["2026-11-28T10:00:00.500Z", "2026-11-28T10:00:01Z", "2026-11-29T00:00:00Z"]);
    assert_eq!((counts.lines, counts.unfit), (4, 1));
    let docker = "{\"log\":\"one\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-28T10:00:00Z\",\"attrs\":{\"a\":\"b\"}}\n";
    check(
        r#"{"format": "docker", "kubernetes": false}"#,
        docker,
        &[json!({"message": "one", "stream": "stdout", "attrs": {"a": "b"}})],
    );
    check(r#"{"kubernetes": true}"#, "one\n", &[json!({"message": "one", "kubernetes": pod})]);
    // One line of a runtime is longer than an event may be.
    let long = format!("2026-11-28T10:00:00Z stdout F {}é\n", "x".repeat(1_023));
    check(
        r#"{"format": "cri", "kubernetes": false, "max_line": "1KiB"}"#,
        &long,
        &[
            json!({"message": "x".repeat(1_023), "stream": "stdout"}),
            json!({"message": "é", "stream": "stdout"}),
        ],
    );
}

#[test]
fn texts_become_fields() {
    let json = r#"{"parser": {"kind": "json"}}"#;
    let text = "{\"msg\":\"one\",\"n\":1.50,\"big\":123456789012345678901234567890,\"time\":\"2026-11-28T10:00:00+02:00\"}\n\
                {\"a\":{\"b\":[1,null]},\"ts\":1764324000}\nplain text\n{\"host\":\"its own\"}\n";
    let mut reader = Reader::new(json);
    let events = reader.all(text.as_bytes());
    let [first, second, third, fourth] = events.as_slice() else { unreachable!("{events:?}") };
    assert_eq!(first.content["n"], json!(1.50));
    assert!(first.content["big"].is_number() && first.content.get("message").is_none(), "{first:?}");
    assert_eq!(first.time.to_string(), "2026-11-28T08:00:00Z");
    assert_eq!(
        (&second.content["a"], second.time.to_string().as_str()),
        (&json!({"b": [1, null]}), "2025-11-28T10:00:00Z")
    );
    assert_eq!((&third.content["message"], third.time), (&json!("plain text"), NOW));
    assert_eq!(fourth.content["host"], json!("its own"));
    assert_eq!((reader.counts.unfit, reader.counts.timeless), (1, 0));

    check(
        r#"{"parser": {"kind": "logfmt", "keep_original": true}}"#,
        "level=info msg=\"a b\"\nnot so\n",
        &[
            json!({"level": "info", "msg": "a b", "original": "level=info msg=\"a b\""}),
            json!({"message": "not so"}),
        ],
    );
    let regex = r#"{"parser": {"kind": "regex", "pattern": "(?s)^\\[(?P<at>[^\\]]+)\\] (?P<text>.*)$",
        "time": {"field": "at", "format": "%d/%b/%Y:%H:%M:%S", "zone": "Europe/Berlin"}}, "multiline": {"start": "^\\["}}"#;
    let (events, counts) = check(
        regex,
        "[28/Nov/2026:10:00:00] one\n two\n[some day] three\nfour\n",
        &[
            json!({"at": "28/Nov/2026:10:00:00", "text": "one\n two"}),
            json!({"at": "some day", "text": "three\nfour"}),
        ],
    );
    assert_eq!(events[0].time.to_string(), "2026-11-28T09:00:00Z");
    assert_eq!((events[1].time, counts.timeless, counts.unfit), (NOW, 1, 0));
    // What would be more than an event may have is sent as it is.
    let pattern = format!("^{}.*{}$", "(?P<a>".replace('a', "a1"), ")");
    let nested =
        (2..40).fold(pattern[1..pattern.len() - 1].to_owned(), |inner, n| format!("(?P<a{n}>{inner})"));
    let many = format!(r#"{{"max_line": "512KiB", "parser": {{"kind": "regex", "pattern": "^{nested}$"}}}}"#);
    let text = "\"".repeat(100_000);
    let (_, counts) = check(&many, &text, &[json!({ "message": text })]);
    assert_eq!(counts.unfit, 1);
}

#[test]
fn events_are_dropped_sampled_and_changed() {
    let json = r#"{"parser": {"kind": "logfmt"}, "drop": [{"field": "level", "equals": "debug"}, {"field": "took", "below": 2}],
        "fields": {"rename": {"msg": "message"}, "remove": ["took", "none"], "add": {"env": "prod", "n": 7}}}"#;
    let text = "level=debug msg=a\nlevel=info msg=b took=1.5\nlevel=info msg=c took=2\n";
    let (_, counts) = check(json, text, &[json!({"level": "info", "message": "c", "env": "prod", "n": 7})]);
    assert_eq!((counts.dropped, counts.lines), (2, 3));
    let mut reader = Reader::new(r#"{"host": false, "fields": {"remove": ["file"]}}"#);
    assert_eq!(reader.all(b"a\n")[0].content, json!({"message": "a"}));

    let json = r#"{"sample": {"one_in": 10, "unless": [{"field": "message", "matches": "^error"}]}}"#;
    let text: String =
        (0..10_000).map(|n| format!("{} {n}\n", if n % 100 == 0 { "error" } else { "fine" })).collect();
    let mut reader = Reader::new(json);
    let events = reader.all(text.as_bytes());
    let errors = events
        .iter()
        .filter(|event| event.content["message"].as_str().is_some_and(|m| m.starts_with("error")));
    assert_eq!(errors.count(), 100);
    assert!((800..1_200).contains(&(events.len() - 100)), "{}", events.len());
    assert_eq!(reader.counts.left_out, 10_000 - events.len() as u64);
    // Whoever begins in the middle chooses the same.
    let mut again = Reader::new(json);
    let (_, middle) = again.next(text.as_bytes(), 0, 1_000, Rest::MayGrow).expect("there are lines");
    let (rest, _) = again.next(text.as_bytes(), middle, 1 << 20, Rest::IsAll).expect("there are more");
    assert_eq!(rest, events[events.len() - rest.len()..]);
    // All of it may be left out.
    let (events, counts) = check(r#"{"drop": [{"field": "message", "exists": true}]}"#, "a\nb\n", &[]);
    assert_eq!((events.len(), counts.dropped), (0, 2));
}

/// As many as fit, however little that is.
#[test]
fn parcels_and_rates_are_kept() {
    for json in [
        r#"{"max_line": "1KiB"}"#,
        r#"{"max_line": "1KiB", "multiline": {"start": "stdout"}}"#,
        r#"{"max_line": "1KiB", "format": "cri", "multiline": {"continue": "^ "}}"#,
    ] {
        let line = |n: usize| {
            format!("2026-11-28T10:00:00Z std{} F {n} {}\n", ["out", "err"][n % 2], "\"".repeat(n % 50))
        };
        let text: String = (0..1_000).map(line).collect();
        let whole = Reader::new(json).all(text.as_bytes());
        let mut small = Reader { max_parcel: 8 << 10, ..Reader::new(json) };
        assert!(small.all(text.as_bytes()) == whole, "{json}");
        let mut slow = Reader { max_lines: 7, ..Reader::new(json) };
        let (events, _) = slow.next(text.as_bytes(), 0, 1 << 20, Rest::IsAll).expect("there are lines");
        assert!(!events.is_empty() && (events.len() <= 7 || slow.counts.lines > 7), "{json}");
    }
    let mut slow = Reader { max_lines: 7, ..Reader::new("{}") };
    assert_eq!(
        slow.next(&b"x\n".repeat(10), 0, 1 << 20, Rest::IsAll).map(|(events, _)| events.len()),
        Some(7)
    );
    // Two streams that lie within each other all the time, and are more than a parcel.
    let text: String = (0..2_000)
        .map(|n| {
            format!(
                "2026-11-28T10:00:00Z std{} {} {}\n",
                ["out", "err"][n % 2],
                if n % 4 < 2 { "F" } else { "P" },
                "x".repeat(50)
            )
        })
        .collect();
    let mut small =
        Reader { max_parcel: 4 << 10, ..Reader::new(r#"{"format": "cri", "kubernetes": false}"#) };
    let events = small.all(text.as_bytes());
    let letters: usize =
        events.iter().map(|event| event.content["message"].as_str().map_or(0, str::len)).sum();
    assert_eq!(letters, 2_000 * 50);
}

fn some_settings() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "{}",
        r#"{"format": "cri"}"#,
        r#"{"format": "docker"}"#,
        r#"{"encoding": "utf-16le"}"#,
        r#"{"encoding": "latin1", "parser": {"kind": "logfmt"}}"#,
        r#"{"multiline": {"presets": ["java", "go", "python"]}, "parser": {"kind": "json"}}"#,
        r#"{"format": "cri", "multiline": {"start": "^[0-9]"}, "sample": {"one_in": 3}}"#,
        r#"{"multiline": {"continue": "^\\s"}, "parser": {"kind": "regex", "pattern": "(?P<a>\\w+) (?P<b>.*)"}}"#,
        r#"{"drop": [{"field": "message", "matches": "a"}], "fields": {"add": {"a": 1}}, "max_line": "1KiB"}"#,
    ])
}

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        2 => "[a-c0-1 =\"{}:]{0,12}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => Just(b"a=1 b=\"x y\"".to_vec()),
        1 => Just(b"{\"a\": 1, \"time\": 1700000000}".to_vec()),
        1 => Just(b"2026-11-28T10:00:00Z stdout F  a b".to_vec()),
        1 => Just(b"2026-11-28T10:00:00Z stderr P 1 c".to_vec()),
        1 => Just(b"{\"log\":\"x\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-28T10:00:00Z\"}".to_vec()),
        1 => Just(b"{\"log\":\"y\",\"stream\":\"stdout\",\"time\":\"2026-11-28T10:00:00Z\"}".to_vec()),
        1 => Just(vec![b'z'; 1_500]),
    ];
    let end = prop::sample::select(vec![&b"\n"[..], b"\r\n", b"\n\0", b""]);
    prop::collection::vec((line, end), 0..40)
        .prop_map(|lines| lines.into_iter().flat_map(|(line, end)| [line, end.to_vec()].concat()).collect())
}

proptest! {
    /// However a file grows and wherever its reader begins again: the same bytes are the same events.
    #[test]
    fn events_do_not_depend_on_how_a_file_is_read(
        json in some_settings(),
        bytes in some_bytes(),
        steps in prop::collection::vec((0..150_usize, any::<prop::sample::Index>(), any::<bool>()), 0..30),
        max_lines in prop_oneof![Just(u64::MAX), 1..5_u64],
    ) {
        let whole = Reader::new(json).all(&bytes);
        let mut reader = Reader { max_lines, ..Reader::new(json) };
        let (mut events, mut stops, mut length) = (Vec::new(), vec![(0, 0)], 0);
        for (more, back, restarts) in steps {
            length = (length + more).min(bytes.len());
            if restarts {
                stops.truncate(back.index(stops.len()) + 1);
            }
            let (count, mut at) = *stops.last().expect("there is one");
            events.truncate(count);
            while let Some((new, to)) = reader.next(&bytes[..length.max(at)], at, 1 << 20, Rest::MayGrow) {
                events.extend(new);
                at = to;
                stops.push((events.len(), at));
            }
        }
        let (_, mut at) = *stops.last().expect("there is one");
        while let Some((new, to)) = reader.next(&bytes, at, 1 << 20, Rest::IsAll) {
            events.extend(new);
            at = to;
        }
        prop_assert_eq!(at, bytes.len());
        prop_assert_eq!(events, whole);
    }
}
