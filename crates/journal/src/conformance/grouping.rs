use weir_model::{BatchTag, Offset, StreamPartition, Timestamp};

use super::fixtures::{
    NO_LIMIT, append, commit, create, everything, next_batch, partition, read_all, record, tagged, texts,
};
use super::{Factory, Nature};
use crate::error::{CommitError, SubscribeError};
use crate::seam::{Journal, KnownBatch, Loss, LossReason};

/// A second member of a group is refused while the first lives.
pub async fn a_group_has_one_member(make: &dyn Factory) {
    let journal = make.make().await;
    let first = journal.subscribe("index", everything()).await.expect("the group is free");
    let second = journal.subscribe("index", everything()).await;
    assert!(matches!(second, Err(SubscribeError::Taken(group)) if group == "index"));
    drop(first);
    journal.subscribe("index", everything()).await.expect("the member is gone");
}

async fn committed(journal: &dyn Journal, group: &str, partition: &StreamPartition) -> Option<Offset> {
    let groups = journal.groups().await.expect("groups can be listed");
    let positions = &groups.iter().find(|info| info.name == group)?.positions;
    positions.iter().find(|position| position.partition == *partition).map(|position| position.committed)
}

/// A commit behind an earlier one changes nothing.
pub async fn a_commit_never_goes_back(make: &dyn Factory) {
    let journal = make.make().await;
    let info = create(&*journal, "shop_logs", 1).await;
    let place = partition(&info, 0);
    for index in 0..5 {
        append(&*journal, "shop_logs", record(&index.to_string(), 1)).await;
    }
    for (offset, expected) in [(3, 3), (1, 3), (3, 3), (5, 5), (0, 5)] {
        journal.commit("index", &[commit(&place, offset)]).await.expect("a commit can be stored");
        assert_eq!(committed(&*journal, "index", &place).await, Some(Offset(expected)));
    }
}

/// Offsets below a commit are never given again; readers are told that they are cut.
pub async fn a_commit_beyond_the_end_moves_the_end(make: &dyn Factory) {
    let journal = make.make().await;
    let info = create(&*journal, "shop_logs", 1).await;
    let place = partition(&info, 0);
    append(&*journal, "shop_logs", record("before", 2)).await;
    let mut subscription = journal.subscribe("tail", everything()).await.expect("the group is free");
    assert_eq!(texts(&next_batch(&mut *subscription).await.records), ["before"]);
    journal.commit("index", &[commit(&place, 7)]).await.expect("a commit can be stored");
    let after = append(&*journal, "shop_logs", record("after", 3)).await;
    assert_eq!(after.offset, Offset(7));
    let cut = Loss { from: Offset(1), to: Offset(7), events: None, reason: LossReason::Cut };
    let batch = read_all(&*journal, &place).await;
    assert_eq!(texts(&batch.records), ["before", "after"]);
    assert_eq!(batch.losses, [cut]);
    assert_eq!(batch.records.iter().map(|stored| stored.first_event).collect::<Vec<_>>(), [Some(0), Some(2)]);
    let middle = journal.read(&place, Offset(4), NO_LIMIT).await.expect("a gap can be read");
    assert_eq!(middle.losses, [Loss { from: Offset(4), ..cut }]);
    assert_eq!(texts(&middle.records), ["after"]);
    let mut told = Vec::new();
    let mut received = Vec::new();
    while received.is_empty() {
        let batch = next_batch(&mut *subscription).await;
        told.extend(batch.losses);
        received.extend(texts(&batch.records));
    }
    assert_eq!((told, received), (vec![cut], vec!["after".to_owned()]));
}

/// Groups that committed or subscribed are known, with where they are and whether they live.
pub async fn groups_are_listed(make: &dyn Factory) {
    let journal = make.make().await;
    let info = create(&*journal, "shop_logs", 2).await;
    append(&*journal, "shop_logs", record("a", 1)).await;
    assert!(journal.groups().await.expect("groups can be listed").is_empty());
    let subscription = journal.subscribe("live", everything()).await.expect("the group is free");
    let place = partition(&info, 0);
    journal.commit("gone", &[commit(&place, 1)]).await.expect("a commit can be stored");
    let groups = journal.groups().await.expect("groups can be listed");
    let seen: Vec<_> = groups.iter().map(|group| (group.name.as_str(), group.live)).collect();
    assert_eq!(seen, [("gone", false), ("live", true)]);
    assert_eq!(committed(&*journal, "gone", &place).await, Some(Offset(1)));
    drop(subscription);
    let groups = journal.groups().await.expect("groups can be listed");
    assert!(groups.iter().all(|group| !group.live));
}

/// A group that was deleted begins again at the start.
pub async fn a_deleted_group_is_forgotten(make: &dyn Factory) {
    let journal = make.make().await;
    let info = create(&*journal, "shop_logs", 1).await;
    append(&*journal, "shop_logs", record("a", 1)).await;
    journal.commit("index", &[commit(&partition(&info, 0), 1)]).await.expect("a commit can be stored");
    journal.delete_group("index").await.expect("a group can be deleted");
    assert!(journal.groups().await.expect("groups can be listed").is_empty());
    journal.delete_group("never there").await.expect("nothing to delete is no failure");
    let mut again = journal.subscribe("index", everything()).await.expect("the group is free");
    assert_eq!(texts(&next_batch(&mut *again).await.records), ["a"]);
}

/// A group that reads is not deleted.
pub async fn a_live_group_is_not_deleted(make: &dyn Factory) {
    let journal = make.make().await;
    let info = create(&*journal, "shop_logs", 1).await;
    let place = partition(&info, 0);
    append(&*journal, "shop_logs", record("a", 1)).await;
    let subscription = journal.subscribe("index", everything()).await.expect("the group is free");
    journal.commit("index", &[commit(&place, 1)]).await.expect("a commit can be stored");
    let refused = journal.delete_group("index").await;
    assert!(matches!(&refused, Err(CommitError::Live(group)) if group == "index"), "{refused:?}");
    if make.nature() == Nature::Embedded {
        let second = journal.subscribe("index", everything()).await;
        assert!(matches!(second, Err(SubscribeError::Taken(_))), "it still has its member");
    }
    assert_eq!(committed(&*journal, "index", &place).await, Some(Offset(1)));
    drop(subscription);
    journal.delete_group("index").await.expect("the member is gone");
}

/// Batches with a tag are found by the time of their receipt.
pub async fn tagged_batches_are_known(make: &dyn Factory) {
    let journal = make.make().await;
    create(&*journal, "shop_logs", 2).await;
    for (id, received) in [(1, 100), (2, 200), (3, 300)] {
        append(&*journal, "shop_logs", tagged(id, received)).await;
    }
    append(&*journal, "shop_logs", record("untagged", 1)).await;
    let known = |id: u128, received: i64| KnownBatch {
        tag: BatchTag { id, digest: !id },
        received: Timestamp::from_micros(received),
    };
    let check = async |since: i64, most: usize, expected: &[KnownBatch]| {
        let batches = journal.known_batches(Timestamp::from_micros(since), most).await;
        assert_eq!(batches.expect("known batches can be listed"), expected, "{most} since {since}");
    };
    check(0, 3, &[known(1, 100), known(2, 200), known(3, 300)]).await;
    check(0, 2, &[known(2, 200), known(3, 300)]).await;
    check(0, 0, &[]).await;
    check(200, usize::MAX, &[known(2, 200), known(3, 300)]).await;
    check(301, usize::MAX, &[]).await;
}
