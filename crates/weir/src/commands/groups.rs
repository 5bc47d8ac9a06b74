use anyhow::Result;
use clap::{Args, Subcommand};
use weir_foundation::exit::ExitCode;
use weir_server::api::{Group, Groups};

use super::{OutputArgs, block_on, zone};
use crate::client::{Client, ClientArgs};
use crate::console;
use crate::output::{Column, Row, Zone, left, print_rows, right};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List who reads the journal, and how far they are
    List {
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        server: ClientArgs,
    },
    /// Forget a group that is gone, so that it holds back nothing
    Delete {
        /// Its name
        group: String,
        #[command(flatten)]
        server: ClientArgs,
    },
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::List { output, server } => {
            let client = Client::of(&server)?;
            let answer: Groups = block_on(async { Ok(client.get(&["groups"], &()).await?) })?;
            print_rows(&mut console::stdout(), output.output, &zone(), &answer.groups)?;
        }
        Command::Delete { group, server } => {
            let client = Client::of(&server)?;
            block_on(async { Ok(client.delete(&["groups", &group]).await?) })?;
            console::note(&format!("group `{group}` is forgotten"));
        }
    }
    Ok(ExitCode::Good)
}

impl Row for Group {
    const COLUMNS: &'static [Column] =
        &[left("group"), left("live"), right("partitions"), right("waiting_records")];

    fn cells(&self, _: &Zone) -> Vec<String> {
        let live = if self.live { "yes" } else { "no" };
        vec![
            self.group.clone(),
            live.to_owned(),
            self.positions.len().to_string(),
            self.waiting_records.to_string(),
        ]
    }
}
