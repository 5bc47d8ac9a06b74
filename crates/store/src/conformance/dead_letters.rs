//! Dead letters: kept once, listed, purged, counted.

use bytes::Bytes;
use weir_model::{EventId, Offset, Position, RecordFormat, StreamPartition};

use super::DeadLetterSubject;
use super::fixture::{at, id, numbered, numbers, partition, partition_of, prefix, write};
use crate::dead_letter::{DeadLetter, DeadLetterFilter, DeadLetterStore, DeadReason};

/// A letter that is there, or was purged, is not put again; the first one stands.
pub async fn letters_are_kept_once(subject: &mut dyn DeadLetterSubject) {
    let store = subject.dead_letters();
    store.put(vec![]).await.expect("puts nothing");
    store.put(vec![letter(&partition(0), 1), letter(&partition(0), 1)]).await.expect("puts");
    let other = DeadLetter { events: 9, original: Bytes::from_static(b"other"), ..letter(&partition(0), 1) };
    store.put(vec![other, letter(&partition(0), 2)]).await.expect("puts");
    assert_eq!(all(&*store).await, [letter(&partition(0), 1), letter(&partition(0), 2)]);
    assert_eq!(store.get(&id(&partition(0), 1, 0)).await.expect("gets"), Some(letter(&partition(0), 1)));
    assert_eq!(store.get(&id(&partition(0), 1, 1)).await.expect("gets"), None);
    assert_eq!(store.get(&id(&partition(1), 1, 0)).await.expect("gets"), None);
    let neighbour = DeadLetter {
        position: Position { index: 3, ..letter(&partition(0), 1).position },
        prefix: None,
        format: RecordFormat::TimberCollection,
        original: Bytes::from_static(&[0, 0xff, 0x80]),
        ..letter(&partition(0), 1)
    };
    store.put(vec![neighbour.clone()]).await.expect("puts");
    assert_eq!(store.get(&id(&partition(0), 1, 3)).await.expect("gets"), Some(neighbour));
}

/// Oldest first, and a page goes on where the one before ended, whatever comes meanwhile.
pub async fn letters_are_listed_in_pages(subject: &mut dyn DeadLetterSubject) {
    let store = subject.dead_letters();
    let letters: Vec<_> = (0..25).map(|n| letter(&partition(0), (n * 7) % 25)).collect();
    for chunk in letters.chunks(4) {
        store.put(chunk.to_vec()).await.expect("puts");
    }
    let mut found = Vec::new();
    let mut after = None;
    for limit in 3.. {
        let page = store.list(&DeadLetterFilter::default(), after, limit).await.expect("lists");
        assert!(page.len() <= limit);
        let Some((key, _)) = page.last() else { break };
        after = Some(*key);
        found.extend(page.into_iter().map(|(_, entry)| entry));
        store.purge(&[id(&partition(0), 0, 0)]).await.expect("purges");
    }
    assert_eq!(found, letters.iter().map(DeadLetter::entry).collect::<Vec<_>>());
    assert_eq!(found[3].bytes, letters[3].original.len() as u64);
    assert_eq!(store.list(&DeadLetterFilter::default(), None, 0).await.expect("lists"), []);
}

/// A letter of one partition while another, met before, has rows in memory only.
pub async fn a_letter_comes_before_older_rows_are_durable(subject: &mut dyn DeadLetterSubject) {
    // A flush is a good while before the next time that the store writes by itself.
    subject.index().flush().await.expect("flushes");
    write(&*subject.index(), &partition(0), vec![numbered("shop", 0)]).await;
    subject.dead_letters().put(vec![letter(&partition(1), 1)]).await.expect("puts");
    subject.reopen().await;
    assert_eq!(all(&*subject.dead_letters()).await, [letter(&partition(1), 1)]);
    write(&*subject.index(), &partition(0), vec![numbered("shop", 0)]).await;
    subject.index().flush().await.expect("flushes");
    subject.reopen().await;
    assert_eq!(numbers(&*subject.index(), "shop", "*").await, [0]);
}

