//! `weir operator`: who may change anything.

use std::io::Write;

use anyhow::Result;
use clap::{Args, Subcommand};
use weir_foundation::exit::ExitCode;
use weir_server::api::{CreatedOperator, NewOperator, Operator, Operators};

use super::fleet::{Ttl, time_or};
use super::{OutputArgs, block_on, zone};
use crate::client::{Client, ClientArgs};
use crate::console;
use crate::output::{Column, Format, Row, Zone, left, local_text, print_rows};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an operator and print the token, this once
    Create {
        /// The name
        operator: String,
        /// How long the token is good: `12h`, `30d`, or `never` for no end
        #[arg(long, default_value = "never")]
        ttl: Ttl,
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
        Command::Create { operator, ttl, output, server } => {
            let client = Client::of(&server)?;
            let new = NewOperator { operator, ttl: ttl.text() };
            let answer: CreatedOperator = block_on(async { Ok(client.post(&["operators"], &new).await?) })?;
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
    use weir_model::Timestamp;
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
}
