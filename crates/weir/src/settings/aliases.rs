//! Variables of barito-flow that mean something here, in their own forms.

use weir_foundation::settings::Alias;

pub(crate) const ALIASES: &[Alias] = &[
    Alias { name: "EXPORTER_PORT", path: "listen.ops", convert: address },
    Alias { name: "BARITO_PRODUCER_REST", path: "listen.http", convert: address },
    Alias { name: "BARITO_PRODUCER_REST_API", path: "producer.rest_gateway", convert: boolean },
    Alias { name: "BARITO_PRODUCER_GRPC", path: "producer.grpc_listen", convert: address },
    Alias { name: "BARITO_KAFKA_TOPIC_PREFIX", path: "producer.stream_prefix", convert: text },
    Alias { name: "BARITO_KAFKA_TOPIC_SUFFIX", path: "producer.stream_suffix", convert: text },
    Alias { name: "BARITO_GRPC_MAX_RECV_MSG_SIZE", path: "producer.max_message", convert: bytes },
    Alias {
        name: "BARITO_PRODUCER_RATE_LIMIT_RESET_INTERVAL",
        path: "producer.rate_window",
        convert: seconds,
    },
    Alias {
        name: "BARITO_PRODUCER_IGNORE_KAFKA_OPTIONS",
        path: "producer.ignore_stream_options",
        convert: boolean,
    },
    Alias { name: "BARITO_KAFKA_GROUP_ID", path: "consumer.group", convert: text },
    Alias { name: "BARITO_KAFKA_BROKERS", path: "kafka.brokers", convert: text },
    Alias { name: "BARITO_KAFKA_MAX_RETRY", path: "kafka.start_retries", convert: count },
    Alias { name: "BARITO_KAFKA_RETRY_INTERVAL", path: "kafka.start_interval", convert: seconds },
    Alias { name: "BARITO_KAFKA_UNIQUE_GROUP_ID", path: "kafka.unique_group_ids", convert: boolean },
    Alias { name: "BARITO_NEW_TOPIC_EVENT", path: "kafka.new_topic_events", convert: text },
    Alias { name: "BARITO_PRODUCER_MAX_RETRY", path: "kafka.append_retries", convert: positive },
    Alias { name: "BARITO_PRODUCER_MAX_MESSAGE_BYTES", path: "kafka.max_record", convert: bytes },
    Alias { name: "BARITO_KAFKA_MESSAGE_FORMAT", path: "producer.record_format", convert: record_format },
    Alias { name: "BARITO_CONSUMER_REBALANCING_STRATEGY", path: "kafka.assignor", convert: assignor },
    Alias { name: "BARITO_CONSUMER_GROUP_SESSION_TIMEOUT", path: "kafka.session_timeout", convert: seconds },
    Alias {
        name: "BARITO_CONSUMER_GROUP_HEARTBEAT_INTERVAL",
        path: "kafka.heartbeat_interval",
        convert: seconds,
    },
    Alias { name: "BARITO_ELASTICSEARCH_URLS", path: "elasticsearch.urls", convert: text },
    Alias { name: "BARITO_ELASTICSEARCH_INDEX_METHOD", path: "elasticsearch.mode", convert: index_mode },
    Alias { name: "BARITO_ELASTICSEARCH_BULK_SIZE", path: "elasticsearch.bulk_documents", convert: positive },
    Alias { name: "BARITO_ELASTICSEARCH_FLUSH_INTERVAL_MS", path: "elasticsearch.linger", convert: millis },
    Alias {
        name: "BARITO_ELASTICSEARCH_DATASTREAM_DEFAULT_COMPONENT_TEMPLATE_NAME",
        path: "elasticsearch.component_template",
        convert: text,
    },
    Alias { name: "BARITO_CONSUMER_ELASTICSEARCH_CA_CERT", path: "elasticsearch.tls.ca_file", convert: text },
    Alias {
        name: "BARITO_CONSUMER_ELASTICSEARCH_CLIENT_CERT",
        path: "elasticsearch.tls.cert_file",
        convert: text,
    },
    Alias {
        name: "BARITO_CONSUMER_ELASTICSEARCH_CLIENT_KEY",
        path: "elasticsearch.tls.key_file",
        convert: text,
    },
    Alias {
        name: "BARITO_CONSUMER_ELASTICSEARCH_RETRIER_INTERVAL",
        path: "elasticsearch.retry_longest",
        convert: pause,
    },
    Alias { name: "ELASTIC_USERNAME", path: "elasticsearch.username", convert: text },
    Alias { name: "ELASTIC_PASSWORD", path: "elasticsearch.password", convert: text },
    Alias { name: "BARITO_REDIS_URL", path: "redis.address", convert: text },
    Alias { name: "BARITO_REDIS_PASSWORD", path: "redis.password", convert: text },
    Alias { name: "BARITO_REDIS_KEY_PREFIX", path: "redis.key_prefix", convert: key_prefix },
    Alias { name: "BARITO_PRINT_TPS", path: "consumer.print_rate", convert: boolean },
    Alias { name: "BARITO_PUSH_METRIC_URL", path: "consumer.push.url", convert: text },
    Alias { name: "BARITO_PUSH_METRIC_INTERVAL", path: "consumer.push.interval", convert: duration },
    Alias { name: "BARITO_CONSUL_URL", path: "consul.url", convert: text },
    Alias { name: "BARITO_CONSUL_KAFKA_NAME", path: "kafka.consul_service", convert: text },
    Alias { name: "BARITO_CONSUL_ELASTICSEARCH_NAME", path: "elasticsearch.consul_service", convert: text },
    Alias { name: "CONSUL_HTTP_TOKEN", path: "consul.token", convert: text },
    Alias { name: "CONSUL_CACERT", path: "consul.tls.ca_file", convert: text },
    Alias { name: "CONSUL_CLIENT_CERT", path: "consul.tls.cert_file", convert: text },
    Alias { name: "CONSUL_CLIENT_KEY", path: "consul.tls.key_file", convert: text },
    Alias { name: "REDACTOR_RULES_MAP", path: "redaction.rules", convert: text },
    Alias { name: "BARITO_MARKET_REDACT_ENDPOINT_URL", path: "redaction.endpoint", convert: text },
    Alias { name: "BARITO_CLUSTER_NAME", path: "redaction.cluster_name", convert: text },
    Alias { name: "MARKET_REDACT_CLIENT_KEY", path: "redaction.client_key", convert: text },
];

