//! Files of settings, as far as `weir up` reads them before it starts anything: every section is validated, and
//! every problem has a text.

use std::path::PathBuf;
use std::sync::LazyLock;

use weir_consumer::section::ConsumerSettings;
use weir_foundation::settings::{Environment, Loaded, Sources, WrongAliases, load};
use weir_foundation::supervise::DrainDeadlines;
use weir_foundation::telemetry::LogSettings;
use weir_limits_redis::RedisLimitsSettings;
use weir_redaction::RedactionSettings;
use weir_server::ServerSettings;

/// The binary's own, which has no library to take it from.
#[allow(dead_code, reason = "only the validation is used")]
#[path = "../../crates/weir/src/settings/section.rs"]
mod section;
#[allow(dead_code, reason = "only the validation is used")]
#[path = "../../crates/weir/src/settings/state.rs"]
mod state;

use section::{Listen, RawSettings};
use state::StateSettings;

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("weir-fuzz-settings-{}.yaml", std::process::id())));

pub fn run(data: &[u8]) {
    // `${file:…}` would read what the machine has, devices too.
    if data.windows(5).any(|window| window == b"file:") {
        return;
    }
    std::fs::write(&*FILE, data).expect("there is space");
    let environment = Environment::from([("HOME", "/root"), ("EMPTY", "")]);
    let mut loaded: Loaded<RawSettings> = load(Sources {
        presets: &[],
        implied: &[],
        file: Some(&FILE),
        environment: &environment,
        aliases: &[],
        wrong_aliases: WrongAliases::default(),
        flags: &[],
    });
    drop(format!("{:?}", loaded.explain()));
    let sections = [
        loaded.section("listen", |raw| Listen::validate(&raw.listen)).is_some(),
        loaded.section("log", |raw| LogSettings::validate(&raw.log)).is_some(),
        loaded.section("drain", |raw| DrainDeadlines::validate(&raw.drain)).is_some(),
        loaded
            .section("journal", |raw| {
                weir_journal::sqlite::Settings::validate(&raw.journal, "journal".into())
            })
            .is_some(),
        loaded.section("store", store).is_some(),
        loaded.section("producer", |raw| weir_producer::Settings::validate(&raw.producer)).is_some(),
        loaded.section("consumer", |raw| ConsumerSettings::validate(&raw.consumer)).is_some(),
        loaded.section("server", |raw| ServerSettings::validate(&raw.server)).is_some(),
        loaded.section("kafka", |raw| weir_journal_kafka::Settings::validate(&raw.kafka)).is_some(),
        loaded
            .section("elasticsearch", |raw| weir_store_elastic::Settings::validate(&raw.elasticsearch))
            .is_some(),
        loaded.section("state", |raw| StateSettings::validate(&raw.state, "data".as_ref())).is_some(),
        loaded.section("redis", |raw| RedisLimitsSettings::validate(&raw.redis)).is_some(),
        loaded.section("redaction", |raw| RedactionSettings::validate(&raw.redaction)).is_some(),
    ];
    match loaded.finish() {
        Ok(_) => assert_eq!(sections, [true; 13], "a section that gave nothing says why"),
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
}

fn store(raw: &RawSettings) -> Result<weir_store::segment::Settings, weir_foundation::settings::Problems> {
    weir_store::segment::Settings::validate(&raw.store, "index".into())
}
