use std::fs;
use std::path::Path;
use std::time::Duration;

use weir_foundation::settings::{documented_defaults, json_schema, reference_page};
use weir_producer::{RestGateway, StreamOptions};

use super::section::ListenSection;
use super::*;

fn problems(yaml: &str, environment: Environment) -> String {
    let directory = tempfile::tempdir().expect("there is space");
    let file = directory.path().join("weir.yaml");
    fs::write(&file, yaml).expect("there is space");
    let given = Given { file: Some(file), environment, ..Given::default() };
    let problems = given.read().settings.expect_err("the settings are wrong").to_string();
    problems.replace(&format!("{}/", directory.path().display()), "")
}

#[test]
fn every_problem_is_told_at_once() {
    let yaml = "\
data_dri: /var/lib/weir
listen:
  http: localhost
  ops: 127.0.0.1:8008
journal:
  retention: 3
producer:
  max_message: 100
  rate_window: 10
consumer:
  batch: 1KiB
server:
  searches_running: 0
log:
  level: loud
drain:
  commit: 0s
";
    let environment = Environment::from([("WEIR_SERVER__SEARCH_TIMEOUT", "soon"), ("WEIR_DATADIR", "/tmp")]);
    insta::assert_snapshot!(problems(yaml, environment));
}

#[test]
fn the_journal_takes_what_the_doors_take() {
    let yaml = "producer: {max_message: 64MiB, memory_budget: 256MiB}\n";
    let expected = "must be at most `journal.max_record`, which is 32MiB";
    assert!(problems(yaml, Environment::default()).contains(expected));
}

#[test]
fn addresses_that_others_can_reach_have_to_be_allowed() {
    let yaml = "listen: {http: '0.0.0.0:9080', ops: '[::]:9008'}\n";
    let environment = Environment::from([("BARITO_PRODUCER_GRPC", ":9082")]);
    insta::assert_snapshot!(problems(yaml, environment));
    let environment =
        Environment::from([("BARITO_PRODUCER_GRPC", ":9082"), ("WEIR_LISTEN__ALLOW_PUBLIC", "true")]);
    Given { environment, ..Given::default() }.read().settings.expect("is allowed");
}

/// As a role over Kafka.
fn in_role(role: Role, yaml: &str) -> Result<Settings, Problems> {
    let directory = tempfile::tempdir().expect("there is space");
    let file = directory.path().join("weir.yaml");
    let common = "kafka: {brokers: ['k:9092']}\nelasticsearch: {urls: ['http://e:9200']}\ndata_dir: /d\n";
    fs::write(&file, format!("{common}{yaml}")).expect("there is space");
    Given { role, file: Some(file), ..Given::default() }.read().settings
}

#[test]
fn a_role_belongs_to_an_instance_where_the_settings_say_so() {
    let state = |role, yaml: &str| {
        let settings = in_role(role, yaml).expect("are good");
        (settings.state.map(|state| state.to_string()), settings.producer.ingest_listen.is_some())
    };
    let (own, shared) = (Some("`/d/state`".to_owned()), Some("`/s`".to_owned()));
    assert_eq!(state(Role::Up, ""), (own.clone(), true));
    assert_eq!(state(Role::Server, ""), (own, false));
    assert_eq!(state(Role::Producer, ""), (None, false));
    let directory = "state: {directory: /s}\n";
    assert_eq!(state(Role::Up, directory), (shared.clone(), true));
    assert_eq!(state(Role::Server, directory), (shared.clone(), false));
    assert_eq!(state(Role::Producer, directory), (shared, true));
    assert_eq!(state(Role::Consumer, directory), (None, false));
    let postgres = "state: {postgres: {address: 'p:5432', encrypt: true}}\n";
    let there = Some("schema `weir` of database `weir` at `p:5432`".to_owned());
    assert_eq!(state(Role::Producer, postgres), (there.clone(), true));
    assert_eq!(state(Role::Server, postgres), (there, false));
}

#[test]
fn others_reach_the_agents_of_a_producer_of_an_instance_only() {
    let reached = "listen: {allow_public: true}\nproducer: {ingest_listen: '0.0.0.0:8083'}\n";
    let refused = in_role(Role::Producer, reached).expect_err("nobody is known").to_string();
    assert!(refused.contains("nobody says who agents are"), "{refused}");
    let settings = in_role(Role::Producer, &format!("{reached}state: {{directory: /s}}\n"));
    let settings = settings.expect("they are known");
    assert_eq!(settings.producer.unknown_apps, weir_producer::UnknownApps::Refuse);
    let on_loopback = in_role(Role::Producer, "state: {directory: /s}\n").expect("are good");
    assert_eq!(on_loopback.producer.unknown_apps, weir_producer::UnknownApps::Take);
}

