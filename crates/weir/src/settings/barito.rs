//! What a process is told by the variables of barito-flow alone, for roles that take its place.

use weir_foundation::settings::{Environment, FlagValue, Problem};

/// Where barito-flow listens and whom it asks if nothing is said; weir itself would stay on loopback, and ask
/// nobody.
const DEFAULTS: [(&str, &str); 9] = [
    ("EXPORTER_PORT", ":8008"),
    ("BARITO_PRODUCER_GRPC", ":8082"),
    ("BARITO_PRODUCER_REST", ":8080"),
    ("BARITO_KAFKA_BROKERS", "localhost:9092"),
    ("BARITO_KAFKA_GROUP_ID", "barito-group"),
    ("BARITO_ELASTICSEARCH_URLS", "http://localhost:9200"),
    ("BARITO_ELASTICSEARCH_BULK_SIZE", "100"),
    ("BARITO_ELASTICSEARCH_FLUSH_INTERVAL_MS", "500"),
    ("BARITO_CONSUMER_ELASTICSEARCH_RETRIER_INTERVAL", "30s"),
];

/// Variables that older deployments set and that mean nothing to barito-flow itself any more.
const LEGACY: [&str; 5] = [
    "BARITO_PRODUCER_ADDRESS",
    "BARITO_KAFKA_PRODUCER_TOPIC",
    "BARITO_KAFKA_CONSUMER_TOPICS",
    "BARITO_ELASTICSEARCH_URL",
    "BARITO_PRODUCER_MAX_TPS",
];

const LIMITER: &str = "BARITO_RATE_LIMITER_OPT";

/// Whether barito-flow's variables are there, so that it is barito-flow whose place is taken.
pub(super) fn is_meant(environment: &Environment) -> bool {
    environment.names().any(|name| name.starts_with("BARITO_"))
}

/// What those variables come to.
#[derive(Debug)]
pub(super) struct Translated {
    /// With barito-flow's own defaults in it, and without what its other variables switch off.
    pub(super) environment: Environment,
    /// What those variables imply without saying it.
    pub(super) implied: Vec<FlagValue>,
    /// For people.
    pub(super) notices: Vec<String>,
}

/// The problem is one that barito-flow has no default for: it refuses to start then, and so does weir.
pub(super) fn translate(given: &Environment) -> Result<Translated, Problem> {
    let mut environment = given.clone();
    let mut notices = vec![
        "as with barito-flow every machine may connect where no address is given, and nobody has to log in"
            .to_owned(),
    ];
    for name in LEGACY.iter().filter(|name| given.get(name).is_some()) {
        notices.push(format!("`{name}` has no effect"));
    }
    let limiter = given.get(LIMITER).unwrap_or_default().trim().to_ascii_uppercase();
    match limiter.as_str() {
        "" | "LOCAL" => environment.remove("BARITO_REDIS_URL"),
        "REDIS" => environment.default_to("BARITO_REDIS_URL", "localhost:6379"),
        "GUBERNATOR" => {
            let message = "`GUBERNATOR` is not supported";
            let hint = "limits are shared through Redis instead: `REDIS` with `BARITO_REDIS_URL`";
            return Err(Problem::at(LIMITER, message).hint(hint));
        }
        other => {
            let message = format!("`{other}` is neither `LOCAL` nor `REDIS`");
            return Err(Problem::at(LIMITER, message));
        }
    }
    if given.get("BARITO_REDIS_KEY_PREFIX").is_some() {
        notices.push("`BARITO_REDIS_KEY_PREFIX` has no effect: weir's keys are of another kind, see `redis.key_prefix`".to_owned());
    }
    let grpc = given.get("BARITO_PRODUCER_GRPC").filter(|address| !address.is_empty());
    for (name, value) in DEFAULTS {
        environment.default_to(name, value);
    }
    let mut implied = vec![
        FlagValue { path: "producer.compat", value: "barito".to_owned(), flag: "BARITO_*" },
        FlagValue { path: "listen.allow_public", value: "true".to_owned(), flag: "BARITO_*" },
    ];
    // Where gRPC has the port that REST would have, nobody uses REST: barito-flow has not opened it for years.
    if grpc.is_some() && grpc == environment.get("BARITO_PRODUCER_REST") {
        let closed = FlagValue {
            path: "producer.rest_gateway",
            value: "false".to_owned(),
            flag: "BARITO_PRODUCER_GRPC",
        };
        implied.push(closed);
        notices.push("REST is closed: its address is that of `BARITO_PRODUCER_GRPC`".to_owned());
    }
    Ok(Translated { environment, implied, notices })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let Translated { environment, implied, notices } = translated([("BARITO_PRODUCER_GRPC", ":9000")]);
        assert_eq!(environment.get("BARITO_PRODUCER_GRPC"), Some(":9000"));
        assert_eq!(environment.get("EXPORTER_PORT"), Some(":8008"));
        assert_eq!(environment.get("BARITO_KAFKA_BROKERS"), Some("localhost:9092"));
        let implied: Vec<_> = implied.iter().map(|flag| (flag.path, flag.value.as_str())).collect();
        assert_eq!(implied, [("producer.compat", "barito"), ("listen.allow_public", "true")]);
        assert_eq!(notices.len(), 1, "that it is open");
    }

    #[test]
    fn grpc_on_the_port_of_rest_closes_rest() {
        let Translated { implied, notices, .. } = translated([("BARITO_PRODUCER_GRPC", ":8080")]);
        assert_eq!(implied[2].path, "producer.rest_gateway");
        assert_eq!(notices[1], "REST is closed: its address is that of `BARITO_PRODUCER_GRPC`");
        let apart = [("BARITO_PRODUCER_GRPC", ":8080"), ("BARITO_PRODUCER_REST", ":8085")];
        assert_eq!(translated(apart).implied.len(), 2);
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
    fn what_has_no_effect_is_named() {
        let notices =
            translated([("BARITO_PRODUCER_MAX_TPS", "0"), ("BARITO_KAFKA_PRODUCER_TOPIC", "x")]).notices;
        assert_eq!(
            notices[1..],
            ["`BARITO_KAFKA_PRODUCER_TOPIC` has no effect", "`BARITO_PRODUCER_MAX_TPS` has no effect"]
        );
    }
}
