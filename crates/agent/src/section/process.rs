//! Settings of what becomes of lines.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use weir_foundation::settings::{DurationText, Problem, Problems};

use super::inputs::InputSection;
use crate::process::settings::{
    About, Condition, Encoding, Expression, Fields, Format, Language, Multiline, Original, Parser,
    ParserKind, Process, Rule, Sample, Scalar, Test, TimeField, TimeFormat, TimeOf, Told,
};

/// What programs write around lines that keep the logs of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FormatName {
    /// Nothing.
    Plain,
    /// What containerd and CRI-O write for Kubernetes: time, `stdout` or `stderr`, and whether a line goes on.
    Cri,
    /// What Docker's driver `json-file` writes.
    Docker,
}

/// Lines that are one event together, by one of `presets`, `start` and `continue`. Groups end at `max_line` bytes and at
/// 1,000 lines. Without any of them each line is an event.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MultilineSection {
    /// Whose stack traces are put together; lines that are of none stay alone.
    pub presets: Option<Vec<LanguageName>>,
    /// A regular expression: a line that it matches begins an event, and the others go on with it.
    pub start: Option<String>,
    /// A regular expression: a line that it matches goes on with the event before it.
    #[serde(rename = "continue")]
    pub goes_on: Option<String>,
    /// How long the last lines of a file wait for others that belong to them. Default: `1s`.
    pub timeout: Option<DurationText>,
}

/// A language whose stack traces are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LanguageName {
    Java,
    Go,
    Python,
}

/// Fields that texts have in them. A text that does not fit is sent as `message`, as it is, and counted.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParserSection {
    /// How fields are written. Default: none are read.
    pub kind: Option<ParserName>,
    /// For `regex`: an expression that matches all of a text; each group with a name is a field.
    pub pattern: Option<String>,
    /// Whether a text that fits stays as well, as `original`. Default: `false`.
    pub keep_original: Option<bool>,
    pub time: TimeSection,
}

/// How fields are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ParserName {
    /// One JSON object.
    Json,
    /// `key=value key="a value"`, and nothing else.
    Logfmt,
    /// As `pattern` says.
    Regex,
}

/// The field that has the time of an event. It stays in the event. A time before 1970, or a day or more ahead of the clock,
/// is none; then the event has the time of its format, or that at which it was read.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeSection {
    /// Its name. Default: the first of `@timestamp`, `time` and `ts` that is a time.
    pub field: Option<String>,
    /// `rfc3339`; `unix`, `unix_ms`, `unix_us` or `unix_ns`, a number since 1970; a pattern of `strftime` such as
    /// `%d/%b/%Y:%H:%M:%S %z`; `auto`, RFC 3339 or a number whose magnitude tells its unit. Default: `auto`.
    pub format: Option<String>,
    /// The time zone of patterns that say none, such as `Europe/Berlin`. Default: `UTC`.
    pub zone: Option<String>,
}

/// Something about a field; everything that is given has to be so.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConditionSection {
    /// Its name; `kubernetes.namespace` for one within another. What the parser found, `message`, `stream`, `host`, `file`.
    pub field: Option<String>,
    /// A text, a number or a truth value that it is.
    pub equals: Option<Value>,
    /// A regular expression that matches something in it.
    pub matches: Option<String>,
    /// Whether it is there.
    pub exists: Option<bool>,
    /// A number that it is above.
    pub above: Option<f64>,
    /// A number that it is below.
    pub below: Option<f64>,
}

/// Events of which a part is sent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SampleSection {
    /// One in so many is sent; the others are counted. The same are chosen when they are read again. Default: all are sent.
    pub one_in: Option<u64>,
    /// Events that are sent in any case: those for which one of these holds. Default: none.
    pub unless: Vec<ConditionSection>,
}

/// Fields that events get, lose, or are called otherwise: first renamed, then removed, then added.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FieldsSection {
    /// Texts, numbers and truth values that every event has, whatever it had by that name. Default: none.
    pub add: Option<BTreeMap<String, Value>>,
    /// Names of fields that no event has. Default: none.
    pub remove: Option<Vec<String>>,
    /// New names by old ones. Default: none.
    pub rename: Option<BTreeMap<String, String>>,
}

/// How long a time-out may be: what waits is not sent.
const LONGEST: Duration = Duration::from_secs(300);

/// Bytes of what is added to an event at most.
const ADDED: usize = 8 << 10;

/// Bytes of the name of a field at most.
const NAME: usize = 256;

