use weir_foundation::settings::documented_defaults;

use super::*;

fn problems(raw: &ProducerSection) -> String {
    Settings::validate(raw).err().map(|problems| problems.to_string()).unwrap_or_default()
}

#[test]
fn the_defaults_are_valid() {
    let settings = Settings::validate(&ProducerSection::default()).expect("defaults are valid");
    assert_eq!(settings.grpc_listen.to_string(), "127.0.0.1:8082");
    assert_eq!(settings.stream_suffix, "_logs");
    assert_eq!(settings.max_message, ByteSize(20_000_000));
    assert_eq!(settings.memory_budget, ByteSize::mib(64));
    assert_eq!(settings.secrets, Secrets::Remove);
    assert_eq!(settings.rates.app_default, None);
    assert_eq!(settings.rates.window, Duration::from_secs(10));
    assert_eq!(settings.max_partitions.get(), 4);
}

#[test]
fn the_documented_defaults_are_the_real_ones() {
    let documented: ProducerSection = documented_defaults();
    assert_eq!(Settings::validate(&documented), Settings::validate(&ProducerSection::default()));
}

#[test]
fn barito_stores_secrets_unless_told_otherwise() {
    let check = |store_app_secret, expected| {
        let raw =
            ProducerSection { compat: Some(Compat::Barito), store_app_secret, ..ProducerSection::default() };
        assert_eq!(Settings::validate(&raw).expect("valid").secrets, expected);
    };
    check(None, Secrets::Store);
    check(Some(false), Secrets::Remove);
}

#[test]
fn every_problem_is_named() {
    let raw = ProducerSection {
        stream_prefix: Some("a/b".into()),
        max_message: Some(SizeText::from_bytes(10)),
        memory_budget: Some(SizeText::from_bytes(29)),
        max_connections: Some(0),
        default_app_tps: Some(0),
        app_tps: Some(BTreeMap::from([("shop".into(), 0), ("web".into(), 5)])),
        rate_window: Some(DurationText::from_secs(7200)),
        max_partitions: Some(0),
        max_app_streams: Some(0),
        batch_id_window: Some(DurationText::from_secs(0)),
        batch_id_limit: Some(0),
        ..ProducerSection::default()
    };
    insta::assert_snapshot!(problems(&raw), @"
    stream_prefix: a stream name must not contain `/` (position 2)
    max_message: must be at least `1KiB` and at most `1GiB`
    memory_budget: must be at least three times `max_message`, or a large batch could never be taken
    max_partitions: must be at least 1
    max_connections: must be at least 1
    rate_window: must be at least `1s` and at most `1h`
    app_tps.shop: must be at least 1
    default_app_tps: must be at least 1
    max_app_streams: must be at least 1
    batch_id_limit: must be at least 1
    batch_id_window: must be longer than zero
    ");
}
