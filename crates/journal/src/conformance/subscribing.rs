use std::collections::HashMap;
use std::task::Poll;

use weir_model::{Offset, StreamPartition};

use super::Factory;
use super::fixtures::{
    append, commit, create, everything, name, next_batch, partition, receive, record, text, texts,
};
use crate::seam::{StreamPattern, Subscription, SubscriptionEvent};

/// Everything that is there comes exactly once, in order per partition, after an assignment at its start.
pub async fn a_subscription_delivers_everything_once(make: &dyn Factory) {
    let journal = make.make().await;
    create(&*journal, "a_logs", 3).await;
    create(&*journal, "b_logs", 2).await;
    for index in 0..100 {
        append(&*journal, if index % 2 == 0 { "a_logs" } else { "b_logs" }, record(&index.to_string(), 1))
            .await;
    }
    let mut subscription = journal.subscribe("index", everything()).await.expect("the group is free");
    let first = subscription.next().await.expect("the subscription is open");
    let SubscriptionEvent::Assigned(assigned) = first else {
        unreachable!("assignments come first: {first:?}")
    };
    assert!(assigned.iter().all(|assignment| assignment.next == Offset::ZERO));
    let mut next: HashMap<StreamPartition, u64> = HashMap::new();
    for (place, stored) in receive(&mut *subscription, 100).await {
        let expected = next.entry(place).or_default();
        assert_eq!(stored.offset.0, *expected);
        *expected += 1;
    }
    assert_eq!(next.values().sum::<u64>(), 100);
}

async fn received_texts(subscription: &mut dyn Subscription, count: usize) -> Vec<String> {
    receive(subscription, count).await.iter().map(|(_, stored)| text(stored)).collect()
}

/// A group goes on where it committed, not where it read.
pub async fn a_subscription_resumes_at_the_commit(make: &dyn Factory) {
    let journal = make.make().await;
    let info = create(&*journal, "shop_logs", 1).await;
    for index in 0..10 {
        append(&*journal, "shop_logs", record(&index.to_string(), 1)).await;
    }
    let mut subscription = journal.subscribe("index", everything()).await.expect("the group is free");
    receive(&mut *subscription, 10).await;
    journal.commit("index", &[commit(&partition(&info, 0), 4)]).await.expect("a commit can be stored");
    drop(subscription);
    let mut again = journal.subscribe("index", everything()).await.expect("the member is gone");
    assert_eq!(received_texts(&mut *again, 6).await, ["4", "5", "6", "7", "8", "9"]);
    let mut other = journal.subscribe("tail", everything()).await.expect("another group is free");
    assert_eq!(receive(&mut *other, 10).await.len(), 10);
}

/// Of a paused partition nothing comes, and the others go on; sought, it goes on where it is told to.
pub async fn a_paused_partition_waits_to_be_sought(make: &dyn Factory) {
    let journal = make.make().await;
    let held = partition(&create(&*journal, "held_logs", 1).await, 0);
    create(&*journal, "other_logs", 1).await;
    for index in 0..10 {
        append(&*journal, "held_logs", record(&format!("held {index}"), 1)).await;
    }
    let mut subscription = journal.subscribe("index", everything()).await.expect("the group is free");
    receive(&mut *subscription, 10).await;
    subscription.pause(&held);
    for index in 0..20 {
        append(&*journal, "held_logs", record(&format!("held {}", 10 + index), 1)).await;
        append(&*journal, "other_logs", record(&format!("other {index}"), 1)).await;
        assert_eq!(received_texts(&mut *subscription, 1).await, [format!("other {index}")]);
    }
    subscription.seek(&held, Offset(8));
    let expected: Vec<_> = (8..30).map(|index| format!("held {index}")).collect();
    assert_eq!(received_texts(&mut *subscription, 22).await, expected);
}

/// A member that waits is woken by an append.
pub async fn a_subscription_wakes_up(make: &dyn Factory) {
    let journal = make.make().await;
    create(&*journal, "shop_logs", 2).await;
    let mut subscription = journal.subscribe("index", everything()).await.expect("the group is free");
    for round in 0..20 {
        let (batch, _) = tokio::join!(
            next_batch(&mut *subscription),
            append(&*journal, "shop_logs", record(&round.to_string(), 1)),
        );
        assert_eq!(texts(&batch.records), [round.to_string()]);
    }
}

