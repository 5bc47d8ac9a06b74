use std::time::UNIX_EPOCH;

use super::*;
use crate::clock::ManualClock;

const LIMIT: Duration = Duration::from_secs(30);

struct Bench {
    clock: ManualClock,
    health: Health,
    progress: Progress,
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::new(UNIX_EPOCH);
        let health = Health::new(Arc::new(clock.clone()));
        let progress = health.register("store.delivery", LIMIT);
        Self { clock, health, progress }
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    #[track_caller]
    fn check(&self, expected: &str) {
        let states = self.health.readiness();
        assert_eq!(states.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
        assert_eq!(self.health.ready(), states[0].condition.is_ready());
    }
}

#[test]
fn silence_is_not_readiness() {
    let bench = Bench::new();
    bench.pass(3);
    bench.check("store.delivery: starting: starting for 3 s");
    assert!(!bench.health.ready());
    bench.progress.idle();
    bench.check("store.delivery: idle");
    assert!(bench.health.ready());
}

#[test]
fn work_without_progress_is_stuck_after_the_limit() {
    let bench = Bench::new();
    bench.progress.pending(12);
    bench.pass(29);
    bench.check("store.delivery: working");
    bench.pass(2);
    bench.check("store.delivery: stuck: 12 pending and no progress for 31 s");
    assert!(!bench.health.ready());
    bench.progress.advanced();
    bench.check("store.delivery: working");
}

#[test]
fn more_work_is_no_progress() {
    let bench = Bench::new();
    bench.progress.busy();
    bench.pass(20);
    bench.progress.busy();
    bench.progress.pending(2);
    bench.pass(20);
    bench.check("store.delivery: stuck: 2 pending and no progress for 40 s");
}

#[test]
fn the_time_counts_from_when_there_was_work() {
    let bench = Bench::new();
    bench.progress.idle();
    bench.pass(3600);
    bench.check("store.delivery: idle");
    bench.progress.busy();
    bench.pass(29);
    bench.check("store.delivery: working");
    bench.progress.idle();
    bench.pass(3600);
    bench.check("store.delivery: idle");
}

#[test]
fn busy_does_not_lower_a_count() {
    let bench = Bench::new();
    bench.progress.pending(12);
    bench.progress.busy();
    assert_eq!(bench.health.readiness()[0].pending, 12);
}

#[test]
fn a_failure_stands_until_something_is_done() {
    let bench = Bench::new();
    bench.progress.idle();
    bench.progress.failed("disk full");
    bench.check("store.delivery: failed: disk full");
    bench.progress.idle();
    bench.check("store.delivery: failed: disk full");
    bench.progress.advanced();
    bench.check("store.delivery: idle");
}

#[test]
fn a_degradation_is_shown_until_it_is_taken_back() {
    let bench = Bench::new();
    bench.progress.degraded("retrying");
    bench.progress.advanced();
    bench.check("store.delivery: degraded: retrying");
    assert!(bench.health.ready());
    bench.progress.failed("gave up");
    bench.check("store.delivery: failed: gave up");
    bench.progress.recovered();
    bench.check("store.delivery: idle");
}

#[test]
fn clones_speak_for_one_component_and_it_can_retire() {
    let bench = Bench::new();
    let clone = bench.progress.clone();
    clone.idle();
    bench.check("store.delivery: idle");
    clone.retire();
    assert!(bench.health.readiness().is_empty() && bench.health.ready());
}

#[test]
fn what_many_threads_begin_and_finish_leaves_nothing_pending() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    bench.progress.began();
                    bench.progress.done();
                }
            });
        }
    });
    bench.pass(3600);
    bench.check("store.delivery: idle");
    bench.progress.began();
    bench.pass(29);
    bench.check("store.delivery: working");
}
