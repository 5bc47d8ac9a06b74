//! What a process is told by the variables of barito-flow alone, for roles that take its place.

use weir_foundation::settings::{Environment, Implied, Preset, Problem};

use super::aliases::ALIASES;

/// Where barito-flow listens and how it works if nothing is said; weir itself would stay on loopback.
///
/// Whom it asks if nothing is said needs no line: weir asks the same, once a role may take them for granted.
pub(crate) const PRESET: Preset = Preset {
    path: "compat",
    value: "barito",
    defaults: &[
        ("listen.allow_public", "true"),
        ("listen.tls.mode", "off"),
        ("listen.http", "0.0.0.0:8080"),
        ("listen.ops", "0.0.0.0:8008"),
        ("producer.grpc_listen", "0.0.0.0:8082"),
        ("producer.compat", "barito"),
        ("consumer.compat", "barito"),
        ("consumer.group", "barito-group"),
        ("elasticsearch.documents", "barito"),
        ("elasticsearch.bulk_documents", "100"),
        ("elasticsearch.linger", "500ms"),
        ("redaction.compat", "barito"),
        ("redis.key_prefix", "weir:limit:barito:producer:ratelimit::"),
        // It does not look at checks. An instance that passes is better, one that does not is better than none.
        ("consul.instances", "prefer-passing"),
    ],
};

/// Variables that change nothing, and why.
const WITHOUT_EFFECT: [(&str, &str); 19] = [
    ("BARITO_PRODUCER_ADDRESS", LEGACY),
    ("BARITO_KAFKA_PRODUCER_TOPIC", LEGACY),
    ("BARITO_KAFKA_CONSUMER_TOPICS", LEGACY),
    ("BARITO_ELASTICSEARCH_URL", LEGACY),
    ("BARITO_PRODUCER_MAX_TPS", "limits come with the requests"),
    ("BARITO_CONSUL_REDIS_NAME", "barito-flow does not look for Redis in Consul either"),
    (
        "BARITO_CONSUMER_ELASTICSEARCH_RETRIER_MAX_RETRY",
        "documents are sent again until the store takes or refuses them; deliveries never halt",
    ),
    ("BARITO_CONSUMER_MAX_PROCESSING_TIME", "no partition is taken away for slow processing"),
    ("BARITO_CONSUMER_CHANNEL_BUFFER_SIZE", "see `kafka.fetch_queue` and `consumer.in_flight`"),
    ("BARITO_ELASTICSEARCH_NUM_WORKER", "see `elasticsearch.requests`"),
    ("BARITO_ELASTICSEARCH_DEDICATED_CLIENT", "see `elasticsearch.requests`"),
    ("ENABLE_LOG_ON_ERROR", "refused documents are dead letters"),
    ("VLOGS_ENDPOINT", "there is no delivery to VictoriaLogs"),
    ("VLOGS_FLUSH_MAX_BATCHES", "there is no delivery to VictoriaLogs"),
    ("VLOGS_FLUSH_MAX_TIME_SECONDS", "there is no delivery to VictoriaLogs"),
    ("CONSUL_HTTP_AUTH", "Consul is asked with a token: `CONSUL_HTTP_TOKEN`"),
    ("CONSUL_HTTP_TOKEN_FILE", "the token is taken from `CONSUL_HTTP_TOKEN`"),
    ("CONSUL_HTTP_SSL_VERIFY", "certificates are always verified, see `CONSUL_CACERT`"),
    ("CONSUL_TLS_SERVER_NAME", "the name is that of `BARITO_CONSUL_URL`"),
];

const LEGACY: &str = "nor has it in barito-flow itself";

/// Variables that are looked at here.
const LIMITER: &str = "BARITO_RATE_LIMITER_OPT";
const CONSUL: &str = "BARITO_CONSUL_URL";
const GRPC: &str = "BARITO_PRODUCER_GRPC";
const REST: &str = "BARITO_PRODUCER_REST";
const REDIS: &str = "BARITO_REDIS_URL";

