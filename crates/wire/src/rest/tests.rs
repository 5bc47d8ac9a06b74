use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use super::{RestError, error_body, http_status, result_body};
use crate::proto::producer::{Timber, TimberCollection, TimberContext};
use crate::scan::{scan_collection, scan_timber};

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn timber(body: &str) -> Result<Timber, RestError> {
    let bytes = super::timber(body.as_bytes())?;
    assert!(scan_timber(&bytes).is_ok(), "{body}");
    Ok(Timber::decode(bytes.as_slice()).expect("whole"))
}

fn collection(body: &str) -> Result<TimberCollection, RestError> {
    let bytes = super::timber_collection(body.as_bytes())?;
    assert!(scan_collection(&bytes).is_ok(), "{body}");
    let message = TimberCollection::decode(bytes.as_slice()).expect("whole");
    assert_eq!(message.encode_to_vec().len(), bytes.len(), "every length is as short as it can be");
    Ok(message)
}

#[test]
fn a_single_event_is_mapped() {
    let body = r#"{
        "context": {"kafka_topic": "shop", "kafka_partition": 50, "app_max_tps": "100", "app_secret": "s"},
        "timestamp": "2025-09-03T00:11:52Z",
        "content": {"s": "ü\n", "n": -1.5, "t": true, "f": false, "z": null, "e": {}, "l": [1, [], {"x": "y"}]}
    }"#;
    let object = |fields: Vec<(&str, Value)>| Struct {
        fields: fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
    };
    let list = vec![
        value(Kind::NumberValue(1.0)),
        value(Kind::ListValue(ListValue::default())),
        value(Kind::StructValue(object(vec![("x", value(Kind::StringValue("y".to_owned())))]))),
    ];
    let expected = Timber {
        context: Some(TimberContext {
            kafka_topic: "shop".to_owned(),
            kafka_partition: 50,
            app_max_tps: 100,
            app_secret: "s".to_owned(),
            ..TimberContext::default()
        }),
        timestamp: "2025-09-03T00:11:52Z".to_owned(),
        content: Some(object(vec![
            ("s", value(Kind::StringValue("ü\n".to_owned()))),
            ("n", value(Kind::NumberValue(-1.5))),
            ("t", value(Kind::BoolValue(true))),
            ("f", value(Kind::BoolValue(false))),
            ("z", value(Kind::NullValue(0))),
            ("e", value(Kind::StructValue(Struct::default()))),
            ("l", value(Kind::ListValue(ListValue { values: list }))),
        ])),
    };
    assert_eq!(timber(body), Ok(expected));
}

#[test]
fn names_come_in_two_styles() {
    let snake = r#"{"context":{"kafka_topic":"t","kafka_partition":1,"kafka_replication_factor":2,"es_index_prefix":"p",
        "es_document_type":"d","app_max_tps":3,"app_secret":"s","disable_app_tps":true,"app_group_max_tps":4}}"#;
    let camel = r#"{"context":{"kafkaTopic":"t","kafkaPartition":1,"kafkaReplicationFactor":2,"esIndexPrefix":"p",
        "esDocumentType":"d","appMaxTps":3,"appSecret":"s","disableAppTps":true,"appGroupMaxTps":4}}"#;
    let expected = TimberContext {
        kafka_topic: "t".to_owned(),
        kafka_partition: 1,
        kafka_replication_factor: 2,
        es_index_prefix: "p".to_owned(),
        es_document_type: "d".to_owned(),
        app_max_tps: 3,
        app_secret: "s".to_owned(),
        disable_app_tps: true,
        app_group_max_tps: 4,
    };
    assert_eq!(timber(snake).expect("legal").context, Some(expected.clone()));
    assert_eq!(collection(camel).expect("legal").context, Some(expected));
}

#[test]
fn a_batch_is_mapped() {
    let body = r#"{"items":[{"content":{"a":"b"}},{},null,{"content":null,"context":{}}],"context":{"kafkaTopic":"t"}}"#;
    let batch = collection(body).expect("legal");
    assert_eq!(batch.context.expect("sent").kafka_topic, "t");
    let shapes: Vec<_> =
        batch.items.iter().map(|item| (item.content.is_some(), item.context.is_some())).collect();
    assert_eq!(shapes, [(true, false), (false, false), (false, false), (false, true)]);
}

#[test]
fn nothing_is_the_default() {
    for body in
        ["", " \r\n\t", "null", "{}", r#"{"context":null,"timestamp":null,"content":null,"items":null}"#]
    {
        assert_eq!(timber(body), Ok(Timber::default()), "{body}");
        assert_eq!(collection(body), Ok(TimberCollection::default()), "{body}");
    }
    let body = r#"{"context":{"kafka_topic":null,"app_max_tps":null,"disable_app_tps":null}}"#;
    assert_eq!(timber(body).expect("legal").context, Some(TimberContext::default()));
}

#[test]
fn unknown_names_are_ignored_and_the_last_of_two_counts() {
    let body = r#"{"x":{"kafka_topic":1},"timestamp":"a","timestamp":"b","context":{"kafka_topic":"a"},
        "context":{"kafkaTopic":"b","unknown":[]},"content":{"a":"a"},"content":{"b":"b"},"items":[1e999]}"#;
    let timber = timber(body).expect("legal");
    assert_eq!((timber.timestamp.as_str(), timber.context.expect("sent").kafka_topic.as_str()), ("b", "b"));
    assert!(timber.content.expect("sent").fields.into_keys().eq(["b"]));
}

