//! Contents come back as they went in: types, nesting, numbers, keys.

use super::Subject;
use super::fixture::{check_round_trip, hits, write_contents};
use super::json::Json;

/// Strings, integers, floats, bools and null stay what they are.
pub async fn scalars_keep_their_types(subject: &mut dyn Subject) {
    check_round_trip(
        subject,
        &[
            r#"{"text":"x","empty":"","int":1,"float":1.0,"yes":true,"no":false,"nothing":null}"#,
            r#"{"text":"1","int":-1,"float":-0.5,"yes":false,"no":true,"nothing":null}"#,
            r#"{"text":"true"}"#,
            r#"{"text":"null"}"#,
            r#"{"nothing":null}"#,
            r#"{"unicode":"käse 🧀 \u0000\u001f\u007f\u0085\u2028 \ufeff"}"#,
            r#"{"escapes":"\"\\\/\b\f\n\r\t"}"#,
        ],
    )
    .await;
}

/// Objects and arrays, empty ones too, wherever they stand.
pub async fn nesting_comes_back(subject: &mut dyn Subject) {
    check_round_trip(
        subject,
        &[
            r#"{"a":{"b":{"c":1}}}"#,
            r#"{"a":{"b":{"c":1,"d":{}},"e":[]}}"#,
            r#"{"a":{}}"#,
            r#"{"a":[]}"#,
            r#"{"a":[[]]}"#,
            r#"{"a":[{}]}"#,
            r#"{"a":[1,"1",1.0,true,null,[],{},[1,[2]],{"b":[3]}]}"#,
            r#"{"a":[{"b":1},{"b":2},{"c":3}]}"#,
            r#"{"a":{"b":1},"c":{"b":2}}"#,
            r#"{"a":["x"]}"#,
            r#"{"a":"x"}"#,
            r#"{"a":[null]}"#,
            r#"{"a":{"b":null}}"#,
        ],
    )
    .await;
}

/// Keys are any text, may occur twice, and may look like paths.
pub async fn odd_keys_come_back(subject: &mut dyn Subject) {
    check_round_trip(
        subject,
        &[
            r#"{"":1}"#,
            r#"{"":{"":1}}"#,
            r#"{"a.b":1}"#,
            r#"{"a.b":1,"a":{"b":2}}"#,
            r#"{"a":{"b":2},"a.b":1}"#,
            r#"{".":1,"..":2,"a.":3,".a":4}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"a":{"b":2}}"#,
            r#"{"a":{"b":1},"a":{"c":2}}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#"{"a\\":1,"a\\.b":2,"\\":3,"a[0]":4,"a[]":5}"#,
            r#"{"_time":1,"_id":"x","_source":{},"_raw":"y","_rest":2}"#,
            r#"{"time":"x","received":"y","stream":"z","offset":1,"index":2,"source":3}"#,
            r#"{"käse 🧀":1,"\u0000":2,"a\nb":3," ":4,"\"":5,"A":6}"#,
            r#"{"select":1,"*":2,"%":3,"/":4,"../x":5}"#,
        ],
    )
    .await;
}

/// No number is rounded, none changes its kind.
pub async fn numbers_are_exact(subject: &mut dyn Subject) {
    check_round_trip(
        subject,
        &[
            r#"{"n":0}"#,
            r#"{"n":0.0}"#,
            r#"{"n":-0.0}"#,
            r#"{"n":9223372036854775807}"#,
            r#"{"n":-9223372036854775808}"#,
            r#"{"n":9223372036854775808}"#,
            r#"{"n":18446744073709551615}"#,
            r#"{"n":123456789012345678901234567890}"#,
            r#"{"n":9007199254740993}"#,
            r#"{"n":9007199254740992.0}"#,
            r#"{"n":1e308}"#,
            r#"{"n":1e400}"#,
            r#"{"n":-1e400}"#,
            r#"{"n":5e-324}"#,
            r#"{"n":1e-400}"#,
            r#"{"n":0.1}"#,
            r#"{"n":0.1000000000000000055511151231257827}"#,
            r#"{"n":1.0}"#,
            r#"{"n":100.0}"#,
            r#"{"n":1e100}"#,
            r#"{"n":3.141592653589793}"#,
        ],
    )
    .await;
}

