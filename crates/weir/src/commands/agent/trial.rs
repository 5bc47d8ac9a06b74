//! `weir agent check --inputs FILE`: what inputs would read on this machine, whether an agent runs or not.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::value::RawValue;
use weir_agent::{Behind, FilesSettings, Preview, Survey};
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::exit::ExitCode;
use weir_foundation::settings::Problems;
use weir_model::Timestamp;
use weir_server::api::Time;

use crate::console;
use crate::host;
use crate::output::{Column, Format, Row, Zone, json_line, left, local_text, print_rows, printable, right};
use crate::settings::read_inputs;

/// What would be read of one file, or why nothing could be.
#[derive(Debug, Serialize)]
struct Trial {
    /// Place of the input in the list.
    input: usize,
    file: PathBuf,
    bytes: u64,
    /// The first ones.
    events: Vec<Event>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// As it would be sent.
#[derive(Debug, Serialize)]
struct Event {
    time: Time,
    content: Box<RawValue>,
}

/// Bytes of each file that are looked at: more than the longest event.
const GLANCE: u64 = 1 << 20;

pub(super) fn run(file: &Path, events: usize, format: Format, zone: &Zone) -> Result<ExitCode> {
    let (inputs, name) = match read_inputs(file) {
        Ok(read) => read,
        Err(problems) => return Ok(refuse(&problems)),
    };
    let host = host::name().context("find out what this machine is called")?;
    let trials = try_all(&inputs, &name.unwrap_or(host), events);
    print(&mut console::stdout(), format, zone, &inputs, &trials)?;
    let is_good = trials.iter().all(|trial| trial.error.is_none());
    Ok(if is_good { ExitCode::Good } else { ExitCode::Failure })
}

fn refuse(problems: &Problems) -> ExitCode {
    console::note(problems.to_string().trim_end());
    ExitCode::Configuration
}

/// In the order of the inputs.
fn try_all(inputs: &[FilesSettings], host: &str, events: usize) -> Vec<Trial> {
    let Survey { files, errors } = Survey::of(inputs);
    let unseen = errors.into_iter().map(|unseen| Trial {
        input: unseen.input,
        file: unseen.path,
        bytes: 0,
        events: Vec::new(),
        error: Some(unseen.error.to_string()),
    });
    let seen = files.into_iter().filter_map(|file| {
        let settings = inputs.get(file.input)?;
        let mut trial =
            Trial { input: file.input, file: file.path, bytes: 0, events: Vec::new(), error: None };
        if let Err(error) = trial.look(settings, host, events) {
            trial.error = Some(error.to_string());
        }
        Some(trial)
    });
    let mut trials: Vec<Trial> = seen.chain(unseen).collect();
    trials.sort_by_key(|trial| trial.input);
    trials
}

impl Trial {
    fn look(&mut self, settings: &FilesSettings, host: &str, most: usize) -> io::Result<()> {
        let mut file = File::open(&self.file)?;
        self.bytes = file.metadata()?.len();
        let mut bytes = Vec::new();
        (&mut file).take(GLANCE).read_to_end(&mut bytes)?;
        let behind = if bytes.len() as u64 == self.bytes { Behind::Nothing } else { Behind::More };
        let now = Timestamp::from(SystemClock.now());
        let Some(preview) = Preview::new(settings, host, &self.file) else { return Ok(()) };
        let (mut at, mut found) = (0, Vec::new());
        while found.len() < most
            && let Some((events, used)) =
                preview.read(bytes.get(at..).unwrap_or_default(), at as u64, behind, now)
        {
            found.extend(events);
            at += used;
        }
        found.truncate(most);
        self.events = found
            .into_iter()
            .map(|event| {
                let content = RawValue::from_string(event.content)?;
                Ok(Event { time: event.time.into(), content })
            })
            .collect::<serde_json::Result<_>>()?;
        Ok(())
    }
}

fn print(
    out: &mut dyn Write,
    format: Format,
    zone: &Zone,
    inputs: &[FilesSettings],
    trials: &[Trial],
) -> Result<()> {
    match format {
        Format::Text => write_text(out, zone, inputs, trials),
        Format::Json => Ok(trials.iter().try_for_each(|trial| json_line(out, trial))?),
        Format::Csv => Ok(print_rows(out, format, zone, trials)?),
    }
}

fn write_text(out: &mut dyn Write, zone: &Zone, inputs: &[FilesSettings], trials: &[Trial]) -> Result<()> {
    for (place, input) in inputs.iter().enumerate() {
        let paths = input.paths.join(", ");
        let of_input = || trials.iter().filter(|trial| trial.input == place);
        let count = of_input().filter(|trial| trial.error.is_none()).count();
        let files = if count == 1 { "file" } else { "files" };
        writeln!(out, "inputs[{place}] reads {}: {count} {files}", printable(&paths))?;
        for Trial { file, bytes, events, error, .. } in of_input() {
            let file = file.display().to_string();
            match error {
                Some(error) => writeln!(out, "  {}: {}", printable(&file), printable(error))?,
                None => writeln!(out, "  {}, {bytes} bytes", printable(&file))?,
            }
            for Event { time, content } in events {
                writeln!(out, "    {} {}", local_text(time.0, zone), printable(content.get()))?;
            }
        }
    }
    Ok(())
}

impl Row for Trial {
    const COLUMNS: &'static [Column] = &[right("input"), left("file"), right("bytes"), left("error")];

