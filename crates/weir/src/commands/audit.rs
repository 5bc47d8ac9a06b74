use std::io::Write;

use anyhow::Result;
use clap::Args;
use weir_foundation::exit::ExitCode;
use weir_server::api::{Audit, AuditParameters, AuditStream, AuditVerdict};

use super::{OutputArgs, block_on, zone};
use crate::client::{Client, ClientArgs};
use crate::console;
use crate::output::{Column, Format, Row, Zone, known, left, print_rows, right};

/// Compares, per stream, what was accepted with what was delivered, died, waits, expired and was lost.
///
/// Ends with exit code 1 if the books do not agree.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Compare the position of every event with the store's rows, too
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ClientArgs,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let client = Client::of(&arguments.server)?;
    let parameters = AuditParameters { verify: arguments.verify.then_some(true) };
    let audit: Audit = block_on(async { Ok(client.get(&["audit"], &parameters).await?) })?;
    print(&mut console::stdout(), arguments.output.output, &audit)?;
    Ok(exit(&audit))
}

pub(super) fn exit(audit: &Audit) -> ExitCode {
    match audit.verdict {
        AuditVerdict::Agrees => ExitCode::Good,
        AuditVerdict::Differs | AuditVerdict::Unknown => ExitCode::Failure,
    }
}

/// The books; as text also what does not agree, and the verdict.
pub(super) fn print(out: &mut dyn Write, format: Format, audit: &Audit) -> Result<()> {
    print_rows(out, format, &zone(), &audit.streams)?;
    if format != Format::Text {
        return Ok(());
    }
    for stream in &audit.streams {
        for finding in &stream.findings {
            writeln!(out, "{}: {finding}", stream.stream)?;
        }
    }
    audit.findings.iter().try_for_each(|finding| writeln!(out, "{finding}"))?;
    let compared = if audit.verified { "counts and positions" } else { "counts" };
    match audit.verdict {
        AuditVerdict::Agrees => {
            writeln!(out, "{compared} agree: everything that was accepted is accounted for")?
        }
        AuditVerdict::Differs => writeln!(out, "{compared} do NOT agree")?,
        AuditVerdict::Unknown => {
            writeln!(out, "the journal does not count events: compare positions, by `--verify`")?
        }
    }
    Ok(())
}

impl Row for AuditStream {
    const COLUMNS: &'static [Column] = &[
        left("stream"),
        right("accepted"),
        right("delivered"),
        right("dead"),
        right("waiting"),
        right("expired"),
        right("lost"),
        left("verdict"),
    ];

    fn cells(&self, _: &Zone) -> Vec<String> {
        let (dead, expired, lost) = (Some(self.dead), Some(self.expired), Some(self.lost));
        let counts = [self.accepted, self.delivered, dead, self.waiting, expired, lost];
        let verdict = match self.verdict {
            AuditVerdict::Agrees => "agrees",
            AuditVerdict::Differs => "differs",
            AuditVerdict::Unknown => "unknown",
        };
        let counts = counts.into_iter().map(known);
        [self.stream.clone()].into_iter().chain(counts).chain([verdict.to_owned()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_of_a_stream_that_lost_something() {
        let audit = Audit {
            verdict: AuditVerdict::Differs,
            verified: true,
            streams: vec![AuditStream {
                stream: "shop_logs".to_owned(),
                accepted: Some(2_000),
                delivered: Some(1_990),
                dead: 3,
                waiting: Some(5),
                expired: 0,
                lost: 0,
                verdict: AuditVerdict::Differs,
                findings: vec!["2 events are nowhere".to_owned()],
            }],
            findings: vec!["a file of the journal could not be read".to_owned()],
        };
        let printed = |format| {
            let mut out = anstream::StripStream::new(Vec::new());
            print(&mut out, format, &audit).expect("memory takes it");
            String::from_utf8(out.into_inner()).expect("is text")
        };
        insta::assert_snapshot!(printed(Format::Text), @r"
        STREAM     ACCEPTED  DELIVERED  DEAD  WAITING  EXPIRED  LOST  VERDICT
        shop_logs      2000       1990     3        5        0     0  differs
        shop_logs: 2 events are nowhere
        a file of the journal could not be read
        counts and positions do NOT agree
        ");
        insta::assert_snapshot!(printed(Format::Csv), @r"
        stream,accepted,delivered,dead,waiting,expired,lost,verdict
        shop_logs,2000,1990,3,5,0,0,differs
        ");
        assert_eq!(exit(&audit), ExitCode::Failure);
    }
}
