use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use tokio::runtime::Handle;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::exit::ExitCode;
use crate::failure::BoxError;

const DEADLINE: Duration = Duration::from_secs(10);

fn supervisor() -> (Supervisor, ManualClock) {
    let clock = ManualClock::new(UNIX_EPOCH);
    let supervisor = Supervisor::new(Handle::current(), Arc::new(clock.clone()), DrainDeadlines::default());
    (supervisor, clock)
}

/// Ends when its phase begins.
async fn obedient(drain: DrainToken) -> io::Result<()> {
    drain.draining().await;
    Ok(())
}

/// Ends never, and tells when it is dropped.
async fn deaf(_: DrainToken, dropped: SyncSender<()>) -> io::Result<()> {
    let _dropped = Tell(dropped);
    std::future::pending().await
}

struct Tell(SyncSender<()>);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.send(()).expect("the test keeps the receiver");
    }
}

/// Second by second, whenever somebody waits.
async fn time_passes(clock: &ManualClock) -> std::convert::Infallible {
    loop {
        clock.sleepers(1).await;
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
}

fn was_told(receiver: &Receiver<()>) -> bool {
    receiver.try_recv().is_ok()
}

#[tokio::test]
async fn phases_pass_in_order() {
    let (supervisor, _) = supervisor();
    let spawner = supervisor.spawner();
    let ended = Arc::new(Mutex::new(Vec::new()));
    for phase in DrainPhase::ALL.into_iter().rev() {
        let ended = Arc::clone(&ended);
        spawner.spawn(phase.name(), Policy::essential(phase), |drain| async move {
            drain.draining().await;
            ended.lock().expect("no task panics").push(phase);
            Ok::<(), io::Error>(())
        });
    }
    let exit = supervisor.run_until(std::future::ready(())).await;
    assert_eq!(exit, ExitCode::Good);
    assert_eq!(*ended.lock().expect("no task panics"), DrainPhase::ALL);
}

#[tokio::test]
async fn a_later_phase_waits_for_the_earlier() {
    let (supervisor, _) = supervisor();
    let spawner = supervisor.spawner();
    let committing = spawner.token(DrainPhase::Commit);
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    spawner.spawn("delivery", Policy::essential(DrainPhase::FinishDeliveries), |drain| async move {
        drain.draining().await;
        released.await
    });
    let delivering = spawner.token(DrainPhase::FinishDeliveries);
    let test = async {
        delivering.draining().await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!committing.is_draining(), "a delivery is not finished");
        release.send(()).expect("the delivery waits");
    };
    let (exit, ()) = tokio::join!(supervisor.run_until(std::future::ready(())), test);
    assert_eq!(exit, ExitCode::Good);
    assert!(committing.is_draining());
}

#[tokio::test]
async fn a_fatal_end_drains_the_process_and_fails_it() {
    async fn check(policy: Policy, end: impl Future<Output = io::Result<()>> + Send + 'static) {
        let (supervisor, _) = supervisor();
        let spawner = supervisor.spawner();
        let neighbour = spawner.spawn("neighbour", Policy::essential(DrainPhase::Commit), obedient);
        spawner.spawn("failing", policy, |_| end);
        assert_eq!(supervisor.run_until(std::future::pending()).await, ExitCode::Failure);
        assert!(neighbour.is_finished(), "the neighbour was drained");
    }
    let phase = DrainPhase::FlushJournal;
    check(Policy::essential(phase), async { Err(io::Error::other("no disk")) }).await;
    check(Policy::essential(phase), async { panic!("broken invariant") }).await;
    check(Policy { on_panic: Reaction::StopProcess, ..Policy::expendable(phase) }, async { panic!("bug") })
        .await;
}

#[tokio::test]
async fn an_expendable_end_harms_nobody() {
    let (supervisor, _) = supervisor();
    let spawner = supervisor.spawner();
    let policy = Policy::expendable(DrainPhase::StopIntake);
    let failed = spawner.spawn("connection", policy, |_| async { Err::<(), _>(io::Error::other("reset")) });
    let panicked = spawner.spawn("connection", policy, |drain| async move {
        assert!(drain.is_draining(), "a bug");
        Ok::<(), io::Error>(())
    });
    failed.finished().await;
    panicked.finished().await;
    spawner.request_stop("the test is over");
    assert_eq!(supervisor.run_until(std::future::pending()).await, ExitCode::Good);
}