/// Giving up `next` at any point loses no record and gives none twice.
pub async fn a_cancelled_next_loses_nothing(make: &dyn Factory) {
    let journal = make.make().await;
    create(&*journal, "shop_logs", 2).await;
    for index in 0..50 {
        append(&*journal, "shop_logs", record(&index.to_string(), 1)).await;
    }
    let mut subscription = journal.subscribe("index", everything()).await.expect("the group is free");
    let mut received = Vec::new();
    while received.len() < 50 {
        let polled = {
            let mut next = subscription.next();
            futures_util::poll!(&mut next)
        };
        let event = match polled {
            Poll::Ready(event) => event,
            // Given up; this one goes on with what that one began.
            Poll::Pending => subscription.next().await,
        };
        if let SubscriptionEvent::Batch(batch) = event.expect("the subscription is open") {
            received.extend(batch.records.iter().map(text));
        }
    }
    received.sort_by_key(|text| text.parse::<u32>().unwrap_or(u32::MAX));
    assert_eq!(received, (0..50).map(|index| index.to_string()).collect::<Vec<_>>());
}

/// A stream that is created later is assigned and delivered from its start.
pub async fn new_streams_are_discovered(make: &dyn Factory) {
    let journal = make.make().await;
    create(&*journal, "a_logs", 1).await;
    append(&*journal, "a_logs", record("a", 1)).await;
    let mut subscription = journal.subscribe("index", everything()).await.expect("the group is free");
    assert_eq!(texts(&next_batch(&mut *subscription).await.records), ["a"]);
    let info = create(&*journal, "b_logs", 1).await;
    append(&*journal, "b_logs", record("b", 1)).await;
    let assigned = subscription.next().await.expect("the subscription is open");
    let SubscriptionEvent::Assigned(assigned) = assigned else {
        unreachable!("the new stream is assigned before it is delivered: {assigned:?}")
    };
    let first = assigned.first().expect("an assignment names partitions");
    assert_eq!((&first.partition, first.next), (&partition(&info, 0), Offset::ZERO));
    assert_eq!(texts(&next_batch(&mut *subscription).await.records), ["b"]);
}

/// Only streams whose name starts and ends as asked for are delivered.
pub async fn the_pattern_selects_streams(make: &dyn Factory) {
    let journal = make.make().await;
    for stream in ["x_shop_logs", "x_shop_rows", "y_shop_logs"] {
        create(&*journal, stream, 1).await;
        append(&*journal, stream, record(stream, 1)).await;
    }
    let pattern = StreamPattern { prefix: "x_".into(), suffix: "_logs".into() };
    let mut subscription = journal.subscribe("index", pattern).await.expect("the group is free");
    create(&*journal, "y_new_logs", 1).await;
    append(&*journal, "y_new_logs", record("no", 1)).await;
    create(&*journal, "x_new_logs", 1).await;
    append(&*journal, "x_new_logs", record("x_new_logs", 1)).await;
    let mut received: Vec<_> =
        receive(&mut *subscription, 2).await.iter().map(|(_, stored)| text(stored)).collect();
    received.sort_unstable();
    assert_eq!(received, ["x_new_logs", "x_shop_logs"]);
}

/// A member can go back in a partition, and forward.
pub async fn seeking_goes_back(make: &dyn Factory) {
    let journal = make.make().await;
    let info = create(&*journal, "shop_logs", 1).await;
    for index in 0..5 {
        append(&*journal, "shop_logs", record(&index.to_string(), 1)).await;
    }
    let mut subscription = journal.subscribe("index", everything()).await.expect("the group is free");
    receive(&mut *subscription, 5).await;
    subscription.seek(&partition(&info, 0), Offset(3));
    assert_eq!(received_texts(&mut *subscription, 2).await, ["3", "4"]);
    subscription.seek(&partition(&info, 0), Offset(5));
    append(&*journal, "shop_logs", record("5", 1)).await;
    assert_eq!(texts(&next_batch(&mut *subscription).await.records), ["5"]);
}

/// A stream with much to deliver does not keep another one waiting.
pub async fn busy_partitions_do_not_starve_others(make: &dyn Factory) {
    let journal = make.make().await;
    create(&*journal, "busy_logs", 1).await;
    create(&*journal, "quiet_logs", 1).await;
    let large = "x".repeat(make.largest_record());
    for _ in 0..8 {
        append(&*journal, "busy_logs", record(&large, 1)).await;
    }
    append(&*journal, "quiet_logs", record("quiet", 1)).await;
    let mut subscription = journal.subscribe("index", everything()).await.expect("the group is free");
    let mut turns = 1;
    while next_batch(&mut *subscription).await.partition.stream != name("quiet_logs") {
        turns += 1;
    }
    assert!(turns <= 2, "the quiet stream had its turn after {turns} batches");
}

/// The receiver of changes fires on appends and on new streams.
pub async fn changes_are_announced(make: &dyn Factory) {
    let journal = make.make().await;
    let mut changes = journal.changes();
    changes.mark_unchanged();
    create(&*journal, "shop_logs", 1).await;
    changes.changed().await.expect("the journal is open");
    append(&*journal, "shop_logs", record("a", 1)).await;
    changes.changed().await.expect("the journal is open");
}