/// What becomes of the lines of an input.
pub(super) fn validate(raw: &InputSection) -> Result<Process, Problems> {
    let mut problems = Problems::default();
    let encoding = raw.encoding.as_deref().map_or(Some(Encoding::default()), Encoding::named);
    if encoding.is_none() {
        let name = raw.encoding.as_deref().unwrap_or_default();
        problems
            .push(Problem::at("encoding", format!("`{name}` is no name of an encoding, such as `utf-16le`")));
    }
    let format = match raw.format {
        None | Some(FormatName::Plain) => Format::Plain,
        Some(FormatName::Cri) => Format::Cri,
        Some(FormatName::Docker) => Format::Docker,
    };
    let told = |is_told: bool| if is_told { Told::Yes } else { Told::No };
    let about = About {
        host: told(raw.host.unwrap_or(true)),
        pod: told(raw.kubernetes.unwrap_or(format != Format::Plain)),
    };
    let multiline = problems.take("multiline", multiline(&raw.multiline)).flatten();
    let parser = problems.take("parser", parser(&raw.parser)).flatten();
    let drop = problems.take("drop", conditions(&raw.drop)).unwrap_or_default();
    let sample = problems.take("sample", sample(&raw.sample)).flatten();
    let fields = problems.take("fields", fields(&raw.fields)).unwrap_or_default();
    let encoding = encoding.unwrap_or_default();
    problems.or(Process { encoding, format, multiline, about, parser, drop, sample, fields })
}

fn multiline(raw: &MultilineSection) -> Result<Option<Multiline>, Problems> {
    let mut problems = Problems::default();
    let mut rules = Vec::new();
    if let Some(presets) = raw.presets.as_ref().filter(|presets| !presets.is_empty()) {
        let language = |name: &LanguageName| match name {
            LanguageName::Java => Language::Java,
            LanguageName::Go => Language::Go,
            LanguageName::Python => Language::Python,
        };
        rules.push(Rule::Traces(presets.iter().map(language).collect()));
    }
    if let Some(start) = &raw.start {
        rules.extend(expression("start", start, &mut problems).map(Rule::Start));
    }
    if let Some(goes_on) = &raw.goes_on {
        rules.extend(expression("continue", goes_on, &mut problems).map(Rule::Continue));
    }
    let timeout = raw.timeout.map_or(Duration::from_secs(1), DurationText::duration);
    if timeout.is_zero() || timeout > LONGEST {
        problems.push(Problem::at("timeout", "must be longer than zero and at most `5m`"));
    }
    let mut rules = rules.into_iter();
    let rule = rules.next();
    if rules.next().is_some() {
        problems.push(Problem::at("", "takes one of `presets`, `start` and `continue`"));
    }
    problems.or(rule.map(|rule| Multiline { rule, timeout }))
}

fn parser(raw: &ParserSection) -> Result<Option<Parser>, Problems> {
    let mut problems = Problems::default();
    let is_regex = raw.kind == Some(ParserName::Regex);
    let kind = match (raw.kind, &raw.pattern) {
        (Some(ParserName::Regex), Some(pattern)) => {
            expression("pattern", pattern, &mut problems).map(|expression| {
                if expression.regex().capture_names().flatten().next().is_none() {
                    let message =
                        "has no group with a name, such as `(?P<level>\\w+)`: there would be no field";
                    problems.push(Problem::at("pattern", message));
                }
                ParserKind::Expression(expression)
            })
        }
        (Some(ParserName::Regex), None) => {
            problems.push(Problem::at("pattern", "must be said for `kind: regex`"));
            None
        }
        (Some(ParserName::Json), _) => Some(ParserKind::Json),
        (Some(ParserName::Logfmt), _) => Some(ParserKind::Logfmt),
        (None, _) => None,
    };
    if raw.pattern.is_some() && !is_regex {
        problems.push(Problem::at("pattern", "is for `kind: regex`"));
    }
    if raw.time.field.is_some() && raw.kind.is_none() {
        problems.push(Problem::at("kind", "must be said: there is no field without"));
    }
    let time = problems.take("time", time(&raw.time));
    let original = if raw.keep_original == Some(true) { Original::Kept } else { Original::Left };
    let parser = kind.zip(time).map(|(kind, time)| Parser { kind, time, original });
    problems.or(parser)
}

