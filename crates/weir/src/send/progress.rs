//! The progress bar: on a terminal only, on standard error, so that it mixes with nothing.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{console, output};

/// Clones show the same bar.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    bar: ProgressBar,
}

const WITH_TOTAL: &str = "{bar:24} {percent:>3}%  {msg}  {eta} left";
const WITHOUT_TOTAL: &str = "{spinner} {bytes}  {msg}";

impl Progress {
    /// `total` is the bytes to send, where that is known.
    pub(super) fn new(total: Option<u64>) -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(total, target);
        let template = if total.is_some() { WITH_TOTAL } else { WITHOUT_TOTAL };
        bar.set_style(ProgressStyle::with_template(template).expect("the template is constant and legal"));
        Self { bar }
    }

    /// `events` are all until now, `source_bytes` those since the last time.
    pub(super) fn acknowledged(&self, events: u64, source_bytes: u64) {
        self.bar.inc(source_bytes);
        let seconds = self.bar.elapsed().as_secs_f64().max(0.001);
        let rate = (events as f64 / seconds) as u64;
        let (events, rate) = (output::count(events), output::count(rate));
        self.bar.set_message(format!("{events} events, {rate}/s"));
    }

    /// A line above the bar.
    pub(super) fn note(&self, text: &str) {
        self.bar.suspend(|| console::note(text));
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
