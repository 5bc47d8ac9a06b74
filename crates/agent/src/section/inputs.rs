//! Settings of what is read.

use std::path::Path;
use std::time::Duration;

use glob::Pattern;
use schemars::JsonSchema;
use serde::Deserialize;
use weir_foundation::settings::{DurationText, Problem, Problems, SizeText};
use weir_model::{ByteSize, IndexPrefix};

use super::process::{
    ConditionSection, FieldsSection, FormatName, MultilineSection, ParserSection, SampleSection, validate,
};
use crate::process::Process;

/// Something that is read.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InputSection {
    /// What it is. Default: `files`.
    pub kind: Option<InputKind>,
    /// Whose events it brings.
    pub app: Option<String>,
    /// Files, by patterns such as `/var/log/app/*.log`; `**` stands for any number of folders.
    pub paths: Vec<String>,
    /// Patterns of files that are not read all the same. Default: none.
    pub exclude: Option<Vec<String>>,
    /// Where a file begins that is there when its pattern is looked for for the first time; files that come later begin at
    /// their beginning. Default: `beginning`.
    pub start_at: Option<StartAt>,
    /// The longest event, at most `512KiB`; a line that is longer becomes several. Default: `256KiB`.
    pub max_line: Option<SizeText>,
    /// How soon new files and new lines are looked for, at most once in this time. Default: `1s`.
    pub scan_interval: Option<DurationText>,
    /// Whether all files are looked at in every `scan_interval`, instead of when the kernel tells of a change; that is done
    /// by itself on disks of the network, and where too many folders would have to be watched. Default: `false`.
    pub poll: Option<bool>,
    /// How long a file is read on that has another name now or none, after its last line. Default: `10s`.
    pub close_after: Option<DurationText>,
    /// Lines of a file that are sent in a second at most; the others wait. Default: as many as there are.
    pub max_lines_per_second: Option<u32>,
    /// How the bytes of a file are text, by a name of the WHATWG (<https://encoding.spec.whatwg.org>): `utf-16le`, `latin1`,
    /// `shift_jis`. Default: `utf-8`.
    pub encoding: Option<String>,
    /// What programs write around lines that keep the logs of others. Default: `plain`.
    pub format: Option<FormatName>,
    /// Whether events say of which pod they are, where the name of a file does. Default: yes for the formats `cri` and
    /// `docker`.
    pub kubernetes: Option<bool>,
    /// Whether events say on which host they were read: what the agent is called. Default: `true`.
    pub host: Option<bool>,
    pub multiline: MultilineSection,
    pub parser: ParserSection,
    /// Events that are not sent: those for which one of these holds. They are counted. Default: none.
    pub drop: Vec<ConditionSection>,
    pub sample: SampleSection,
    pub fields: FieldsSection,
}

impl InputKind {
    /// As settings have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
        }
    }
}

/// What an input is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InputKind {
    /// Lines of files.
    #[default]
    Files,
}

/// Where a file begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StartAt {
    /// All of it is read.
    #[default]
    Beginning,
    /// What is written from now on is read.
    End,
}

/// An input that reads files.
#[derive(Debug, Clone, PartialEq)]
pub struct FilesSettings {
    pub app: String,
    pub paths: Vec<String>,
    pub exclude: Vec<Pattern>,
    pub start_at: StartAt,
    pub max_line: ByteSize,
    pub scan_interval: Duration,
    pub(crate) poll: bool,
    pub close_after: Duration,
    pub max_lines_per_second: Option<u32>,
    pub(crate) process: Process,
}

impl FilesSettings {
    /// All inputs, of which there must be one.
    pub fn validate_all(raw: &[InputSection]) -> Result<Vec<Self>, Problems> {
        let mut problems = Problems::default();
        if raw.is_empty() {
            problems.push(Problem::at("", "must have at least one: there is nothing to read"));
        }
        let mut inputs = Vec::with_capacity(raw.len());
        for (index, input) in raw.iter().enumerate() {
            inputs.extend(problems.take(&format!("[{index}]"), Self::validate(input)));
        }
        problems.or(inputs)
    }

    fn validate(raw: &InputSection) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        // More kinds come with their issues.
        let InputKind::Files = raw.kind.unwrap_or_default();
        let app = raw.app.clone().unwrap_or_default();
        if let Err(illegal) = IndexPrefix::new(&app) {
            problems.push(Problem::at("app", format!("`{app}` is no name of an app: it {illegal}")));
        }
        if raw.paths.is_empty() {
            problems.push(Problem::at("paths", "must have at least one pattern"));
        }
        for (index, path) in raw.paths.iter().enumerate() {
            let at = format!("paths[{index}]");
            if pattern(&at, path, &mut problems).is_some() && !Path::new(path).is_absolute() {
                problems.push(Problem::at(at, format!("`{path}` must begin with `/`")));
            }
        }
        let mut exclude = Vec::new();
        for (index, path) in raw.exclude.iter().flatten().enumerate() {
            exclude.extend(pattern(&format!("exclude[{index}]"), path, &mut problems));
        }
        let max_line = raw.max_line.map_or(256 << 10, SizeText::bytes);
        if !(1_024..=512 << 10).contains(&max_line) {
            problems.push(Problem::at("max_line", "must be at least `1KiB` and at most `512KiB`"));
        }
        let scan_interval = raw.scan_interval.map_or(Duration::from_secs(1), DurationText::duration);
        if scan_interval.is_zero() {
            problems.push(Problem::at("scan_interval", "must be longer than zero"));
        }
        if raw.max_lines_per_second == Some(0) {
            problems.push(Problem::at("max_lines_per_second", "must be at least one"));
        }
        let process = problems.take("", validate(raw)).unwrap_or_default();
        problems.or(Self {
            app,
            paths: raw.paths.clone(),
            exclude,
            start_at: raw.start_at.unwrap_or_default(),
            max_line: ByteSize(max_line),
            scan_interval,
            poll: raw.poll.unwrap_or(false),
            close_after: raw.close_after.map_or(Duration::from_secs(10), DurationText::duration),
            max_lines_per_second: raw.max_lines_per_second,
            process,
        })
    }
}

fn pattern(at: &str, text: &str, problems: &mut Problems) -> Option<Pattern> {
    Pattern::new(text)
        .map_err(|error| problems.push(Problem::at(at, format!("`{text}` is no pattern: {error}"))))
        .ok()
}