/// The newest key is behind everything that was put and before everything that is put later.
pub async fn the_newest_key_bounds_a_walk(subject: &mut dyn DeadLetterSubject) {
    let store = subject.dead_letters();
    assert_eq!(store.newest().await.expect("answers"), None);
    store.put(vec![letter(&partition(0), 0), letter(&partition(1), 1)]).await.expect("puts");
    let page = store.list(&DeadLetterFilter::default(), None, 10).await.expect("lists");
    let newest = store.newest().await.expect("answers");
    assert_eq!(newest, page.last().map(|(key, _)| *key));
    store.purge(&[id(&partition(0), 0, 0), id(&partition(1), 1, 0)]).await.expect("purges");
    assert_eq!(store.newest().await.expect("answers"), newest, "a purge makes no key new again");
    subject.reopen().await;
    let store = subject.dead_letters();
    assert_eq!(store.newest().await.expect("answers"), newest);
    store.put(vec![letter(&partition(0), 2)]).await.expect("puts");
    assert!(store.newest().await.expect("answers") > newest);
}

/// By stream, by code, by both.
pub async fn letters_are_filtered(subject: &mut dyn DeadLetterSubject) {
    let store = subject.dead_letters();
    let cafe = partition_of("cafe_logs", 1, 0);
    let with_code = |of: &StreamPartition, offset: u64, code: &str| {
        let reason = DeadReason { code: code.to_owned(), message: "for people".to_owned() };
        DeadLetter { reason, ..letter(of, offset) }
    };
    let letters = [
        with_code(&partition(0), 0, "a"),
        with_code(&cafe, 1, "a"),
        with_code(&partition(1), 2, "b"),
        with_code(&cafe, 3, "b"),
    ];
    store.put(letters.to_vec()).await.expect("puts");
    let check = async |stream: Option<&StreamPartition>, code: Option<&str>, expected: &[u64]| {
        let filter = DeadLetterFilter {
            stream: stream.map(|partition| partition.stream.clone()),
            code: code.map(str::to_owned),
        };
        let page = store.list(&filter, None, 10).await.expect("lists");
        let found: Vec<_> = page.iter().map(|(_, entry)| entry.position.offset.0).collect();
        assert_eq!(found, expected);
        let last = store.list(&filter, page.last().map(|(key, _)| *key), 10).await.expect("lists");
        assert_eq!(last, []);
    };
    check(None, None, &[0, 1, 2, 3]).await;
    check(Some(&partition(0)), None, &[0, 2]).await;
    check(None, Some("a"), &[0, 1]).await;
    check(Some(&cafe), Some("b"), &[3]).await;
    check(Some(&partition_of("none_logs", 1, 0)), None, &[]).await;
    check(None, Some("c"), &[]).await;
}

/// Purging is for good, counts what it removed, and changes no count of the dead.
pub async fn purged_letters_stay_counted(subject: &mut dyn DeadLetterSubject) {
    let store = subject.dead_letters();
    let whole_record = DeadLetter { events: 10, ..letter(&partition(0), 1) };
    let letters = vec![letter(&partition(0), 0), whole_record, letter(&partition(1), 0)];
    store.put(letters.clone()).await.expect("puts");
    store.put(vec![letter(&partition_of("cafe_logs", 1, 0), 0)]).await.expect("puts");
    let expected = [(partition(0), 11), (partition(1), 1)];
    assert_eq!(counts(&*store).await, expected);
    let gone = [id(&partition(0), 1, 0), id(&partition(0), 1, 0), id(&partition(0), 9, 0)];
    assert_eq!(store.purge(&gone).await.expect("purges"), 1);
    assert_eq!(store.purge(&gone).await.expect("purges"), 0);
    assert_eq!(store.purge(&[]).await.expect("purges"), 0);
    for _ in ["at once", "after a restart"] {
        let store = subject.dead_letters();
        store.put(letters.clone()).await.expect("puts");
        assert_eq!(counts(&*store).await, expected);
        assert_eq!(store.get(&gone[0]).await.expect("gets"), None, "purged is purged");
        assert_eq!(all(&*store).await.len(), 3);
        subject.reopen().await;
    }
}

