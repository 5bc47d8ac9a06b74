use std::sync::Arc;

use rusqlite::Connection;
use tokio::runtime::Handle;
use weir_foundation::clock::SystemClock;
use weir_foundation::supervise::{DrainDeadlines, Spawner, Supervisor};
use weir_model::{Incarnation, StreamName, Timestamp};

use super::*;
use crate::sqlite::catalog::{Stream, new_partitions};

/// Groups over one partition, and somebody who makes writes of their file fail.
struct World {
    groups: Groups,
    partition: Arc<Partition>,
    meddler: Connection,
    spawner: Spawner,
    _directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let catalog = Catalog::default();
        let name = StreamName::new("shop_logs").expect("legal");
        let partitions = new_partitions(&name, Incarnation(1), 0, 1);
        let partition = Arc::clone(partitions.first().expect("it has one"));
        catalog.insert(Arc::new(Stream::new(name, Timestamp::default(), partitions)));
        let groups = Groups::open(directory.path(), &catalog).expect("opened");
        let meddler = Connection::open(directory.path().join("groups.db")).expect("opened");
        let supervisor = Supervisor::new(Handle::current(), Arc::new(SystemClock), DrainDeadlines::default());
        Self { groups, partition, meddler, spawner: supervisor.spawner(), _directory: directory }
    }

    fn refuse(&self, what: &str) {
        let trigger =
            format!("create trigger refuse before {what} on position begin select raise(abort, 'no'); end");
        self.meddler.execute_batch(&trigger).expect("made");
    }

    fn allow(&self) {
        self.meddler.execute_batch("drop trigger refuse").expect("dropped");
    }

    async fn commit(&self, group: &str, offset: u64) -> Result<(), GroupsError> {
        self.groups.commit(&self.spawner, group, vec![(Arc::clone(&self.partition), offset)]).await
    }

    fn committed(&self, group: &str) -> Option<u64> {
        self.groups.position(group, self.partition.id).map(|position| position.offset)
    }
}

#[tokio::test]
async fn what_was_refused_is_forgotten() {
    let world = World::new();
    world.commit("steady", 1).await.expect("committed");
    world.refuse("insert");
    for offset in 2..50 {
        world.commit("index", offset).await.expect_err("refused");
    }
    assert!(world.groups.memory().waiting.is_empty(), "retries pile nothing up");
    world.allow();
    world.commit("steady", 2).await.expect("committed");
    assert_eq!((world.committed("steady"), world.committed("index")), (Some(2), None));
}

#[tokio::test]
async fn a_deletion_that_failed_is_not_carried_out_later() {
    let world = World::new();
    world.commit("index", 7).await.expect("committed");
    world.refuse("delete");
    world.groups.delete(&world.spawner, "index").await.expect_err("refused");
    world.allow();
    let member = world.groups.join("index").expect("who wanted to delete it is gone");
    world.commit("other", 1).await.expect("committed");
    assert_eq!(world.committed("index"), Some(7));
    assert!(world.groups.join("index").is_none(), "it still has its member");
    drop(member);
    world.groups.delete(&world.spawner, "index").await.expect("deleted");
    assert!(!world.groups.memory().groups.contains_key("index"));
}

#[tokio::test]
async fn callers_at_once_share_writes_and_all_get_theirs() {
    let world = World::new();
    let names: Vec<String> = (0..40).map(|index| format!("group-{index}")).collect();
    let commits = names.iter().zip(1..).map(|(name, offset)| world.commit(name, offset));
    for outcome in futures_util::future::join_all(commits).await {
        outcome.expect("committed");
    }
    for (name, offset) in names.iter().zip(1..) {
        assert_eq!(world.committed(name), Some(offset));
    }
    assert!(world.groups.memory().waiting.is_empty());
}
