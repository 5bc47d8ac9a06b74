use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future;
use tokio::task::yield_now;

use super::Factory;
use super::fixtures::{CUP, SPOON, changes, committed, put, read, text, texts};
use crate::seam::{Expect, MAX_NAME, MAX_VALUE, MAX_WRITES, TOMBSTONES};

/// Any bytes as values, any text as a name, up to the limits; through both handles.
pub async fn documents_come_back_as_they_went_in(make: &dyn Factory) {
    let [state, other] = make.make().await;
    assert_eq!(read(&*state, &CUP.key("absent")).await, None);
    let names =
        ["a", "A", "ä", " ", "%", "_", "'; drop table document; --", "\u{1f375}", "a/b\\c\n", "a\u{301}"];
    let long = "x".repeat(MAX_NAME);
    let values: [Vec<u8>; 4] = [Vec::new(), (0..=255).collect(), vec![0; 1000], vec![7; MAX_VALUE]];
    let names: Vec<&str> = names.into_iter().chain([long.as_str()]).collect();
    for (name, value) in names.iter().zip(values.iter().cycle()) {
        let version = committed(&*state, &[CUP.key(*name).put(Expect::Absent, value.clone())]).await;
        for state in [&state, &other] {
            let entry = read(&**state, &CUP.key(*name)).await.expect("it was written");
            assert_eq!((entry.name.as_str(), entry.version), (*name, version));
            assert!(entry.value == *value, "{name:?} has another value");
        }
    }
    assert_eq!(state.list(CUP).await.expect("it can be read").len(), names.len(), "no name is another");
}

/// Kinds do not share names.
pub async fn kinds_are_apart(make: &dyn Factory) {
    let [state, _] = make.make().await;
    committed(
        &*state,
        &[put(CUP.key("a"), Expect::Absent, "cup"), put(SPOON.key("a"), Expect::Absent, "spoon")],
    )
    .await;
    committed(&*state, &[CUP.key("a").delete(Expect::Any)]).await;
    assert_eq!(text(&*state, &CUP.key("a")).await, None);
    assert_eq!(text(&*state, &SPOON.key("a")).await.as_deref(), Some("spoon"));
    assert_eq!(state.list(CUP).await.expect("it can be read"), []);
    assert_eq!(state.list(SPOON).await.expect("it can be read").len(), 1);
}

/// By the bytes of their names, whatever the order of the writes.
pub async fn lists_are_in_order(make: &dyn Factory) {
    let [state, _] = make.make().await;
    for name in ["b", "a-2", "a", "Z", "ä", "a-10", "z"] {
        committed(&*state, &[put(CUP.key(name), Expect::Absent, name)]).await;
    }
    committed(&*state, &[CUP.key("z").delete(Expect::Any), put(CUP.key("a"), Expect::Any, "again")]).await;
    let entries = state.list(CUP).await.expect("it can be read");
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["Z", "a", "a-10", "a-2", "b", "ä"]);
}

/// What was written or deleted after a revision is told once, as it is now.
pub async fn changes_are_those_since_a_revision(make: &dyn Factory) {
    let [state, other] = make.make().await;
    let empty = changes(&*state, 0).await;
    assert_eq!((texts(&empty), empty.whole), (vec![], true));
    let first =
        committed(&*state, &[put(CUP.key("a"), Expect::Any, "1"), put(SPOON.key("b"), Expect::Any, "1")])
            .await;
    let second = committed(&*state, &[put(CUP.key("a"), Expect::Any, "2")]).await;
    let third =
        committed(&*state, &[SPOON.key("b").delete(Expect::Any), put(CUP.key("c"), Expect::Any, "3")]).await;
    let fourth = committed(&*state, &[put(CUP.key("d"), Expect::Any, "4")]).await;
    let last = committed(&*state, &[CUP.key("d").delete(Expect::Any)]).await;
    assert!(first < second && second < third && third < fourth && fourth < last);
    for state in [&*state, &*other] {
        let check = async |since: u64, whole: bool, expected: &[&str]| {
            let changes = changes(state, since).await;
            assert_eq!(
                (texts(&changes), changes.whole),
                (expected.iter().map(ToString::to_string).collect(), whole)
            );
            assert_eq!(changes.revision, last);
            assert!(changes.changes.is_sorted_by_key(|change| change.version));
        };
        check(0, true, &["cup a 2", "cup c 3"]).await;
        check(first, false, &["cup a 2", "cup c 3", "spoon b -", "cup d -"]).await;
        check(second, false, &["cup c 3", "spoon b -", "cup d -"]).await;
        check(fourth, false, &["cup d -"]).await;
        check(last, false, &[]).await;
        check(last + 1, true, &["cup a 2", "cup c 3"]).await;
        let spoons = state.changes(&[SPOON], first).await.expect("it can be read");
        assert_eq!(texts(&spoons), ["spoon b -"]);
    }
}

