//! Random actions and crashes, against a model that is a few vectors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use weir_journal::sqlite::{Retention, Settings, SqliteJournal, Undelivered};
use weir_journal::{Commit, Journal, LossReason, Origin, StreamPattern, SubscriptionEvent};
use weir_model::{ByteSize, Offset, StreamPartition};

use crate::support::{copy_of, create, name, read_from, record, settings, try_open};

#[derive(Debug, Clone)]
enum Action {
    Append {
        stream: u8,
        key: Option<u8>,
        size: u16,
        events: u8,
    },
    /// Of one group, in a partition chosen among all, at a part of what it holds.
    Commit {
        partition: u8,
        part: u8,
    },
    Read {
        partition: u8,
        part: u8,
    },
    Deliver,
    Reopen,
    Crash,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        12 => (0..3_u8, prop::option::of(0..5_u8), 0..3000_u16, 0..10_u8)
            .prop_map(|(stream, key, size, events)| Action::Append { stream, key, size, events }),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(partition, part)| Action::Commit { partition, part }),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(partition, part)| Action::Read { partition, part }),
        1 => Just(Action::Deliver),
        1 => Just(Action::Reopen),
        1 => Just(Action::Crash),
    ]
}

/// What each partition was answered to hold: text and number of events.
#[derive(Debug, Default)]
struct Model {
    partitions: BTreeMap<StreamPartition, Vec<(String, u32)>>,
    committed: BTreeMap<StreamPartition, u64>,
    appended: u32,
}

impl Model {
    fn choose(&self, index: u8) -> Option<(&StreamPartition, &Vec<(String, u32)>)> {
        self.partitions.iter().nth(usize::from(index) % self.partitions.len().max(1))
    }

    fn events(&self, place: &StreamPartition, offset: u64) -> u64 {
        self.partitions[place]
            .iter()
            .take(usize::try_from(offset).expect("small"))
            .map(|(_, events)| u64::from(*events))
            .sum()
    }
}

struct World {
    directory: tempfile::TempDir,
    journal: Arc<SqliteJournal>,
    model: Model,
}

const GROUP: &str = "index";

