use bytes::Bytes;
use weir_model::{EventBatch, IndexPrefix, RecordFormat, Timestamp};

use super::*;
use crate::decode_record;

const RECEIVED: Timestamp = Timestamp::from_micros(1);

fn run(body: &[u8], format: BodyFormat) -> Result<(Outcome, EventBatch), BodyError> {
    let mut events = EventsBuilder::new(&IndexPrefix::new("shop").expect("legal"));
    let outcome = parse(body, format, u32::MAX, &mut events)?;
    let (record, count): (Bytes, u32) = events.finish();
    assert_eq!(count, outcome.accepted);
    let batch = decode_record(RecordFormat::Events, &record, RECEIVED).expect("whole");
    assert_eq!(batch.len(), count as usize);
    Ok((outcome, batch))
}

fn contents(batch: &EventBatch) -> Vec<String> {
    batch.events().map(|event| event.content.expect("what the door takes is decodable").to_string()).collect()
}

#[track_caller]
fn check(body: &str, format: BodyFormat, expected: &[&str], rejected: &[(u32, Option<u32>, &str)]) {
    let (outcome, batch) = run(body.as_bytes(), format).expect("a body");
    assert_eq!(contents(&batch), expected);
    let named: Vec<_> = outcome
        .rejections
        .iter()
        .map(|rejection| (rejection.item, rejection.line, rejection.reason.to_string()))
        .collect();
    let expected: Vec<_> =
        rejected.iter().map(|(item, line, why)| (*item, *line, (*why).to_owned())).collect();
    assert_eq!(named, expected);
    assert_eq!(outcome.rejected as usize, rejected.len());
}

#[test]
fn text_is_taken_line_by_line() {
    check("", BodyFormat::Text, &[], &[]);
    check("\n\r\n\n", BodyFormat::Text, &[], &[]);
    check(
        "one\r\n\n  two \n{\"a\":1}\n\rthree\r\r\nlast",
        BodyFormat::Text,
        &[
            r#"{"message":"one"}"#,
            r#"{"message":"  two "}"#,
            r#"{"message":"{\"a\":1}"}"#,
            r#"{"message":"\rthree\r"}"#,
            r#"{"message":"last"}"#,
        ],
        &[],
    );
}

