use anyhow::Result;
use clap::Args;
use weir_foundation::exit::ExitCode;
use weir_server::api::{Stream, Streams};

use super::{OutputArgs, block_on, zone};
use crate::client::{Client, ClientArgs};
use crate::console;
use crate::output::{Column, Row, Zone, known, left, local_text, print_rows, right};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ClientArgs,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let client = Client::of(&arguments.server)?;
    let answer: Streams = block_on(async { Ok(client.get(&["streams"], &()).await?) })?;
    print_rows(&mut console::stdout(), arguments.output.output, &zone(), &answer.streams)?;
    Ok(ExitCode::Good)
}

impl Row for Stream {
    const COLUMNS: &'static [Column] = &[
        left("stream"),
        right("partitions"),
        right("events"),
        right("retained_events"),
        right("bytes"),
        left("created"),
    ];

    fn cells(&self, zone: &Zone) -> Vec<String> {
        vec![
            self.stream.clone(),
            self.partitions.len().to_string(),
            known(self.events),
            known(self.retained_events),
            known(self.bytes),
            known(self.created.map(|created| local_text(created.0, zone))),
        ]
    }
}
