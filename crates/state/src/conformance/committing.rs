use std::sync::Arc;

use futures_util::future;

use super::Factory;
use super::fixtures::{CUP, SPOON, changes, committed, conflict, put, read, text};
use crate::error::{CommitError, IllegalWrite};
use crate::seam::{Expect, MAX_NAME, MAX_VALUE, MAX_WRITES, State, Write};

/// Each expectation of a document that is there, was written since, or is not there.
pub async fn expectations_are_kept(make: &dyn Factory) {
    let [state, other] = make.make().await;
    let (here, gone) = (CUP.key("here"), CUP.key("gone"));
    let old =
        committed(&*state, &[put(here.clone(), Expect::Absent, "1"), put(gone.clone(), Expect::Absent, "1")])
            .await;
    let now =
        committed(&*other, &[put(here.clone(), Expect::Version(old), "2"), gone.clone().delete(Expect::Any)])
            .await;
    for key in [&here, &gone] {
        for expect in [Expect::Absent, Expect::Version(old), Expect::Version(now), Expect::Any] {
            let fits = match expect {
                Expect::Absent => *key == gone,
                Expect::Version(version) => *key == here && version == now,
                Expect::Any => true,
            };
            if !fits {
                for write in [key.clone().put(expect, b"3".to_vec()), key.clone().delete(expect)] {
                    assert_eq!(conflict(&*state, &[write]).await, *key, "{expect:?}");
                }
            }
            // Looks without a change.
            let kept = state.commit(&[key.clone().keep(expect)]).await;
            assert_eq!(kept.is_ok(), fits, "{key} {expect:?}");
        }
    }
    assert_eq!(text(&*state, &here).await.as_deref(), Some("2"));
    assert_eq!(
        committed(&*state, &[gone.delete(Expect::Absent)]).await,
        now,
        "nothing was there to be deleted"
    );
}

/// One write that does not fit stops the others, and the first such is named.
pub async fn a_commit_is_whole_or_nothing(make: &dyn Factory) {
    let [state, _] = make.make().await;
    let before = committed(&*state, &[put(CUP.key("b"), Expect::Absent, "1")]).await;
    let refused = [
        put(CUP.key("a"), Expect::Absent, "2"),
        CUP.key("b").delete(Expect::Version(before)),
        put(CUP.key("c"), Expect::Version(before), "2"),
        put(CUP.key("d"), Expect::Version(before), "2"),
    ];
    assert_eq!(conflict(&*state, &refused).await, CUP.key("c"));
    let after = changes(&*state, 0).await;
    assert_eq!((after.revision, after.changes.len()), (before, 1));
    let most: Vec<Write> =
        (0..MAX_WRITES).map(|number| put(SPOON.key(number.to_string()), Expect::Absent, "x")).collect();
    let version = committed(&*state, &most).await;
    let all = state.list(SPOON).await.expect("it can be read");
    assert!(all.len() == MAX_WRITES && all.iter().all(|entry| entry.version == version));
    assert_eq!(committed(&*state, &[]).await, version, "a commit of nothing");
}

/// The version of a document that was deleted and made again is a new one.
pub async fn versions_do_not_come_back(make: &dyn Factory) {
    let [state, _] = make.make().await;
    let key = CUP.key("a");
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(committed(&*state, &[put(key.clone(), Expect::Absent, "same")]).await);
        committed(&*state, &[key.clone().delete(Expect::Any)]).await;
    }
    let last = committed(&*state, &[put(key.clone(), Expect::Absent, "same")]).await;
    for old in seen {
        assert_eq!(conflict(&*state, &[put(key.clone(), Expect::Version(old), "late")]).await, key);
    }
    assert_eq!(read(&*state, &key).await.map(|entry| entry.version), Some(last));
}

/// What is only looked at stays as it is, and holds up a commit if it does not fit.
pub async fn what_is_kept_is_looked_at(make: &dyn Factory) {
    let [state, _] = make.make().await;
    let rule = committed(&*state, &[put(CUP.key("rule"), Expect::Absent, "rule")]).await;
    let writes = |version| {
        [CUP.key("rule").keep(Expect::Version(version)), put(CUP.key("follows"), Expect::Any, "it")]
    };
    committed(&*state, &writes(rule)).await;
    let entry = read(&*state, &CUP.key("rule")).await.expect("it is kept");
    assert_eq!((entry.version, entry.value.as_slice()), (rule, b"rule".as_slice()));
    committed(&*state, &[put(CUP.key("rule"), Expect::Any, "other")]).await;
    assert_eq!(conflict(&*state, &writes(rule)).await, CUP.key("rule"));
}

