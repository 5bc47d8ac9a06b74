use std::time::SystemTime;

use weir_foundation::clock::{ManualClock, SystemClock};

use super::*;

const WINDOW: Duration = Duration::from_secs(10);

fn limits() -> (LocalLimiter, ManualClock) {
    let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
    (LocalLimiter::new(WINDOW, Arc::new(clock.clone())), clock)
}

fn rate(rate: u32) -> NonZeroU32 {
    NonZeroU32::new(rate).expect("tests use no zero")
}

fn over(rate: u32, wait_micros: u64) -> Result<(), OverLimit> {
    Err(OverLimit { rate, retry_after: Some(Duration::from_micros(wait_micros)) })
}

#[test]
fn a_bucket_starts_full_and_fills_at_its_rate() {
    let (limits, clock) = limits();
    let take = |events| limits.take(Scope::App("shop"), rate(3), events);
    assert_eq!(take(30), Ok(()));
    assert_eq!(take(1), over(3, 333_334));
    clock.advance(Duration::from_micros(333_333));
    assert_eq!(take(1), over(3, 1));
    clock.advance(Duration::from_micros(1));
    assert_eq!(take(1), Ok(()));
    clock.advance(WINDOW * 5);
    assert_eq!(take(30), Ok(()), "it holds no more than the window allows");
    assert_eq!(take(1), over(3, 333_334));
}

#[test]
fn a_batch_is_taken_whole_or_not_at_all() {
    let (limits, _clock) = limits();
    let take = |events| limits.take(Scope::App("shop"), rate(1), events);
    assert_eq!(take(7), Ok(()));
    assert_eq!(take(4), over(1, 1_000_000));
    assert_eq!(take(3), Ok(()));
    assert_eq!(take(0), Ok(()));
}

#[test]
fn what_never_fits_has_no_retry_delay() {
    let (limits, _clock) = limits();
    let never = Err(OverLimit { rate: 1, retry_after: None });
    assert_eq!(limits.take(Scope::App("shop"), rate(1), 11), never);
    assert_eq!(limits.take(Scope::App("shop"), rate(1), u32::MAX), never);
    assert_eq!(limits.take(Scope::App("shop"), rate(u32::MAX), u32::MAX), Ok(()));
}

#[test]
fn apps_and_the_group_have_buckets_of_their_own() {
    let (limits, _clock) = limits();
    assert_eq!(limits.take(Scope::App("app_group"), rate(1), 10), Ok(()));
    assert_eq!(limits.take(Scope::App("b"), rate(1), 10), Ok(()));
    assert_eq!(limits.take(Scope::Group, rate(1), 10), Ok(()));
    assert_eq!(limits.take(Scope::Group, rate(1), 1), over(1, 1_000_000));
}

#[test]
fn changing_the_rate_gives_nothing_away() {
    let (limits, clock) = limits();
    let app = Scope::App("shop");
    assert_eq!(limits.take(app, rate(100), 1000), Ok(()));
    assert_eq!(limits.take(app, rate(1000), 1), over(1000, 1000));
    clock.advance(Duration::from_millis(1));
    assert_eq!(limits.take(app, rate(1), 1), Ok(()), "filled at the rate that was named last");
}

#[test]
fn full_buckets_are_forgotten() {
    let (limits, clock) = limits();
    for app in 0..1000 {
        limits.take(Scope::App(&app.to_string()), rate(10), 50).expect("fits");
    }
    assert_eq!(limits.remembered(), 1000);
    clock.advance(WINDOW);
    for app in 1000..2000 {
        limits.take(Scope::App(&app.to_string()), rate(10), 50).expect("fits");
    }
    assert_eq!(limits.remembered(), 1000, "each shard was swept");
    assert_eq!(limits.take(Scope::App("never"), rate(1), 11).map_err(|over| over.retry_after), Err(None));
    assert_eq!(limits.remembered(), 1000, "who is refused at once leaves nothing behind");
}

#[test]
fn many_threads_take_no_more_than_there_is() {
    let (limits, _clock) = limits();
    let taken = std::thread::scope(|scope| {
        let take = || (0..1000).filter(|_| limits.take(Scope::App("shop"), rate(100), 1).is_ok()).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        threads.into_iter().map(|thread| thread.join().expect("does not panic")).sum::<usize>()
    });
    assert_eq!(taken, 1000);
}

#[test]
fn a_batch_that_the_group_refuses_costs_its_app_nothing() {
    let (limits, _clock) = limits();
    let asks =
        |app| [Ask { scope: Scope::App(app), rate: rate(2) }, Ask { scope: Scope::Group, rate: rate(1) }];
    assert_eq!(limits.take_all(&asks("a"), 6), Ok(()));
    assert_eq!(limits.take_all(&asks("a"), 6), over(1, 2_000_000));
    assert_eq!(limits.take_all(&asks("b"), 5), over(1, 1_000_000));
    assert_eq!(limits.take(Scope::App("a"), rate(2), 14), Ok(()));
    assert_eq!(limits.take(Scope::App("b"), rate(2), 20), Ok(()));
    assert_eq!(limits.take_all(&[], 1), Ok(()));
}

#[tokio::test]
async fn local_limits_keep_what_shared_ones_do() {
    let limits = LocalLimiter::new(crate::conformance::WINDOW, Arc::new(SystemClock));
    crate::conformance::all(&limits).await;
}
