//! A member of a group: a thread that speaks with librdkafka, and the subscription that takes what it brings.
//!
//! ```text
//! librdkafka ──▶ worker (thread) ──inbox──▶ subscription ──▶ caller
//!                   ▲ ╰── link: what is owned ──╮
//!                   ╰────── wishes, leave ──────┴── commits
//! ```
//!
//! The inbox holds little: what was fetched waits in librdkafka's queue, which is bounded. A caller that is slow
//! so stops the fetching, while the worker goes on answering the group.

mod inbox;
mod lanes;
mod link;
mod worker;

use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use weir_foundation::failure::chain;
use weir_foundation::supervise::{DrainPhase, Policy};
use weir_journal::{ReadError, StreamPattern, SubscribeError, Subscription, SubscriptionEvent};
use weir_model::{Offset, StreamPartition};

use self::inbox::Inbox;
pub(crate) use self::link::{Link, Part, list};
use self::worker::{Wanted, Worker};
use crate::section::GroupIds;
use crate::shared::Shared;

/// The subscription. Dropping it leaves the group.
pub(crate) struct Member {
    inbox: Arc<Inbox>,
}

impl Member {
    pub(crate) fn start(
        shared: &Arc<Shared>,
        group: &str,
        pattern: StreamPattern,
    ) -> Result<Self, SubscribeError> {
        let inbox = Arc::new(Inbox::new(shared.settings.read_batch.as_usize()));
        match shared.settings.group_ids {
            GroupIds::Shared => join(shared, group, group, Wanted::Pattern(pattern), &inbox)?,
            GroupIds::PerTopic => follow(shared, group, pattern, &inbox),
        }
        Ok(Self { inbox })
    }
}

fn join(
    shared: &Arc<Shared>,
    group: &str,
    id: &str,
    wanted: Wanted,
    inbox: &Arc<Inbox>,
) -> Result<(), SubscribeError> {
    let failed = |source| SubscribeError::Failed { group: group.to_owned(), source };
    let worker = Worker::new(shared, group, id, wanted, inbox).map_err(failed)?;
    let name = "journal.kafka.member";
    let policy = Policy::essential(DrainPhase::Close);
    let run = move |drain| {
        worker.run(&drain);
        Ok::<(), Infallible>(())
    };
    shared.spawner.spawn_thread(name, policy, run).map_err(|error| failed(error.into()))
}

/// Joins a group for each topic that matches, now and later.
fn follow(shared: &Arc<Shared>, group: &str, pattern: StreamPattern, inbox: &Arc<Inbox>) {
    let (shared, group, inbox) = (Arc::clone(shared), group.to_owned(), Arc::clone(inbox));
    let spawner = shared.spawner.clone();
    let policy = Policy::essential(DrainPhase::Close);
    spawner.spawn("journal.kafka.groups", policy, |drain| async move {
        let mut joined = HashSet::new();
        let mut versions = shared.catalog.versions();
        while !inbox.is_closed() {
            versions.borrow_and_update();
            for name in shared.catalog.all().into_keys().filter(|name| pattern.matches(name)) {
                if joined.contains(&name) {
                    continue;
                }
                let wanted = Wanted::Topic(name.clone());
                match join(&shared, &group, &GroupIds::PerTopic.id(&group, &name), wanted, &inbox) {
                    Ok(()) => drop(joined.insert(name)),
                    Err(error) => {
                        tracing::warn!(topic = %name, error = %chain(&error), "could not join a group")
                    }
                }
            }
            tokio::select! {
                () = drain.draining() => break,
                () = inbox.closed() => break,
                () = shared.has_closed() => break,
                changed = versions.changed() => if changed.is_err() { break },
                () = shared.clock.sleep(shared.settings.listing_interval) => {}
            }
        }
        Ok::<(), Infallible>(())
    });
}

#[async_trait]
impl Subscription for Member {
    async fn next(&mut self) -> Result<SubscriptionEvent, ReadError> {
        self.inbox.next().await
    }

    fn seek(&mut self, partition: &StreamPartition, offset: Offset) {
        self.inbox.seek(partition, offset);
    }

    fn pause(&mut self, partition: &StreamPartition) {
        self.inbox.pause(partition);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").finish_non_exhaustive()
    }
}
