//! The roles in processes of their own, around servers that tests share or have for themselves.

use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use weir_services::{Engine, Home, Kafka, Search};
use weir_system_tests::documents::Documents;
use weir_system_tests::load;
use weir_system_tests::process::{Setup, Weir};
use weir_system_tests::wait::until_seldom;
use weir_wire::proto::producer::Timber;

use crate::kafka::{Books, Outsider};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Brokers, an OpenSearch, and a place for the processes of one test.
pub(crate) struct World {
    /// What is only this test's begins so: apps, topics, indices; the group is called so.
    pub(crate) name: &'static str,
    pub(crate) brokers: String,
    pub(crate) search: SocketAddr,
    pub(crate) outsider: Outsider,
    directory: TempDir,
}

impl World {
    /// Around servers that other tests use as well.
    pub(crate) fn shared(name: &'static str) -> Self {
        let brokers = Kafka::of_this_process(&Home::of_the_tree()).expect("it starts");
        Self::around(name, brokers)
    }

    /// Around brokers of its own.
    pub(crate) fn around(name: &'static str, brokers: String) -> Self {
        let search = Search::of_this_process(&Home::of_the_tree(), Engine::OpenSearch2).expect("it starts");
        let outsider = Outsider::new(&brokers);
        let directory = tempfile::tempdir().expect("there is space");
        Self { name, brokers, search, outsider, directory }
    }

    /// How to start a process that is called so.
    pub(crate) fn setup(&self, process: &str) -> Setup {
        let directory = self.directory.path().join(process);
        Setup::new(&directory)
            .with("kafka.brokers", &self.brokers)
            .with("kafka.client_id", process)
            .with("kafka.listing_interval", "1s")
            .with("elasticsearch.urls", &format!("http://{}", self.search))
            .with("consumer.group", self.name)
            .with("consumer.stream_prefix", self.name)
    }

    /// The same, with a file of settings that have no variables.
    pub(crate) fn settings_file(&self, process: &str, settings: &str) -> Setup {
        let mut setup = self.setup(process);
        let file = self.directory.path().join(format!("{process}.yaml"));
        std::fs::write(&file, settings).expect("there is space");
        setup.settings.push(("WEIR_CONFIG".to_owned(), file.display().to_string()));
        setup
    }

    /// An app of this test.
    pub(crate) fn app(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }

    pub(crate) async fn producer(&self) -> Weir {
        start("producer", &self.setup("producer")).await
    }

    pub(crate) async fn consumer(&self) -> Weir {
        start("consumer", &self.setup("consumer")).await
    }

    /// What is in the store of this test.
    pub(crate) fn documents(&self) -> Documents {
        Documents::new(self.search, &format!("{}-*", self.name))
    }

    pub(crate) async fn books(&self) -> Books {
        Books::open(&self.brokers).await
    }

    /// Waits until everything is delivered, committed, and nothing more comes.
    pub(crate) async fn caught_up(&self) {
        self.books().await.caught_up(self.name, self.name).await;
    }

    /// Waits until there are more documents than there were.
    pub(crate) async fn grows(&self) {
        let documents = self.documents();
        let before = documents.count().await;
        until_seldom("more is stored", PATIENCE, async || (documents.count().await > before).then_some(()))
            .await;
    }
}

/// Starts a role and waits until it is ready.
pub(crate) async fn start(role: &str, setup: &Setup) -> Weir {
    setup.start_as(setup.command(&[role])).await
}

/// An event of an app as barito-flow writes it into a record of its own; its id is `<name>-0`.
pub(crate) fn timber(app: &str, name: &str) -> Timber {
    let batch = load::collection(app, name, 1, "written by somebody else");
    let item = batch.items.into_iter().next().expect("one was asked for");
    Timber { context: batch.context, timestamp: "2026-11-27T12:00:00Z".to_owned(), ..item }
}

/// What a counter of a process has come to; several with different labels are added up. Names end in `_total`.
pub(crate) async fn counted(weir: &Weir, name: &str) -> f64 {
    let url = format!("http://{}/metrics", weir.addresses.ops);
    let text = reqwest::get(url).await.expect("it answers").text().await.expect("a body");
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}