#[test]
fn json_lines_are_objects_or_named() {
    check(
        " {\"a\" : 1}\r\n\n\t\n[1]\n{\"b\":}\nplain\n{}\n{\"c\":{\"d\":[null,18446744073709551616]}}\n{\"e\":NaN}",
        BodyFormat::JsonLines,
        &[r#"{"a":1}"#, r#"{"c":{"d":[null,18446744073709551616]}}"#],
        &[
            (1, Some(4), "not a JSON object"),
            (2, Some(5), "expected a value at byte 5"),
            (3, Some(6), "expected a value at byte 0"),
            (4, Some(7), "the object has no members"),
            (6, Some(9), "expected a value at byte 5"),
        ],
    );
}

#[test]
fn an_array_keeps_the_neighbours_of_what_it_names() {
    check(
        " [ {\"a\" : 1} , 2, \"three\", [], {},\n{\"b\":\"\\ud800\"},{\"c\":[{}]}, null ]\n",
        BodyFormat::JsonArray,
        &[r#"{"a":1}"#, r#"{"c":[{}]}"#],
        &[
            (1, None, "not a JSON object"),
            (2, None, "not a JSON object"),
            (3, None, "not a JSON object"),
            (4, None, "the object has no members"),
            (5, None, "half a surrogate pair at byte 6"),
            (7, None, "not a JSON object"),
        ],
    );
    check("[]", BodyFormat::JsonArray, &[], &[]);
}

#[test]
fn a_body_that_is_no_array_is_refused_whole() {
    let check = |body: &[u8], expected: &str| {
        let error = run(body, BodyFormat::JsonArray).expect_err("no array");
        assert_eq!(error.to_string(), expected);
    };
    check(b"", "the text ends too early at byte 0");
    check(b"{\"a\":1}", "the body is no JSON array");
    check(b"[{\"a\":1}", "the text ends too early at byte 8");
    check(b"[{\"a\":1},]", "expected a value at byte 9");
    check(b"[{\"a\":1}] x", "expected the end of the text at byte 10");
    check(b"[{\"a\":\"\xff\"}]", "the body is not valid UTF-8 at byte 7");
}

#[test]
fn auto_takes_what_is_no_object_as_text() {
    check(
        "{\"a\":1}\n {\"b\":2} \r\n{\"broken\":\n{}\n[1]\nplain\n{\"c\":3} and more\n",
        BodyFormat::Auto,
        &[
            r#"{"a":1}"#,
            r#"{"b":2}"#,
            r#"{"message":"{\"broken\":"}"#,
            r#"{"message":"{}"}"#,
            r#"{"message":"[1]"}"#,
            r#"{"message":"plain"}"#,
            r#"{"message":"{\"c\":3} and more"}"#,
        ],
        &[],
    );
}

#[test]
fn a_line_that_is_no_utf_8_is_named_in_every_format() {
    for format in [BodyFormat::Auto, BodyFormat::Text, BodyFormat::JsonLines] {
        let (outcome, batch) = run(b"{\"a\":1}\n{\"b\":\"\xc3\x28\"}\n{\"c\":2}", format).expect("lines");
        assert_eq!(batch.len(), 2);
        let expected = Rejection { item: 1, line: Some(2), reason: RejectReason::Utf8 };
        assert_eq!(outcome.rejections, [expected], "{format:?}");
    }
}

#[test]
fn nesting_beyond_the_limit_is_named_or_text() {
    let deep = |depth: usize| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
    check(&deep(64), BodyFormat::JsonLines, &[&deep(64)], &[]);
    let why = "nested more than 64 deep at byte 320";
    check(&deep(65), BodyFormat::JsonLines, &[], &[(0, Some(1), why)]);
    let array = format!("[{},{}]", deep(65), deep(64));
    check(&array, BodyFormat::JsonArray, &[&deep(64)], &[(0, None, why)]);
    let (outcome, _) = run(deep(65).as_bytes(), BodyFormat::Auto).expect("text");
    assert_eq!(outcome.accepted, 1);
}

#[test]
fn only_the_first_rejections_are_named() {
    let (outcome, _) = run("x\n".repeat(1000).as_bytes(), BodyFormat::JsonLines).expect("lines");
    assert_eq!((outcome.rejected, outcome.rejections.len()), (1000, NAMED_REJECTIONS));
}

#[test]
fn the_time_comes_from_the_first_member_that_is_one() {
    let check = |json: &str, expected: &str| {
        let (_, batch) = run(json.as_bytes(), BodyFormat::JsonLines).expect("a line");
        assert_eq!(batch.get(0).expect("one event").time.to_string(), expected, "{json}");
    };
    let received = "1970-01-01T00:00:00.000001Z";
    check(r#"{"a":1}"#, received);
    check(r#"{"ts":1700000001,"time":1700000000}"#, "2023-11-14T22:13:20Z");
    check(r#"{"ts":1,"time":"2025-01-02T03:04:05+01:00","@timestamp":1700000000}"#, "2025-01-02T02:04:05Z");
    check(r#"{"time":1,"@timestamp":"2025-01-02T03:04:05Z"}"#, "2025-01-02T03:04:05Z");
    check(r#"{"time":"yesterday","ts":"2025-01-02T03:04:05Z"}"#, "2025-01-02T03:04:05Z");
    check(r#"{"time":"1700000000"}"#, received);
    check(r#"{"@timestamp":"2025-01-02 03:04:05"}"#, received);
    check(r#"{"a":{"time":1700000000},"b":["time",1700000000]}"#, received);
    check(r#"{"time":1700000000,"time":1700000001}"#, "2023-11-14T22:13:21Z");
    check(r#"{"time":1700000000,"time":null}"#, "2023-11-14T22:13:20Z");
    check(r#"{"\u0074ime":1700000000}"#, "2023-11-14T22:13:20Z");
}

#[test]
fn the_magnitude_of_a_number_tells_its_unit() {
    let check = |number: &str, expected: Option<&str>| {
        let (_, batch) =
            run(format!("{{\"ts\":{number}}}").as_bytes(), BodyFormat::JsonLines).expect("a line");
        let time = batch.get(0).expect("one event").time;
        let time = (time != RECEIVED).then(|| time.to_string());
        assert_eq!(time.as_deref(), expected, "{number}");
    };
    check("99999999", None);
    check("0.25", None);
    check("-1700000000", None);
    check("100000000", Some("1973-03-03T09:46:40Z"));
    check("1700000000", Some("2023-11-14T22:13:20Z"));
    check("1700000000.5", Some("2023-11-14T22:13:20.500Z"));
    check("1700000000.123456", Some("2023-11-14T22:13:20.123456Z"));
    check("1.7e9", Some("2023-11-14T22:13:20Z"));
    check("99999999999", Some("5138-11-16T09:46:39Z"));
    check("100000000000", Some("1973-03-03T09:46:40Z"));
    check("1700000000123", Some("2023-11-14T22:13:20.123Z"));
    check("1700000000123.5", Some("2023-11-14T22:13:20.123500Z"));
    check("1700000000123456", Some("2023-11-14T22:13:20.123456Z"));
    check("1700000000123456789", Some("2023-11-14T22:13:20.123456Z"));
    check("9223372036854775807", Some("2262-04-11T23:47:16.854775Z"));
    check("9223372036854775808", None);
    check("1e300", None);
}

#[test]
fn the_text_of_an_event_is_kept_as_it_came() {
    let json = r#"{"b" :1.50, "a":"\u00fc","b":1e2}"#;
    let mut events = EventsBuilder::new(&IndexPrefix::new("shop").expect("legal"));
    parse(format!("  {json}\t\r\n").as_bytes(), BodyFormat::JsonLines, u32::MAX, &mut events)
        .expect("a line");
    let (record, _) = events.finish();
    assert!(record.ends_with(json.as_bytes()));
}
