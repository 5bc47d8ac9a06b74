use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::producer::Producer;
use weir_journal::{Journal, ReadBudget, ReadError, SubscriptionEvent};
use weir_model::Offset;

use crate::broker::{
    PATIENCE, World, append, create, eventually, name, next, next_batch, only, partition, receive, texts,
};
use crate::records::raw;

pub(crate) async fn a_new_topic_is_announced(world: &mut World) {
    let (writer, reader) = (world.open().await, world.open().await);
    create(&writer.journal, "first_announced_logs", 1).await;
    let sent = || async { writer.metric("weir_kafka_topic_events_total{outcome=\"sent\"}") == 1 };
    eventually("the event is sent", sent).await;
    let mut member = reader.journal.subscribe("announced", only("announced")).await.expect("a group");
    // The listing is ten minutes away: the reader knows of the topic because it was told.
    create(&writer.journal, "announced_logs", 1).await;
    append(&writer.journal, "announced_logs", "hello").await;
    assert_eq!(receive(&mut *member, 1).await[0].1, "hello");
    eventually("both events are sent", || async {
        writer.metric("weir_kafka_topic_events_total{outcome=\"sent\"}") == 2
    })
    .await;
    let (_, end) =
        world.outsider.client().fetch_watermarks("new_topic_events", 0, PATIENCE).expect("it is there");
    let found = raw(world, "new_topic_events", usize::try_from(end).expect("few"));
    assert_eq!(found.last(), Some(&(None, Vec::new(), b"announced_logs".to_vec())), "no key, no headers");
}

pub(crate) async fn a_topic_whose_event_was_lost_is_found_by_listing(world: &mut World) {
    let mut settings = world.settings();
    settings.listing_interval = Duration::from_secs(1);
    let reader = world.open_with(settings).await;
    let mut member = reader.journal.subscribe("listing", only("unsung")).await.expect("a group");
    let topic = NewTopic::new("unsung_logs", 1, TopicReplication::Fixed(1));
    let made = world.admin.create_topics([&topic], &AdminOptions::new()).await.expect("the broker answers");
    made.into_iter().for_each(|topic| drop(topic.expect("it can be made")));
    let writer = world.open().await;
    eventually("the topic is there", || async {
        let streams = writer.journal.streams().await.expect("they can be listed");
        streams.iter().any(|info| info.name == name("unsung_logs"))
    })
    .await;
    append(&writer.journal, "unsung_logs", "from the beginning").await;
    assert_eq!(receive(&mut *member, 1).await[0].1, "from the beginning");
}

/// Topics that go while others are looked at are left out of the list, which is whole otherwise.
pub(crate) async fn topics_can_be_listed_while_others_are_deleted(world: &mut World) {
    let opened = world.open().await;
    let doomed: Vec<_> = (0..10).map(|number| format!("doomed{number}_logs")).collect();
    let mut places = Vec::new();
    for topic in &doomed {
        places.push(partition(&create(&opened.journal, topic, 4).await, 0));
    }
    create(&opened.journal, "lasting_logs", 1).await;
    let list = async || {
        let streams = opened.journal.streams().await.expect("they can be listed");
        assert!(streams.iter().any(|info| info.name == name("lasting_logs")));
        streams.iter().filter(|info| info.name.as_str().starts_with("doomed")).count()
    };
    assert_eq!(list().await, doomed.len());
    let (mut deleting, mut all_gone) = (doomed.iter(), false);
    while !all_gone {
        let delete = async {
            match deleting.next() {
                Some(topic) => world.delete_topic(topic).await,
                None => tokio::task::yield_now().await,
            }
        };
        all_gone = tokio::join!(delete, list()).1 == 0;
    }
    for place in places {
        let read = opened.journal.read(&place, Offset::ZERO, ReadBudget { bytes: 1_000, records: 1 }).await;
        assert!(matches!(read, Err(ReadError::UnknownPartition(_))), "{read:?}");
    }
}

pub(crate) async fn a_topic_that_was_just_deleted_is_read_no_more(world: &mut World) {
    let opened = world.open().await;
    let place = partition(&create(&opened.journal, "short_logs", 4).await, 3);
    let read = || opened.journal.read(&place, Offset::ZERO, ReadBudget { bytes: 1_000, records: 1 });
    // The topic is made before each of its partitions has a leader.
    let is_empty = || async { read().await.is_ok_and(|batch| batch.records.is_empty()) };
    eventually("its last partition can be read", is_empty).await;
    // This journal has not listed topics since.
    world.delete_topic("short_logs").await;
    // The broker answers for it until it has heard of that.
    let error = loop {
        if let Err(error) = read().await {
            break error;
        }
    };
    assert!(matches!(error, ReadError::UnknownPartition(_)), "{error:?}");
}

pub(crate) async fn a_topic_that_was_made_again_is_another_one(world: &mut World) {
    let mut settings = world.settings();
    settings.listing_interval = Duration::from_secs(1);
    let opened = world.open_with(settings).await;
    let former = partition(&create(&opened.journal, "phoenix_logs", 1).await, 0);
    let mut member = opened.journal.subscribe("phoenix", only("phoenix")).await.expect("a group");
    for text in ["a", "b", "c"] {
        append(&opened.journal, "phoenix_logs", text).await;
    }
    assert_eq!(receive(&mut *member, 3).await.len(), 3);
    let commit = weir_journal::Commit { partition: former.clone(), offset: Offset(3) };
    opened.journal.commit("phoenix", std::slice::from_ref(&commit)).await.expect("it can be committed");
    world.delete_topic("phoenix_logs").await;
    let latter = partition(&create(&opened.journal, "phoenix_logs", 1).await, 0);
    assert_ne!(former.incarnation, latter.incarnation);
    append(&opened.journal, "phoenix_logs", "d").await;
    let mut told = Vec::new();
    loop {
        match next(&mut *member).await {
            SubscriptionEvent::Revoked(partitions) => told.extend(partitions),
            SubscriptionEvent::Assigned(assigned) => {
                assert_eq!(assigned[0].partition, latter);
                assert_eq!(assigned[0].next, Offset::ZERO);
            }
            SubscriptionEvent::Batch(batch) => {
                assert_eq!((&batch.partition, texts(&batch)), (&latter, vec!["d".to_owned()]));
                break;
            }
        }
    }
    assert_eq!(told, std::slice::from_ref(&former), "the former one is over");
    assert_eq!(opened.metric("weir_kafka_recreated_topics_total"), 1);
    // A commit that comes late is not taken for one of the new topic.
    opened.journal.commit("phoenix", &[commit]).await.expect("it changes nothing");
    drop(member);
    let mut again = opened.journal.subscribe("phoenix", only("phoenix")).await.expect("a group");
    assert_eq!(texts(&next_batch(&mut *again).await), ["d"]);
}
