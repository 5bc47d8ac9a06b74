//! Counts, histograms and top values.

use std::time::Duration;

use weir_model::Timestamp;

use super::Subject;
use super::fixture::{Recording, at, numbered, partition, request, search, write, write_contents};
use super::json::Json;
use crate::query::TimeRange;
use crate::seam::IndexStore;
use crate::search::{Bucket, Count, Interval, SearchRequest, TopRequest};

/// The count is of all that match, whatever the limit and the page; without being asked there is none.
pub async fn a_count_ignores_the_page(subject: &mut dyn Subject) {
    let store = subject.index();
    write(&*store, &partition(0), (0..30).map(|n| numbered("shop", n)).collect()).await;
    for _ in ["in memory", "durable"] {
        let first = search(&*store, SearchRequest { limit: 4, ..request("shop", "n:>=10") }).await;
        assert_eq!((first.hits.len(), first.total), (4, Some(20)));
        let second = SearchRequest { limit: 4, after: first.next, ..request("shop", "n:>=10") };
        let second = search(&*store, second).await;
        assert_eq!((second.hits.len(), second.total), (4, Some(20)));
        let unasked = SearchRequest { count: Count::No, ..request("shop", "n:>=10") };
        assert_eq!(search(&*store, unasked).await.total, None);
        let none = SearchRequest { limit: 0, ..request("shop", "n:>=10") };
        assert_eq!(search(&*store, none).await.total, Some(20));
        store.flush().await.expect("flushes");
    }
}