    fn cells(&self, _: &Zone) -> Vec<String> {
        vec![
            self.input.to_string(),
            self.file.display().to_string(),
            self.bytes.to_string(),
            self.error.clone().unwrap_or_default(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The folder is called `/F` in what is returned.
    fn tried(files: &[(&str, &str)], yaml: &str, format: Format) -> String {
        let root = tempfile::tempdir().expect("there is space");
        let place = root.path().display().to_string();
        for (name, text) in files {
            std::fs::write(root.path().join(name), text).expect("there is space");
        }
        std::os::unix::fs::symlink("loop.log", root.path().join("loop.log")).expect("there is space");
        let file = root.path().join("agent.yaml");
        std::fs::write(&file, yaml.replace("/F", &place)).expect("there is space");
        let (inputs, name) = match read_inputs(&file) {
            Ok(read) => read,
            Err(problems) => return problems.to_string().replace(&place, "/F"),
        };
        let trials = try_all(&inputs, name.as_deref().unwrap_or("web-3"), 2);
        let mut out = anstream::StripStream::new(Vec::new());
        print(&mut out, format, &Zone::utc(), &inputs, &trials).expect("memory takes it");
        String::from_utf8(out.into_inner()).expect("is text").replace(&place, "/F")
    }

    const FILES: &[(&str, &str)] = &[
        ("a.json", "{\"time\":\"2026-11-29T10:00:00Z\",\"user\":\"ann\",\"password\":\"x\"}\n"),
        ("b.json", "one\ntwo\nthree"),
        ("empty.json", ""),
    ];

    /// As the server would have it, but for what an agent is started with.
    const YAML: &str = "\
agent: {name: other}
inputs:
  - paths: [/F/*.json]
    parser: {kind: json, time: {field: time}}
    fields: {remove: [password], add: {team: shop}}
  - {app: other, paths: [/F/none/*]}
";

    #[test]
    fn files_and_their_first_events_are_shown() {
        insta::assert_snapshot!(tried(&FILES[..1], YAML, Format::Text));
        insta::assert_snapshot!(tried(&FILES[..1], YAML, Format::Json));
        insta::assert_snapshot!(tried(FILES, YAML, Format::Csv));
    }

    #[test]
    fn no_more_events_are_shown_than_were_asked_for() {
        let shown = tried(FILES, "inputs: [{paths: [/F/b.json]}]", Format::Text);
        let has = |line: &str| shown.contains(&format!("\"message\":\"{line}\""));
        assert_eq!(["one", "two", "three"].map(has), [true, true, false], "{shown}");
    }

    #[test]
    fn what_can_not_be_looked_at_is_said() {
        insta::assert_snapshot!(tried(&[], "inputs: [{paths: [/F/*.log]}]", Format::Text));
        insta::assert_snapshot!(tried(&[], "inputs: []", Format::Text));
        insta::assert_snapshot!(tried(&[], "inputs: [{paths: [a]}]\nlog: {nivel: 3}", Format::Text));
    }
}
