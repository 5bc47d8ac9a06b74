use std::sync::Arc;

use crate::world::{World, ask, taken};

#[tokio::test]
async fn it_keeps_what_every_limiter_does() {
    let world = World::new();
    weir_limits::conformance::all(&world.limiter("suite:").await).await;
}

#[tokio::test]
async fn two_producers_share_a_budget() {
    let world = World::new();
    let (one, two) = (world.limiter("fleet:").await, world.limiter("fleet:").await);
    let ask = [ask("shop", 1)];
    assert!(taken(&one, &ask, 6).await);
    assert!(!taken(&two, &ask, 6).await);
    assert!(taken(&two, &ask, 3).await);
    let other = world.limiter("other:").await;
    assert!(taken(&other, &ask, 10).await, "another prefix is another budget");
}

#[tokio::test]
async fn many_at_once_take_no_more_than_there_is() {
    let world = World::new();
    let limiters = [world.limiter("many:").await, world.limiter("many:").await];
    let limiters = Arc::new(limiters);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40 {
        let limiters = Arc::clone(&limiters);
        tasks.spawn(async move {
            let mut took = 0;
            for _ in 0..20 {
                took += u32::from(taken(&limiters[number % 2], &[ask("shop", 5)], 1).await);
            }
            took
        });
    }
    let took: u32 = tasks.join_all().await.into_iter().sum();
    // Fifty at once, and five more for each second that the test took.
    assert!((50..=50 + 5 * 60).contains(&took), "{took}");
}