/// Buckets are aligned to 1970, start inclusive, and only those with events are there.
pub async fn a_histogram_counts_by_interval(subject: &mut dyn Subject) {
    let store = subject.index();
    let moments = [0, 59, 60, 61, 119, 300, 301, -1, -60, -61];
    let record = moments
        .iter()
        .fold(Recording::new("shop"), |recording, second| recording.event(at(*second), r#"{"a":1}"#))
        .event(Timestamp::from_micros(-1), r#"{"a":1}"#)
        .event(Timestamp::from_micros(0), r#"{"a":1}"#)
        .event(at(60), r#"{"b":1}"#);
    write(&*store, &partition(0), vec![record.at_offset(0)]).await;
    let minute = Interval::new(Duration::from_secs(60)).expect("is legal");
    let bucket = |start, count| Bucket { start, count };
    for _ in ["in memory", "durable"] {
        let request = SearchRequest { limit: 1, histogram: Some(minute), ..request("shop", "a:1") };
        let histogram = search(&*store, request.clone()).await.histogram.expect("was asked for");
        let expected = [
            bucket(Timestamp::from_micros(-60_000_000), 1),
            bucket(Timestamp::from_micros(0), 1),
            bucket(at(-120), 1),
            bucket(at(-60), 2),
            bucket(at(0), 2),
            bucket(at(60), 3),
            bucket(at(300), 2),
        ];
        assert_eq!((histogram.interval, histogram.buckets.as_slice()), (minute, expected.as_slice()));
        let range = TimeRange { from: Some(at(61)), to: Some(at(301)) };
        let part = search(&*store, SearchRequest { range, ..request }).await.histogram;
        assert_eq!(part.expect("was asked for").buckets, [bucket(at(60), 2), bucket(at(300), 1)]);
        store.flush().await.expect("flushes");
    }
}

/// Strings, integers, floats and bools are values of their own; null and objects are none, and events without the field do not count.
pub async fn top_values_by_type(subject: &mut dyn Subject) {
    let contents = [
        r#"{"f":"x"}"#,
        r#"{"f":"x"}"#,
        r#"{"f":"x"}"#,
        r#"{"f":"1"}"#,
        r#"{"f":1}"#,
        r#"{"f":1}"#,
        r#"{"f":1.5}"#,
        r#"{"f":1.5}"#,
        r#"{"f":1.5}"#,
        r#"{"f":1.5}"#,
        r#"{"f":true}"#,
        r#"{"f":true}"#,
        r#"{"f":true}"#,
        r#"{"f":true}"#,
        r#"{"f":true}"#,
        r#"{"f":null}"#,
        r#"{"f":{}}"#,
        r#"{"g":"x"}"#,
    ];
    let expected = [("true", 5), ("1.5", 4), (r#""x""#, 3), ("1", 2), (r#""1""#, 1)];
    write_contents(&*subject.index(), &contents).await;
    for _ in ["in memory", "durable"] {
        let store = subject.index();
        check_top(&*store, "*", "f", 10, &expected).await;
        check_top(&*store, "*", "f", 2, &expected[..2]).await;
        check_top(&*store, "f:x", "f", 10, &expected[2..3]).await;
        check_top(&*store, "*", "missing", 10, &[]).await;
        store.flush().await.expect("flushes");
    }
}

/// An array counts with each of its values, an event with each value once, nested or dotted.
pub async fn top_values_of_arrays_count_an_event_once(subject: &mut dyn Subject) {
    let contents = [
        r#"{"f":["a","b","a"]}"#,
        r#"{"f":["a",["c"]]}"#,
        r#"{"f":"a"}"#,
        r#"{"f":[{"g":"y"},{"g":"z"},{"g":"y"}]}"#,
        r#"{"f":{"g":"z"}}"#,
        r#"{"f.g":"z"}"#,
        r#"{"f.g":"z","f":{"g":"z"}}"#,
        r#"{"f":"twice","f":"twice"}"#,
        r#"{"f":[]}"#,
    ];
    write_contents(&*subject.index(), &contents).await;
    for _ in ["in memory", "durable"] {
        let store = subject.index();
        let of_f = [(r#""a""#, 3), (r#""b""#, 1), (r#""c""#, 1), (r#""twice""#, 1)];
        check_top(&*store, "*", "f", 10, &of_f).await;
        check_top(&*store, "*", "f.g", 10, &[(r#""z""#, 4), (r#""y""#, 1)]).await;
        store.flush().await.expect("flushes");
    }
}

/// Of one frequency the lesser JSON text comes first, also where the limit cuts.
pub async fn top_values_break_ties_by_text(subject: &mut dyn Subject) {
    let contents =
        [r#"{"f":"b"}"#, r#"{"f":"a"}"#, r#"{"f":"ä"}"#, r#"{"f":10}"#, r#"{"f":9}"#, r#"{"f":false}"#];
    write_contents(&*subject.index(), &contents).await;
    let expected = [(r#""a""#, 1), (r#""b""#, 1), (r#""ä""#, 1), ("10", 1), ("9", 1), ("false", 1)];
    for _ in ["in memory", "durable"] {
        let store = subject.index();
        check_top(&*store, "*", "f", 10, &expected).await;
        check_top(&*store, "*", "f", 4, &expected[..4]).await;
        store.flush().await.expect("flushes");
    }
}

/// Moving rows from memory to wherever they become durable changes no total, half-way through neither.
pub async fn totals_are_the_same_after_a_flush(subject: &mut dyn Subject) {
    let record = |n: u64| {
        let content = format!(r#"{{"level":"{}","n":{n}}}"#, ["info", "warn", "error"][(n % 3) as usize]);
        Recording::new("shop").event(at((n % 7) as i64 * 60), &content).at_offset(n)
    };
    let request = || SearchRequest {
        limit: 20,
        histogram: Interval::new(Duration::from_secs(60)).ok(),
        top: Some(TopRequest { field: "level".to_owned(), limit: 2 }),
        ..request("shop", "-level:error n:<900")
    };
    write(&*subject.index(), &partition(0), (0..500).map(record).collect()).await;
    subject.index().flush().await.expect("flushes");
    write(&*subject.index(), &partition(0), (500..1_000).map(record).collect()).await;
    let half = search(&*subject.index(), request()).await;
    subject.index().flush().await.expect("flushes");
    let whole = search(&*subject.index(), request()).await;
    subject.reopen().await;
    let again = search(&*subject.index(), request()).await;
    assert_eq!(half.total, Some(600));
    for later in [whole, again] {
        assert_eq!(
            (&half.hits, half.total, &half.histogram, &half.top),
            (&later.hits, later.total, &later.histogram, &later.top)
        );
    }
}

async fn check_top(store: &dyn IndexStore, query: &str, field: &str, limit: usize, expected: &[(&str, u64)]) {
    let top = TopRequest { field: field.to_owned(), limit };
    let response = search(store, SearchRequest { limit: 0, top: Some(top), ..request("shop", query) }).await;
    let found = response.top.expect("was asked for");
    let found: Vec<_> = found.iter().map(|top| (Json::parse(&top.value), top.count)).collect();
    let expected: Vec<_> = expected.iter().map(|(value, count)| (Json::parse(value), *count)).collect();
    assert_eq!(found, expected, "`{field}` of `{query}`");
}
