//! What is asked of a store over a foreign system where an embedded one does more.

use weir_model::Offset;

use super::Subject;
use super::fixture::{
    RECEIVED, Recording, at, hits, id, numbered, numbers, partition, prefix, request, search, write, write_of,
};
use super::json::Json;
use crate::error::WriteError;
use crate::query::examples::examples;
use crate::seam::{Rejection, WriteRecord};

/// It remembers no positions: a partition goes on where the group committed, also when it was another member's
/// in between, and what was written behind that is written again and found once.
pub async fn it_goes_on_where_the_group_committed(subject: &mut dyn Subject) {
    let store = subject.index();
    assert_eq!(store.resume(&partition(0), Offset(5)), Offset(5));
    let gap = store.write(write_of(&partition(0), vec![numbered("shop", 6)])).await;
    assert!(matches!(gap, Err(WriteError::Gap { expected: Offset(5), .. })), "{gap:?}");
    write(&*store, &partition(0), (5..9).map(|n| numbered("shop", n)).collect()).await;
    assert_eq!(store.durable(&partition(0)), Some(Offset(9)));

    store.release(&[partition(0)]);
    assert_eq!(store.durable(&partition(0)), None, "it is not this process's");
    for committed in [7, 20, 6] {
        assert_eq!(store.resume(&partition(0), Offset(committed)), Offset(committed));
        assert_eq!(store.durable(&partition(0)), Some(Offset(committed)));
    }
    write(&*store, &partition(0), (6..11).map(|n| numbered("shop", n)).collect()).await;
    assert_eq!(numbers(&*store, "shop", "*").await, [10, 9, 8, 7, 6, 5]);
    subject.reopen().await;
    let store = subject.index();
    assert_eq!(store.durable(&partition(0)), None);
    assert_eq!(store.resume(&partition(0), Offset(10)), Offset(10));
    write(&*store, &partition(0), (10..12).map(|n| numbered("shop", n)).collect()).await;
    assert_eq!(numbers(&*store, "shop", "*").await, [11, 10, 9, 8, 7, 6, 5]);
}

/// Each event comes back as it went in or is rejected with the reason; what stands beside it is taken.
pub async fn contents_come_back_or_are_refused(subject: &mut dyn Subject) {
    let plain = [
        r#"{"text":"x","empty":"","int":1,"float":1.5,"yes":true,"no":false,"nothing":null}"#,
        r#"{"unicode":"käse 🧀 \u0000\u001f\u007f\u0085\u2028 \ufeff"}"#,
        r#"{"escapes":"\"\\\/\b\f\n\r\t"}"#,
        r#"{"deep":{"b":{"c":1,"d":{}},"e":[]},"objects":[{"b":1},{"b":2},{"c":3}]}"#,
        r#"{"floats":[0.1,-0.5,3.141592653589793,1e100],"integers":[-1,9007199254740993]}"#,
        r#"{"käse 🧀":1,"a\nb":3,"\"":5,"A":6}"#,
        r#"{"int":"no number"}"#,
    ];
    let odd = [
        r#"{"":1}"#,
        r#"{".":1,"..":2}"#,
        r#"{"a.b":1,"a":{"b":2}}"#,
        r#"{"dup":1,"dup":2}"#,
        r#"{"n":123456789012345678901234567890}"#,
        r#"{"n":1e400}"#,
        r#"{"_id":"x","_source":{}}"#,
        r#"{"f":1}"#,
        r#"{"f":{"g":1}}"#,
        r#"{"f":[1,"two"]}"#,
        r#"{"weir":"mine"}"#,
        r#"{"@timestamp":"yesterday"}"#,
        r#"{"@timestamp":{"a":1}}"#,
    ];
    let store = subject.index();
    let contents: Vec<&str> = odd.iter().chain(&plain).chain(&odd).chain(&plain).copied().collect();
    let recording =
        contents.iter().fold(Recording::new("shop"), |recording, content| recording.event(at(0), content));
    let verdicts =
        store.write(write_of(&partition(0), vec![recording.at_offset(0)])).await.expect("is answered");
    let found = hits(&*store, "*").await;
    for (index, content) in (0..).zip(&contents) {
        let hit = found.iter().find(|hit| hit.id == id(&partition(0), 0, index));
        match (hit, rejection(&verdicts.rejected, 0, index)) {
            (Some(hit), None) => assert_eq!(Json::parse(&hit.content), Json::parse(content)),
            (None, Some(reason)) => {
                assert!(!reason.is_empty() && !plain.contains(content), "{content} was refused: {reason}");
            }
            (hit, reason) => panic!("{content} was answered with {reason:?} and found as {hit:?}"),
        }
    }
}

/// Every row of the shared table of the query language whose document the store takes. Documents that do not
/// go into one index are put into another.
pub async fn the_query_examples_hold_for_what_is_taken(subject: &mut dyn Subject) {
    const INDICES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    /// Documents with a key twice, or with an empty one.
    const UNSTORABLE: usize = 4;
    let store = subject.index();
    let mut open: Vec<_> = (0_u64..).zip(examples()).collect();
    let mut placed = Vec::new();
    for (life, of) in (0_u32..).zip(INDICES) {
        let records = open.iter().map(|(offset, example)| WriteRecord {
            offset: Offset(*offset),
            received: RECEIVED,
            events: example.batch(prefix(of), RECEIVED),
        });
        let mut batch = write_of(&partition(life), records.collect());
        batch.from = Offset::ZERO;
        let verdicts = store.write(batch).await.expect("is answered");
        let (refused, taken): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|(offset, _)| rejection(&verdicts.rejected, *offset, 0).is_some());
        placed.extend(taken.into_iter().map(|(offset, example)| (of, life, offset, example)));
        open = refused;
    }
    assert!(open.len() <= UNSTORABLE, "no index takes {open:#?}");
    let mut wrong = Vec::new();
    for (of, life, offset, example) in &placed {
        let found = search(&*store, request(of, &example.query)).await;
        let is_match = found.hits.iter().any(|hit| hit.id == id(&partition(*life), *offset, 0));
        if is_match != example.is_match {
            wrong.push(format!(
                "line {}: `{}` matches {}: {is_match}",
                example.line, example.query, example.content
            ));
        }
        assert_eq!(found.total, Some(found.hits.len() as u64), "`{}`", example.query);
    }
    assert!(wrong.is_empty(), "{} of {} rows differ:\n{}", wrong.len(), placed.len(), wrong.join("\n"));
}

fn rejection(rejected: &[Rejection], offset: u64, index: u32) -> Option<&str> {
    let of = |rejection: &&Rejection| rejection.offset == Offset(offset) && rejection.index == index;
    rejected.iter().find(of).map(|rejection| rejection.reason.as_str())
}