#[test]
fn a_state_is_in_one_place() {
    let check = |state: &str, expected: &str| {
        let refused =
            in_role(Role::Server, &format!("state: {state}\n")).expect_err("is refused").to_string();
        assert!(refused.contains(expected), "{refused}");
    };
    check("{directory: ''}", "state.directory: must not be empty");
    check("{directory: /s, postgres: {address: 'localhost:5432'}}", "leave one of them out");
    check("{postgres: {address: 'p:5432'}}", "state.postgres.encrypt: private keys would travel");
    check("{postgres: {schema: 'a b'}}", "state.postgres.schema");
}

#[test]
fn a_file_that_is_not_there_is_a_problem() {
    let given = Given { file: Some("/nonexistent/weir.yaml".into()), ..Given::default() };
    let problems = given.read().settings.expect_err("there is no such file");
    insta::assert_snapshot!(problems);
}

#[test]
fn the_example_is_good_as_it_is_and_without_its_comments() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd/weir.yaml");
    let example = fs::read_to_string(&path).expect("it is there");
    let given = Given { file: Some(path), ..Given::default() };
    given.read().settings.expect("all is commented out");

    // Prose has one space behind its `#`, a setting none or more.
    let is_setting = |line: &&str| !line.starts_with("# ") || line.starts_with("#  ");
    let lines: Vec<&str> =
        example.lines().filter(is_setting).map(|line| line.trim_start_matches('#')).collect();
    let directory = tempfile::tempdir().expect("there is space");
    let file = directory.path().join("weir.yaml");
    fs::write(&file, lines.join("\n")).expect("there is space");
    let given = Given { file: Some(file), ..Given::default() };
    let settings = given.read().settings.expect("every setting is legal");
    assert_eq!(settings.store.keep_for, Some(Duration::from_secs(30 * 86_400)));
}

#[test]
fn nothing_given_is_good() {
    let settings = Given::default().read().settings.expect("the defaults are good");
    assert!(settings.data_dir.is_absolute() && settings.data_dir.ends_with(DATA_DIR));
    assert_eq!(settings.listen.http.to_string(), "127.0.0.1:8080");
}

#[test]
fn flags_beat_variables_and_variables_beat_the_file() {
    let directory = tempfile::tempdir().expect("there is space");
    let file = directory.path().join("weir.yaml");
    fs::write(&file, "data_dir: file\nlisten: {http: '127.0.0.1:1', ops: '127.0.0.1:2'}\n").expect("space");
    let given = Given {
        role: Role::Up,
        file: Some(file),
        environment: Environment::from([("WEIR_DATA_DIR", "variable"), ("WEIR_LISTEN__OPS", "127.0.0.1:3")]),
        flags: vec![FlagValue { path: "data_dir", value: "flag".to_owned(), flag: "--data-dir" }],
    };
    let settings = given.read().settings.expect("all are good");
    assert!(settings.data_dir.ends_with("flag"));
    assert_eq!(settings.listen.http.to_string(), "127.0.0.1:1");
    assert_eq!(settings.listen.ops.to_string(), "127.0.0.1:3");
}

#[test]
fn variables_of_barito_have_their_effect() {
    let environment = Environment::from([
        ("EXPORTER_PORT", ":9008"),
        ("BARITO_PRODUCER_REST", ":9085"),
        ("BARITO_PRODUCER_REST_API", "false"),
        ("BARITO_PRODUCER_GRPC", ":9080"),
        ("BARITO_KAFKA_TOPIC_PREFIX", "g_"),
        ("BARITO_KAFKA_TOPIC_SUFFIX", "_pb"),
        ("BARITO_GRPC_MAX_RECV_MSG_SIZE", "1000000"),
        ("BARITO_PRODUCER_RATE_LIMIT_RESET_INTERVAL", "5"),
        ("BARITO_PRODUCER_IGNORE_KAFKA_OPTIONS", "true"),
        ("BARITO_KAFKA_GROUP_ID", "readers"),
        ("WEIR_LISTEN__ALLOW_PUBLIC", "true"),
    ]);
    let settings = Given { environment, ..Given::default() }.read().settings.expect("is good");
    let Settings { listen, producer, consumer, .. } = settings;
    assert_eq!((listen.ops.port(), listen.http.port(), producer.grpc_listen.port()), (9008, 9085, 9080));
    assert_eq!(producer.rest_gateway, RestGateway::Closed);
    assert_eq!((producer.stream_prefix.as_str(), producer.stream_suffix.as_str()), ("g_", "_pb"));
    assert_eq!(producer.max_message.bytes(), 1_000_000);
    assert_eq!(producer.rates.window, Duration::from_secs(5));
    assert_eq!(producer.stream_options, StreamOptions::Settings);
    assert_eq!(consumer.group.as_str(), "readers");
}

#[test]
fn the_consumer_follows_the_names_of_the_producer() {
    let environment = Environment::from([("BARITO_KAFKA_TOPIC_SUFFIX", "_pb")]);
    let settings = Given { environment, ..Given::default() }.read().settings.expect("is good");
    assert_eq!(settings.consumer.streams.suffix, "_pb");
}

