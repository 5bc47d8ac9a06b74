//! `weir app`: in whose names events are sent.

use std::io::Write;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use clap::{Args, Subcommand};
use weir_foundation::exit::ExitCode;
use weir_server::api::{App, AppChange, AppSecret, Apps, EndAppSecrets, NewApp, NewAppSecret};

use super::fleet::{number_or, read_secret};
use super::{OutputArgs, block_on, zone};
use crate::client::{Client, ClientArgs};
use crate::console::{self, Misused};
use crate::output::{Column, Format, Row, Zone, left, local_text, print_rows, right};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an app and print its secret, this once
    Create(CreateArguments),
    /// List all apps
    List {
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        server: ClientArgs,
    },
    /// Show one app
    Show {
        /// Its name
        app: String,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        server: ClientArgs,
    },
    /// Change what an app may do; what is not named stays as it is
    Set(SetArguments),
    /// Change the secret of an app without a gap
    Secret {
        #[command(subcommand)]
        command: SecretCommand,
    },
    /// Remove an app of which no agent and no access key is good any more
    Remove {
        /// Its name
        app: String,
        #[command(flatten)]
        server: ClientArgs,
    },
}

#[derive(Debug, Args)]
struct CreateArguments {
    /// Its name
    app: String,
    /// Events per second that it may send [default: what the settings say]
    #[arg(long, value_name = "N")]
    max_tps: Option<NonZeroU32>,
    /// What its indices are called before the day [default: its name]
    #[arg(long, value_name = "PREFIX")]
    index_prefix: Option<String>,
    /// File with a secret that its clients have already, of at least 16 bytes; `-` is standard input
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ClientArgs,
}

#[derive(Debug, Args)]
struct SetArguments {
    /// Its name
    app: String,
    /// Events per second that it may send; `default` for what the settings say
    #[arg(long, value_name = "N")]
    max_tps: Option<Setting<NonZeroU32>>,
    /// What its indices are called before the day; `default` for its name
    #[arg(long, value_name = "PREFIX")]
    index_prefix: Option<Setting<String>>,
    /// Take events in its name
    #[arg(long)]
    enable: bool,
    /// Take no events in its name any more, from nobody
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum SecretCommand {
    /// Give an app a second secret and print it, this once
    Add {
        /// Its name
        app: String,
        /// File with a secret that its clients have already, of at least 16 bytes; `-` is standard input
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        server: ClientArgs,
    },
    /// Let all secrets of an app but the newest end
    End {
        /// Its name
        app: String,
        /// Let the newest end, too: then whoever reaches the door may send in its name
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        server: ClientArgs,
    },
}

/// A value, or that of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Setting<T> {
    Default,
    To(T),
}

impl<T: FromStr> FromStr for Setting<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "default" { Ok(Self::Default) } else { text.parse().map(Self::To) }
    }
}