/// There a variable that is empty means the default.
fn text(value: &str) -> Result<Option<String>, String> {
    Ok(Some(value.to_owned()).filter(|value| !value.is_empty()))
}

/// `:8082` means all addresses there; here that needs `listen.allow_public`.
fn address(value: &str) -> Result<Option<String>, String> {
    let address = value.strip_prefix(':').map(|port| format!("0.0.0.0:{port}"));
    text(&address.unwrap_or_else(|| value.to_owned()))
}

/// There only the exact text `true` is true.
fn boolean(value: &str) -> Result<Option<String>, String> {
    Ok(text(value)?.map(|value| (value == "true").to_string()))
}

fn assignor(value: &str) -> Result<Option<String>, String> {
    match value {
        "" => Ok(None),
        "RoundRobin" => Ok(Some("roundrobin".to_owned())),
        "Range" => Ok(Some("range".to_owned())),
        other => Err(format!("`{other}` is neither `RoundRobin` nor `Range`")),
    }
}

fn index_mode(value: &str) -> Result<Option<String>, String> {
    match value {
        "" => Ok(None),
        "BulkProcessor" => Ok(Some("daily".to_owned())),
        "SingleInsert" => Ok(Some("single".to_owned())),
        "DataStream" => Ok(Some("data-stream".to_owned())),
        other => Err(format!("`{other}` is none of `BulkProcessor`, `SingleInsert` and `DataStream`")),
    }
}

/// There everything but the exact text `TimberCollection` is the other format.
fn record_format(value: &str) -> Result<Option<String>, String> {
    let format = if value == "TimberCollection" { "collection" } else { "timber" };
    Ok(text(value)?.map(|_| format.to_owned()))
}

/// weir's keys are of another kind and never in barito-flow's place; fleets that it keeps apart stay apart.
fn key_prefix(value: &str) -> Result<Option<String>, String> {
    Ok(text(value.trim())?.map(|prefix| format!("weir:limit:{prefix}:")))
}

fn count(value: &str) -> Result<Option<String>, String> {
    number(value).map(|number| number.map(|number| number.to_string()))
}

/// Where none at all makes no sense.
fn positive(value: &str) -> Result<Option<String>, String> {
    unless_zero(number(value)?, value, "")
}

