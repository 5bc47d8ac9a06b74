//! The settings of the whole process, put together from the sections of its components.

mod aliases;
mod section;

use std::path::{Path, PathBuf};

use weir_consumer::section::{ConsumerSection, ConsumerSettings};
use weir_foundation::listen::Exposure;
use weir_foundation::settings::env::CONFIG;
use weir_foundation::settings::{
    Environment, Explained, FlagValue, Loaded, Problem, Problems, Sources, WrongAliases, load,
};
use weir_foundation::supervise::DrainDeadlines;
use weir_foundation::telemetry::LogSettings;
use weir_server::ServerSettings;

pub(crate) use self::aliases::ALIASES;
pub(crate) use self::section::{Listen, RawSettings};

/// Everything that `weir up` needs, validated.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: Listen,
    pub(crate) log: LogSettings,
    pub(crate) drain: DrainDeadlines,
    pub(crate) journal: weir_journal::sqlite::Settings,
    pub(crate) store: weir_store::segment::Settings,
    pub(crate) producer: weir_producer::Settings,
    pub(crate) consumer: ConsumerSettings,
    pub(crate) server: ServerSettings,
}

/// What reading the settings came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) explanation: Vec<Explained>,
    pub(crate) settings: Result<Settings, Problems>,
}

/// Where this process finds its settings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    /// As `--config` names it; else as the environment does.
    pub(crate) file: Option<PathBuf>,
    pub(crate) environment: Environment,
    pub(crate) flags: Vec<FlagValue>,
}

/// Where weir keeps its files, if nothing else is said.
const DATA_DIR: &str = "weir-data";

impl Given {
    /// Reads all layers and validates every section, so that all problems are known at once.
    pub(crate) fn read(&self) -> Outcome {
        let file = self.file.clone().or_else(|| self.environment.get(CONFIG).map(PathBuf::from));
        let mut loaded: Loaded<RawSettings> = load(Sources {
            file: file.as_deref(),
            environment: &self.environment,
            aliases: ALIASES,
            wrong_aliases: WrongAliases::Refused,
            flags: &self.flags,
        });
        let explanation = loaded.explain();
        let settings = validate(&mut loaded);
        let settings = loaded.finish().and_then(|_| settings.ok_or_else(unexplained));
        Outcome { explanation, settings }
    }
}

fn validate(loaded: &mut Loaded<RawSettings>) -> Option<Settings> {
    let data_dir = loaded.raw.data_dir.clone().unwrap_or_else(|| PathBuf::from(DATA_DIR));
    // Absolute, so that paths that are shown mean the same elsewhere.
    let data_dir = std::path::absolute(&data_dir).unwrap_or(data_dir);
    let (journal_dir, index_dir) = (journal_directory(&data_dir), data_dir.join("index"));
    let listen = loaded.section("listen", |raw| Listen::validate(&raw.listen));
    let log = loaded.section("log", |raw| LogSettings::validate(&raw.log));
    let drain = loaded.section("drain", |raw| DrainDeadlines::validate(&raw.drain));
    let journal =
        loaded.section("journal", |raw| weir_journal::sqlite::Settings::validate(&raw.journal, journal_dir));
    let store = loaded.section("store", |raw| weir_store::segment::Settings::validate(&raw.store, index_dir));
    let producer = loaded.section("producer", |raw| {
        let producer = weir_producer::Settings::validate(&raw.producer)?;
        fits(&producer, journal.as_ref(), raw.listen.exposure()).map(|()| producer)
    });
    let consumer = loaded.section("consumer", |raw| ConsumerSettings::validate(&consumer_section(raw)));
    let server = loaded.section("server", |raw| ServerSettings::validate(&raw.server));
    let producer = producer?;
    Some(Settings {
        data_dir,
        listen: listen?,
        log: log?,
        drain: drain?,
        // The window of batch ids is filled from the journal.
        journal: weir_journal::sqlite::Settings { batch_window: producer.batch_ids.window, ..journal? },
        store: store?,
        producer,
        consumer: consumer?,
        server: server?,
    })
}

/// Whether every batch that the doors take is one that the journal takes, and the gRPC door is as open as the
/// others.
fn fits(
    producer: &weir_producer::Settings,
    journal: Option<&weir_journal::sqlite::Settings>,
    exposure: Exposure,
) -> Result<(), Problems> {
    let mut problems = Problems::default();
    if let Some(journal) = journal.filter(|journal| producer.max_message > journal.max_record) {
        let message = format!("must be at most `journal.max_record`, which is {}", journal.max_record);
        problems.push(Problem::at("max_message", message));
    }
    section::check_reach(&mut problems, "grpc_listen", producer.grpc_listen, exposure);
    problems.or(())
}

/// Where the journal is in the data directory.
pub(crate) fn journal_directory(data_dir: &Path) -> PathBuf {
    data_dir.join("journal")
}

/// In one process the consumer delivers the streams that the producer makes, unless it is told otherwise.
fn consumer_section(raw: &RawSettings) -> ConsumerSection {
    let mut section = raw.consumer.clone();
    section.stream_prefix = section.stream_prefix.or_else(|| raw.producer.stream_prefix.clone());
    section.stream_suffix = section.stream_suffix.or_else(|| raw.producer.stream_suffix.clone());
    section
}

/// A section that gave nothing has put its problems into the loaded settings, so that this is never shown.
fn unexplained() -> Problems {
    Problem::at("", "a section is wrong").into()
}

#[cfg(test)]
mod tests;
