use std::collections::BTreeSet;

use weir_foundation::settings::Explained;

use super::*;
use crate::settings::{Given, Outcome, Role};

/// What weir does with a variable.
enum Fate {
    /// Sets this, to this, when the variable has the value that is tried.
    Sets(&'static str, &'static str),
    /// Another mechanism than a setting; what is told of it elsewhere.
    Means,
    /// Says that it has no effect.
    Notice,
    /// It is of `consumer-gcs`, which says what to use instead.
    OfGcs,
}

use Fate::{Means, Notice, OfGcs, Sets};

/// All variables of barito-flow, of the client of Consul in it, and of branches and templates
/// that never were part of it; each with a value to try.
const ALL: [(&str, &str, Fate); 81] = [
    ("EXPORTER_PORT", ":9008", Sets("listen.ops", "0.0.0.0:9008")),
    ("BARITO_CONSUL_URL", "http://other:8500", Sets("consul.url", "http://other:8500")),
    ("BARITO_CONSUL_KAFKA_NAME", "kafka-1", Sets("kafka.consul_service", "kafka-1")),
    ("BARITO_CONSUL_ELASTICSEARCH_NAME", "es-1", Sets("elasticsearch.consul_service", "es-1")),
    ("BARITO_CONSUL_REDIS_NAME", "redis-1", Notice),
    ("CONSUL_HTTP_TOKEN", "secret", Sets("consul.token", "***")),
    ("CONSUL_HTTP_SSL", "true", Means),
    ("CONSUL_CACERT", "/ca.pem", Sets("consul.tls.ca_file", "/ca.pem")),
    ("CONSUL_CLIENT_CERT", "/cert.pem", Sets("consul.tls.cert_file", "/cert.pem")),
    ("CONSUL_CLIENT_KEY", "/key.pem", Sets("consul.tls.key_file", "/key.pem")),
    ("CONSUL_HTTP_AUTH", "a:b", Notice),
    ("CONSUL_HTTP_TOKEN_FILE", "/token", Notice),
    ("CONSUL_HTTP_SSL_VERIFY", "false", Notice),
    ("CONSUL_TLS_SERVER_NAME", "consul", Notice),
    ("BARITO_KAFKA_BROKERS", "a:9092,b:9092", Sets("kafka.brokers", r#"["a:9092","b:9092"]"#)),
    ("BARITO_KAFKA_GROUP_ID", "readers", Sets("consumer.group", "readers")),
    ("BARITO_KAFKA_UNIQUE_GROUP_ID", "true", Sets("kafka.unique_group_ids", "true")),
    ("BARITO_KAFKA_TOPIC_PREFIX", "g_", Sets("producer.stream_prefix", "g_")),
    ("BARITO_KAFKA_TOPIC_SUFFIX", "_pb", Sets("producer.stream_suffix", "_pb")),
    ("BARITO_KAFKA_MAX_RETRY", "3", Sets("kafka.start_retries", "3")),
    ("BARITO_KAFKA_RETRY_INTERVAL", "7", Sets("kafka.start_interval", "7s")),
    ("BARITO_KAFKA_MESSAGE_FORMAT", "TimberCollection", Sets("producer.record_format", "collection")),
    ("BARITO_NEW_TOPIC_EVENT", "events", Sets("kafka.new_topic_events", "events")),
    ("BARITO_GRPC_MAX_RECV_MSG_SIZE", "1000000", Sets("producer.max_message", "1000000B")),
    ("BARITO_PRODUCER_GRPC", ":9082", Sets("producer.grpc_listen", "0.0.0.0:9082")),
    ("BARITO_PRODUCER_REST", ":9080", Sets("listen.http", "0.0.0.0:9080")),
    ("BARITO_PRODUCER_REST_API", "false", Sets("producer.rest_gateway", "false")),
    ("BARITO_PRODUCER_MAX_RETRY", "5", Sets("kafka.append_retries", "5")),
    ("BARITO_PRODUCER_MAX_TPS", "100", Notice),
    ("BARITO_PRODUCER_RATE_LIMIT_RESET_INTERVAL", "5", Sets("producer.rate_window", "5s")),
    ("BARITO_PRODUCER_IGNORE_KAFKA_OPTIONS", "true", Sets("producer.ignore_stream_options", "true")),
    ("BARITO_PRODUCER_MAX_MESSAGE_BYTES", "900000", Sets("kafka.max_record", "900000B")),
    ("BARITO_RATE_LIMITER_OPT", "LOCAL", Means),
    ("BARITO_REDIS_URL", "redis:6379", Sets("redis.address", "redis:6379")),
    ("BARITO_REDIS_PASSWORD", "secret", Sets("redis.password", "***")),
    ("BARITO_REDIS_KEY_PREFIX", "fleet-2", Sets("redis.key_prefix", "weir:limit:fleet-2:")),
    ("GUBER_GRPC_ADDRESS", "localhost:81", Notice),
    ("BARITO_ELASTICSEARCH_URLS", "http://a:9200", Sets("elasticsearch.urls", r#"["http://a:9200"]"#)),
    ("BARITO_ELASTICSEARCH_INDEX_METHOD", "DataStream", Sets("elasticsearch.mode", "data-stream")),
    ("BARITO_ELASTICSEARCH_BULK_SIZE", "50", Sets("elasticsearch.bulk_documents", "50")),
    ("BARITO_ELASTICSEARCH_FLUSH_INTERVAL_MS", "100", Sets("elasticsearch.linger", "100ms")),
    (
        "BARITO_ELASTICSEARCH_DATASTREAM_DEFAULT_COMPONENT_TEMPLATE_NAME",
        "mine",
        Sets("elasticsearch.component_template", "mine"),
    ),
    (
        "BARITO_CONSUMER_ELASTICSEARCH_RETRIER_INTERVAL",
        "1m30s",
        Sets("elasticsearch.retry_longest", "90000000us"),
    ),
    ("BARITO_CONSUMER_ELASTICSEARCH_RETRIER_MAX_RETRY", "10", Notice),
    ("BARITO_CONSUMER_ELASTICSEARCH_CA_CERT", "/ca.pem", Sets("elasticsearch.tls.ca_file", "/ca.pem")),
    (
        "BARITO_CONSUMER_ELASTICSEARCH_CLIENT_CERT",
        "/cert.pem",
        Sets("elasticsearch.tls.cert_file", "/cert.pem"),
    ),
    ("BARITO_CONSUMER_ELASTICSEARCH_CLIENT_KEY", "/key.pem", Sets("elasticsearch.tls.key_file", "/key.pem")),
    ("ELASTIC_USERNAME", "jo", Sets("elasticsearch.username", "jo")),
    ("ELASTIC_PASSWORD", "secret", Sets("elasticsearch.password", "***")),
    ("BARITO_CONSUMER_REBALANCING_STRATEGY", "Range", Sets("kafka.assignor", "range")),
    ("BARITO_CONSUMER_GROUP_SESSION_TIMEOUT", "20", Sets("kafka.session_timeout", "20s")),
    ("BARITO_CONSUMER_GROUP_HEARTBEAT_INTERVAL", "6", Sets("kafka.heartbeat_interval", "6s")),
    ("BARITO_CONSUMER_MAX_PROCESSING_TIME", "500", Notice),
    ("BARITO_CONSUMER_CHANNEL_BUFFER_SIZE", "256", Notice),
    ("BARITO_PRINT_TPS", "true", Sets("consumer.print_rate", "true")),
    ("BARITO_PUSH_METRIC_URL", "http://market/api", Sets("consumer.push.url", "http://market/api")),
    ("BARITO_PUSH_METRIC_INTERVAL", "1m", Sets("consumer.push.interval", "60000000us")),
    ("BARITO_MARKET_REDACT_ENDPOINT_URL", "http://market/r", Sets("redaction.endpoint", "http://market/r")),
    ("BARITO_CLUSTER_NAME", "mine", Sets("redaction.cluster_name", "mine")),
    ("MARKET_REDACT_CLIENT_KEY", "secret", Sets("redaction.client_key", "***")),
    ("REDACTOR_RULES_MAP", "{}", Sets("redaction.rules", "{}")),
    ("KAFKA_GROUP_ID_PREFIX", "x", OfGcs),
    ("KAFKA_TOPIC_PATTERN", "x", OfGcs),
    ("TIMBER_TO_SIMPLER_FORMAT", "true", OfGcs),
    ("GCS_PROJECT_ID", "x", OfGcs),
    ("GCS_BUCKET_NAME", "x", OfGcs),
    ("GCS_BUCKET_PATH", "x", OfGcs),
    ("GCS_COMPRESSOR", "gzip", OfGcs),
    ("GCS_FLUSH_MAX_BYTES", "1", OfGcs),
    ("GCS_FLUSH_MAX_TIME", "1", OfGcs),
    ("BARITO_PRODUCER_ADDRESS", ":8080", Notice),
    ("BARITO_KAFKA_PRODUCER_TOPIC", "x", Notice),
    ("BARITO_KAFKA_CONSUMER_TOPICS", "x", Notice),
    ("BARITO_ELASTICSEARCH_URL", "http://a:9200", Notice),
    ("BARITO_ELASTICSEARCH_NUM_WORKER", "5", Notice),
    ("BARITO_ELASTICSEARCH_DEDICATED_CLIENT", "true", Notice),
    ("ENABLE_LOG_ON_ERROR", "true", Notice),
    ("VLOGS_ENDPOINT", "http://v", Notice),
    ("VLOGS_FLUSH_MAX_BATCHES", "5000", Notice),
    ("VLOGS_FLUSH_MAX_TIME_SECONDS", "10", Notice),
    ("BARITO_NOT_KNOWN", "x", Notice),
];

fn read(variables: &[(&str, &str)]) -> Outcome {
    let mut environment = Environment::default();
    for (name, value) in variables {
        environment.set(name, value);
    }
    Given { role: Role::Consumer, environment, ..Given::default() }.read()
}

fn explained<'a>(outcome: &'a Outcome, path: &str) -> &'a Explained {
    outcome.explanation.iter().find(|line| line.path == path).expect("is a setting")
}

fn is_told(outcome: &Outcome, name: &str) -> bool {
    outcome.notices.iter().any(|notice| notice.starts_with(&format!("`{name}` has no effect: ")))
}

#[test]
fn nothing_that_barito_flow_reads_is_forgotten() {
    for (name, value, fate) in ALL {
        let around = [("BARITO_CONSUL_URL", "http://consul:8500"), (LIMITER, "REDIS")];
        let outcome = read(&[&around[..], &[(name, value)]].concat());
        match fate {
            Sets(path, expected) => {
                let line = explained(&outcome, path);
                assert_eq!(line.value.as_deref(), Some(expected), "{name}");
                assert_eq!(line.origin, format!("env {name}"));
                assert!(!is_told(&outcome, name), "{name}");
            }
            Notice => assert!(is_told(&outcome, name), "{name}: {:?}", outcome.notices),
            Means | OfGcs => assert!(!is_told(&outcome, name), "{name}: {:?}", outcome.notices),
        }
    }
}

#[test]
fn the_table_of_all_variables_is_whole() {
    let listed: BTreeSet<&str> = ALL.iter().map(|(name, _, _)| *name).collect();
    assert_eq!(listed.len(), ALL.len(), "none is there twice");
    let translated = ALIASES.iter().map(|alias| alias.name);
    for name in translated.chain(WITHOUT_EFFECT.iter().map(|(name, _)| *name)).chain([LIMITER]) {
        assert!(listed.contains(name), "`{name}` is not in the table");
    }
}

fn translated<const N: usize>(variables: [(&str, &str); N]) -> Translated {
    translate(&Environment::from(variables)).expect("can be translated")
}

#[test]
fn only_its_own_variables_mean_it() {
    assert!(!is_meant(&Environment::from([("EXPORTER_PORT", ":9000"), ("PATH", "/bin")])));
    assert!(is_meant(&Environment::from([("BARITO_KAFKA_BROKERS", "kafka:9092")])));
}

#[test]
fn what_it_does_not_say_is_as_it_was_there() {
    let outcome = read(&[("BARITO_PRODUCER_GRPC", ":9000"), ("BARITO_ELASTICSEARCH_BULK_SIZE", "many")]);
    let shown = |path| {
        let Explained { value, origin, .. } = explained(&outcome, path);
        (value.clone().unwrap_or_default(), origin.clone())
    };
    let by = |value: &str, by: &str| (value.to_owned(), by.to_owned());
    assert_eq!(shown("compat"), by("barito", "by BARITO_*"));
    assert_eq!(shown("producer.grpc_listen"), by("0.0.0.0:9000", "env BARITO_PRODUCER_GRPC"));
    assert_eq!(shown("listen.ops"), by("0.0.0.0:8008", "by compat: barito"));
    assert_eq!(shown("elasticsearch.bulk_documents"), by("100", "by compat: barito"));
    assert_eq!(outcome.notices.len(), 2, "that it is open, and what is wrong: {:?}", outcome.notices);
    let settings = outcome.settings.expect("are good");
    assert_eq!(settings.kafka.brokers.addresses(), ["localhost:9092"]);
    assert_eq!(settings.elasticsearch.nodes[0].url.as_str(), "http://localhost:9200/");
}

#[test]
fn zero_is_passed_over_where_it_means_nothing() {
    let variables = [
        ("BARITO_PRODUCER_MAX_RETRY", "0"),
        ("BARITO_ELASTICSEARCH_BULK_SIZE", "0"),
        ("BARITO_KAFKA_RETRY_INTERVAL", "0"),
        ("BARITO_PRODUCER_RATE_LIMIT_RESET_INTERVAL", "0"),
        ("BARITO_CONSUMER_ELASTICSEARCH_RETRIER_INTERVAL", "0s"),
        ("BARITO_PUSH_METRIC_INTERVAL", "0"),
    ];
    let outcome = read(&variables);
    assert_eq!(outcome.notices.len(), variables.len() + 1, "{:?}", outcome.notices);
    outcome.settings.expect("are good");
}

#[test]
fn grpc_on_the_port_of_rest_closes_rest() {
    let Translated { implied, notices, .. } = translated([("BARITO_PRODUCER_GRPC", ":8080")]);
    assert_eq!(implied[1].path, "producer.rest_gateway");
    assert_eq!(notices[1], "REST is closed: its address is that of `BARITO_PRODUCER_GRPC`");
    let apart = [("BARITO_PRODUCER_GRPC", ":8080"), ("BARITO_PRODUCER_REST", ":8085")];
    assert_eq!(translated(apart).implied.len(), 1);
}

#[test]
fn limits_are_shared_only_where_it_says_so() {
    let redis = |option| {
        let given = [("BARITO_RATE_LIMITER_OPT", option), ("BARITO_REDIS_URL", "redis:6379")];
        translated(given).environment.get("BARITO_REDIS_URL").map(str::to_owned)
    };
    assert_eq!(redis(" local "), None);
    assert_eq!(redis(""), None);
    assert_eq!(redis("Redis"), Some("redis:6379".to_owned()));
    let alone = translated([("BARITO_RATE_LIMITER_OPT", "REDIS")]).environment;
    assert_eq!(alone.get("BARITO_REDIS_URL"), Some("localhost:6379"));
    for (option, expected) in [
        (
            "GUBERNATOR",
            "BARITO_RATE_LIMITER_OPT: `GUBERNATOR` is not supported (limits are shared through Redis instead: `REDIS` with `BARITO_REDIS_URL`)",
        ),
        ("x", "BARITO_RATE_LIMITER_OPT: `X` is neither `LOCAL` nor `REDIS`"),
    ] {
        let refused = translate(&Environment::from([("BARITO_RATE_LIMITER_OPT", option)]));
        assert_eq!(refused.expect_err("is refused").to_string(), expected);
    }
}

#[test]
fn a_prefix_of_keys_that_is_the_usual_one_is_as_if_it_was_not_given() {
    let prefix = |variables: &[(&str, &str)]| {
        let variables = [&[(LIMITER, "REDIS")], variables].concat();
        read(&variables).settings.expect("are good").redis.expect("are shared").key_prefix
    };
    assert_eq!(prefix(&[]), prefix(&[("BARITO_REDIS_KEY_PREFIX", "barito:producer:ratelimit:")]));
    assert_ne!(prefix(&[]), prefix(&[("BARITO_REDIS_KEY_PREFIX", "other")]));
}

#[test]
fn consul_is_asked_where_no_address_is_given() {
    let services = |variables: &[(&str, &str)]| {
        let outcome = read(variables);
        let told = outcome.notices.iter().filter(|notice| notice.contains("BARITO_CONSUL_")).count();
        let settings = outcome.settings.expect("are good");
        (settings.kafka.consul_service, settings.elasticsearch.consul_service, told)
    };
    let some = |name: &str| Some(name.to_owned());
    let consul = ("BARITO_CONSUL_URL", "consul:8500");
    assert_eq!(services(&[consul]), (some("kafka"), some("elasticsearch"), 0));
    assert_eq!(services(&[("BARITO_CONSUL_URL", "")]), (None, None, 0));
    let named = ("BARITO_CONSUL_KAFKA_NAME", "kafka-1");
    assert_eq!(services(&[consul, named]), (some("kafka-1"), some("elasticsearch"), 0));
    assert_eq!(services(&[named]), (None, None, 1));
    let brokers = ("BARITO_KAFKA_BROKERS", "a:9092");
    assert_eq!(services(&[consul, named, brokers]), (None, some("elasticsearch"), 1));
}

#[test]
fn consul_is_asked_by_tls_where_its_client_would() {
    let url = |ssl, url| {
        let given = [("CONSUL_HTTP_SSL", ssl), ("BARITO_CONSUL_URL", url)];
        translated(given).environment.get("BARITO_CONSUL_URL").map(str::to_owned).unwrap_or_default()
    };
    assert_eq!(url("true", "http://consul:8500"), "https://consul:8500");
    assert_eq!(url("1", "consul:8500"), "https://consul:8500");
    assert_eq!(url("false", "consul:8500"), "consul:8500");
    assert_eq!(url("true", ""), "");
}
