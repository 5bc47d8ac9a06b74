use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use weir_foundation::exit::ExitCode;
use weir_server::api::{ConfigurationAnswer, ConfigurationProblem, ConfigurationRefusal, NewConfiguration};

use super::super::block_on;
use super::super::fleet::selected;
use super::{LabelsArgs, print_answer};
use crate::client::{Client, ClientArgs, ClientError};
use crate::console;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    labels: LabelsArgs,
    /// YAML with `inputs:`, as in an agent's settings file; `-` is standard input
    file: PathBuf,
    /// Why, for whoever looks at the history
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,
    /// Say what it would change and for how many agents, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: ClientArgs,
}

/// More than any configuration has.
const LONGEST: u64 = (1 << 20) + 1;

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let client = Client::of(&arguments.server)?;
    let new = NewConfiguration {
        labels: selected(&arguments.labels.labels),
        text: read(&arguments.file)?,
        note: arguments.note.clone(),
        dry_run: arguments.dry_run,
    };
    let answer: Result<ConfigurationAnswer, ClientError> =
        block_on(async { Ok(client.post(&["configurations"], &new).await) })?;
    if let Err(ClientError::Refused(refusal)) = &answer {
        for line in problems(&arguments.file, &refusal.body) {
            console::note(&line);
        }
    }
    print_answer(&mut console::stdout(), &answer?)?;
    Ok(ExitCode::Good)
}

fn read(file: &Path) -> Result<String> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(LONGEST).read_to_string(&mut text)
    } else {
        File::open(file).and_then(|file| file.take(LONGEST).read_to_string(&mut text))
    };
    read.with_context(|| format!("read the configuration from `{}`", file.display()))?;
    Ok(text)
}

/// What is wrong, as if it were said of the file.
fn problems(file: &Path, refusal: &[u8]) -> Vec<String> {
    let refusal: Option<ConfigurationRefusal> = serde_json::from_slice(refusal).ok();
    let problems = refusal.map(|refusal| refusal.problems).unwrap_or_default();
    problems.iter().map(|problem| line(file, problem)).collect()
}

fn line(file: &Path, problem: &ConfigurationProblem) -> String {
    let ConfigurationProblem { line, path, message, hint } = problem;
    let mut text = file.display().to_string();
    if let Some(line) = line {
        text += &format!(":{line}");
    }
    if !path.is_empty() {
        text += &format!(": {path}");
    }
    text += &format!(": {message}");
    if let Some(hint) = hint {
        text += &format!(" ({hint})");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn problems_are_those_of_the_file() {
        let refusal = json!({
            "error": { "code": "bad-configuration", "message": "agents would not take the configuration" },
            "problems": [
                { "line": 2, "path": "inputs[0].paths", "message": "must have at least one" },
                { "line": 3, "path": "inputs[1].pathes", "message": "unknown key", "hint": "did you mean `paths`?" },
                { "path": "", "message": "is too large" },
            ],
        });
        let lines = problems(Path::new("web/agent.yaml"), refusal.to_string().as_bytes());
        insta::assert_snapshot!(lines.join("\n"), @r"
        web/agent.yaml:2: inputs[0].paths: must have at least one
        web/agent.yaml:3: inputs[1].pathes: unknown key (did you mean `paths`?)
        web/agent.yaml: is too large
        ");
        let other = json!({ "error": { "code": "unauthorized", "message": "…" } });
        assert!(problems(Path::new("a"), other.to_string().as_bytes()).is_empty());
        assert!(problems(Path::new("a"), b"<html>").is_empty());
    }
}