/// A field may be anything in every event.
pub async fn type_conflicts_drop_nothing(subject: &mut dyn Subject) {
    check_round_trip(
        subject,
        &[
            r#"{"f":1}"#,
            r#"{"f":"one"}"#,
            r#"{"f":1.5}"#,
            r#"{"f":true}"#,
            r#"{"f":null}"#,
            r#"{"f":{"g":1}}"#,
            r#"{"f":{"g":"one"}}"#,
            r#"{"f":{"g":{"h":[]}}}"#,
            r#"{"f":[1,"two"]}"#,
            r#"{"f":[]}"#,
            r#"{"f":{}}"#,
            r#"{"f.g":1}"#,
            r#"{"f":12345678901234567890}"#,
            r#"{"g":1}"#,
        ],
    )
    .await;
    let store = subject.index();
    assert_eq!(hits(&*store, "f:one").await.len(), 1);
    assert_eq!(hits(&*store, "f:1").await.len(), 2, "the number and the array with it");
    assert_eq!(hits(&*store, "f.g:1").await.len(), 2, "nested or dotted");
}

/// One event with ten thousand fields beside ordinary ones.
pub async fn ten_thousand_keys_come_back(subject: &mut dyn Subject) {
    let wide = |offset: u32| {
        let members = (0..10_000).map(|n| format!(r#""k{}":{n}"#, n + offset)).collect::<Vec<_>>();
        format!("{{{}}}", members.join(","))
    };
    let nested = format!(r#"{{"a":{}}}"#, wide(0));
    let (one, other) = (wide(0), wide(5_000));
    check_round_trip(subject, &[r#"{"k1":"x"}"#, &one, &other, &nested, r#"{"k1":1}"#]).await;
    let store = subject.index();
    assert_eq!(hits(&*store, "k9999:9999").await.len(), 1);
    assert_eq!(hits(&*store, "k14999:9999").await.len(), 1);
    assert_eq!(hits(&*store, "a.k9999:9999").await.len(), 1);
    assert_eq!(hits(&*store, "9998").await.len(), 3, "a bare word looks at every field");
}

/// A key that occurs twice where there were too many keys to know it.
pub async fn a_late_key_may_occur_twice(subject: &mut dyn Subject) {
    let members = (0..10_000).map(|n| format!(r#""k{n}":{n}"#)).collect::<Vec<_>>();
    let wide = format!("{{{}}}", members.join(","));
    check_round_trip(subject, &[&wide, r#"{"late":"first","late":"second"}"#]).await;
    let store = subject.index();
    assert_eq!(hits(&*store, "late:second").await.len(), 1);
}

/// Numbers that no float holds neither hide their event nor what stands beside them.
pub async fn odd_numbers_hide_nothing(subject: &mut dyn Subject) {
    let contents = [
        r#"{"a":[1e400,"boom"]}"#,
        r#"{"a":"boom","n":1,"n":-1e400}"#,
        r#"{"a":[0.10000000000000000555,{"b":"boom"}]}"#,
    ];
    check_round_trip(subject, &contents).await;
    let store = subject.index();
    assert_eq!(hits(&*store, "boom").await.len(), 3);
    assert_eq!(hits(&*store, "a:*").await.len(), 3);
    assert_eq!(hits(&*store, "-a:*").await.len(), 0);
    assert_eq!(hits(&*store, "n:*").await.len(), 1);
}

/// As deep as the model goes.
pub async fn the_deepest_nesting_comes_back(subject: &mut dyn Subject) {
    let depth = weir_model::MAX_DEPTH - 1;
    let objects = format!("{}1{}", r#"{"a":"#.repeat(depth + 1), "}".repeat(depth + 1));
    let arrays = format!(r#"{{"a":{}"x"{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let empty = format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    check_round_trip(subject, &[&objects, &arrays, &empty]).await;
    let path = vec!["a"; depth + 1].join(".");
    assert_eq!(hits(&*subject.index(), &format!("{path}:1")).await.len(), 1);
}

/// Texts of a megabyte, and very many events of nearly nothing.
pub async fn large_texts_come_back(subject: &mut dyn Subject) {
    let large = format!(r#"{{"text":"{}needle"}}"#, "hay ".repeat(1 << 18));
    let unbroken = format!(r#"{{"text":"{}"}}"#, "x".repeat(1 << 20));
    let mut contents = vec![r#"{"a":1}"#; 2_000];
    contents.extend([large.as_str(), unbroken.as_str()]);
    check_round_trip(subject, &contents).await;
    assert_eq!(hits(&*subject.index(), "needle").await.len(), 1);
}

/// Mixed shapes, sealed one batch after the other, are the same after a restart.
pub async fn contents_survive_a_restart(subject: &mut dyn Subject) {
    let contents = [r#"{"a":1,"b":"x"}"#, r#"{"b":[1,2]}"#, r#"{"a":"1"}"#, r#"{"c":{"d":null}}"#];
    write_contents(&*subject.index(), &contents).await;
    subject.index().flush().await.expect("flushes");
    for _ in 0..3 {
        subject.reopen().await;
        let found: Vec<Json> =
            hits(&*subject.index(), "*").await.iter().rev().map(|hit| Json::parse(&hit.content)).collect();
        assert_eq!(found, contents.map(Json::parse));
    }
}