fn time(raw: &TimeSection) -> Result<TimeOf, Problems> {
    let mut problems = Problems::default();
    let name = raw.zone.as_deref().unwrap_or("UTC");
    let zone = TimeZone::get(name).unwrap_or_else(|_| {
        let message = format!("`{name}` is no time zone that this machine knows, such as `Europe/Berlin`");
        problems.push(Problem::at("zone", message));
        TimeZone::UTC
    });
    let format = match raw.format.as_deref().unwrap_or("auto") {
        "auto" => TimeFormat::Auto,
        "rfc3339" => TimeFormat::Rfc3339,
        "unix" => TimeFormat::Unix { per_second: 1 },
        "unix_ms" => TimeFormat::Unix { per_second: 1_000 },
        "unix_us" => TimeFormat::Unix { per_second: 1_000_000 },
        "unix_ns" => TimeFormat::Unix { per_second: 1_000_000_000 },
        pattern if pattern.contains('%') => TimeFormat::pattern(pattern, zone).unwrap_or_else(|error| {
            problems.push(Problem::at("format", format!("`{pattern}` {error}")));
            TimeFormat::Auto
        }),
        other => {
            let message = format!(
                "`{other}` is none of `auto`, `rfc3339`, `unix`, `unix_ms`, `unix_us`, `unix_ns`, and no \
                                   pattern of `strftime`"
            );
            problems.push(Problem::at("format", message));
            TimeFormat::Auto
        }
    };
    let time = match &raw.field {
        Some(field) => {
            name_of_field("field", field, &mut problems);
            TimeOf::Field(TimeField { field: field.clone(), format })
        }
        None => {
            if format != TimeFormat::Auto {
                problems.push(Problem::at("field", "must be said where `format` is"));
            }
            TimeOf::Usual
        }
    };
    problems.or(time)
}

fn conditions(raw: &[ConditionSection]) -> Result<Vec<Condition>, Problems> {
    let mut problems = Problems::default();
    let mut conditions = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        conditions.extend(problems.take(&format!("[{index}]"), condition(raw)));
    }
    problems.or(conditions)
}

fn condition(raw: &ConditionSection) -> Result<Condition, Problems> {
    let mut problems = Problems::default();
    let field = raw.field.clone().unwrap_or_default();
    name_of_field("field", &field, &mut problems);
    let mut tests = Vec::new();
    if let Some(value) = &raw.equals {
        tests.extend(scalar("equals", value, &mut problems).map(Test::Equals));
    }
    if let Some(pattern) = &raw.matches {
        tests.extend(expression("matches", pattern, &mut problems).map(Test::Matches));
    }
    tests.extend(raw.exists.map(|exists| if exists { Test::Exists } else { Test::IsAbsent }));
    tests.extend(raw.above.map(Test::Above));
    tests.extend(raw.below.map(Test::Below));
    if tests.is_empty() && problems.is_empty() {
        problems.push(Problem::at("", "must say one of `equals`, `matches`, `exists`, `above` and `below`"));
    }
    problems.or(Condition { field, tests })
}

fn sample(raw: &SampleSection) -> Result<Option<Sample>, Problems> {
    let mut problems = Problems::default();
    let unless = problems.take("unless", conditions(&raw.unless)).unwrap_or_default();
    if raw.one_in == Some(0) {
        problems.push(Problem::at("one_in", "must be at least one"));
    }
    if raw.one_in.is_none() && !raw.unless.is_empty() {
        problems.push(Problem::at("one_in", "must be said where `unless` is"));
    }
    problems.or(raw.one_in.filter(|one_in| *one_in > 1).map(|one_in| Sample { one_in, unless }))
}

fn fields(raw: &FieldsSection) -> Result<Fields, Problems> {
    let mut problems = Problems::default();
    let mut add = Vec::new();
    for (name, value) in raw.add.iter().flatten() {
        let at = format!("add.{name}");
        name_of_field(&at, name, &mut problems);
        if scalar(&at, value, &mut problems).is_some() {
            add.push((name.clone(), value.to_string()));
        }
    }
    if add.iter().map(|(name, json)| name.len() + json.len()).sum::<usize>() > ADDED {
        problems.push(Problem::at("add", format!("must be at most {ADDED} bytes: every event has it")));
    }
    for (index, name) in raw.remove.iter().flatten().enumerate() {
        name_of_field(&format!("remove[{index}]"), name, &mut problems);
    }
    let mut rename = Vec::new();
    for (from, to) in raw.rename.iter().flatten() {
        let at = format!("rename.{from}");
        name_of_field(&at, from, &mut problems);
        name_of_field(&at, to, &mut problems);
        rename.push((from.clone(), to.clone()));
    }
    problems.or(Fields { rename, remove: raw.remove.clone().unwrap_or_default(), add })
}

fn expression(at: &str, pattern: &str, problems: &mut Problems) -> Option<Expression> {
    Expression::compile(pattern).map_err(|error| problems.push(Problem::at(at, error.to_string()))).ok()
}

fn scalar(at: &str, value: &Value, problems: &mut Problems) -> Option<Scalar> {
    match value {
        Value::String(text) => Some(Scalar::Text(text.clone())),
        Value::Number(number) => number.as_f64().map(Scalar::Number),
        Value::Bool(boolean) => Some(Scalar::Boolean(*boolean)),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            problems.push(Problem::at(at, "must be a text, a number, `true` or `false`"));
            None
        }
    }
}

fn name_of_field(at: &str, name: &str, problems: &mut Problems) {
    if name.is_empty() || name.len() > NAME {
        problems.push(Problem::at(at, format!("the name of a field has 1 to {NAME} bytes")));
    }
}
