use std::task::Poll;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::settings::Secret;
use weir_state::{CommitError, Edit, Expect, MAX_VALUE, State, StateError, Write};
use weir_state_postgres::PostgresSection;

use crate::world::{CUP, SERVER, eventually, open, put, run, section, sql, value};

#[tokio::test]
async fn it_goes_on_where_it_was() {
    let section = section(*SERVER);
    let mut last = 0;
    for life in 0..3_u32 {
        let state = open(&section).await;
        assert_eq!(*state.revision().borrow(), last);
        assert_eq!(value(&*state, "a").await, life.checked_sub(1).map(|before| before.to_string()));
        last = state.commit(&[put("a", life.to_string())]).await.expect("committed");
        state.close().await;
        state.close().await;
    }
}

#[tokio::test]
async fn a_closed_store_says_so_and_holds_no_connection() {
    let section = section(*SERVER);
    let admin = sql(*SERVER, "postgres").await;
    run(&admin, "create role closer login superuser password 'x'").await;
    let section =
        PostgresSection { username: Some("closer".to_owned()), password: Some(Secret::new("x")), ..section };
    let state = open(&section).await;
    join_all((0..8).map(|_| state.get(CUP, "a"))).await;
    state.commit(&[put("a", "1")]).await.expect("committed");
    let connections = async || {
        let rows = admin.query("select from pg_stat_activity where usename = 'closer'", &[]).await;
        rows.expect("counted").len()
    };
    let held = connections().await;
    assert!((2..=4).contains(&held), "{held}");
    // What has begun is done.
    let (committed, ()) = futures_util::future::join(state.commit(&[put("a", "2")]), state.close()).await;
    committed.expect("it had begun");
    assert!(matches!(state.get(CUP, "a").await, Err(StateError::Closing)));
    assert!(matches!(state.changes(&[CUP], 0).await, Err(StateError::Closing)));
    assert!(matches!(state.commit(&[put("a", "1")]).await, Err(CommitError::Closing)));
    eventually("the connections are gone", async || connections().await == 0).await;
}

/// Many that open it at the same time for the first time have one store.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_made_once() {
    for _ in 0..5 {
        let section = section(*SERVER);
        let openings = (0..8).map(|_| async {
            let state = open(&section).await;
            state.commit(&[CUP.key("made").put(Expect::Absent, Vec::new())]).await.is_ok()
        });
        let made = join_all(openings).await;
        assert_eq!(made.into_iter().filter(|made| *made).count(), 1);
    }
}

/// More than one statement carries, in one commit.
#[tokio::test]
async fn large_commits_are_whole() {
    let section = section(*SERVER);
    let (state, other) = (open(&section).await, open(&section).await);
    let write =
        |number: usize, bytes: usize| CUP.key(format!("{number:03}")).put(Expect::Any, vec![7; bytes]);
    let mut writes: Vec<Write> = (0..6).map(|number| write(number, MAX_VALUE)).collect();
    writes.extend((6..250).map(|number| write(number, 10_000)));
    writes.push(CUP.key("gone").delete(Expect::Any));
    state.commit(&[put("gone", "")]).await.expect("committed");
    let revision = state.commit(&writes).await.expect("committed");
    let found = other.changes(&[CUP], 0).await.expect("it can be read");
    assert_eq!((found.revision, found.changes.len()), (revision, 250));
    for (change, write) in found.changes.iter().zip(&writes) {
        let Edit::Put(value) = &write.edit else { unreachable!("the first 250 are put") };
        assert!(change.name == write.key.name && change.value.as_ref() == Some(value));
        assert_eq!(change.version, revision);
    }
}

/// All that was deleted with the oldest of the last thousand is remembered too.
#[tokio::test]
async fn enough_deletions_are_remembered_however_they_were_grouped() {
    for group in [1, 100, 250] {
        let state = open(&section(*SERVER)).await;
        let names: Vec<String> = (0..1_500).map(|number| number.to_string()).collect();
        for names in names.chunks(250) {
            let writes: Vec<Write> = names.iter().map(|name| put(name, "")).collect();
            state.commit(&writes).await.expect("committed");
        }
        let before = *state.revision().borrow();
        let mut revisions = Vec::new();
        for names in names.chunks(group) {
            let writes: Vec<Write> = names.iter().map(|name| CUP.key(name).delete(Expect::Any)).collect();
            revisions.push(state.commit(&writes).await.expect("committed"));
        }
        // The last that is followed by at least as many deletions as are remembered, and the one before all of them.
        let enough = weir_state::TOMBSTONES.div_ceil(group);
        let since = revisions[revisions.len() - enough - 1];
        let news = state.changes(&[CUP], since).await.expect("it can be read");
        assert!(!news.whole, "{group}: of {enough} commits");
        assert_eq!(news.changes.len(), enough * group);
        assert!(state.changes(&[CUP], before).await.expect("it can be read").whole, "{group}");
    }
}

