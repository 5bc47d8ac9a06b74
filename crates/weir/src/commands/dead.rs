use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::value::{RawValue, to_raw_value};
use weir_foundation::exit::ExitCode;
use weir_server::api::{
    DeadLetter, DeadLetterEntry, DeadLetters, DeadListParameters, DeadSelection, PurgeAnswer, Replay,
    ReplayAnswer,
};

use super::{OutputArgs, block_on, zone};
use crate::client::{Client, ClientArgs};
use crate::console::{self, Misused};
use crate::output::{self, Column, Format, Row, Zone, left, local_text, print_rows, right};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List dead letters, the oldest first
    List(ListArguments),
    /// Show one dead letter with its original bytes
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        server: ClientArgs,
    },
    /// Send dead letters again, as new events; what is accepted is removed
    Replay(ReplayArguments),
    /// Remove dead letters for good; they stay counted
    Purge(SelectArguments),
}

#[derive(Debug, Args)]
struct ListArguments {
    /// Only those of this stream
    #[arg(long)]
    stream: Option<String>,
    /// Only those with this reason
    #[arg(long)]
    code: Option<String>,
    /// How many at most, up to 1000
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Go on where a page ended
    #[arg(long, value_name = "KEY")]
    after: Option<i64>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ClientArgs,
}

#[derive(Debug, Args)]
struct SelectArguments {
    /// These letters
    ids: Vec<String>,
    /// Those of this stream
    #[arg(long, conflicts_with = "ids")]
    stream: Option<String>,
    /// Those with this reason
    #[arg(long, conflicts_with = "ids")]
    code: Option<String>,
    /// All of them
    #[arg(long, conflicts_with_all = ["ids", "stream", "code"])]
    all: bool,
    #[command(flatten)]
    server: ClientArgs,
}

#[derive(Debug, Args)]
struct ReplayArguments {
    #[command(flatten)]
    select: SelectArguments,
    /// Set a field before, in every event: `level=500`, `user.name=null`; what is no JSON is taken for a text
    #[arg(long, value_name = "PATH=VALUE", value_parser = assignment)]
    set: Vec<(String, Box<RawValue>)>,
    /// Send this JSON object in the place of the one letter's event; `-` is standard input
    #[arg(long, value_name = "FILE")]
    content: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::List(arguments) => list(arguments),
        Command::Show { id, output, server } => show(&id, output, &server),
        Command::Replay(arguments) => replay(arguments),
        Command::Purge(arguments) => purge(arguments),
    }
}

fn list(arguments: ListArguments) -> Result<ExitCode> {
    let ListArguments { stream, code, limit, after, output, server } = arguments;
    let client = Client::of(&server)?;
    let parameters = DeadListParameters { stream, code, after, limit };
    let answer: DeadLetters = block_on(async { Ok(client.get(&["dead"], &parameters).await?) })?;
    print_rows(&mut console::stdout(), output.output, &zone(), &answer.letters)?;
    if let Some(next) = answer.next {
        console::note(&format!("more: --after {next}"));
    }
    Ok(ExitCode::Good)
}

fn show(id: &str, output: OutputArgs, server: &ClientArgs) -> Result<ExitCode> {
    let client = Client::of(server)?;
    let letter: DeadLetter = block_on(async { Ok(client.get(&["dead", id], &()).await?) })?;
    let mut out = console::stdout();
    match output.output {
        Format::Text => write_letter(&mut out, &letter, &zone())?,
        Format::Json | Format::Csv => print_rows(&mut out, output.output, &zone(), &[letter])?,
    }
    Ok(ExitCode::Good)
}

fn write_letter(out: &mut dyn Write, letter: &DeadLetter, zone: &Zone) -> Result<()> {
    let DeadLetter { entry, content, original } = letter;
    let content = content.as_ref().map_or("can not be read", |content| content.get());
    let lines = [
        ("id", entry.id.clone()),
        ("stream", entry.stream.clone()),
        ("index prefix", entry.prefix.clone().unwrap_or_else(|| "unknown".to_owned())),
        ("events", entry.events.to_string()),
        ("received", local_text(entry.received.0, zone)),
        ("died", local_text(entry.died.0, zone)),
        ("reason", format!("{} ({})", entry.message, entry.code)),
        ("format", entry.format.clone()),
        ("content", content.to_owned()),
        ("original", format!("{original} (base64)")),
    ];
    lines.iter().try_for_each(|(name, value)| writeln!(out, "{name:<13}{}", output::printable(value)))?;
    Ok(())
}