#[test]
fn what_does_not_fit_is_named() {
    let check = |body: &str, expected: &str| {
        let error = collection(body).expect_err("does not fit");
        assert_eq!(error.to_string(), expected, "{body}");
    };
    check("[]", "`the body` must be an object");
    check("{", "the body is no valid JSON: the text ends too early at byte 1");
    check("{\"a\":1}x", "the body is no valid JSON: expected the end of the text at byte 7");
    check(r#"{"context":[]}"#, "`context` must be an object");
    check(r#"{"context":{"kafka_topic":7}}"#, "`context.kafka_topic` must be a string");
    for number in ["1.5", "2147483648", "\"x\"", "\"1.0\"", "true", "1e400"] {
        let body = format!(r#"{{"context":{{"appMaxTps":{number}}}}}"#);
        check(&body, "`context.appMaxTps` must be an integer of 32 bits");
    }
    check(r#"{"context":{"disable_app_tps":"true"}}"#, "`context.disable_app_tps` must be true or false");
    check(r#"{"items":{}}"#, "`items` must be an array");
    check(r#"{"items":[{},7]}"#, "`items[1]` must be an object");
    check(r#"{"items":[{"content":[]}]}"#, "`items[0].content` must be an object");
    check(r#"{"items":[{"timestamp":7}]}"#, "`items[0].timestamp` must be a string");
    check(r#"{"items":[{"context":{"app_secret":7}}]}"#, "`items[0].context.app_secret` must be a string");
    check(r#"{"items":[{"content":{"a":1e400}}]}"#, "a number in `content` is beyond the range of a double");
    check(r#"{"items":[{"content":{"a":NaN}}]}"#, "the body is no valid JSON: expected a value at byte 26");
}

#[test]
fn what_is_no_unicode_is_replaced() {
    let bytes = super::timber(b"{\"timestamp\":\"a\xffb\\ud800\"}").expect("legal");
    assert_eq!(Timber::decode(bytes.as_slice()).expect("whole").timestamp, "a\u{fffd}b\u{fffd}");
}

#[test]
fn deep_content_is_the_consumers_affair() {
    let nested = |depth: usize| format!("{{\"content\":{}1{}}}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(scan_timber(&super::timber(nested(3_000).as_bytes()).expect("legal")).is_ok());
    assert!(super::timber(nested(10_000).as_bytes()).is_err());
}

#[test]
fn answers_are_as_the_gateway_writes_them() {
    assert_eq!(result_body("shop_logs"), r#"{"topic":"shop_logs"}"#);
    assert_eq!(result_body(""), "{}");
    assert_eq!(
        error_body(8, "Bandwidth Limit Exceeded"),
        r#"{"error":"Bandwidth Limit Exceeded","code":8,"message":"Bandwidth Limit Exceeded"}"#
    );
    assert_eq!(
        result_body("<a&\"b\\\">\n\u{1}\u{2028}ü"),
        "{\"topic\":\"\\u003ca\\u0026\\\"b\\\\\\\"\\u003e\\n\\u0001\\u2028ü\"}"
    );
}

#[test]
fn every_code_has_its_status() {
    let statuses: Vec<u16> = (0..=17).map(http_status).collect();
    let expected = [200, 408, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401, 500];
    assert_eq!(statuses, expected);
}

#[test]
fn memory_is_known_before_it_is_taken() {
    let check = |body: String, least: u64| {
        let result = super::timber_collection(body.as_bytes()).expect("well-formed").len() as u64;
        let bound = super::working_memory(body.as_bytes());
        assert!(bound >= least && bound >= body.len() as u64 + result, "{bound} for {} bytes", body.len());
    };
    let values = 10_000;
    let ones = vec!["1"; values].join(",");
    // Each is a node of sixteen bytes and eleven bytes of the result, in lists that doubled.
    check(format!(r#"{{"items":[{{"content":{{"a":[{ones}]}}}}]}}"#), values as u64 * 2 * (16 + 11));
    let objects = vec!["{}"; values].join(",");
    check(format!(r#"{{"items":[{objects}]}}"#), values as u64 * 2 * 16);
    let nested = "[".repeat(60) + &"]".repeat(60);
    check(format!(r#"{{"items":[{{"content":{{"a":{nested}}}}}]}}"#), 60 * 2 * 16);
    check(String::from("{}"), 2);
}
