use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::admin::AdminOptions;
use weir_journal::{Commit, Journal, Loss, LossReason, Origin, Subscription, SubscriptionEvent};
use weir_journal_kafka::GroupIds;
use weir_model::{Offset, StreamPartition};

use crate::broker::{
    Opened, World, append, create, eventually, name, next, next_batch, only, partition, receive, record,
    texts, within,
};

fn commit(partition: &StreamPartition, offset: u64) -> Commit {
    Commit { partition: partition.clone(), offset: Offset(offset) }
}

async fn fill(opened: &Opened, topic: &str, count: usize) {
    for index in 0..count {
        append(&opened.journal, topic, &index.to_string()).await;
    }
}

/// Takes events for both members until each has partitions.
async fn settle(first: &mut dyn Subscription, second: &mut dyn Subscription) -> [Vec<StreamPartition>; 2] {
    let mut owned: [Vec<StreamPartition>; 2] = Default::default();
    while owned.iter().any(Vec::is_empty) || owned.iter().map(Vec::len).sum::<usize>() != 4 {
        let (index, event) = tokio::select! {
            event = next(first) => (0, event),
            event = next(second) => (1, event),
        };
        match event {
            SubscriptionEvent::Assigned(assigned) => {
                owned[index].extend(assigned.into_iter().map(|assignment| assignment.partition));
            }
            SubscriptionEvent::Revoked(revoked) => {
                owned[index].retain(|partition| !revoked.contains(partition))
            }
            SubscriptionEvent::Batch(_) => {}
        }
    }
    owned
}

pub(crate) async fn members_share_partitions(world: &mut World) {
    let (one, two) = (world.open().await, world.open().await);
    create(&one.journal, "shared_logs", 4).await;
    create(&two.journal, "shared_logs", 4).await;
    let mut first = one.journal.subscribe("sharing", only("shared")).await.expect("a group");
    let mut second = two.journal.subscribe("sharing", only("shared")).await.expect("the group takes another");
    let owned = settle(&mut *first, &mut *second).await;
    assert_eq!(owned.each_ref().map(Vec::len), [2, 2], "{owned:?}");
    for index in 0..40 {
        let key = format!("key {index}");
        let appended =
            one.journal.append(&name("shared_logs"), Origin::Key(key.as_bytes()), vec![record(&key)]).await;
        appended.expect("it can be appended");
    }
    let mut received = BTreeMap::new();
    while received.len() < 40 {
        let (member, batch) = tokio::select! {
            batch = next_batch(&mut *first) => (0, batch),
            batch = next_batch(&mut *second) => (1, batch),
        };
        assert!(owned[member].contains(&batch.partition));
        for text in texts(&batch) {
            assert!(received.insert(text, member).is_none(), "nothing comes twice");
        }
    }
    drop(first);
    let mut taken = 0;
    while taken < 2 {
        if let SubscriptionEvent::Assigned(assigned) = next(&mut *second).await {
            taken += assigned.len();
        }
    }
}

