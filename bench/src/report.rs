//! What is known so far, and how it is written down.

use std::fmt::Write as _;

use crate::data::{Lines, simple};
use crate::figures::Figures;
use crate::limits::Limits;
use crate::load::Run;
use crate::machine::Machine;
use crate::pace::pace;
use crate::{Outcome, bars};

const PREFACE: &str = "
The load generator runs on the same machine: events per second are what the whole chain managed, CPU-seconds those of
the measured process alone. A figure of several runs is given as least – median – most. The physical limit is what the
machine takes for the named pieces of the work alone, measured in the same run; documents are packed as lines there,
not as the columns of the store. The pace is how long two threads that wait for each other take, right after a run, for
the same work each time: it says how much others had of the machine then. [Notes](notes.md) say where the time goes.

## Physical limits

";

#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) figures: Figures,
    pub(crate) limits: Limits,
    machine: Machine,
    lines: String,
    /// Of what the machine's pace is measured with.
    batch: Vec<u8>,
    rows: String,
    outputs: String,
}

/// Where the figures of a run are noted, for scenarios that have bars.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    pub(crate) rate: &'static str,
    pub(crate) cpu: &'static str,
    pub(crate) p99: &'static str,
    pub(crate) memory: &'static str,
}

impl Report {
    pub(crate) fn new(machine: Machine, limits: Limits, lines: &Lines) -> Self {
        let (figures, rows, outputs) = (Figures::default(), String::new(), String::new());
        let batch = simple(&lines.texts, 1).swap_remove(0).to_vec();
        Self { figures, limits, machine, lines: lines.origin.clone(), batch, rows, outputs }
    }

    /// A run of a scenario; `cpu` in seconds of the measured process, `memory` its peak in MiB.
    pub(crate) fn run(
        &mut self,
        scenario: &str,
        names: Names,
        run: &Run,
        cpu: f64,
        memory: f64,
    ) -> Outcome<()> {
        let pace = pace(&self.batch)?;
        self.figures.note("pace", pace);
        let cpu = cpu / run.events as f64 * 1e6;
        self.figures.note(names.rate, run.rate());
        self.figures.note(names.cpu, cpu);
        self.figures.note(names.p99, run.millis(0.99));
        self.figures.note(names.memory, memory);
        self.rows += &format!(
            "| {scenario} | {:.0} | {cpu:.2} | {pace:.0} | {memory:.0} | {:.2} | {:.2} | {:.2} |\n",
            run.rate(),
            run.millis(0.5),
            run.millis(0.99),
            run.millis(1.0)
        );
        Ok(())
    }

    /// What a program printed, as it is.
    pub(crate) fn output(&mut self, title: &str, text: &str) {
        self.outputs += &format!("\n## {title}\n\n```\n{}\n```\n", text.trim_end());
    }

    pub(crate) fn note_sqlite(&mut self, version: Option<String>) {
        self.machine.sqlite = self.machine.sqlite.take().or(version);
    }

    pub(crate) fn text(&self, command: &str) -> String {
        let mut text = format!("# What weir costs\n\nWritten by `{command}`.\n\n{}", self.machine);
        text += &format!("* Log lines: {}\n", self.lines);
        text += PREFACE;
        text += &self.limits.table();
        text += "\n## Against the bars\n\n| line | what | bar | measured | verdict | physical limit |\n|---|---|---|---|---|---|\n";
        for bar in bars::bars(&self.limits, &self.figures) {
            if let Some(measured) = self.figures.spread(bar.line) {
                writeln!(text, "{}", bar.row(measured)).expect("a string takes all");
            }
        }
        if !self.rows.is_empty() {
            text += "\n## Every run under load\n\n| scenario | events/s | CPU-s per million | pace ms | peak RSS MiB \
                     | p50 ms | p99 ms | max ms |\n|---|---|---|---|---|---|---|---|\n";
            text += &self.rows;
        }
        text + &self.outputs
    }
}
