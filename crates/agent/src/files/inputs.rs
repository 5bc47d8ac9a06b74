//! What is read, which may be changed while it is, and how that goes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use glob::{MatchOptions, Pattern};
use tokio::sync::watch;
use weir_model::IndexPrefix;

use super::packing::Counts;
use super::walk::Walk;
use crate::section::{FilesSettings, InputKind};

/// What the agent reads: a handle. Clones are the same.
#[derive(Debug, Clone)]
pub struct Inputs {
    wanted: Arc<watch::Sender<Wanted>>,
    report: watch::Receiver<Report>,
}

/// The other side of [`Inputs`]: of whoever reads.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) report: watch::Sender<Report>,
}

/// Which inputs there are to be.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) generation: u64,
    pub(super) inputs: Arc<[FilesSettings]>,
}

/// How the inputs are. It is told anew at least once in a scan interval while something changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The inputs that it is about, by the word of [`Inputs::set`]; zero before the first are read.
    pub generation: u64,
    pub scan: Scan,
    /// Why it can not be written down how far files are read, such as a full disk. Files that are new wait until it can.
    pub unwritten: Option<String>,
    /// In their order.
    pub inputs: Vec<InputReport>,
}

/// How the last scan with these inputs went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scan {
    /// There was none.
    #[default]
    Pending,
    /// Everything that the patterns stand for was looked at.
    Whole,
    /// Something could not be: the inputs say what.
    Partial,
}

/// How one input is. What is counted is counted since the input is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputReport {
    pub kind: InputKind,
    pub app: String,
    pub paths: Vec<String>,
    /// Files that are read.
    pub files: u64,
    /// Bytes of them that the server does not have.
    pub lag_bytes: u64,
    /// How long the oldest of these bytes has been seen there. A last line that has no end does not count.
    pub lag_age: Option<Duration>,
    /// Lines that were sent or left out, also again.
    pub lines: u64,
    /// Events that `drop` and `sample` left out.
    pub left_out: u64,
    /// Events that the format or the parser did not fit: they were sent as they are.
    pub unfit: u64,
    /// Bytes that the server has, by its word.
    pub stored_bytes: u64,
    /// How often something could not be read, or was refused by the server.
    pub errors: u64,
    pub last_error: Option<String>,
}

/// An input that is read. The same settings are the same input for as long as they are wanted.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) settings: FilesSettings,
    pub(super) prefix: IndexPrefix,
    patterns: Vec<Pattern>,
    /// By their order in the settings.
    pub(super) walks: Vec<Walk>,
}

/// The inputs of the worker, in their order.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub(super) generation: u64,
    pub(super) slots: Vec<Slot>,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) input: Arc<Input>,
    pub(super) tally: Tally,
}

/// What is counted of an input.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) counts: Counts,
    pub(super) stored_bytes: u64,
    pub(super) errors: u64,
    pub(super) last_error: Option<String>,
}

/// As the shell has it: no name of a file or folder reaches over a `/`.
pub(crate) const MATCH: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Inputs {
    pub(crate) fn new(inputs: Vec<FilesSettings>) -> (Self, Feed) {
        let (wanted, to_read) = watch::channel(Wanted { generation: 1, inputs: inputs.into() });
        let (tell, report) = watch::channel(Report::default());
        (Self { wanted: Arc::new(wanted), report }, Feed { wanted: to_read, report: tell })
    }

    /// From now on these are read, in the place of those that were; gives their generation, by which reports about them
    /// are known.
    ///
    /// Files of inputs that stay as they are are read on as if nothing had happened. What is under way of others is
    /// answered first; then they are read on, by the first input that wants them, from where they are stored.
    pub fn set(&self, inputs: Vec<FilesSettings>) -> u64 {
        let mut generation = 0;
        self.wanted.send_modify(|wanted| {
            generation = wanted.generation + 1;
            *wanted = Wanted { generation, inputs: inputs.into() };
        });
        generation
    }

    /// What was set last.
    #[must_use]
    pub fn current(&self) -> Arc<[FilesSettings]> {
        Arc::clone(&self.wanted.borrow().inputs)
    }

    /// How they are, now and later.
    #[must_use]
    pub fn report(&self) -> watch::Receiver<Report> {
        self.report.clone()
    }
}

#[cfg(test)]
impl Feed {
    /// Of what is wanted now.
    pub(crate) fn generation(&self) -> u64 {
        self.wanted.borrow().generation
    }

    pub(crate) fn tell(&self, report: Report) {
        self.report.send_replace(report);
    }
}

impl Input {
    /// None for settings that were not validated.
    pub(super) fn new(settings: &FilesSettings) -> Option<Self> {
        let prefix = IndexPrefix::new(&settings.app).ok()?;
        let patterns = settings.paths.iter().map(|path| Pattern::new(path).ok()).collect::<Option<_>>()?;
        let walks = settings.paths.iter().map(|path| Walk::new(path)).collect::<Option<_>>()?;
        Some(Self { settings: settings.clone(), prefix, patterns, walks })
    }

