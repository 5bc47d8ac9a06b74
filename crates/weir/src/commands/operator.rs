//! `weir operator`: who may change anything.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use weir_fleet::{Fleet, FleetSettings, OpenError, OperatorName};
use weir_foundation::exit::ExitCode;
use weir_foundation::settings::DurationText;
use weir_foundation::umask;
use weir_model::Timestamp;
use weir_server::api::{CreatedOperator, NewOperator, Operator, Operators};

use super::fleet::{Ttl, time_or};
use super::state::{StateArgs, is_ours};
use super::{OutputArgs, block_on, refuse, zone};
use crate::client::{Client, ClientArgs};
use crate::compose::offline::with_state;
use crate::console::{self, Advised};
use crate::output::{Column, Format, Row, Zone, left, local_text, print_rows};
use crate::settings::{Role, StateSettings};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an operator and print the token, this once
    ///
    /// With `--data-dir` or `--config` it is done in the state of the instance itself, without asking a server and without
    /// a token, for when none is left, and whether weir runs or not. The environment counts as for `weir up`.
    Create {
        /// The name
        operator: String,
        /// How long the token is good: `12h`, `30d`, or `never` for no end
        #[arg(long, default_value = "never")]
        ttl: Ttl,
        /// Data directory of `weir up` or `weir server` on this machine
        #[arg(long, value_name = "DIR", conflicts_with_all = ["server", "ca_file", "ca_pin", "token_file"])]
        data_dir: Option<PathBuf>,
        /// The YAML file with the settings of `weir up` or `weir server`, which say where the instance is kept
        #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "ca_file", "ca_pin", "token_file"])]
        config: Option<PathBuf>,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        server: ClientArgs,
    },
    /// List all operators
    List {
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        server: ClientArgs,
    },
    /// Refuse the token of an operator from now on
    Remove {
        /// The name
        operator: String,
        #[command(flatten)]
        server: ClientArgs,
    },
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let mut out = console::stdout();
    match arguments.command {
        Command::Create { operator, ttl, data_dir, config, output, server } => {
            let answer = if data_dir.is_some() || config.is_some() {
                let state = match (StateArgs { data_dir, config }).settings() {
                    Ok(settings) => settings.instance_state(),
                    Err(problems) => return Ok(refuse(&problems, Role::Up)),
                };
                let created = create_in(&state, &operator, ttl)?;
                console::note("a weir that runs over this state knows it within a second");
                created
            } else {
                let client = Client::of(&server)?;
                let new = NewOperator { operator, ttl: ttl.text() };
                block_on(async { Ok(client.post(&["operators"], &new).await?) })?
            };
            print_token(&mut out, output.output, &zone(), &answer)?;
        }
        Command::List { output, server } => {
            let client = Client::of(&server)?;
            let answer: Operators = block_on(async { Ok(client.get(&["operators"], &()).await?) })?;
            print_rows(&mut out, output.output, &zone(), &answer.operators)?;
        }
        Command::Remove { operator, server } => {
            let client = Client::of(&server)?;
            block_on(async { Ok(client.delete(&["operators", &operator]).await?) })?;
            console::note(&format!("operator `{operator}` is removed"));
        }
    }
    Ok(ExitCode::Good)
}

/// Whoever may write to the state needs no token to be an operator.
fn create_in(state: &StateSettings, operator: &str, ttl: Ttl) -> Result<CreatedOperator> {
    let name = OperatorName::new(operator).map_err(|error| anyhow!("`{operator}` is no name: {error}"))?;
    if !is_ours(state)? {
        return Err(absent(state));
    }
    umask::keep_files_private();
    let life = ttl.text().map(DurationText::duration);
    let create = with_state(state, async |opened, clock| {
        let fleet =
            Fleet::join(opened, clock, FleetSettings::default()).await.map_err(|error| match error {
                OpenError::Absent => absent(state),
                error => anyhow::Error::from(error).context("open the instance"),
            })?;
        let created = fleet.create_operator(&name, life, None).await?;
        let expires = created.expires.map(|expires| Timestamp::from(expires).into());
        Ok(CreatedOperator { operator: name.to_string(), token: (&created.token).into(), expires })
    });
    block_on(create)
}

fn absent(state: &StateSettings) -> anyhow::Error {
    anyhow::Error::from(Advised {
        what: format!("there is no instance in {state}"),
        hint: "name it with the `--data-dir` or `--config`, and the `WEIR_` variables, of `weir up` or `weir server`, which make one when they \
               start for the first time"
            .to_owned(),
    })
}