/// What is kept is counted by stream, by code, and by the offsets of a partition; what is purged is not.
pub async fn kept_letters_are_counted(subject: &mut dyn DeadLetterSubject) {
    let store = subject.dead_letters();
    let cafe = partition_of("cafe_logs", 1, 0);
    let lost = |of: &StreamPartition, offset: u64| {
        let reason = DeadReason { code: "lost".to_owned(), message: "for people".to_owned() };
        DeadLetter { reason, events: 5, ..letter(of, offset) }
    };
    let beside = Position { index: 3, ..letter(&partition(0), 2).position };
    let letters = vec![
        letter(&partition(0), 2),
        DeadLetter { position: beside.clone(), ..letter(&partition(0), 2) },
        lost(&partition(0), 4),
        lost(&partition(1), 4),
        letter(&cafe, 3),
    ];
    store.put(letters).await.expect("puts");
    let by_filter = async |stream: Option<&StreamPartition>, code: Option<&str>| {
        let filter = DeadLetterFilter {
            stream: stream.map(|partition| partition.stream.clone()),
            code: code.map(str::to_owned),
        };
        let mut kept = store.kept(&filter).await.expect("counts");
        kept.sort();
        kept
    };
    let at = async |of: &StreamPartition, from: u64, to: Offset| {
        store.kept_at(of, Offset(from)..to).await.expect("counts")
    };
    assert_eq!(by_filter(None, None).await, [(cafe.clone(), 1), (partition(0), 7), (partition(1), 5)]);
    assert_eq!(by_filter(Some(&cafe), None).await, [(cafe.clone(), 1)]);
    assert_eq!(by_filter(None, Some("lost")).await, [(partition(0), 5), (partition(1), 5)]);
    assert_eq!(by_filter(Some(&cafe), Some("lost")).await, []);
    assert_eq!(at(&partition(0), 0, Offset::MAX).await, 7);
    assert_eq!(at(&partition(0), 2, Offset(4)).await, 2);
    assert_eq!(at(&partition(0), 3, Offset(5)).await, 5);
    assert_eq!(at(&partition(0), 5, Offset::MAX).await, 0);
    assert_eq!(at(&partition_of("none_logs", 1, 0), 0, Offset::MAX).await, 0);

    store.purge(&[EventId(beside), id(&partition(1), 4, 0)]).await.expect("purges");
    assert_eq!(by_filter(None, None).await, [(cafe.clone(), 1), (partition(0), 6)]);
    assert_eq!(at(&partition(0), 2, Offset(3)).await, 1);
    assert_eq!(at(&partition(1), 0, Offset::MAX).await, 0);
}

/// A letter is durable when it is put, without any flush.
pub async fn letters_survive_a_restart(subject: &mut dyn DeadLetterSubject) {
    let letters: Vec<_> = (0..3).map(|offset| letter(&partition(0), offset)).collect();
    subject.dead_letters().put(letters[..2].to_vec()).await.expect("puts");
    subject.reopen().await;
    assert_eq!(all(&*subject.dead_letters()).await, letters[..2]);
    subject.dead_letters().put(letters.clone()).await.expect("puts");
    subject.reopen().await;
    assert_eq!(all(&*subject.dead_letters()).await, letters);
    assert_eq!(counts(&*subject.dead_letters()).await, [(partition(0), 3)]);
    let durable = subject.index().durable(&partition(0));
    assert!(durable.is_none_or(|durable| durable == Offset::ZERO), "a letter is no row");
}

fn letter(of: &StreamPartition, offset: u64) -> DeadLetter {
    DeadLetter {
        position: Position { partition: of.clone(), offset: Offset(offset), index: 0 },
        events: 1,
        received: at(0),
        died: at(1),
        prefix: Some(prefix("shop")),
        format: RecordFormat::Events,
        reason: DeadReason { code: "too-deep".to_owned(), message: "nested 65 deep".to_owned() },
        original: Bytes::from(format!("original {offset}")),
    }
}

async fn all(store: &dyn DeadLetterStore) -> Vec<DeadLetter> {
    let mut letters = Vec::new();
    for (_, entry) in store.list(&DeadLetterFilter::default(), None, 1_000).await.expect("lists") {
        letters.extend(store.get(&EventId(entry.position)).await.expect("gets"));
    }
    letters
}

async fn counts(store: &dyn DeadLetterStore) -> Vec<(StreamPartition, u64)> {
    let mut counts = store.counts(&partition(0).stream).await.expect("counts");
    counts.sort();
    counts
}
