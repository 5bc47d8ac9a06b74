use std::io::Write;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use weir_foundation::exit::ExitCode;
use weir_server::api::{Index, Indices, IndicesParameters};

use super::{OutputArgs, block_on, zone};
use crate::client::{Client, ClientArgs};
use crate::console;
use crate::output::{Column, Row, Zone, left, print_rows, right};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only the indices of this prefix
    prefix: Option<String>,
    /// List the Parquet files that make the indices up at this instant
    #[arg(long)]
    files: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ClientArgs,
}

/// A file of an index.
#[derive(Debug, Clone, Serialize)]
struct File {
    index: String,
    file: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let client = Client::of(&arguments.server)?;
    let parameters = IndicesParameters { prefix: arguments.prefix.clone() };
    let answer: Indices = block_on(async { Ok(client.get(&["indices"], &parameters).await?) })?;
    let mut out = console::stdout();
    match arguments.files {
        false => print_rows(&mut out, arguments.output.output, &zone(), &answer.indices)?,
        true => print_files(&mut out, arguments, &answer.indices)?,
    }
    Ok(ExitCode::Good)
}

fn print_files(out: &mut dyn Write, arguments: &Arguments, indices: &[Index]) -> Result<()> {
    let files = |index: &Index| {
        let name = index.index.clone();
        index.files.clone().into_iter().map(move |file| File { index: name.clone(), file })
    };
    let files: Vec<File> = indices.iter().flat_map(files).collect();
    Ok(print_rows(out, arguments.output.output, &zone(), &files)?)
}

impl Row for Index {
    const COLUMNS: &'static [Column] =
        &[left("index"), left("prefix"), left("day"), right("events"), right("bytes"), right("files")];

    fn cells(&self, _: &Zone) -> Vec<String> {
        vec![
            self.index.clone(),
            self.prefix.clone(),
            self.day.clone(),
            self.events.to_string(),
            self.bytes.to_string(),
            self.files.len().to_string(),
        ]
    }
}

impl Row for File {
    const COLUMNS: &'static [Column] = &[left("index"), left("file")];

    fn cells(&self, _: &Zone) -> Vec<String> {
        vec![self.index.clone(), self.file.clone()]
    }
}