pub(crate) async fn what_is_committed_on_revocation_is_not_delivered_again(world: &mut World) {
    let (one, two) = (world.open().await, world.open().await);
    create(&one.journal, "moving_logs", 2).await;
    create(&two.journal, "moving_logs", 2).await;
    let mut first = one.journal.subscribe("moving", only("moving")).await.expect("a group");
    for index in 0..20 {
        let key = index.to_string();
        let appended =
            one.journal.append(&name("moving_logs"), Origin::Key(key.as_bytes()), vec![record(&key)]).await;
        appended.expect("it can be appended");
    }
    let mut reached = BTreeMap::new();
    let mut count = 0;
    while count < 20 {
        let batch = next_batch(&mut *first).await;
        count += batch.records.len();
        reached.insert(batch.partition.clone(), batch.next);
    }
    let mut second = two.journal.subscribe("moving", only("moving")).await.expect("the group takes another");
    let revoked = loop {
        let event = tokio::select! {
            event = next(&mut *first) => event,
            event = next(&mut *second) => {
                assert!(!matches!(event, SubscriptionEvent::Batch(_)), "nothing was committed: {event:?}");
                continue;
            }
        };
        if let SubscriptionEvent::Revoked(partitions) = event
            && !partitions.is_empty()
        {
            break partitions;
        }
    };
    assert_eq!(revoked.len(), 1, "the other partition stays where it is");
    let done = Commit { partition: revoked[0].clone(), offset: reached[&revoked[0]] };
    one.journal.commit("moving", std::slice::from_ref(&done)).await.expect("it can be committed");
    let assigned = loop {
        let event = tokio::select! {
            _ = next(&mut *first) => continue,
            event = next(&mut *second) => event,
        };
        if let SubscriptionEvent::Assigned(assigned) = event {
            break assigned;
        }
    };
    assert_eq!((&assigned[0].partition, assigned[0].next), (&done.partition, done.offset));
    // Too late, it is another member's: that it does not count is no failure.
    let back = Commit { offset: Offset(done.offset.0 + 5), ..done.clone() };
    one.journal.commit("moving", &[back]).await.expect("it changes nothing");
    let groups = two.journal.groups().await.expect("they can be listed");
    let group = groups.iter().find(|group| group.name == "moving").expect("it is there");
    assert!(group.live);
    let position = group.positions.iter().find(|position| position.partition == done.partition);
    assert_eq!(position.map(|position| position.committed), Some(done.offset));
}

/// The group waits for what the member does about partitions that it is to give up.
pub(crate) async fn a_member_leaves_in_the_middle_of_a_rebalance(world: &mut World) {
    let (one, two) = (world.open().await, world.open().await);
    create(&one.journal, "halfway_logs", 2).await;
    create(&two.journal, "halfway_logs", 2).await;
    let mut first = one.journal.subscribe("halfway", only("halfway")).await.expect("a group");
    while !matches!(next(&mut *first).await, SubscriptionEvent::Assigned(assigned) if !assigned.is_empty()) {}
    let mut second =
        two.journal.subscribe("halfway", only("halfway")).await.expect("the group takes another");
    while !matches!(next(&mut *first).await, SubscriptionEvent::Revoked(revoked) if !revoked.is_empty()) {}
    // It asks for nothing more, so that what it was told is not dealt with.
    drop(first);
    within("it leaves", one.journal.close()).await;
    let mut taken = 0;
    while taken < 2 {
        if let SubscriptionEvent::Assigned(assigned) = next(&mut *second).await {
            taken += assigned.len();
        }
    }
}

pub(crate) async fn topics_may_have_groups_of_their_own(world: &mut World) {
    let mut settings = world.settings();
    settings.group_ids = GroupIds::PerTopic;
    let opened = world.open_with(settings).await;
    let mut member = opened.journal.subscribe("own", only("own_")).await.expect("a group");
    let place = partition(&create(&opened.journal, "own_a_logs", 1).await, 0);
    create(&opened.journal, "own_b_logs", 1).await;
    append(&opened.journal, "own_a_logs", "a").await;
    append(&opened.journal, "own_b_logs", "b").await;
    let mut received: Vec<_> = receive(&mut *member, 2).await.into_iter().map(|(_, text)| text).collect();
    received.sort_unstable();
    assert_eq!(received, ["a", "b"]);
    opened.journal.commit("own", &[commit(&place, 1)]).await.expect("it can be committed");
    let groups = opened.journal.groups().await.expect("they can be listed");
    let of_a = groups.iter().find(|group| group.name == "own_own_a_logs").expect("the topic has a group");
    assert_eq!(of_a.positions.iter().map(|position| position.committed).collect::<Vec<_>>(), [Offset(1)]);
    drop(member);
    opened.journal.delete_group("own").await.expect("nobody is in it");
}

async fn delete_below(world: &World, topic: &str, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, rdkafka::Offset::Offset(offset)).expect("legal");
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(30)));
    world.admin.delete_records(&list, &options).await.expect("the broker answers");
}