/// Where addresses are, and the service that Consul is asked for where they are not.
const SERVICES: [(&str, &str); 2] = [
    ("BARITO_KAFKA_BROKERS", "BARITO_CONSUL_KAFKA_NAME"),
    ("BARITO_ELASTICSEARCH_URLS", "BARITO_CONSUL_ELASTICSEARCH_NAME"),
];

/// Whether barito-flow's variables are there, so that it is barito-flow whose place is taken.
pub(super) fn is_meant(environment: &Environment) -> bool {
    environment.names().any(|name| name.starts_with("BARITO_"))
}

/// What those variables come to.
#[derive(Debug)]
pub(super) struct Translated {
    /// Without what some of its variables switch off.
    pub(super) environment: Environment,
    /// What those variables imply without saying it.
    pub(super) implied: Vec<Implied>,
    /// For people.
    pub(super) notices: Vec<String>,
}

/// The problem is one that barito-flow has no default for: it refuses to start then, and so does weir.
pub(super) fn translate(given: &Environment) -> Result<Translated, Problem> {
    let mut translated = Translated {
        environment: given.clone(),
        implied: vec![Implied { path: PRESET.path, value: PRESET.value, by: "BARITO_*" }],
        notices: vec![
            "as with barito-flow every machine may connect where no address is given, and nobody has to log in"
                .to_owned(),
        ],
    };
    translated.notices.extend(without_effect(given));
    translated.limiter()?;
    translated.consul();
    translated.rest();
    Ok(translated)
}

fn without_effect(given: &Environment) -> Vec<String> {
    let reason = |name: &str| match WITHOUT_EFFECT.iter().find(|(known, _)| *known == name) {
        Some((_, why)) => Some(*why),
        None if name.starts_with("GUBER_") => Some("limits are shared through Redis"),
        None if name.starts_with("BARITO_") && !is_known(name) => Some("it is not known"),
        None => None,
    };
    given.names().filter_map(|name| Some(format!("`{name}` has no effect: {}", reason(name)?))).collect()
}

fn is_known(name: &str) -> bool {
    name == LIMITER || ALIASES.iter().any(|alias| alias.name == name)
}

impl Translated {
    fn limiter(&mut self) -> Result<(), Problem> {
        let limiter = self.environment.get(LIMITER).unwrap_or_default().trim().to_ascii_uppercase();
        match limiter.as_str() {
            "" | "LOCAL" => self.environment.remove(REDIS),
            "REDIS" => self.environment.default_to(REDIS, "localhost:6379"),
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
        Ok(())
    }

    /// Consul is asked for what has no address.
    fn consul(&mut self) {
        let is_set =
            |environment: &Environment, name| environment.get(name).is_some_and(|text| !text.is_empty());
        for (addresses, service) in SERVICES {
            let why = if is_set(&self.environment, addresses) {
                format!("`{addresses}` is set")
            } else if is_set(&self.environment, CONSUL) {
                continue;
            } else {
                format!("`{CONSUL}` is not set")
            };
            if is_set(&self.environment, service) {
                self.notices.push(format!("`{service}` has no effect: {why}"));
            }
            self.environment.remove(service);
        }
        // As Consul's own client reads it: what was asked for by name is never without TLS.
        let by_tls = matches!(
            self.environment.get("CONSUL_HTTP_SSL"),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True")
        );
        if let Some(url) = self.environment.get(CONSUL).filter(|url| by_tls && !url.is_empty()) {
            let address = url.split_once("://").map_or(url, |(_, address)| address);
            let url = format!("https://{address}");
            self.environment.set(CONSUL, &url);
        }
    }

    /// Where gRPC has the port that REST would have, nobody uses REST: barito-flow has not opened it for years.
    fn rest(&mut self) {
        let given = |name| self.environment.get(name).filter(|address| !address.is_empty());
        if given(GRPC).is_some_and(|grpc| grpc == given(REST).unwrap_or(":8080")) {
            self.implied.push(Implied { path: "producer.rest_gateway", value: "false", by: GRPC });
            self.notices.push(format!("REST is closed: its address is that of `{GRPC}`"));
        }
    }
}

#[cfg(test)]
mod tests;
