use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_foundation::exit::ExitCode;
use weir_journal::sqlite::{Inspector, quarantined};
use weir_journal::{OpenError, ReadBudget};
use weir_model::{Offset, StreamName};
use weir_redaction::Redactor;
use weir_server::api::{
    JournalCheck, JournalDump, JournalDumpParameters, JournalLoss, JournalPartitionCheck, JournalRecord,
};
use weir_server::{CHECK_BUDGET, DUMP_BYTES, Tally, describe};

use super::{OutputArgs, block_on, zone};
use crate::client::{Client, ClientArgs, ClientError};
use crate::console::{self, Advised, Misused};
use crate::output::{Column, Format, Row, Zone, json_line, known, left, local_text, print_rows, right};
use crate::settings::journal_directory;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read the whole journal and say what can not be read; exit code 1 if anything can not
    Check {
        #[command(flatten)]
        place: PlaceArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Print the records of a stream as they are
    Dump {
        /// The stream without prefix and suffix, or its full name
        stream: String,
        /// Of this partition
        #[arg(long, value_name = "N", default_value_t = 0)]
        partition: u32,
        /// From this offset on
        #[arg(long, value_name = "OFFSET")]
        from: Option<u64>,
        /// How many records at most, up to 1000
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: u32,
        #[command(flatten)]
        place: PlaceArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Which journal.
#[derive(Debug, Args)]
struct PlaceArgs {
    /// That of a weir which does not run, in its data directory
    #[arg(long, value_name = "DIR", conflicts_with_all = ["server", "ca_file", "ca_pin", "token_file"])]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    server: ClientArgs,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Check { place, output } => {
            let found = match &place.data_dir {
                Some(directory) => check(&open(directory)?, &journal_directory(directory))?,
                None => ask(&place.server, &["journal", "check"], &())?,
            };
            print_check(&mut console::stdout(), output.output, &found)
        }
        Command::Dump { stream, partition, from, limit, place, output } => {
            let wanted =
                Wanted { stream, partition, parameters: JournalDumpParameters { from, limit: Some(limit) } };
            let found = match &place.data_dir {
                Some(directory) => dump(&open(directory)?, &wanted)?,
                None => {
                    let path = ["journal", "dump", &wanted.stream, &wanted.partition.to_string()];
                    ask(&place.server, &path, &wanted.parameters)?
                }
            };
            print_dump(&mut console::stdout(), output.output, &found)
        }
    }
}

/// A piece of a journal.
struct Wanted {
    stream: String,
    partition: u32,
    parameters: JournalDumpParameters,
}

/// Asks the weir that runs.
fn ask<T: DeserializeOwned>(server: &ClientArgs, path: &[&str], query: &impl Serialize) -> Result<T> {
    let client = Client::of(server)?;
    block_on(async { Ok(client.get(path, query).await) })?.map_err(|error| match error {
        ClientError::Unreachable { .. } => anyhow::Error::from(error).context(Advised {
            what: "the weir that runs could not be asked".to_owned(),
            hint: "if none runs, name its files with `--data-dir DIR`, else its address with `--server URL`"
                .to_owned(),
        }),
        error => error.into(),
    })
}

fn open(data_dir: &Path) -> Result<Inspector> {
    Inspector::open(&journal_directory(data_dir)).map_err(|error| match error {
        OpenError::InUse { .. } => anyhow::Error::from(error).context(Advised {
            what: "the journal can only be looked at through the weir that runs".to_owned(),
            hint: "leave out --data-dir, or name its address with --server".to_owned(),
        }),
        error => error.into(),
    })
}

fn check(journal: &Inspector, directory: &Path) -> Result<JournalCheck> {
    let mut partitions = Vec::new();
    for stream in journal.streams() {
        for bounds in &stream.partitions {
            let mut tally = Tally::new(bounds);
            while let Some(next) = tally.next() {
                let batch =
                    journal.read(&bounds.partition, next, CHECK_BUDGET).context("read the journal")?;
                tally.take(&batch);
            }
            partitions.push(tally.finish());
        }
    }
    let quarantined = quarantined(directory).context("look for files that were put aside")?;
    Ok(JournalCheck { partitions, quarantined })
}

