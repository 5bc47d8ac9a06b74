//! Hits as lines.

use std::io::{self, Write};

use anstyle::{AnsiColor, Effects, Style};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use weir_server::api::{Hit, Time};

use super::time::{Zone, local_text};
use super::{Format, csv_line, json_line, printable};

/// Prints hits one after the other in one form.
pub(crate) struct HitPrinter {
    format: Format,
    zone: Zone,
    header: Header,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    Due,
    Done,
}

/// A hit as `-o json` shows it.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    stream: &'a str,
    time: String,
    received: String,
    content: &'a RawValue,
}

const DIM: Style = Style::new().effects(Effects::DIMMED);
const NAMES: [&str; 5] = ["id", "stream", "time", "received", "content"];

/// Fields that hold what a line mainly says, the first that is there.
const MESSAGES: [&str; 5] = ["message", "msg", "@message", "log", "event"];
const LEVELS: [&str; 4] = ["level", "severity", "lvl", "loglevel"];

impl HitPrinter {
    pub(crate) fn new(format: Format, zone: Zone) -> Self {
        Self { format, zone, header: Header::Due }
    }

    pub(crate) fn print(&mut self, out: &mut dyn Write, hit: &Hit) -> io::Result<()> {
        match self.format {
            Format::Text => writeln!(out, "{}", self.text(hit)),
            Format::Json => json_line(
                out,
                &Line {
                    id: &hit.id,
                    stream: &hit.stream,
                    time: self.time(hit.time),
                    received: self.time(hit.received),
                    content: &hit.content,
                },
            ),
            Format::Csv => {
                if self.header == Header::Due {
                    csv_line(out, NAMES)?;
                    self.header = Header::Done;
                }
                let (time, received) = (self.time(hit.time), self.time(hit.received));
                csv_line(out, [&*hit.id, &*hit.stream, &*time, &*received, hit.content.get()])
            }
        }
    }

    fn time(&self, time: Time) -> String {
        local_text(time.0, &self.zone)
    }

    /// Time, level and message, then the other fields as `name=value`.
    fn text(&self, hit: &Hit) -> String {
        let time = self.time(hit.time);
        let Ok(Value::Object(mut fields)) = serde_json::from_str(hit.content.get()) else {
            return format!("{DIM}{time}{DIM:#} {}", printable(hit.content.get()));
        };
        let mut line = format!("{DIM}{time}{DIM:#}");
        if let Some(level) = take_text(&mut fields, &LEVELS) {
            let style = level_style(&level);
            line.push_str(&format!(" {style}{:<5}{style:#}", printable(&level)));
        }
        if let Some(message) = take_text(&mut fields, &MESSAGES) {
            line.push(' ');
            line.push_str(&printable(&message));
        }
        for (name, value) in &fields {
            line.push_str(&format!(" {DIM}{}={DIM:#}{}", printable(name), plain(value)));
        }
        line
    }
}

fn take_text(fields: &mut Map<String, Value>, names: &[&str]) -> Option<String> {
    let name = names.iter().find(|name| fields.get(**name).is_some_and(Value::is_string))?;
    match fields.remove(*name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if is_bare(text) => text.clone(),
        // JSON escapes only some control characters.
        other => printable(&other.to_string()),
    }
}

fn is_bare(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=')
}

fn level_style(level: &str) -> Style {
    let color = match level.to_ascii_lowercase().as_str() {
        "fatal" | "critical" | "crit" | "emerg" | "alert" | "error" | "err" => AnsiColor::Red,
        "warn" | "warning" => AnsiColor::Yellow,
        "info" | "notice" => AnsiColor::Green,
        _ => AnsiColor::Blue,
    };
    color.on_default()
}

#[cfg(test)]
mod tests {
    use weir_model::Timestamp;

    use super::*;

    fn printed(format: Format, contents: &[&str]) -> String {
        let mut printer = HitPrinter::new(format, Zone::named("Europe/Berlin"));
        let mut out = anstream::StripStream::new(Vec::new());
        for content in contents {
            let hit = Hit {
                id: "shop_logs-000000000000001f-0-42.7".to_owned(),
                stream: "shop_logs".to_owned(),
                time: Time(Timestamp::from_micros(1_700_000_000_123_000)),
                received: Time(Timestamp::from_micros(1_700_000_001_000_000)),
                content: RawValue::from_string((*content).to_owned()).expect("is JSON"),
            };
            printer.print(&mut out, &hit).expect("memory takes it");
        }
        String::from_utf8(out.into_inner()).expect("is text")
    }

    #[test]
    fn text_shows_level_and_message_first() {
        let contents = [
            r#"{"service":"cart","level":"error","message":"timed out","status":503,"path":"/a b"}"#,
            r#"{"message":"plain line\r\n"}"#,
            r#"{"message":"\u001b[31mred","n":{"a":[1,2]}}"#,
            r#"{"status":200}"#,
            "{\"level\":\"\\u001b]0;x\\u0007\",\"c1\":\"\u{9d}0;x\u{9c}\",\"\u{7f}\":[\"\u{9b}2J\"]}",
            "[\"\u{9b}2J\"]",
        ];
        insta::assert_snapshot!(printed(Format::Text, &contents), @r#"
        2023-11-14T23:13:20.123+01:00 error timed out path="/a b" service=cart status=503
        2023-11-14T23:13:20.123+01:00 plain line
        2023-11-14T23:13:20.123+01:00 \u{1b}[31mred n={"a":[1,2]}
        2023-11-14T23:13:20.123+01:00 status=200
        2023-11-14T23:13:20.123+01:00 \u{1b}]0;x\u{7} c1="\u{9d}0;x\u{9c}" \u{7f}=["\u{9b}2J"]
        2023-11-14T23:13:20.123+01:00 ["\u{9b}2J"]
        "#);
    }

    #[test]
    fn json_is_one_object_a_line_with_the_content_as_it_came() {
        insta::assert_snapshot!(printed(Format::Json, &[r#"{"n":12345678901234567890,"f":1.50}"#]), @r#"{"id":"shop_logs-000000000000001f-0-42.7","stream":"shop_logs","time":"2023-11-14T23:13:20.123+01:00","received":"2023-11-14T23:13:21.000+01:00","content":{"n":12345678901234567890,"f":1.50}}"#);
    }

    #[test]
    fn csv_has_its_names_once() {
        insta::assert_snapshot!(printed(Format::Csv, &[r#"{"a":"x"}"#, r#"{"a":"y"}"#]), @r#"
        id,stream,time,received,content
        shop_logs-000000000000001f-0-42.7,shop_logs,2023-11-14T23:13:20.123+01:00,2023-11-14T23:13:21.000+01:00,"{""a"":""x""}"
        shop_logs-000000000000001f-0-42.7,shop_logs,2023-11-14T23:13:20.123+01:00,2023-11-14T23:13:21.000+01:00,"{""a"":""y""}"
        "#);
    }
}