pub(crate) async fn what_expired_is_told(world: &mut World) {
    let opened = world.open().await;
    let place = partition(&create(&opened.journal, "expired_logs", 1).await, 0);
    fill(&opened, "expired_logs", 8).await;
    opened.journal.commit("expired", &[commit(&place, 2)]).await.expect("it can be committed");
    delete_below(world, "expired_logs", 5).await;
    let mut member = opened.journal.subscribe("expired", only("expired")).await.expect("a group");
    let SubscriptionEvent::Assigned(assigned) = next(&mut *member).await else {
        unreachable!("assignments come first")
    };
    assert_eq!(assigned[0].next, Offset(2));
    let batch = next_batch(&mut *member).await;
    let loss = Loss { from: Offset(2), to: Offset(5), events: None, reason: LossReason::Expired };
    assert_eq!((batch.losses, batch.next), (vec![loss], Offset(5)));
    let received: Vec<_> = receive(&mut *member, 3).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(received, ["5", "6", "7"]);
    assert_eq!(opened.metric("weir_kafka_expired_offsets_total"), 3);
    // A group that never committed begins with what is there.
    let mut other = opened.journal.subscribe("fresh", only("expired")).await.expect("a group");
    assert_eq!(receive(&mut *other, 3).await[0].1, "5");
}

pub(crate) async fn what_expired_under_a_running_member_is_told(world: &mut World) {
    let opened = world.open().await;
    let place = partition(&create(&opened.journal, "overtaken_logs", 1).await, 0);
    fill(&opened, "overtaken_logs", 8).await;
    let mut member = opened.journal.subscribe("overtaken", only("overtaken")).await.expect("a group");
    receive(&mut *member, 8).await;
    delete_below(world, "overtaken_logs", 6).await;
    member.seek(&place, Offset(1));
    let batch = next_batch(&mut *member).await;
    let loss = Loss { from: Offset(1), to: Offset(6), events: None, reason: LossReason::Expired };
    assert_eq!((batch.losses, batch.next), (vec![loss], Offset(6)));
    let received: Vec<_> = receive(&mut *member, 2).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(received, ["6", "7"]);
}

pub(crate) async fn a_log_that_was_cut_goes_on_in_another_incarnation(world: &mut World) {
    let opened = world.open().await;
    let place = partition(&create(&opened.journal, "cut_logs", 1).await, 0);
    fill(&opened, "cut_logs", 3).await;
    // The group has dealt with more than the log holds: what is appended gets offsets that were given before.
    opened.journal.commit("cut", &[commit(&place, 7)]).await.expect("it can be committed");
    let mut member = opened.journal.subscribe("cut", only("cut")).await.expect("a group");
    append(&opened.journal, "cut_logs", "new").await;
    let mut received = Vec::new();
    let mut lives = Vec::new();
    while received.last().is_none_or(|text| text != "new") {
        match next(&mut *member).await {
            SubscriptionEvent::Assigned(assigned) => lives.extend(assigned),
            SubscriptionEvent::Batch(batch) => {
                assert_eq!(batch.partition, lives[0].partition);
                received.extend(texts(&batch));
            }
            SubscriptionEvent::Revoked(revoked) => assert!(revoked.is_empty(), "{revoked:?}"),
        }
    }
    assert_ne!(lives[0].partition.incarnation, place.incarnation, "the offsets are new");
    assert_eq!(opened.metric("weir_kafka_cut_partitions_total"), 1);
    let life = lives[0].partition.clone();
    opened.journal.commit("cut", &[commit(&life, 4)]).await.expect("it can be committed");
    let streams = opened.journal.streams().await.expect("they can be listed");
    let info = streams.iter().find(|info| info.name == name("cut_logs")).expect("it is there");
    assert_eq!(partition(info, 0), life, "tails and audits see the life of now");
    drop(member);
    // Another process goes on in the same life.
    let other = world.open().await;
    let mut again = other.journal.subscribe("cut", only("cut")).await.expect("a group");
    let SubscriptionEvent::Assigned(assigned) = next(&mut *again).await else {
        unreachable!("assignments come first")
    };
    assert_eq!((&assigned[0].partition, assigned[0].next), (&life, Offset(4)));
    eventually("nobody else finds a cut", || async { other.metric("weir_kafka_cut_partitions_total") == 0 })
        .await;
}
