//! The members of groups in this process, by group: who commits for a group must speak for its member.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use weir_model::{Incarnation, StreamPartition};

use crate::life::Life;
use crate::member::Link;

/// Members by the group that they were subscribed under, and the lives of partitions that were cut.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    links: Mutex<HashMap<String, Vec<Arc<Link>>>>,
    lives: Mutex<HashMap<(weir_model::StreamName, u32), Life>>,
}

impl Registry {
    fn links(&self) -> MutexGuard<'_, HashMap<String, Vec<Arc<Link>>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, group: &str, link: Arc<Link>) {
        self.links().entry(group.to_owned()).or_default().push(link);
    }

    /// A member has left its group.
    pub(crate) fn remove(&self, group: &str, link: &Arc<Link>) {
        let mut links = self.links();
        if let Some(of_group) = links.get_mut(group) {
            of_group.retain(|known| !Arc::ptr_eq(known, link));
            if of_group.is_empty() {
                links.remove(group);
            }
        }
    }

    pub(crate) fn of_group(&self, group: &str) -> Vec<Arc<Link>> {
        self.links().get(group).cloned().unwrap_or_default()
    }

    /// All members of this process that are leaving.
    pub(crate) fn leaving(&self) -> Vec<Arc<Link>> {
        self.links().values().flatten().filter(|link| link.is_leaving()).cloned().collect()
    }

    /// Ids of groups, as the brokers know them, that have a member here that stays.
    pub(crate) fn live(&self) -> Vec<String> {
        let links = self.links();
        links.values().flatten().filter(|link| !link.is_leaving()).map(|link| link.group_id.clone()).collect()
    }

    pub(crate) fn leave_all(&self) {
        self.links().values().flatten().for_each(|link| link.leave());
    }

    /// A partition is in this life, as a member here found.
    pub(crate) fn note_life(&self, partition: &StreamPartition, life: Life) {
        let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        lives.insert((partition.stream.clone(), partition.partition.0), life);
    }

    /// The life that a partition of a topic is in, as far as members here know.
    pub(crate) fn life(&self, stream: &weir_model::StreamName, partition: u32, topic: Incarnation) -> Life {
        let lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lives.get(&(stream.clone(), partition)).copied();
        known.filter(|life| life.topic == topic).unwrap_or(Life::whole(topic))
    }
}
