//! The topics that are known, as of the last look at the brokers.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::HashMap;
use tokio::sync::watch;
use weir_model::{Incarnation, PartitionIndex, StreamName, StreamPartition};

/// A topic with a legal name that is not Kafka's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) name: StreamName,
    pub(crate) life: Incarnation,
    pub(crate) partitions: u32,
}

#[derive(Debug)]
pub(crate) struct Catalog {
    topics: RwLock<Topics>,
    /// Changes with the catalog.
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Topics {
    known: HashMap<StreamName, Arc<Topic>>,
    /// The lives of topics that are gone, should one of that name come.
    former: HashMap<StreamName, Incarnation>,
}

/// What a look at the brokers found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) added: Vec<StreamName>,
    pub(crate) recreated: Vec<StreamName>,
    pub(crate) grown: Vec<StreamName>,
    pub(crate) gone: Vec<StreamName>,
}

impl Topic {
    pub(crate) fn place(&self, partition: u32) -> StreamPartition {
        StreamPartition {
            stream: self.name.clone(),
            incarnation: self.life,
            partition: PartitionIndex(partition),
        }
    }
}

impl Catalog {
    pub(crate) fn new() -> Self {
        Self { topics: RwLock::default(), version: watch::Sender::new(0) }
    }

    pub(crate) fn get(&self, name: &StreamName) -> Option<Arc<Topic>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).known.get(name).cloned()
    }

    /// All, in the order of their names.
    pub(crate) fn all(&self) -> BTreeMap<StreamName, Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.known.iter().map(|(name, topic)| (name.clone(), Arc::clone(topic))).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).known.len()
    }

    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// A topic was looked at, or made.
    pub(crate) fn note(&self, topic: Topic) -> News {
        let mut news = News::default();
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        put(&mut topics, topic, &mut news);
        drop(topics);
        self.announce(&news);
        news
    }

    /// A topic is not there.
    pub(crate) fn forget(&self, name: &StreamName) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = topics.known.remove(name) else { return };
        topics.former.insert(name.clone(), known.life);
        drop(topics);
        self.changed();
    }

    /// These are all topics that there are.
    pub(crate) fn replace(&self, all: Vec<Topic>) -> News {
        let mut news = News::default();
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut topics.known);
        for topic in all {
            if let Some(known) = before.remove(&topic.name) {
                topics.known.insert(topic.name.clone(), known);
            }
            put(&mut topics, topic, &mut news);
        }
        for (name, topic) in before {
            topics.former.insert(name.clone(), topic.life);
            news.gone.push(name);
        }
        drop(topics);
        self.announce(&news);
        news
    }

    fn announce(&self, news: &News) {
        if *news != News::default() {
            self.changed();
        }
    }

    fn changed(&self) {
        self.version.send_modify(|version| *version = version.wrapping_add(1));
    }
}

fn put(topics: &mut Topics, topic: Topic, news: &mut News) {
    let name = topic.name.clone();
    match topics.known.get(&name) {
        None => match topics.former.remove(&name) {
            Some(former) if former != topic.life => news.recreated.push(name.clone()),
            _ => news.added.push(name.clone()),
        },
        Some(known) if known.life != topic.life => news.recreated.push(name.clone()),
        Some(known) if known.partitions != topic.partitions => news.grown.push(name.clone()),
        Some(_) => return,
    }
    topics.known.insert(name, Arc::new(topic));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> StreamName {
        StreamName::new(text).expect("it is legal")
    }

    fn topic(text: &str, life: u64, partitions: u32) -> Topic {
        Topic { name: name(text), life: Incarnation(life), partitions }
    }

    #[test]
    fn what_changed_is_told() {
        let catalog = Catalog::new();
        let mut versions = catalog.versions();
        let news =
            catalog.replace(vec![topic("a", 1, 1), topic("b", 2, 1), topic("c", 3, 1), topic("d", 4, 1)]);
        assert_eq!(news.added.len(), 4);
        assert!(versions.has_changed().is_ok_and(|changed| changed));
        versions.mark_unchanged();
        let same =
            catalog.replace(vec![topic("a", 1, 1), topic("b", 2, 1), topic("c", 3, 1), topic("d", 4, 1)]);
        assert_eq!(same, News::default());
        assert!(versions.has_changed().is_ok_and(|changed| !changed));
        let news =
            catalog.replace(vec![topic("a", 1, 1), topic("b", 9, 1), topic("c", 3, 4), topic("e", 5, 1)]);
        let expected = News {
            added: vec![name("e")],
            recreated: vec![name("b")],
            grown: vec![name("c")],
            gone: vec![name("d")],
        };
        assert_eq!(news, expected);
        assert_eq!(catalog.note(topic("e", 5, 1)), News::default());
        assert_eq!(catalog.len(), 4);
        assert_eq!(catalog.note(topic("d", 40, 1)).recreated, [name("d")], "it was another one before");
        catalog.forget(&name("a"));
        assert_eq!(catalog.note(topic("a", 1, 1)).added, [name("a")]);
    }
}