fn model_settings(directory: &std::path::Path) -> Settings {
    Settings {
        file_size: ByteSize(6_000),
        read_batch: ByteSize(4_000),
        maintenance: Duration::from_millis(5),
        retention: Retention { age: None, size: Some(ByteSize(500_000)), undelivered: Undelivered::Hold },
        ..settings(directory)
    }
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let journal = try_open(model_settings(directory.path())).expect("it opens");
        drop(journal.subscribe(GROUP, StreamPattern::default()).await.expect("free"));
        Self { directory, journal, model: Model::default() }
    }

    async fn act(&mut self, action: &Action) {
        match action {
            Action::Append { stream, key, size, events } => self.append(*stream, *key, *size, *events).await,
            Action::Commit { partition, part } => self.commit(*partition, *part).await,
            Action::Read { partition, part } => self.read(*partition, *part).await,
            Action::Deliver => self.deliver().await,
            Action::Reopen => {
                self.journal.close().await;
                self.journal = try_open(model_settings(self.directory.path())).expect("it opens");
            }
            Action::Crash => {
                let copy = copy_of(self.directory.path());
                self.journal.close().await;
                self.journal = try_open(model_settings(copy.path())).expect("it opens");
                self.directory = copy;
            }
        }
    }

    async fn append(&mut self, stream: u8, key: Option<u8>, size: u16, events: u8) {
        let stream = format!("stream{stream}_logs");
        let info = create(&*self.journal, &stream, u32::from(stream.len() as u8 % 3 + 1)).await;
        for bounds in info.partitions {
            self.model.partitions.entry(bounds.partition).or_default();
        }
        self.model.appended += 1;
        let text = format!("{}:{}", self.model.appended, "z".repeat(usize::from(size)));
        let key = key.map(|key| [key]);
        let appended = self
            .journal
            .append(
                &name(&stream),
                key.as_ref().map_or(Origin::Any, |key| Origin::Key(key)),
                vec![record(&text, u32::from(events))],
            )
            .await
            .expect("appended");
        let held = self.model.partitions.get_mut(&appended[0].partition).expect("the stream was created");
        assert_eq!(appended[0].offset.0, held.len() as u64, "offsets are dense");
        held.push((text, u32::from(events)));
    }

    async fn commit(&mut self, partition: u8, part: u8) {
        let Some((place, held)) = self.model.choose(partition) else { return };
        let place = place.clone();
        let offset = held.len() as u64 * u64::from(part) / 255;
        let commit = Commit { partition: place.clone(), offset: Offset(offset) };
        self.journal.commit(GROUP, &[commit]).await.expect("committed");
        let committed = self.model.committed.entry(place).or_default();
        *committed = (*committed).max(offset);
    }

    /// Everything that was answered is there; what is not is what the group has passed.
    async fn read(&self, partition: u8, part: u8) {
        let Some((place, held)) = self.model.choose(partition) else { return };
        let from = held.len() as u64 * u64::from(part) / 255;
        let batch = read_from(&*self.journal, place, from).await;
        let mut next = from;
        let mut losses = batch.losses.iter().peekable();
        let mut expired = |next: &mut u64| {
            let Some(loss) = losses.next_if(|loss| loss.from.0 == *next) else { return };
            assert_eq!(loss.reason, LossReason::Expired);
            let passed = self.model.committed.get(place).copied().unwrap_or(0);
            assert!(loss.to.0 <= passed, "{loss:?} was not passed, the group is at {passed}");
            let expected = self.model.events(place, loss.to.0) - self.model.events(place, *next);
            assert!(loss.events.is_none_or(|events| events == expected), "{loss:?} held {expected}");
            assert!(*next > 0 || loss.events.is_some());
            *next = loss.to.0;
        };
        // Retention may go on while this reads, so there may be more than one.
        for stored in &batch.records {
            expired(&mut next);
            let (text, events) = &held[usize::try_from(next).expect("small")];
            assert_eq!(stored.offset.0, next);
            assert_eq!(stored.first_event, Some(self.model.events(place, next)));
            assert_eq!(
                (stored.record.value.as_ref(), stored.record.events),
                (text.as_bytes(), Some(*events))
            );
            next += 1;
        }
        expired(&mut next);
        assert_eq!(next, held.len() as u64);
        assert_eq!(losses.next(), None);
    }

    /// A subscription gives exactly what the group has not passed.
    async fn deliver(&self) {
        let mut subscription = self.journal.subscribe(GROUP, StreamPattern::default()).await.expect("free");
        let mut missing: u64 =
            self.model.partitions.iter().map(|(place, held)| held.len() as u64 - self.committed(place)).sum();
        let mut next: BTreeMap<StreamPartition, u64> = BTreeMap::new();
        while missing > 0 {
            match subscription.next().await.expect("open") {
                SubscriptionEvent::Assigned(assignments) => {
                    for assignment in assignments {
                        assert_eq!(assignment.next.0, self.committed(&assignment.partition));
                        next.insert(assignment.partition, assignment.next.0);
                    }
                }
                SubscriptionEvent::Batch(batch) => {
                    assert!(batch.losses.is_empty(), "{:?}", batch.losses);
                    let next = next.get_mut(&batch.partition).expect("assigned before delivered");
                    for stored in &batch.records {
                        assert_eq!(stored.offset.0, *next);
                        *next += 1;
                        missing -= 1;
                    }
                }
                SubscriptionEvent::Revoked(_) => unreachable!("one member keeps what it has"),
            }
        }
    }

    fn committed(&self, place: &StreamPartition) -> u64 {
        self.model.committed.get(place).copied().unwrap_or(0)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_journal_is_what_the_model_says(actions in prop::collection::vec(action(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World::new().await;
            for action in &actions {
                world.act(action).await;
            }
            for partition in 0..world.model.partitions.len() {
                world.read(u8::try_from(partition).expect("few"), 0).await;
            }
            world.deliver().await;
            world.journal.close().await;
        });
    }
}