fn bytes(value: &str) -> Result<Option<String>, String> {
    unless_zero(number(value)?, value, "B")
}

fn seconds(value: &str) -> Result<Option<String>, String> {
    unless_zero(number(value)?, value, "s")
}

fn millis(value: &str) -> Result<Option<String>, String> {
    number(value).map(|number| number.map(|number| format!("{number}ms")))
}

fn unless_zero(number: Option<u64>, text: &str, unit: &str) -> Result<Option<String>, String> {
    match number {
        Some(0) => Err(format!("`{text}` is nothing")),
        number => Ok(number.map(|number| format!("{number}{unit}"))),
    }
}

fn number(value: &str) -> Result<Option<u64>, String> {
    match value {
        "" => Ok(None),
        digits => digits.parse().map(Some).map_err(|_no_number| format!("`{digits}` is not a whole number")),
    }
}

fn duration(value: &str) -> Result<Option<String>, String> {
    unless_zero(micros(value)?, value, "us")
}

/// Pauses begin at 200 ms and can not end below that.
fn pause(value: &str) -> Result<Option<String>, String> {
    match micros(value)? {
        Some(micros) if micros < 200_000 => Err(format!("`{value}` is less than 200ms")),
        micros => Ok(micros.map(|micros| format!("{micros}us"))),
    }
}

/// A duration as Go reads it: `1h15m30.5s`.
fn micros(value: &str) -> Result<Option<u64>, String> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1e-3), ("us", 1.0), ("µs", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 60e6), ("h", 3600e6)];
    if value.is_empty() || value == "0" {
        return Ok(value.parse().ok());
    }
    let wrong = || format!("`{value}` is not a duration such as `30s`");
    let (mut rest, mut total) = (value.strip_prefix('+').unwrap_or(value), 0.0);
    while !rest.is_empty() {
        let (amount, behind) =
            rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len()));
        let (unit, behind) =
            behind.split_at(behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len()));
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        total += amount.parse::<f64>().map_err(|_no_number| wrong())? * factor;
        rest = behind;
    }
    // Years are enough; beyond a number's exact range nothing is counted.
    let whole = format!("{:.0}", total.min(1e15));
    whole.parse().map(Some).map_err(|_no_number| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Convert = fn(&str) -> Result<Option<String>, String>;

    #[test]
    fn values_are_read_in_their_own_form() {
        let check = |convert: Convert, value: &str, ours: Option<&str>| {
            assert_eq!(convert(value), Ok(ours.map(str::to_owned)), "{value:?}");
        };
        check(address, ":8082", Some("0.0.0.0:8082"));
        check(address, "127.0.0.1:9", Some("127.0.0.1:9"));
        check(address, "", None);
        check(boolean, "true", Some("true"));
        check(boolean, "false", Some("false"));
        check(boolean, "TRUE", Some("false"));
        check(boolean, "", None);
        check(key_prefix, " barito:producer:ratelimit: ", Some("weir:limit:barito:producer:ratelimit::"));
        check(key_prefix, " ", None);
        check(duration, "30s", Some("30000000us"));
        check(duration, "1h1m0.5s", Some("3660500000us"));
        check(duration, "1.5ms", Some("1500us"));
        check(duration, "", None);
        check(pause, "200ms", Some("200000us"));
        check(positive, "1", Some("1"));
        let wrong: [(Convert, &str); 10] = [
            (duration, "30"),
            (duration, "s"),
            (duration, "0s"),
            (duration, "-1s"),
            (duration, "1 s"),
            (pause, "0"),
            (pause, "199ms"),
            (positive, "0"),
            (bytes, "0"),
            (seconds, "-1"),
        ];
        for (convert, text) in wrong {
            assert!(convert(text).is_err(), "{text}");
        }
        check(bytes, "20000000", Some("20000000B"));
        check(seconds, "10", Some("10s"));
        check(text, "_pb", Some("_pb"));
        check(count, "0", Some("0"));
        check(millis, "500", Some("500ms"));
        check(assignor, "Range", Some("range"));
        check(index_mode, "DataStream", Some("data-stream"));
        assert!(index_mode("Other").is_err());
        check(record_format, "TimberCollection", Some("collection"));
        check(record_format, "timbercollection", Some("timber"));
        check(record_format, "", None);
        assert_eq!(seconds("ten"), Err("`ten` is not a whole number".to_owned()));
    }
}
