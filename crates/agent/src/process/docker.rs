//! `{"log":"text\n","stream":"stdout","time":"2026-11-29T08:15:30.123456789Z"}`, also with `attrs`: lines of Docker's driver
//! `json-file` (<https://docs.docker.com/engine/logging/drivers/json-file/>). A line that goes on has no `\n`.

use std::borrow::Cow;

use weir_model::Timestamp;
use weir_wire::{members, parse_rfc3339};

use super::formats::{Stream, Unwrapped};

#[derive(Debug, Default)]
struct Found {
    log: Option<String>,
    stream: Option<Stream>,
    time: Option<Timestamp>,
    attributes: Option<String>,
    is_other: bool,
}

pub(crate) fn unwrap(line: Cow<'_, str>) -> Result<Unwrapped<'_>, Cow<'_, str>> {
    let mut found = Found::default();
    if members(&line, |key, value| found.member(&key, value)).is_err() {
        return Err(line);
    }
    let Found { log: Some(mut log), stream: Some(stream), time: Some(time), attributes, is_other: false } =
        found
    else {
        return Err(line);
    };
    let ends = log.ends_with('\n');
    if ends {
        log.truncate(log.strip_suffix("\r\n").or(log.strip_suffix('\n')).map_or(log.len(), str::len));
    }
    let attributes = attributes.map(Cow::Owned);
    Ok(Unwrapped { stream, time, text: Cow::Owned(log), ends, attributes })
}

impl Found {
    fn member(&mut self, key: &str, value: &str) {
        let text = || serde_json::from_str::<String>(value).ok();
        match key {
            "log" => self.log = text(),
            "stream" => self.stream = text().and_then(|name| Stream::named(&name)),
            "time" => self.time = text().and_then(|time| parse_rfc3339(time.as_bytes())),
            "attrs" => self.attributes = Some(value.to_owned()),
            _ => self.is_other = true,
        }
    }
}