/// Who asks from before what is remembered is given everything; the last deletions are remembered.
pub async fn forgotten_deletions_make_it_whole(make: &dyn Factory) {
    let [state, _] = make.make().await;
    let start = committed(&*state, &[put(CUP.key("stays"), Expect::Absent, "here")]).await;
    let mut recent = start;
    let names: Vec<String> = (0..TOMBSTONES + 2 * MAX_WRITES).map(|number| format!("{number:05}")).collect();
    for names in names.chunks(MAX_WRITES) {
        let writes: Vec<_> = names.iter().map(|name| put(SPOON.key(name), Expect::Absent, "")).collect();
        committed(&*state, &writes).await;
    }
    for (index, names) in names.chunks(MAX_WRITES).enumerate() {
        let writes: Vec<_> = names.iter().map(|name| SPOON.key(name).delete(Expect::Any)).collect();
        let revision = committed(&*state, &writes).await;
        if index == 2 {
            recent = revision;
        }
    }
    let all = changes(&*state, start).await;
    assert_eq!((texts(&all), all.whole), (vec!["cup stays here".to_owned()], true));
    let news = changes(&*state, recent).await;
    assert!(!news.whole, "the last {TOMBSTONES} deletions are remembered");
    assert_eq!(news.changes.len(), names.len() - 3 * MAX_WRITES);
    assert!(news.changes.iter().all(|change| change.value.is_none()));
    // A name that was forgotten is free.
    committed(&*state, &[put(SPOON.key("00000"), Expect::Absent, "again")]).await;
    assert_eq!(text(&*state, &SPOON.key("00000")).await.as_deref(), Some("again"));
}

/// While a ball moves between two cups, exactly one of them has it.
pub async fn reads_see_whole_commits(make: &dyn Factory) {
    let [state, other] = make.make().await;
    let (left, right) = (CUP.key("left"), CUP.key("right"));
    committed(&*state, &[put(left.clone(), Expect::Absent, "ball"), put(right.clone(), Expect::Absent, "-")])
        .await;
    let done = AtomicBool::new(false);
    let moves = async {
        for turn in 0..150 {
            let (full, empty) = if turn % 2 == 0 { (&right, &left) } else { (&left, &right) };
            let writes = [put(full.clone(), Expect::Any, "ball"), put(empty.clone(), Expect::Any, "-")];
            committed(&*state, &writes).await;
        }
        done.store(true, Ordering::Relaxed);
    };
    let looks = async {
        while !done.load(Ordering::Relaxed) {
            let seen = changes(&*other, 0).await;
            let balls = seen.changes.iter().filter(|change| change.value.as_deref() == Some(b"ball")).count();
            assert_eq!((balls, seen.changes.len()), (1, 2));
            let versions: Vec<u64> = seen.changes.iter().map(|change| change.version).collect();
            assert_eq!(versions, [seen.revision; 2]);
            yield_now().await;
        }
    };
    future::join(moves, looks).await;
}
