use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{join, join3};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::failure::chain;
use weir_foundation::settings::{DurationText, Secret};
use weir_services::Postgres;
use weir_state::{CommitError, State, StateError, Write};
use weir_state_postgres::{PostgresSection, PostgresState};
use weir_testkit::{Cable, CableState};

use crate::world::{CUP, SERVER, eventually, open, put, run, section, sql, try_open, value};

/// Counts in two documents until it is told to stop, and on when the server is away; says how far it is.
async fn count(state: &PostgresState, counted: &AtomicU64, until: &AtomicU64) {
    let mut next = 1;
    while counted.load(Ordering::SeqCst) < until.load(Ordering::SeqCst) {
        let text = next.to_string();
        match state.commit(&[put("left", text.clone()), put("right", text)]).await {
            Ok(_) => {
                counted.store(next, Ordering::SeqCst);
                next += 1;
            }
            Err(CommitError::Unavailable(_)) => SystemClock.sleep(Duration::from_millis(10)).await,
            Err(CommitError::Failed(_)) => {}
            Err(other) => unreachable!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_that_was_answered_and_writers_go_on() {
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let directory = tempfile::tempdir().expect("a directory");
    let mut postgres = Postgres::start(directory.path()).expect("it starts");
    let section = section(postgres.address());
    let (state, other) = (open(&section).await, open(&section).await);
    let (counted, until) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let kills = async {
        for _ in 0..6 {
            let goal = counted.load(Ordering::SeqCst) + random.random_range(1..40);
            eventually("it counts", async || counted.load(Ordering::SeqCst) >= goal).await;
            tokio::task::block_in_place(|| postgres.kill()).expect("it can be killed");
            let answered = counted.load(Ordering::SeqCst);
            tokio::task::block_in_place(|| postgres.restart()).expect("it starts again");
            // Through another handle, which has not been told that its connections are gone.
            let found = other.changes(&[CUP], 0).await.expect("the server is back");
            let [left, right] = &found.changes[..] else { unreachable!("there are two: {found:?}") };
            assert_eq!(left.value, right.value, "a commit is whole");
            let text = String::from_utf8_lossy(left.value.as_ref().expect("it is there")).into_owned();
            let there: u64 = text.parse().expect("it is a number");
            assert!(there >= answered, "{answered} was answered, {there} is there");
        }
        let goal = counted.load(Ordering::SeqCst) + 1;
        until.store(goal, Ordering::SeqCst);
    };
    join(count(&state, &counted, &until), kills).await;
    let last = *state.revision().borrow();
    eventually("others are told", async || *other.revision().borrow() >= last).await;
}

/// Through a cable, with a short time limit.
async fn by_cable() -> (Cable, Arc<PostgresState>, PostgresSection) {
    let cable = Cable::to(*SERVER).await.expect("it is laid");
    let direct = section(*SERVER);
    let far = PostgresSection {
        address: Some(cable.address().to_string()),
        // The machine of the tests is busy.
        timeout: Some(DurationText::from_secs(2)),
        ..direct.clone()
    };
    let state = open(&far).await;
    (cable, state, direct)
}

#[tokio::test]
async fn where_nothing_arrives_calls_end_and_work_again_later() {
    let (cable, state, direct) = by_cable().await;
    let last = state.commit(&[put("a", "1")]).await.expect("committed");
    for _ in 0..2 {
        cable.becomes(CableState::Dead);
        let writes = [put("a", "2")];
        let calls = join3(state.get(CUP, "a"), state.changes(&[CUP], last), state.commit(&writes));
        let (read, changes, committed) = calls.await;
        assert!(matches!(read, Err(StateError::Failed(_))), "{read:?}");
        assert!(matches!(changes, Err(StateError::Failed(_))), "{changes:?}");
        assert!(matches!(committed, Err(CommitError::Unavailable(_))), "{committed:?}");
        cable.becomes(CableState::Whole);
        eventually("it works again", async || state.commit(&[put("a", "3")]).await.is_ok()).await;
        assert_eq!(value(&*state, "a").await.as_deref(), Some("3"));
    }
    let other = open(&direct).await;
    assert_eq!(value(&*other, "a").await.as_deref(), Some("3"));
    other.commit(&[put("b", "1")]).await.expect("committed");
    let told = *other.revision().borrow();
    eventually("it is told again", async || *state.revision().borrow() >= told).await;
}

/// A connection that the server has lost without a word, as behind a firewall that forgets.
#[tokio::test]
async fn connections_that_are_dead_unseen_are_replaced() {
    let (cable, state, _) = by_cable().await;
    state.commit(&[put("a", "1")]).await.expect("committed");
    cable.becomes(CableState::HalfOpen);
    cable.becomes(CableState::Whole);
    eventually("it reads", async || state.get(CUP, "a").await.is_ok()).await;
    eventually("it writes", async || state.commit(&[put("a", "2")]).await.is_ok()).await;
}

/// What takes long as a whole is not given up while it arrives.
#[tokio::test]
async fn a_slow_way_is_no_dead_one() {
    let (cable, state, direct) = by_cable().await;
    let other = open(&direct).await;
    let writes: Vec<Write> = (0..100).map(|number| put(&number.to_string(), vec![7; 50_000])).collect();
    other.commit(&writes).await.expect("committed");
    // For each 64 KiB at most.
    cable.becomes(CableState::Slow(Duration::from_millis(50)));
    let changes = state.changes(&[CUP], 0).await.expect("it arrives");
    assert_eq!(changes.changes.len(), writes.len());
}

/// Ended by the server, so that the other side can know of it: nobody is told.
#[tokio::test]
async fn connections_that_were_ended_are_replaced_unseen() {
    let admin = sql(*SERVER, "postgres").await;
    run(&admin, "create role ended login superuser password 'x'").await;
    let section = PostgresSection {
        username: Some("ended".to_owned()),
        password: Some(Secret::new("x")),
        ..section(*SERVER)
    };
    let state = open(&section).await;
    for turn in 0..20_u32 {
        state.commit(&[put("a", turn.to_string())]).await.expect("committed");
        run(&admin, "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'ended'").await;
        assert_eq!(value(&*state, "a").await, Some(turn.to_string()));
    }
}

/// A process that stands still while it holds the lock of all others keeps them waiting for a moment only.
#[tokio::test]
async fn one_that_stands_still_while_it_writes_does_not_stop_the_others() {
    let admin = sql(*SERVER, "postgres").await;
    run(&admin, "create role still login superuser password 'x'").await;
    let direct = section(*SERVER);
    let still = PostgresSection {
        username: Some("still".to_owned()),
        password: Some(Secret::new("x")),
        timeout: Some(DurationText::from_secs(2)),
        ..direct.clone()
    };
    let (wake, woken) = std::sync::mpsc::sync_channel::<()>(0);
    let (say, said) = tokio::sync::oneshot::channel();
    let process = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it is made");
        runtime.block_on(async {
            let state = open(&still).await;
            state.commit(&[put("a", "0")]).await.expect("committed");
            let writes = [put("a", "1")];
            let mut commit = state.commit(&writes);
            assert!(futures_util::poll!(&mut commit).is_pending());
            // The bytes leave; before the answer is there, nothing happens here any more.
            tokio::task::yield_now().await;
            say.send(()).expect("it listens");
            woken.recv().expect_err("it is only dropped");
            commit.await
        })
    });
    said.await.expect("it begins to write");
    let holds = "select from pg_stat_activity where usename = 'still' and state = 'idle in transaction'";
    eventually("it holds the lock", async || admin.query(holds, &[]).await.expect("it is seen").len() == 1)
        .await;
    let other = open(&direct).await;
    other.commit(&[put("b", "1")]).await.expect("nobody is in the way for long");
    drop(wake);
    let late = process.join().expect("it ends").expect_err("its time is over");
    assert!(matches!(late, CommitError::Unavailable(_)), "{late:?}");
    assert_eq!(value(&*other, "a").await.as_deref(), Some("0"));
}

/// The same of one whose connections are lost at some step of a commit; what it is told then is so.
#[tokio::test]
async fn one_that_is_gone_while_it_writes_does_not_stop_the_others() {
    const STEPS: u32 = 10;
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (cable, state, direct) = by_cable().await;
    let other = open(&direct).await;
    // Of those that were not answered.
    let (mut stored, mut undone) = (0, 0);
    let mut turn = 0;
    // At each step once, and on while one of the outcomes is missing.
    while turn < STEPS || turn < 10 * STEPS && (stored == 0 || undone == 0) {
        cable.becomes(CableState::Slow(Duration::from_millis(20)));
        // The first one makes a connection, which the others find.
        eventually("it writes again", async || state.commit(&[put("a", "before")]).await.is_ok()).await;
        let begun = SystemClock.monotonic();
        state.commit(&[put("a", "before")]).await.expect("committed");
        let whole = SystemClock.monotonic().saturating_duration_since(begun);
        // From the begin to a little beyond the end, and then where the commit itself is asked for and answered.
        let part = match turn {
            ..STEPS => 1.2 * (f64::from(turn) + random.random_range(0.0..1.0)) / f64::from(STEPS),
            _ => random.random_range(0.7..1.1),
        };
        let cut = whole.mul_f64(part);
        let gone = async {
            SystemClock.sleep(cut).await;
            cable.becomes(CableState::HalfOpen);
        };
        let text = turn.to_string();
        let writes = [put("a", text.clone())];
        let (committed, ()) = join(state.commit(&writes), gone).await;
        other.commit(&[put("b", text.clone())]).await.expect("nobody is in the way for long");
        let is_stored = value(&*other, "a").await == Some(text);
        match committed {
            Ok(_) => assert!(is_stored, "it was answered"),
            Err(CommitError::Failed(_)) if is_stored => stored += 1,
            Err(CommitError::Unavailable(_) | CommitError::Failed(_)) => {
                assert!(!is_stored, "it was said that it is not");
                undone += 1;
            }
            Err(other) => unreachable!("{other:?}"),
        }
        turn += 1;
    }
    assert!(stored > 0 && undone > 0, "of those that were cut {stored} are stored, {undone} are not");
}

/// Who opens it waits for a server that ends, and for another process that makes the tables.
#[tokio::test]
async fn an_opening_that_others_end_or_hold_up_is_worth_another_one() {
    let admin = sql(*SERVER, "postgres").await;
    run(&admin, "create database busy encoding 'UTF8' template template0").await;
    let section = PostgresSection { database: Some("busy".to_owned()), ..section(*SERVER) };
    // As one has it that makes tables: "weis".
    let maker = sql(*SERVER, "busy").await;
    run(&maker, "select pg_advisory_lock(2003134835)").await;
    let hasty = PostgresSection { timeout: Some(DurationText::from_secs(4)), ..section.clone() };
    let error = try_open(&hasty).await.expect_err("somebody is before it");
    assert!(error.is_passing(), "{error:?}");

    // As where the server is told to end.
    let of_opening = "from pg_stat_activity where datname = 'busy' and wait_event_type = 'Lock'";
    let end = async {
        let waits = format!("select {of_opening}");
        eventually("it waits", async || admin.query(&waits, &[]).await.expect("it is seen").len() == 1).await;
        run(&admin, &format!("select pg_terminate_backend(pid) {of_opening}")).await;
    };
    let (opened, ()) = join(try_open(&section), end).await;
    let error = opened.expect_err("its connection was ended");
    assert!(chain(&error).to_string().contains("57P01"), "{}", chain(&error));
    assert!(error.is_passing(), "{error:?}");

    run(&maker, "select pg_advisory_unlock(2003134835)").await;
    open(&section).await.commit(&[put("a", "1")]).await.expect("committed");
}

/// The answer to the commit itself is lost: whether it is stored is not known to the one who asked.
#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_not_known() {
    let section = section(*SERVER);
    let far = PostgresSection { timeout: Some(DurationText::from_secs(2)), ..section.clone() };
    let state = open(&far).await;
    let schema = section.schema.as_deref().expect("it has one");
    let admin = sql(*SERVER, "postgres").await;
    // Looked at when the transaction is committed.
    run(
        &admin,
        &format!(
            "create function {schema}.slowly() returns trigger language plpgsql as
             $$begin perform pg_sleep(5); return null; end$$;
             create constraint trigger slowly after insert on {schema}.document deferrable initially deferred
             for each row execute function {schema}.slowly()"
        ),
    )
    .await;
    let error = state.commit(&[put("a", "1")]).await.expect_err("it takes too long");
    assert!(matches!(error, CommitError::Failed(_)) && error.outcome_unknown(), "{error:?}");
    run(&admin, &format!("drop trigger slowly on {schema}.document")).await;
    eventually("it is written again", async || state.commit(&[put("b", "1")]).await.is_ok()).await;
    let other = open(&section).await;
    assert_eq!(value(&*other, "b").await.as_deref(), Some("1"));
    // Refused at the same moment, it is known.
    run(
        &admin,
        &format!(
            "create function {schema}.never() returns trigger language plpgsql as
             $$begin raise exception 'no' using errcode = tg_argv[0]; end$$;
             create constraint trigger never after insert on {schema}.document deferrable initially deferred
             for each row execute function {schema}.never('53100')"
        ),
    )
    .await;
    let error = state.commit(&[put("c", "1")]).await.expect_err("it is refused");
    assert!(matches!(error, CommitError::Full(_)) && !error.outcome_unknown(), "{error:?}");
    assert_eq!(value(&*state, "c").await, None);
}
