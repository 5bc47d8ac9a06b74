use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use tokio::runtime::Handle;

use super::*;
use crate::clock::ManualClock;
use crate::exit::ExitCode;
use crate::health::Progress;
use crate::supervise::{DrainDeadlines, Supervisor};

const LIMIT: Duration = Duration::from_secs(10);

struct Bench {
    clock: ManualClock,
    supervisor: Supervisor,
    progress: Progress,
    told: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    async fn start(watchdog: Option<Duration>) -> Self {
        let clock = ManualClock::new(UNIX_EPOCH);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let supervisor = Supervisor::new(Handle::current(), Arc::clone(&shared), DrainDeadlines::default());
        let health = Health::new(Arc::clone(&shared));
        let progress = health.register("journal", LIMIT);
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&told);
        let send = move |states: &[NotifyState<'_>]| {
            sink.lock().expect("no test panics here").extend(states.iter().map(ToString::to_string));
            Ok(())
        };
        let notifier = Notifier { send: Arc::new(send), watchdog };
        start(&supervisor.spawner(), notifier, health, shared);
        clock.sleepers(1).await;
        Self { clock, supervisor, progress, told }
    }

    /// What is told when `time` has passed.
    async fn after(&self, time: Duration) -> Vec<String> {
        self.told.lock().expect("no test panics here").clear();
        self.clock.advance(time);
        // The reporter runs on this very thread: it sleeps again when it has spoken.
        tokio::task::yield_now().await;
        self.clock.sleepers(1).await;
        self.told()
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().expect("no test panics here").clone()
    }
}

#[tokio::test]
async fn readiness_is_told_once_and_changes_of_it_as_status() {
    let bench = Bench::start(None).await;
    assert_eq!(bench.told(), ["STATUS=not ready: journal: starting"]);
    bench.progress.idle();
    assert_eq!(bench.after(CHECK_EVERY).await, ["READY=1", "STATUS=ready"]);
    assert_eq!(bench.after(CHECK_EVERY).await, Vec::<String>::new());
    bench.progress.failed("disk full");
    assert_eq!(bench.after(CHECK_EVERY).await, ["STATUS=not ready: journal: failed"]);
    bench.progress.advanced();
    assert_eq!(bench.after(CHECK_EVERY).await, ["STATUS=ready"]);
}

#[tokio::test]
async fn the_watchdog_goes_hungry_only_when_something_is_stuck() {
    let bench = Bench::start(Some(Duration::from_millis(400))).await;
    let pause = Duration::from_millis(200);
    bench.progress.idle();
    assert_eq!(bench.after(pause).await, ["READY=1", "STATUS=ready", "WATCHDOG=1"]);
    bench.progress.failed("disk full");
    assert_eq!(bench.after(pause).await, ["STATUS=not ready: journal: failed", "WATCHDOG=1"]);
    bench.progress.recovered();
    bench.progress.busy();
    assert_eq!(bench.after(LIMIT).await, ["STATUS=not ready: journal: stuck"]);
    assert_eq!(bench.after(pause).await, Vec::<String>::new());
    bench.progress.advanced();
    assert_eq!(bench.after(pause).await, ["STATUS=ready", "WATCHDOG=1"]);
}

#[tokio::test]
async fn the_end_is_told_and_the_watchdog_fed_until_then() {
    let bench = Bench::start(Some(Duration::from_millis(400))).await;
    let spawner = bench.supervisor.spawner();
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    spawner.spawn("slow", Policy::essential(DrainPhase::Commit), |_| released);
    let (clock, told) = (bench.clock.clone(), Arc::clone(&bench.told));
    let heard = async |count: usize| {
        while told.lock().expect("no test panics here").len() < count {
            tokio::task::yield_now().await;
        }
    };
    let test = async {
        heard(4).await;
        // The deadline of the phase and the watchdog.
        clock.sleepers(2).await;
        clock.advance(Duration::from_millis(200));
        heard(5).await;
        release.send(()).expect("the slow task waits");
    };
    let (exit, ()) = tokio::join!(bench.supervisor.run_until(std::future::ready(())), test);
    assert_eq!(exit, ExitCode::Good);
    assert_eq!(
        told.lock().expect("no test panics here")[1..],
        ["WATCHDOG=1", "STOPPING=1", "STATUS=draining", "WATCHDOG=1"]
    );
}
