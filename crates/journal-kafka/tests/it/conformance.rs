use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::admin::AdminOptions;
use rdkafka::producer::Producer;
use weir_journal::Journal;
use weir_journal::conformance::{Factory, Nature, cases};

use crate::broker::{PATIENCE, World};

/// Empties the broker for each journal.
struct Empty<'a>(&'a World);

impl Empty<'_> {
    fn topics(&self) -> Vec<String> {
        let metadata = self.0.outsider.client().fetch_metadata(None, PATIENCE).expect("the broker answers");
        let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
        names.filter(|name| !name.starts_with("__")).collect()
    }

    fn groups(&self) -> Vec<String> {
        let groups = self.0.outsider.client().fetch_group_list(None, PATIENCE).expect("the broker answers");
        groups.groups().iter().map(|group| group.name().to_owned()).collect()
    }
}

#[async_trait]
impl Factory for Empty<'_> {
    async fn make(&self) -> Arc<dyn Journal> {
        for topic in self.topics() {
            self.0.delete_topic(&topic).await;
        }
        let groups = self.groups();
        let names: Vec<_> = groups.iter().map(String::as_str).collect();
        if !names.is_empty() {
            let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(30)));
            let deleted = self.0.admin.delete_groups(&names, &options).await.expect("the broker answers");
            deleted.into_iter().for_each(|group| drop(group.expect("it is empty")));
        }
        self.0.open().await.journal
    }

    fn nature(&self) -> Nature {
        Nature::Shared
    }

    fn largest_record(&self) -> usize {
        990_000
    }
}

impl fmt::Debug for Empty<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kafka")
    }
}

#[expect(clippy::print_stderr, reason = "says which case fails")]
pub(crate) async fn the_journal_conforms(world: &mut World) {
    for case in cases(Nature::Shared) {
        eprintln!("  {}", case.name);
        crate::broker::within(case.name, (case.run)(&Empty(world))).await;
    }
}
