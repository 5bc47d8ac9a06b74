//! Hits: which, in what order, page by page.

use std::time::Duration;

use weir_model::{Offset, Timestamp};

use super::Subject;
use super::fixture::{
    RECEIVED, Recording, at, hits, id, numbered, numbers, numbers_in, partition, partition_of, prefix,
    request, search, write, write_contents,
};
use super::json::Json;
use crate::error::SearchError;
use crate::query::TimeRange;
use crate::query::examples::{Example, examples};
use crate::seam::WriteRecord;
use crate::search::{Cursor, SearchRequest};

/// By time, then by id: stream, life, partition, offset and index as numbers.
pub async fn hits_are_newest_first(subject: &mut dyn Subject) {
    let store = subject.index();
    let at_once =
        |of: &str| (0..12).fold(Recording::new(of), |recording, _| recording.event(at(5), r#"{"a":1}"#));
    write(&*store, &partition(10), vec![at_once("shop").at_offset(0)]).await;
    write(&*store, &partition(9), (0..12).map(|offset| at_once("shop").at_offset(offset)).collect()).await;
    write(&*store, &partition_of("a_logs", 9, 99), vec![at_once("shop").at_offset(0)]).await;
    store.flush().await.expect("flushes");
    write(&*store, &partition_of("shop_logs", 2, 0), vec![at_once("shop").at_offset(0)]).await;
    let late = Recording::new("shop").event(at(7), "{\"b\":1}").event(at(6), "{\"b\":2}");
    write(&*store, &partition_of("a_logs", 9, 99), vec![late.at_offset(1)]).await;

    let mut expected =
        vec![id(&partition_of("a_logs", 9, 99), 1, 0), id(&partition_of("a_logs", 9, 99), 1, 1)];
    let mut places = vec![(partition_of("shop_logs", 2, 0), 0), (partition(10), 0)];
    places.extend((0..12).rev().map(|offset| (partition(9), offset)));
    places.push((partition_of("a_logs", 9, 99), 0));
    for (place, offset) in &places {
        expected.extend((0..12).rev().map(|index| id(place, *offset, index)));
    }
    let found = hits(&*store, "*").await;
    assert_eq!(found.iter().map(|hit| hit.id.clone()).collect::<Vec<_>>(), expected);
    let first = found.first().expect("there are hits");
    assert_eq!((first.time, first.received), (at(7), RECEIVED));
}

/// Pages joined are the whole, whatever is written between two of them.
pub async fn pages_are_stable_under_new_writes(subject: &mut dyn Subject) {
    let store = subject.index();
    write(&*store, &partition(0), (0..50).map(|n| numbered("shop", n)).collect()).await;
    let mut found = Vec::new();
    let mut after = None;
    let mut written = 50_u64;
    for page in 0.. {
        let request = SearchRequest { limit: 7, after, ..request("shop", "*") };
        let response = search(&*store, request).await;
        assert!(response.hits.len() == 7 || response.next.is_none(), "only the last page is short");
        found.extend(numbers_in(&response.hits));
        let Some(next) = response.next else { break };
        assert_eq!(next.to_string().parse::<Cursor>(), Ok(next.clone()), "a cursor has a text form");
        after = Some(next);
        write(&*store, &partition(0), vec![numbered("shop", written)]).await;
        written += 1;
        if page % 3 == 0 {
            store.flush().await.expect("flushes");
        }
    }
    assert_eq!(found, (0..50).rev().collect::<Vec<_>>());
    let exact = SearchRequest { limit: usize::try_from(written).expect("fits"), ..request("shop", "*") };
    assert_eq!(search(&*store, exact).await.next, None, "nothing follows the last hit");
    let none = SearchRequest { limit: 0, ..request("shop", "*") };
    assert_eq!(search(&*store, none).await.hits, []);
}

/// The start is in, the end is not; times are compared to the microsecond.
pub async fn ranges_are_half_open(subject: &mut dyn Subject) {
    let store = subject.index();
    write(&*store, &partition(0), (0..10).map(|n| numbered("shop", n)).collect()).await;
    let check = async |from: Option<Timestamp>, to: Option<Timestamp>, expected: &[u64]| {
        let request = SearchRequest { range: TimeRange { from, to }, ..request("shop", "*") };
        let response = search(&*store, request).await;
        assert_eq!(numbers_in(&response.hits), expected, "{from:?} to {to:?}");
        assert_eq!(response.total, Some(expected.len() as u64));
    };
    let micro = Duration::from_micros(1);
    for _ in ["in memory", "durable"] {
        check(Some(at(3)), Some(at(6)), &[5, 4, 3]).await;
        check(Some(at(3).saturating_add(micro)), Some(at(6).saturating_add(micro)), &[6, 5, 4]).await;
        check(Some(at(7)), None, &[9, 8, 7]).await;
        check(None, Some(at(2)), &[1, 0]).await;
        check(Some(at(4)), Some(at(4)), &[]).await;
        check(Some(at(6)), Some(at(3)), &[]).await;
        check(Some(at(60)), None, &[]).await;
        check(Some(Timestamp::MIN), Some(Timestamp::MAX), &[9, 8, 7, 6, 5, 4, 3, 2, 1, 0]).await;
        store.flush().await.expect("flushes");
    }
}

/// One partition may feed several prefixes, one prefix be fed by several streams.
pub async fn prefixes_are_apart(subject: &mut dyn Subject) {
    let store = subject.index();
    let names = ["a", "a-b", "a.b", "b"];
    let record = |n: u64| numbered(names[usize::try_from(n % 4).expect("is small")], n);
    write(&*store, &partition(0), (0..20).map(record).collect()).await;
    write(&*store, &partition_of("cafe_logs", 1, 0), vec![numbered("b", 0)]).await;
    for _ in ["in memory", "durable"] {
        assert_eq!(numbers(&*store, "a", "*").await, [16, 12, 8, 4, 0]);
        assert_eq!(numbers(&*store, "a-b", "*").await, [17, 13, 9, 5, 1]);
        assert_eq!(numbers(&*store, "a.b", "*").await, [18, 14, 10, 6, 2]);
        assert_eq!(numbers(&*store, "b", "*").await, [19, 15, 11, 7, 3, 0]);
        store.flush().await.expect("flushes");
    }
}

/// Every row of the shared table of the query language.
pub async fn the_query_examples_hold(subject: &mut dyn Subject) {
    let examples = examples();
    let records = (0_u64..).zip(&examples).map(|(offset, example)| WriteRecord {
        offset: Offset(offset),
        received: RECEIVED,
        events: example.batch(prefix("shop"), RECEIVED),
    });
    write(&*subject.index(), &partition(0), records.collect()).await;
    let mut wrong = Vec::new();
    for when in ["in memory", "durable", "after a restart"] {
        let store = subject.index();
        for (offset, example) in (0_u64..).zip(&examples) {
            let found = hits(&*store, &example.query).await;
            let is_match = found.iter().any(|hit| hit.id == id(&partition(0), offset, 0));
            if is_match != example.is_match {
                let Example { line, query, content, .. } = example;
                wrong.push(format!("{when}, line {line}: `{query}` matches {content}: {is_match}"));
            }
        }
        match when {
            "in memory" => store.flush().await.expect("flushes"),
            _ => subject.reopen().await,
        }
    }
    assert!(wrong.is_empty(), "{} rows differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// No time at all is too little.
pub async fn a_search_without_time_times_out(subject: &mut dyn Subject) {
    let store = subject.index();
    write(&*store, &partition(0), vec![numbered("shop", 0)]).await;
    let mut request = request("shop", "*");
    request.limits.timeout = Duration::ZERO;
    match store.search(request).await {
        Err(SearchError::TimedOut { limit }) => assert_eq!(limit, Duration::ZERO),
        other => panic!("a search without time has no answer but {other:?}"),
    }
}

/// Hits beyond the memory of a search are refused by name.
pub async fn a_search_without_memory_is_refused(subject: &mut dyn Subject) {
    let store = subject.index();
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(1 << 16));
    write_contents(&*store, &vec![large.as_str(); 64]).await;
    for _ in ["in memory", "durable"] {
        let mut tight = request("shop", "*");
        tight.limits.memory = 1 << 20;
        match store.search(tight).await {
            Err(SearchError::TooLarge { limit }) => assert_eq!(limit, 1 << 20),
            other => panic!("4 MiB of hits do not fit in one: {:?}", other.map(|found| found.hits.len())),
        }
        store.flush().await.expect("flushes");
    }
}

/// What does not exist has no events, which is no error.
pub async fn an_unknown_prefix_is_empty(subject: &mut dyn Subject) {
    let response = search(&*subject.index(), request("nobody", "*")).await;
    assert_eq!((response.hits, response.next, response.total), (vec![], None, Some(0)));
}

/// The years 0 and 9999 are times as any other.
pub async fn odd_times_are_searchable(subject: &mut dyn Subject) {
    let store = subject.index();
    let year_0 = Timestamp::from_micros(-62_167_219_200_000_000);
    let year_9999 = Timestamp::from_micros(253_402_300_799_999_999);
    let record = Recording::new("shop")
        .event(year_9999, r#"{"n":3}"#)
        .event(year_0, r#"{"n":0}"#)
        .event(at(0), r#"{"n":2}"#)
        .event(Timestamp::from_micros(-1), r#"{"n":1}"#);
    write(&*store, &partition(0), vec![record.at_offset(0)]).await;
    for _ in ["in memory", "durable"] {
        let found = hits(&*store, "*").await;
        assert_eq!(numbers_in(&found), [3, 2, 1, 0]);
        assert_eq!(
            found.iter().map(|hit| hit.time).collect::<Vec<_>>(),
            [year_9999, at(0), Timestamp::from_micros(-1), year_0]
        );
        let old = TimeRange { from: None, to: Some(Timestamp::from_micros(0)) };
        let response = search(&*store, SearchRequest { range: old, ..request("shop", "*") }).await;
        assert_eq!(numbers_in(&response.hits), [1, 0]);
        store.flush().await.expect("flushes");
    }
    let expected: Vec<_> = (0..4).rev().map(|n| Json::parse(&format!(r#"{{"n":{n}}}"#))).collect();
    subject.reopen().await;
    let found =
        search(&*subject.index(), SearchRequest { prefix: prefix("shop"), ..request("shop", "*") }).await;
    assert_eq!(found.hits.iter().map(|hit| Json::parse(&hit.content)).collect::<Vec<_>>(), expected);
}