/// Names and values beyond the limits, and what is written twice.
pub async fn what_is_illegal_is_refused(make: &dyn Factory) {
    let [state, _] = make.make().await;
    let check = async |write: Write, expected: IllegalWrite| {
        let key = write.key.clone();
        match state.commit(&[put(CUP.key("beside"), Expect::Any, ""), write]).await {
            Err(CommitError::Illegal { key: found, why }) => assert_eq!((found, why), (key, expected)),
            other => unreachable!("{key} is illegal: {other:?}"),
        }
    };
    check(put(CUP.key(""), Expect::Any, ""), IllegalWrite::EmptyName).await;
    check(put(CUP.key("x".repeat(MAX_NAME + 1)), Expect::Any, ""), IllegalWrite::LongName).await;
    check(put(CUP.key("a\0b"), Expect::Any, ""), IllegalWrite::NulInName).await;
    let large = CUP.key("a").put(Expect::Any, vec![0; MAX_VALUE + 1]);
    check(large, IllegalWrite::LargeValue { bytes: MAX_VALUE + 1 }).await;
    check(CUP.key("beside").keep(Expect::Any), IllegalWrite::Twice).await;
    let many: Vec<Write> =
        (0..=MAX_WRITES).map(|number| put(CUP.key(number.to_string()), Expect::Any, "")).collect();
    assert!(matches!(state.commit(&many).await, Err(CommitError::TooMany { .. })));
    assert_eq!(changes(&*state, 0).await.changes, []);
}

/// Of those who want to make the same document, or to change the same version of it, exactly one does.
pub async fn of_many_writers_one_wins(make: &dyn Factory) {
    const WRITERS: usize = 16;

    let states = make.make().await;
    let mut expect = Expect::Absent;
    for _ in 0..5 {
        let attempts = (0..WRITERS).map(|writer| {
            let state = Arc::clone(&states[writer % 2]);
            async move { state.commit(&[put(CUP.key("prize"), expect, &writer.to_string())]).await }
        });
        let outcomes = future::join_all(attempts).await;
        let winners: Vec<(usize, u64)> = outcomes
            .into_iter()
            .enumerate()
            .filter_map(|(writer, outcome)| match outcome {
                Ok(revision) => Some((writer, revision)),
                Err(error) => {
                    assert!(error.is_conflict(), "{error:?}");
                    None
                }
            })
            .collect();
        let [(winner, version)] = winners[..] else { unreachable!("there is one winner: {winners:?}") };
        assert_eq!(text(&*states[0], &CUP.key("prize")).await, Some(winner.to_string()));
        expect = Expect::Version(version);
    }
}

/// Counters that everybody reads and writes again until it fits.
pub async fn racing_counters_lose_nothing(make: &dyn Factory) {
    const WRITERS: u32 = 8;
    const TURNS: u32 = 6;

    let states = make.make().await;
    let key = CUP.key("counter");
    committed(&*states[0], &[put(key.clone(), Expect::Absent, "0")]).await;
    let writers = (0..WRITERS).zip(states.iter().cycle()).map(|(_, state)| count(&**state, TURNS));
    future::join_all(writers).await;
    assert_eq!(text(&*states[1], &key).await, Some((WRITERS * TURNS).to_string()));
}

async fn count(state: &dyn State, turns: u32) {
    let key = CUP.key("counter");
    let mut left = turns;
    while left > 0 {
        let entry = read(state, &key).await.expect("it is there");
        let number: u32 = String::from_utf8_lossy(&entry.value).parse().expect("it is a number");
        let next = put(key.clone(), Expect::Version(entry.version), &(number + 1).to_string());
        match state.commit(&[next]).await {
            Ok(_) => left -= 1,
            Err(error) => assert!(error.is_conflict(), "{error:?}"),
        }
    }
}