fn replay(arguments: ReplayArguments) -> Result<ExitCode> {
    let ReplayArguments { select, set, content } = arguments;
    let client = Client::of(&select.server)?;
    let DeadSelection { ids, stream, code, all } = selection(select)?;
    if content.is_some() && ids.len() != 1 {
        return Err(Misused("`--content` is of one letter: name it by its id".to_owned()).into());
    }
    let content = content.as_deref().map(read_content).transpose()?;
    let replay = Replay { ids, stream, code, all, content, set: set.into_iter().collect() };
    let answer: ReplayAnswer = block_on(async { Ok(client.post(&["dead", "replay"], &replay).await?) })?;
    for refusal in &answer.refused {
        console::note(&output::printable(&format!("{}: {}", refusal.id, refusal.reason)));
    }
    let (accepted, refused) = (output::count(answer.accepted), output::count(answer.refused_total));
    writeln!(console::stdout(), "{accepted} accepted again, {refused} refused")?;
    if answer.accepted > 0 {
        console::note("they are delivered as new events, and die again if the cause is still there");
    }
    Ok(if answer.refused_total == 0 { ExitCode::Good } else { ExitCode::Failure })
}

fn assignment(text: &str) -> Result<(String, Box<RawValue>), String> {
    let (path, value) = text.split_once('=').ok_or("is not of the form PATH=VALUE")?;
    let value = RawValue::from_string(value.to_owned()).or_else(|_no_json| to_raw_value(value));
    Ok((path.to_owned(), value.map_err(|error| error.to_string())?))
}

fn read_content(file: &Path) -> Result<Box<RawValue>> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("read standard input")?;
        text
    } else {
        std::fs::read_to_string(file).with_context(|| format!("read `{}`", file.display()))?
    };
    let wrong = |error| Misused(format!("`{}` is no JSON: {error}", file.display()));
    Ok(RawValue::from_string(text.trim().to_owned()).map_err(wrong)?)
}

fn purge(arguments: SelectArguments) -> Result<ExitCode> {
    let client = Client::of(&arguments.server)?;
    let selection = selection(arguments)?;
    let asked_for = selection.ids.iter().collect::<BTreeSet<_>>().len() as u64;
    let answer: PurgeAnswer = block_on(async { Ok(client.post(&["dead", "purge"], &selection).await?) })?;
    writeln!(console::stdout(), "{} purged", output::count(answer.purged))?;
    let missing = asked_for.saturating_sub(answer.purged);
    if missing > 0 {
        console::note(&format!("there is no such dead letter: {} of the ids", output::count(missing)));
        return Ok(ExitCode::Failure);
    }
    Ok(ExitCode::Good)
}

fn selection(arguments: SelectArguments) -> Result<DeadSelection> {
    let SelectArguments { ids, stream, code, all, .. } = arguments;
    if ids.is_empty() && stream.is_none() && code.is_none() && !all {
        return Err(Misused("name letters by id, or select with --stream, --code or --all".to_owned()).into());
    }
    Ok(DeadSelection { ids, stream, code, all })
}

impl Row for DeadLetter {
    const COLUMNS: &'static [Column] = DeadLetterEntry::COLUMNS;

    fn cells(&self, zone: &Zone) -> Vec<String> {
        self.entry.cells(zone)
    }
}

impl Row for DeadLetterEntry {
    const COLUMNS: &'static [Column] =
        &[left("id"), left("died"), right("events"), left("code"), left("message")];

    fn cells(&self, zone: &Zone) -> Vec<String> {
        vec![
            self.id.clone(),
            local_text(self.died.0, zone),
            self.events.to_string(),
            self.code.clone(),
            self.message.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_json_or_else_a_text() {
        let check = |text: &str, expected: &str| {
            let found = assignment(text).map(|(path, value)| format!("{path} {}", value.get()));
            assert_eq!(found.unwrap_or_else(|error| error), expected, "{text}");
        };
        check("level=500", "level 500");
        check("a.b=null", "a.b null");
        check("level=high", r#"level "high""#);
        check(r#"level="500""#, r#"level "500""#);
        check("query=a=b", r#"query "a=b""#);
        check("text=", r#"text """#);
        check(r#"user={"name":"x"}"#, r#"user {"name":"x"}"#);
        check("level", "is not of the form PATH=VALUE");
    }
}