fn dump(journal: &Inspector, wanted: &Wanted) -> Result<JournalDump> {
    let Wanted { stream, partition, parameters } = wanted;
    // Nothing tells here which suffix the weir had that wrote it: the usual one, or the full name.
    let named = |full: &StreamName| full.as_str() == stream || full.as_str() == format!("{stream}_logs");
    let streams = journal.streams();
    let info = streams.iter().find(|info| named(&info.name));
    let bounds = info.and_then(|info| info.partitions.get(*partition as usize));
    let bounds = bounds.ok_or_else(|| Misused(format!("there is no `{stream}/{partition}`")))?;
    let from = parameters.from.map_or(bounds.start, Offset);
    let budget = ReadBudget { bytes: DUMP_BYTES, records: parameters.limit.unwrap_or_default() as usize };
    let batch = journal.read(&bounds.partition, from, budget).context("read the journal")?;
    // Whoever reads the files can read them without weir.
    Ok(describe(bounds, &batch, &Redactor::off()))
}

fn print_check(out: &mut dyn Write, format: Format, found: &JournalCheck) -> Result<ExitCode> {
    print_rows(out, format, &zone(), &found.partitions)?;
    let damaged =
        |partition: &&JournalPartitionCheck| !partition.losses.is_empty() || partition.undecodable > 0;
    let damaged = found.partitions.iter().filter(damaged).count();
    if format == Format::Text {
        for partition in &found.partitions {
            partition
                .losses
                .iter()
                .try_for_each(|loss| print_loss(out, &partition.stream, partition.partition, loss))?;
        }
        for name in &found.quarantined {
            writeln!(
                out,
                "`{name}` could NOT be read at all and was put aside: what was in it is in no partition"
            )?;
        }
        match (damaged, found.quarantined.is_empty()) {
            (0, true) => writeln!(out, "every record can be read")?,
            (0, false) => writeln!(out, "every record of the other files can be read")?,
            (count, _) => writeln!(out, "{count} partitions hold records that can NOT be read")?,
        }
    }
    let is_good = damaged == 0 && found.quarantined.is_empty();
    Ok(if is_good { ExitCode::Good } else { ExitCode::Failure })
}

fn print_dump(out: &mut dyn Write, format: Format, found: &JournalDump) -> Result<ExitCode> {
    match format {
        Format::Json => found.records.iter().try_for_each(|record| json_line(out, record))?,
        Format::Text | Format::Csv => print_rows(out, format, &zone(), &found.records)?,
    }
    if format == Format::Text {
        found.losses.iter().try_for_each(|loss| print_loss(out, &found.stream, found.partition, loss))?;
        if let Some(next) = found.next {
            console::note(&format!("more: --from {next}"));
        }
    }
    Ok(ExitCode::Good)
}

fn print_loss(out: &mut dyn Write, stream: &str, partition: u32, loss: &JournalLoss) -> std::io::Result<()> {
    let JournalLoss { from, to, events, reason } = loss;
    let events = events.map_or_else(|| "an unknown number of".to_owned(), |events| events.to_string());
    writeln!(
        out,
        "{stream}/{partition}: offsets {from} up to {to} can not be read: {reason}, {events} events"
    )
}

impl Row for JournalPartitionCheck {
    const COLUMNS: &'static [Column] = &[
        left("stream"),
        right("partition"),
        left("incarnation"),
        right("start"),
        right("end"),
        right("records"),
        right("events"),
        right("undecodable"),
        right("losses"),
    ];

    fn cells(&self, _: &Zone) -> Vec<String> {
        vec![
            self.stream.clone(),
            self.partition.to_string(),
            self.incarnation.clone(),
            self.start.to_string(),
            self.end.to_string(),
            self.records.to_string(),
            self.events.to_string(),
            self.undecodable.to_string(),
            self.losses.len().to_string(),
        ]
    }
}

impl Row for JournalRecord {
    const COLUMNS: &'static [Column] = &[
        right("offset"),
        right("first_event"),
        left("received"),
        left("format"),
        right("events"),
        right("bytes"),
        left("batch"),
        left("first_content"),
    ];

    fn cells(&self, zone: &Zone) -> Vec<String> {
        let first = self.contents.iter().flatten().next().map(|content| content.get().to_owned());
        vec![
            self.offset.to_string(),
            known(self.first_event),
            local_text(self.received.0, zone),
            self.format.clone(),
            known(self.events),
            self.bytes.to_string(),
            self.batch.clone().unwrap_or_default(),
            first.or_else(|| self.undecodable.clone()).unwrap_or_default(),
        ]
    }
}