#[tokio::test]
async fn who_ignores_the_drain_is_aborted_at_the_deadline() {
    let (supervisor, clock) = supervisor();
    let (dropped, told) = sync_channel(1);
    let spawner = supervisor.spawner();
    spawner.spawn("deaf", Policy::essential(DrainPhase::StopIntake), |drain| deaf(drain, dropped));
    let later = spawner.token(DrainPhase::FlushJournal);
    let test = async {
        clock.sleepers(1).await;
        clock.advance(DEADLINE - Duration::from_millis(1));
        tokio::task::yield_now().await;
        assert!(!was_told(&told) && !later.is_draining(), "the deadline has not passed");
        clock.advance(Duration::from_millis(1));
    };
    let (exit, ()) = tokio::join!(supervisor.run_until(std::future::ready(())), test);
    assert_eq!(exit, ExitCode::Failure, "the drain was cut short");
    assert!(was_told(&told) && later.is_draining());
}

#[tokio::test]
async fn a_thread_that_does_not_end_is_left_behind() {
    let (supervisor, clock) = supervisor();
    let (release, released) = sync_channel::<()>(0);
    let spawner = supervisor.spawner();
    let work = move |_| released.recv();
    spawner.spawn_thread("writer", Policy::essential(DrainPhase::Close), work).expect("a thread");
    let exit = tokio::select! {
        exit = supervisor.run_until(std::future::ready(())) => exit,
        never = time_passes(&clock) => match never {},
    };
    assert_eq!(exit, ExitCode::Failure);
    release.send(()).expect("the thread still waits");
}

#[tokio::test]
async fn a_thread_has_a_name_a_token_and_a_policy() {
    let (supervisor, _) = supervisor();
    let spawner = supervisor.spawner();
    let (name, named) = sync_channel(1);
    let work = move |drain: DrainToken| {
        let here = std::thread::current().name().map(str::to_owned);
        name.send((here, drain.is_draining())).expect("the test waits");
        panic!("broken invariant");
        #[expect(unreachable_code, reason = "tells the type")]
        Ok::<(), BoxError>(())
    };
    spawner.spawn_thread("writer", Policy::essential(DrainPhase::Close), work).expect("a thread");
    assert_eq!(supervisor.run_until(std::future::pending()).await, ExitCode::Failure);
    assert_eq!(named.recv(), Ok((Some("writer".to_owned()), false)));
}

#[tokio::test]
async fn blocking_work_returns_or_tells_why_not() {
    let (supervisor, _) = supervisor();
    let spawner = supervisor.spawner();
    assert_eq!(spawner.blocking("query", || 7).await, Ok(7));
    let panicked = spawner.blocking("query", || -> u8 { panic!("index {} of {}", 3, 2) }).await;
    let message = "index 3 of 2".to_owned();
    assert_eq!(panicked, Err(BlockingError::Panicked { name: "query".to_owned(), message }));
    assert_eq!(supervisor.run_until(std::future::ready(())).await, ExitCode::Good);
}

#[tokio::test]
async fn blocking_work_is_waited_for_when_nobody_wants_its_result() {
    let (supervisor, _) = supervisor();
    let spawner = supervisor.spawner();
    let (release, released) = sync_channel::<()>(0);
    let (done, was_done) = sync_channel(1);
    drop(spawner.blocking("query", move || {
        released.recv().expect("the test releases");
        done.send(()).expect("the test waits");
    }));
    let test = async {
        spawner.token(DrainPhase::Close).draining().await;
        release.send(()).expect("the work waits");
    };
    let (exit, ()) = tokio::join!(supervisor.run_until(std::future::ready(())), test);
    assert_eq!(exit, ExitCode::Good);
    assert!(was_told(&was_done));
}

#[tokio::test]
async fn aborted_tasks_leave_quietly() {
    let (supervisor, _) = supervisor();
    let (dropped, told) = sync_channel(1);
    let spawner = supervisor.spawner();
    let policy = Policy::essential(DrainPhase::FinishDeliveries);
    let task = spawner.spawn("deaf", policy, |drain| deaf(drain, dropped));
    tokio::task::yield_now().await;
    task.abort();
    task.finished().await;
    assert!(was_told(&told));
    assert_eq!(supervisor.run_until(std::future::ready(())).await, ExitCode::Good);
}

#[tokio::test]
async fn tasks_can_be_started_from_any_thread() {
    let (supervisor, clock) = supervisor();
    let spawner = supervisor.spawner();
    let started = std::thread::spawn(move || {
        spawner.spawn("napping", Policy::essential(DrainPhase::StopIntake), |_| async move {
            clock.sleep(Duration::ZERO).await;
            Ok::<(), io::Error>(())
        })
    });
    started.join().expect("starts").finished().await;
    assert_eq!(supervisor.run_until(std::future::ready(())).await, ExitCode::Good);
}