impl<T> Setting<T> {
    fn value(self) -> Option<T> {
        match self {
            Self::Default => None,
            Self::To(value) => Some(value),
        }
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let mut out = console::stdout();
    match arguments.command {
        Command::Create(arguments) => create(&mut out, arguments)?,
        Command::List { output, server } => {
            let client = Client::of(&server)?;
            let answer: Apps = block_on(async { Ok(client.get(&["apps"], &()).await?) })?;
            print_rows(&mut out, output.output, &zone(), &answer.apps)?;
        }
        Command::Show { app, output, server } => {
            let client = Client::of(&server)?;
            let answer: App = block_on(async { Ok(client.get(&["apps", &app], &()).await?) })?;
            print_rows(&mut out, output.output, &zone(), &[answer])?;
        }
        Command::Set(arguments) => set(&mut out, arguments)?,
        Command::Secret { command } => secret(&mut out, command)?,
        Command::Remove { app, server } => {
            let client = Client::of(&server)?;
            block_on(async { Ok(client.delete(&["apps", &app]).await?) })?;
            console::note(&format!("app `{app}` is removed"));
        }
    }
    Ok(ExitCode::Good)
}

fn create(out: &mut dyn Write, arguments: CreateArguments) -> Result<()> {
    let CreateArguments { app, max_tps, index_prefix, secret_file, output, server } = arguments;
    let client = Client::of(&server)?;
    let secret = secret_file.as_deref().map(read_secret).transpose()?;
    let new = NewApp { app, max_tps, index_prefix, secret };
    let answer: AppSecret = block_on(async { Ok(client.post(&["apps"], &new).await?) })?;
    print_secret(out, output.output, &answer)
}

fn set(out: &mut dyn Write, arguments: SetArguments) -> Result<()> {
    let client = Client::of(&arguments.server)?;
    let output = arguments.output.output;
    let (app, change) = arguments.change()?;
    let answer: App = block_on(async { Ok(client.post(&["apps", &app], &change).await?) })?;
    Ok(print_rows(out, output, &zone(), &[answer])?)
}

impl SetArguments {
    fn change(self) -> Result<(String, AppChange)> {
        let Self { app, max_tps, index_prefix, enable, disable, .. } = self;
        let enabled = (enable || disable).then_some(enable);
        let change = AppChange {
            max_tps: max_tps.map(Setting::value),
            index_prefix: index_prefix.map(Setting::value),
            enabled,
        };
        if change == AppChange::default() {
            return Err(Misused("say what to change: see `weir app set --help`".to_owned()).into());
        }
        Ok((app, change))
    }
}

fn secret(out: &mut dyn Write, command: SecretCommand) -> Result<()> {
    match command {
        SecretCommand::Add { app, secret_file, output, server } => {
            let new = new_secret(secret_file.as_deref())?;
            let client = Client::of(&server)?;
            let answer: AppSecret =
                block_on(async { Ok(client.post(&["apps", &app, "secrets"], &new).await?) })?;
            print_secret(out, output.output, &answer)
        }
        SecretCommand::End { app, all, server } => {
            let client = Client::of(&server)?;
            let end = EndAppSecrets { keep: Some(u8::from(!all)) };
            let answer: App =
                block_on(async { Ok(client.post(&["apps", &app, "secrets", "end"], &end).await?) })?;
            console::note(&match answer.secrets {
                0 => format!("app `{app}` has no secret: whoever reaches the door may send in its name"),
                _ => format!("app `{app}` has one secret"),
            });
            Ok(())
        }
    }
}

fn new_secret(file: Option<&Path>) -> Result<NewAppSecret> {
    Ok(NewAppSecret { secret: file.map(read_secret).transpose()? })
}

/// For people the secret alone on standard output, so that it can be piped to where it is kept.
fn print_secret(out: &mut dyn Write, format: Format, answer: &AppSecret) -> Result<()> {
    let app = &answer.app;
    match (format, &answer.secret) {
        (Format::Text, Some(secret)) => {
            console::note(&format!("the secret of app `{app}`, which is not shown again:"));
            writeln!(out, "{}", secret.reveal())?;
        }
        (Format::Text, None) => console::note(&format!("app `{app}` has the given secret")),
        (format, _) => print_rows(out, format, &zone(), std::slice::from_ref(answer))?,
    }
    Ok(())
}

impl Row for App {
    const COLUMNS: &'static [Column] = &[
        left("app"),
        left("enabled"),
        right("max_tps"),
        left("index_prefix"),
        right("secrets"),
        left("made"),
        left("made_by"),
    ];

    fn cells(&self, zone: &Zone) -> Vec<String> {
        vec![
            self.app.clone(),
            if self.enabled { "yes" } else { "no" }.to_owned(),
            number_or(self.max_tps, "default"),
            self.index_prefix.clone().unwrap_or_else(|| "default".to_owned()),
            self.secrets.to_string(),
            local_text(self.made.0, zone),
            self.made_by.clone(),
        ]
    }
}

