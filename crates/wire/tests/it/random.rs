//! Random messages and JSON.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use weir_wire::proto::producer::{Timber, TimberCollection, TimberContext};

/// Short texts that often collide and now and then are odd.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-c]{0,2}", 1 => "\\PC{0,20}", 1 => any::<String>(), 1 => "[a-z]{100,200}"]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        any::<i32>().prop_map(f64::from),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(-0.0)
    ]
}

/// A value that may lack a kind.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Kind::NullValue(0)),
        3 => number().prop_map(Kind::NumberValue),
        4 => text().prop_map(Kind::StringValue),
        1 => any::<bool>().prop_map(Kind::BoolValue),
    ];
    let kind = leaf.prop_recursive(6, 40, 6, |inner| {
        let value = option::weighted(0.99, inner).prop_map(|kind| Value { kind });
        prop_oneof![
            vec(value.clone(), 0..6).prop_map(|values| Kind::ListValue(ListValue { values })),
            btree_map(text(), value, 0..6).prop_map(|fields| Kind::StructValue(Struct { fields })),
        ]
    });
    option::weighted(0.99, kind).prop_map(|kind| Value { kind })
}

fn content() -> impl Strategy<Value = Struct> {
    btree_map(text(), value(), 0..8).prop_map(|fields| Struct { fields })
}

pub(crate) fn context() -> impl Strategy<Value = TimberContext> {
    let numbers = (any::<i32>(), any::<i32>(), any::<i32>(), any::<i32>());
    ((text(), text(), text()), numbers, option::of(text()), any::<bool>()).prop_map(
        |((kafka_topic, es_index_prefix, es_document_type), numbers, secret, disable_app_tps)| {
            TimberContext {
                kafka_topic,
                kafka_partition: numbers.0,
                kafka_replication_factor: numbers.1,
                es_index_prefix,
                es_document_type,
                app_max_tps: numbers.2,
                app_secret: secret.unwrap_or_default(),
                disable_app_tps,
                app_group_max_tps: numbers.3,
            }
        },
    )
}

pub(crate) fn timber() -> impl Strategy<Value = Timber> {
    let timestamp = prop_oneof![Just(String::new()), Just("2025-09-03T00:11:52Z".to_owned()), text()];
    (option::of(context()), timestamp, option::weighted(0.9, content()))
        .prop_map(|(context, timestamp, content)| Timber { context, timestamp, content })
}

pub(crate) fn collection() -> impl Strategy<Value = TimberCollection> {
    (option::weighted(0.9, context()), vec(timber(), 0..5))
        .prop_map(|(context, items)| TimberCollection { context, items })
}

/// Any JSON value whose numbers are integers of 64 bits or doubles.
pub(crate) fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        text().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            btree_map(text(), inner, 0..6).prop_map(|members| members.into_iter().collect()),
        ]
    })
}