#[test]
fn documented_defaults_are_the_real_ones() {
    let documented: ListenSection = documented_defaults();
    assert_eq!(Listen::validate(&documented), Listen::validate(&ListenSection::default()));
    let page = reference_page::<RawSettings>(ALIASES);
    assert!(page.contains(&format!("| `data_dir` | text | `{DATA_DIR}` |")), "{page}");
}

/// Writes the committed file anew where `UPDATE_GENERATED` is set, as `cargo xtask codegen` does.
pub(super) fn is_committed(path: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if Environment::of_process().get("UPDATE_GENERATED").is_some() {
        fs::create_dir_all(path.parent().expect("it has one")).expect("there is space");
        fs::write(&path, generated).expect("there is space");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "{} is out of date: run this test with UPDATE_GENERATED=1",
        path.display()
    );
}

#[test]
fn the_reference_page_is_committed() {
    is_committed("docs/reference/settings.md", &reference_page::<RawSettings>(ALIASES));
}

#[test]
fn the_schema_is_committed() {
    let schema = serde_json::to_string_pretty(&json_schema::<RawSettings>()).expect("is JSON");
    is_committed("docs/reference/settings.schema.json", &format!("{schema}\n"));
}

#[test]
fn its_place_is_the_same_whether_the_file_says_so_or_its_variables() {
    let directory = tempfile::tempdir().expect("there is space");
    let file = directory.path().join("weir.yaml");
    fs::write(&file, "compat: barito\nredis: {address: 'redis:6379'}\n").expect("there is space");
    let variables = [("BARITO_RATE_LIMITER_OPT", "REDIS"), ("BARITO_REDIS_URL", "redis:6379")];
    for role in [Role::Producer, Role::Consumer] {
        let said = Given { role, file: Some(file.clone()), ..Given::default() }.read();
        let implied = Given { role, environment: variables.into(), ..Given::default() }.read();
        let settings = |outcome: Outcome| format!("{:?}", outcome.settings.expect("are good"));
        assert_eq!(settings(said), settings(implied));
    }
}

#[test]
fn consul_can_be_asked_where_no_address_is_known() {
    let read = |yaml: &str| {
        let directory = tempfile::tempdir().expect("there is space");
        let file = directory.path().join("weir.yaml");
        fs::write(&file, yaml).expect("there is space");
        Given { role: Role::Consumer, file: Some(file), ..Given::default() }.read().settings
    };
    let services = "kafka: {consul_service: k}\nelasticsearch: {consul_service: e}\n";
    let settings = read(&format!("consul: {{url: 'consul:8500'}}\n{services}")).expect("are good");
    assert_eq!((settings.kafka.brokers.addresses().len(), settings.elasticsearch.nodes.len()), (0, 0));
    let problems = read(services).expect_err("there is no Consul").to_string();
    for section in ["kafka", "elasticsearch"] {
        assert!(problems.contains(&format!("{section}.consul_service: needs `consul.url`")), "{problems}");
    }
    let problems = read("consul: {url: 'consul:8500'}\n").expect_err("nobody is to be asked for").to_string();
    assert!(problems.contains("kafka.brokers: must be set"), "{problems}");
}

#[test]
fn the_variables_of_barito_flow_are_enough_for_a_role() {
    let given = |role, environment| Given { role, environment, ..Given::default() };
    let environment =
        Environment::from([("BARITO_KAFKA_TOPIC_SUFFIX", "_pb"), ("BARITO_KAFKA_RETRY_INTERVAL", "x")]);
    let outcome = given(Role::Consumer, environment.clone()).read();
    assert!(
        outcome.notices.iter().any(|notice| notice.contains("BARITO_KAFKA_RETRY_INTERVAL")),
        "{:?}",
        outcome.notices
    );
    let settings = outcome.settings.expect("are good");
    assert_eq!(settings.kafka.brokers.addresses(), ["localhost:9092"]);
    assert_eq!(settings.consumer.group, "barito-group");
    assert_eq!(settings.consumer.streams.suffix, "_pb");
    assert_eq!(
        (settings.elasticsearch.bulk_documents, settings.elasticsearch.linger.as_millis()),
        (100, 500)
    );
    assert_eq!(settings.elasticsearch.documents, weir_store_elastic::Documents::Barito);
    let settings = given(Role::Producer, environment.clone()).read().settings.expect("are good");
    assert_eq!(settings.producer.grpc_listen.to_string(), "0.0.0.0:8082");
    assert_eq!(settings.listen.ops.to_string(), "0.0.0.0:8008");
    assert_eq!(settings.producer.compat, weir_producer::Compat::Barito);
    assert_eq!(settings.producer.record_format, weir_producer::RecordFormat::Timber);
    assert_eq!(settings.producer.max_partitions.get(), 100);
    // What runs everything in one process takes nobody's place.
    let problems = given(Role::Up, environment).read().settings.expect_err("a value is wrong").to_string();
    assert_eq!(
        problems,
        "env BARITO_KAFKA_RETRY_INTERVAL: kafka.start_interval: `x` is not a whole number\n"
    );
}