    /// Whether it would read a file of this name.
    fn wants(&self, path: &Path) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches_path_with(path, MATCH)) && !self.excludes(path)
    }

    pub(super) fn excludes(&self, path: &Path) -> bool {
        self.settings.exclude.iter().any(|pattern| pattern.matches_path(path))
    }
}

impl Slots {
    /// Those that are wanted, of which those that were there before are the same.
    pub(super) fn become_wanted(&mut self, wanted: &Wanted) {
        let mut before = std::mem::take(&mut self.slots);
        let slots = wanted.inputs.iter().filter_map(|settings| {
            match before.iter().position(|slot| slot.input.settings == *settings) {
                Some(index) => Some(before.swap_remove(index)),
                None => Some(Slot { input: Arc::new(Input::new(settings)?), tally: Tally::default() }),
            }
        });
        self.slots = slots.collect();
        self.generation = wanted.generation;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Input>> {
        self.slots.iter().map(|slot| &slot.input)
    }

    pub(super) fn position(&self, input: &Arc<Input>) -> Option<usize> {
        self.slots.iter().position(|slot| Arc::ptr_eq(&slot.input, input))
    }

    /// The first that would read a file of this name.
    pub(super) fn that_wants(&self, path: &Path) -> Option<&Arc<Input>> {
        self.iter().find(|input| input.wants(path))
    }

    /// What is counted of an input, unless it is not wanted any more.
    pub(super) fn tally(&mut self, input: &Arc<Input>) -> Option<&mut Tally> {
        self.slots.iter_mut().find(|slot| Arc::ptr_eq(&slot.input, input)).map(|slot| &mut slot.tally)
    }
}

impl Tally {
    pub(super) fn failed(&mut self, message: String) {
        self.errors += 1;
        self.last_error = Some(message);
    }
}

impl Slot {
    /// Without its files.
    pub(super) fn report(&self) -> InputReport {
        let Self { input, tally } = self;
        InputReport {
            kind: InputKind::Files,
            app: input.settings.app.clone(),
            paths: input.settings.paths.clone(),
            files: 0,
            lag_bytes: 0,
            lag_age: None,
            lines: tally.counts.lines,
            left_out: tally.counts.dropped + tally.counts.left_out,
            unfit: tally.counts.unfit,
            stored_bytes: tally.stored_bytes,
            errors: tally.errors,
            last_error: tally.last_error.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::section::InputSection;

    use super::*;

    fn settings(app: &str, path: &str) -> FilesSettings {
        let raw = InputSection { app: Some(app.into()), paths: vec![path.into()], ..InputSection::default() };
        let exclude = Some(vec!["*.gz".to_owned()]);
        FilesSettings::validate_all(&[InputSection { exclude, ..raw }]).expect("it is good").remove(0)
    }

    #[test]
    fn inputs_that_stay_are_the_same() {
        let (shop, pay, other) = (settings("shop", "/a"), settings("pay", "/b"), settings("shop", "/c"));
        let (inputs, feed) = Inputs::new(vec![shop.clone(), pay.clone()]);
        let mut slots = Slots::default();
        slots.become_wanted(&feed.wanted.borrow());
        let before: Vec<_> = slots.iter().cloned().collect();
        slots.tally(&before[1]).expect("it is there").counts.lines = 7;
        assert_eq!(inputs.set(vec![pay.clone(), other.clone()]), 2);
        assert_eq!(*inputs.current(), [pay, other]);
        slots.become_wanted(&feed.wanted.borrow());
        assert_eq!(
            (slots.generation, slots.position(&before[0]), slots.position(&before[1])),
            (2, None, Some(0))
        );
        assert_eq!(slots.tally(&before[1]).map(|tally| tally.counts.lines), Some(7));
        assert!(slots.tally(&before[0]).is_none());
        // Of two that are alike one was there.
        inputs.set(vec![shop.clone(), shop]);
        slots.become_wanted(&feed.wanted.borrow());
        let now: Vec<_> = slots.iter().collect();
        assert!(!Arc::ptr_eq(now[0], now[1]));
    }

    #[test]
    fn a_name_is_wanted_as_the_patterns_say() {
        let check = |pattern: &str, path: &str, expected: bool| {
            let input = Input::new(&settings("shop", pattern)).expect("it is good");
            assert_eq!(input.wants(Path::new(path)), expected, "{pattern} {path}");
        };
        check("/a/*.log", "/a/b.log", true);
        check("/a/*.log", "/a/b/c.log", false);
        check("/a/*.log", "/a/b.log.1", false);
        check("/a/**/*.log", "/a/b/c/d.log", true);
        check("/a/*", "/a/b.gz", false);
        check("/a/*", "/a/.hidden", true);
    }
}
