use std::time::{Duration, SystemTime};

use weir_foundation::clock::ManualClock;

use super::*;

const WINDOW: Duration = Duration::from_secs(900);

fn window(limit: usize) -> (BatchWindow, ManualClock) {
    let clock = ManualClock::new(SystemTime::UNIX_EPOCH + WINDOW * 10);
    (BatchWindow::new(BatchIdSettings { window: WINDOW, limit }, Arc::new(clock.clone())), clock)
}

async fn ticket(window: &BatchWindow, tag: BatchTag) -> Ticket {
    match window.claim(tag).await {
        Ok(Claim::Store(ticket)) => ticket,
        other => panic!("expected to store, not {other:?}"),
    }
}

async fn is_stored(window: &BatchWindow, tag: BatchTag) -> bool {
    matches!(window.claim(tag).await, Ok(Claim::Stored))
}

#[tokio::test]
async fn a_stored_batch_is_answered_from_the_window() {
    let (window, _clock) = window(10);
    let batch = tag("shop", "1", b"bytes");
    ticket(&window, batch).await.stored();
    assert!(is_stored(&window, batch).await);
    let other = BatchTag { digest: 0, ..batch };
    assert_eq!(window.claim(other).await.map(drop), Err(OtherBytes));
    assert!(!is_stored(&window, tag("shop2", "1", b"bytes")).await, "ids are scoped by app");
    assert!(!is_stored(&window, tag("shop", "2", b"bytes")).await);
}

#[test]
fn app_and_id_do_not_run_together() {
    assert_ne!(tag("ab", "c", b"").id, tag("a", "bc", b"").id);
}

#[tokio::test]
async fn those_who_wait_learn_the_outcome() {
    let (window, _clock) = window(10);
    let batch = tag("shop", "1", b"bytes");
    let first = ticket(&window, batch).await;
    let wait = || is_stored(&window, batch);
    let (a, b, ()) = tokio::join!(wait(), wait(), async { first.stored() });
    assert!(a && b);
}

#[tokio::test]
async fn when_storing_fails_one_of_those_who_wait_tries() {
    let (window, _clock) = window(10);
    let batch = tag("shop", "1", b"bytes");
    let first = ticket(&window, batch).await;
    let retry = async {
        match window.claim(batch).await {
            Ok(Claim::Store(ticket)) => {
                ticket.stored();
                "stored"
            }
            Ok(Claim::Stored) => "answered",
            Err(OtherBytes) => "refused",
        }
    };
    let same = async { window.claim(batch).await.map(drop) };
    let (tried, _, ()) = tokio::join!(retry, same, async { drop(first) });
    assert_eq!(tried, "stored");
    assert_eq!(window.len(), 1);
}

#[tokio::test]
async fn other_bytes_are_refused_while_the_first_are_being_stored() {
    let (window, _clock) = window(10);
    let batch = tag("shop", "1", b"bytes");
    let _first = ticket(&window, batch).await;
    assert_eq!(window.claim(tag("shop", "1", b"others")).await.map(drop), Err(OtherBytes));
}

#[tokio::test]
async fn the_window_is_bounded_by_time() {
    let (window, clock) = window(10);
    let batch = tag("shop", "1", b"bytes");
    ticket(&window, batch).await.stored();
    clock.advance(WINDOW);
    assert!(is_stored(&window, batch).await, "just inside");
    clock.advance(Duration::from_micros(1));
    assert!(!is_stored(&window, batch).await);
}

#[tokio::test]
async fn the_window_is_bounded_by_number() {
    let (window, _clock) = window(2);
    for id in ["1", "2", "3"] {
        ticket(&window, tag("shop", id, b"")).await.stored();
    }
    assert_eq!(window.len(), 2);
    assert!(!is_stored(&window, tag("shop", "1", b"")).await);
    assert!(is_stored(&window, tag("shop", "3", b"")).await);
}

#[tokio::test]
async fn the_journal_fills_the_window_in_any_order() {
    let (window, clock) = window(10);
    let now = Timestamp::from(clock.now());
    let batch =
        |id: &str, age: Duration| KnownBatch { tag: tag("shop", id, b""), received: now.saturating_sub(age) };
    window.remember(vec![
        batch("new", Duration::ZERO),
        batch("too old", WINDOW * 2),
        batch("old", WINDOW / 2),
        batch("new", Duration::ZERO),
    ]);
    assert_eq!(window.len(), 2);
    assert!(is_stored(&window, tag("shop", "old", b"")).await);
    clock.advance(WINDOW / 2 + Duration::from_secs(1));
    assert!(!is_stored(&window, tag("shop", "old", b"")).await);
    assert!(is_stored(&window, tag("shop", "new", b"")).await);
}

#[tokio::test]
async fn what_is_stored_of_a_batch_is_remembered_until_it_is_too_old() {
    let (window, clock) = window(10);
    let batch = tag("shop", "1", b"bytes");
    let mut first = ticket(&window, batch).await;
    first.progression().note(&[0, 2], 3);
    drop(first);
    assert_eq!(window.claim(tag("shop", "1", b"others")).await.map(drop), Err(OtherBytes));
    let mut second = ticket(&window, batch).await;
    assert_eq!(second.progression().left(&[(); 3]), [1]);
    drop(second);
    clock.advance(WINDOW / 2);
    let mut third = ticket(&window, batch).await;
    assert_eq!(third.progression().left(&[(); 3]), [1]);
    third.progression().note(&[1], 3);
    third.stored();
    clock.advance(WINDOW / 2 + Duration::from_secs(1));
    assert!(is_stored(&window, batch).await, "it is as old as its last part");
    clock.advance(WINDOW / 2);
    let mut again = ticket(&window, batch).await;
    assert_eq!(again.progression().left(&[(); 3]), [0, 1, 2]);
}