/// For people the token alone on standard output, so that it can be piped to where it is kept.
fn print_token(out: &mut dyn Write, format: Format, zone: &Zone, created: &CreatedOperator) -> Result<()> {
    if format != Format::Text {
        return Ok(print_rows(out, format, zone, std::slice::from_ref(created))?);
    }
    let until = created.expires.map(|expires| format!(" until {}", local_text(expires.0, zone)));
    console::note(&format!(
        "the token of operator `{}`{}, which is not shown again:",
        created.operator,
        until.unwrap_or_default()
    ));
    writeln!(out, "{}", created.token.reveal())?;
    Ok(())
}

impl Row for CreatedOperator {
    const COLUMNS: &'static [Column] = &[left("operator"), left("token"), left("expires")];

    fn cells(&self, zone: &Zone) -> Vec<String> {
        vec![self.operator.clone(), self.token.reveal().to_owned(), time_or(self.expires, "never", zone)]
    }
}

impl Row for Operator {
    const COLUMNS: &'static [Column] = &[left("operator"), left("made"), left("made_by"), left("expires")];

    fn cells(&self, zone: &Zone) -> Vec<String> {
        vec![
            self.operator.clone(),
            local_text(self.made.0, zone),
            self.made_by.clone().unwrap_or_else(|| "nobody".to_owned()),
            time_or(self.expires, "never", zone),
        ]
    }
}

#[cfg(test)]
mod tests {
    use weir_foundation::settings::Secret;
    use weir_server::api::Time;

    use super::*;

    fn moment() -> Time {
        Timestamp::from_micros(1_700_000_000_123_000).into()
    }

    #[test]
    fn operators_as_a_table() {
        let operators = [
            Operator { operator: "admin".to_owned(), made: moment(), made_by: None, expires: None },
            Operator {
                operator: "ann".to_owned(),
                made: moment(),
                made_by: Some("admin".to_owned()),
                expires: Some(moment()),
            },
        ];
        let mut out = anstream::StripStream::new(Vec::new());
        print_rows(&mut out, Format::Text, &Zone::utc(), &operators).expect("memory takes it");
        insta::assert_snapshot!(String::from_utf8(out.into_inner()).expect("is text"));
    }

    #[test]
    fn a_token_stands_alone() {
        let created = CreatedOperator {
            operator: "ann".to_owned(),
            token: "weiro1_x".to_owned().into(),
            expires: Some(moment()),
        };
        let printed = |format| {
            let mut out = Vec::new();
            print_token(&mut out, format, &Zone::utc(), &created).expect("memory takes it");
            String::from_utf8(out).expect("is text")
        };
        assert_eq!(printed(Format::Text), "weiro1_x\n");
        insta::assert_snapshot!(printed(Format::Json));
        insta::assert_snapshot!(printed(Format::Csv));
    }

    #[test]
    fn who_has_the_data_directory_needs_no_token() {
        let directory = tempfile::tempdir().expect("there is space");
        let data_dir = directory.path();
        let state = &StateSettings::of(data_dir);
        let error = create_in(state, "ann", Ttl::Never).expect_err("nobody made one");
        assert_eq!(error.to_string(), format!("there is no instance in `{}/state`", data_dir.display()));
        assert!(!data_dir.join("state").exists(), "nor does this");
        let settings = FleetSettings::default;
        block_on(with_state(state, async |_, _| Ok(()))).expect("there is space");
        let error = create_in(state, "ann", Ttl::Never).expect_err("it is empty");
        assert_eq!(error.to_string(), format!("there is no instance in `{}/state`", data_dir.display()));
        let first = with_state(state, async |opened, clock| {
            Ok(Fleet::open(opened, clock, settings()).await?.first_operator)
        });
        block_on(first).expect("there is space").expect("it is new");
        let error = create_in(state, "Ann", Ttl::Never).expect_err("no name");
        assert!(error.to_string().starts_with("`Ann` is no name: "), "{error:#}");
        let ttl = "30d".parse().expect("a time");
        let created = create_in(state, "ann", ttl).expect("there is an instance");
        assert!(created.expires.is_some());
        let token = Secret::new(created.token.reveal());
        let check = with_state(state, async |opened, clock| {
            Ok(Fleet::join(opened, clock, settings()).await?.check_operator(&token)?)
        });
        assert_eq!(block_on(check).expect("it is good").as_str(), "ann");
        let error = create_in(state, "ann", Ttl::Never).expect_err("there is one");
        assert!(format!("{error:#}").contains("`ann`"), "{error:#}");
    }
}