impl Row for AppSecret {
    const COLUMNS: &'static [Column] = &[left("app"), left("secret")];

    fn cells(&self, _: &Zone) -> Vec<String> {
        let secret = self.secret.as_ref().map_or("", |secret| secret.reveal());
        vec![self.app.clone(), secret.to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use weir_model::Timestamp;

    use super::*;

    #[test]
    fn apps_in_their_forms() {
        let made = Timestamp::from_micros(1_700_000_000_123_000).into();
        let app = |app: &str, max_tps, index_prefix: Option<&str>, secrets| App {
            app: app.to_owned(),
            enabled: secrets > 0,
            max_tps: NonZeroU32::new(max_tps),
            index_prefix: index_prefix.map(str::to_owned),
            secrets,
            made,
            made_by: "admin".to_owned(),
        };
        let apps = [app("shop", 5_000, Some("store"), 2), app("bank", 0, None, 0)];
        let printed = |format| {
            let mut out = anstream::StripStream::new(Vec::new());
            print_rows(&mut out, format, &Zone::utc(), &apps).expect("memory takes it");
            String::from_utf8(out.into_inner()).expect("is text")
        };
        insta::assert_snapshot!(printed(Format::Text), @r"
        APP   ENABLED  MAX TPS  INDEX PREFIX  SECRETS  MADE                           MADE BY
        shop  yes         5000  store               2  2023-11-14T22:13:20.123+00:00  admin
        bank  no       default  default             0  2023-11-14T22:13:20.123+00:00  admin
        ");
        insta::assert_snapshot!(printed(Format::Json), @r#"
        {"app":"shop","enabled":true,"max_tps":5000,"index_prefix":"store","secrets":2,"made":"2023-11-14T22:13:20.123Z","made_by":"admin"}
        {"app":"bank","enabled":false,"secrets":0,"made":"2023-11-14T22:13:20.123Z","made_by":"admin"}
        "#);
    }

    #[test]
    fn a_secret_stands_alone() {
        let printed = |format, secret: Option<&str>| {
            let secret = secret.map(|secret| secret.to_owned().into());
            let answer = AppSecret { app: "shop".to_owned(), secret };
            let mut out = Vec::new();
            print_secret(&mut out, format, &answer).expect("memory takes it");
            String::from_utf8(out).expect("is text")
        };
        assert_eq!(printed(Format::Text, Some("weira1_x")), "weira1_x\n");
        assert_eq!(printed(Format::Text, None), "");
        assert_eq!(printed(Format::Json, Some("weira1_x")), "{\"app\":\"shop\",\"secret\":\"weira1_x\"}\n");
        assert_eq!(printed(Format::Json, None), "{\"app\":\"shop\"}\n");
        assert_eq!(printed(Format::Csv, Some("weira1_x")), "app,secret\nshop,weira1_x\n");
    }

    #[test]
    fn only_what_is_named_is_changed() {
        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(flatten)]
            set: SetArguments,
        }
        let check = |arguments: &str, expected: Option<&str>| {
            let line = ["set", "shop"].into_iter().chain(arguments.split_whitespace());
            let change = <Line as clap::Parser>::try_parse_from(line).ok().map(|line| line.set.change());
            let found = change
                .and_then(Result::ok)
                .map(|(_, change)| serde_json::to_string(&change).expect("is JSON"));
            assert_eq!(found.as_deref(), expected, "{arguments}");
        };
        check("--max-tps 7", Some(r#"{"max_tps":7}"#));
        check("--max-tps default --enable", Some(r#"{"max_tps":null,"enabled":true}"#));
        check("--index-prefix x --disable", Some(r#"{"index_prefix":"x","enabled":false}"#));
        check("--index-prefix default", Some(r#"{"index_prefix":null}"#));
        check("", None);
        check("--max-tps 0", None);
        check("--enable --disable", None);
    }
}
