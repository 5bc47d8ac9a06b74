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

fn bytes(value: &str) -> Result<Option<String>, String> {
    number(value).map(|number| number.map(|number| format!("{number}B")))
}

fn seconds(value: &str) -> Result<Option<String>, String> {
    number(value).map(|number| number.map(|number| format!("{number}s")))
}

fn number(value: &str) -> Result<Option<u64>, String> {
    match value {
        "" => Ok(None),
        digits => digits.parse().map(Some).map_err(|_no_number| format!("`{digits}` is not a whole number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_their_own_form() {
        let check = |convert: fn(&str) -> Result<Option<String>, String>, value: &str, ours: Option<&str>| {
            assert_eq!(convert(value), Ok(ours.map(str::to_owned)), "{value:?}");
        };
        check(address, ":8082", Some("0.0.0.0:8082"));
        check(address, "127.0.0.1:9", Some("127.0.0.1:9"));
        check(address, "", None);
        check(boolean, "true", Some("true"));
        check(boolean, "false", Some("false"));
        check(boolean, "TRUE", Some("false"));
        check(boolean, "", None);
        check(bytes, "20000000", Some("20000000B"));
        check(seconds, "10", Some("10s"));
        check(text, "_pb", Some("_pb"));
        assert_eq!(seconds("ten"), Err("`ten` is not a whole number".to_owned()));
    }
}