/// A call that is given up, at whatever step, leaves nothing half, and nobody waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_are_dropped_are_whole_or_nothing() {
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let section = section(*SERVER);
    let (state, other) = (open(&section).await, open(&section).await);
    let (mut stored, mut undone) = (0, 0);
    for turn in 0..200_u32 {
        // It leaves its connection for the next one, and says how long one takes.
        let before = [put("left", "before"), put("right", "before"), put("gone", "")];
        let begun = SystemClock.monotonic();
        state.commit(&before).await.expect("committed");
        let whole = SystemClock.monotonic().saturating_duration_since(begun);
        let cut = whole.mul_f64(random.random_range(0.0..1.6));
        let text = turn.to_string();
        // The three are more than one statement.
        let writes =
            [put("left", text.clone()), put("right", text.clone()), CUP.key("gone").delete(Expect::Any)];
        let begun = SystemClock.monotonic();
        let mut commit = state.commit(&writes);
        let answer = loop {
            match futures_util::poll!(&mut commit) {
                Poll::Ready(answer) => break Some(answer),
                Poll::Pending if SystemClock.monotonic().saturating_duration_since(begun) >= cut => {
                    break None;
                }
                Poll::Pending => tokio::task::yield_now().await,
            }
        };
        drop(commit);
        // No other commit is made before that one is decided.
        other.commit(&[put("turn", text.clone())]).await.expect("nothing is in the way");
        let left = value(&*other, "left").await;
        let is_stored = left.as_ref() == Some(&text);
        assert!(is_stored || left.as_deref() == Some("before"), "{left:?}");
        assert_eq!(value(&*other, "right").await, left);
        assert_eq!(value(&*other, "gone").await.is_none(), is_stored, "all of it or nothing");
        match answer {
            Some(answer) => {
                answer.expect("nothing is in the way");
                assert!(is_stored, "it was answered");
            }
            None if is_stored => stored += 1,
            None => undone += 1,
        }
    }
    assert!(stored > 0 && undone > 0, "of those that were dropped {stored} are stored, {undone} are not");
}

#[tokio::test]
async fn no_document_has_a_name_that_can_not_be_written() {
    let state = open(&section(*SERVER)).await;
    assert_eq!(state.get(CUP, "a\0b").await.expect("it can be read"), None);
    assert_eq!(state.get(CUP, "").await.expect("it can be read"), None);
    let all = state.changes(&[CUP], u64::MAX).await.expect("it can be read");
    assert!(all.whole, "there never was such a revision");
    let never = state.commit(&[CUP.key("a").put(Expect::Version(u64::MAX), Vec::new())]).await;
    assert!(matches!(never, Err(CommitError::Conflict { .. })), "{never:?}");
}

/// The durability that a database gives up is asked for; what it asks for beyond is left.
#[tokio::test]
async fn commits_are_durable_whatever_the_custom() {
    let admin = sql(*SERVER, "postgres").await;
    for (database, custom, expected) in [("lazy", "off", "on"), ("eager", "remote_apply", "remote_apply")] {
        run(&admin, &format!("create database {database} encoding 'UTF8' template template0")).await;
        run(&admin, &format!("alter database {database} set synchronous_commit = {custom}")).await;
        let section = PostgresSection { database: Some(database.to_owned()), ..section(*SERVER) };
        let state = open(&section).await;
        let schema = section.schema.as_deref().expect("it has one");
        let inside = sql(*SERVER, database).await;
        // Says what is true of whoever writes.
        run(
            &inside,
            &format!(
                "create table public.said (what text);
                 create function public.say() returns trigger language plpgsql as
                 $$begin insert into public.said values (current_setting('synchronous_commit')); return null; end$$;
                 create trigger say after insert on {schema}.document execute function public.say()"
            ),
        )
        .await;
        state.commit(&[put("a", "1")]).await.expect("committed");
        let row = inside.query_one("select what from public.said", &[]).await.expect("it was said");
        assert_eq!(row.get::<_, String>(0), expected);
    }
}
