//! How many events were stored, in all and of each app: what is pushed and printed.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_model::{AppSecret, Offset};
use weir_redaction::Redactor;
use weir_store::{Verdicts, WriteBatch, WriteRecord};

/// The count of a process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    events: AtomicU64,
    by_app: Mutex<ByApp>,
}

/// Events by app, since they were taken last.
pub(crate) type ByApp = BTreeMap<AppSecret, u64>;

/// Apps that are told apart: clients call themselves as they like.
const MOST_APPS: usize = 10_000;

/// What is about to be written.
#[derive(Debug)]
pub(crate) struct Sheet {
    /// None if nobody is told.
    lines: Vec<Line>,
    /// Bytes of its documents, if there are rules of redaction.
    pub(crate) redacted: Option<u64>,
}

#[derive(Debug)]
struct Line {
    record: Offset,
    app: Option<AppSecret>,
    events: u64,
}

impl Sheet {
    /// What there is to be counted of a batch, events only if they are `tallied`: most processes tell nobody.
    pub(crate) fn of(batch: &WriteBatch, redactor: &Redactor, tallied: bool) -> Self {
        let line = |record: &WriteRecord| Line {
            record: record.offset,
            app: record.events.app_secret().cloned(),
            events: record.events.events().filter(|event| event.content.is_ok()).count() as u64,
        };
        let redacted = (!redactor.is_off()).then(|| batch.records.iter().map(bytes).sum());
        let lines = if tallied { batch.records.iter().map(line).collect() } else { Vec::new() };
        Self { lines, redacted }
    }
}

/// Counts what is written to it.
#[derive(Default)]
struct Length(u64);

impl fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len() as u64;
        Ok(())
    }
}

/// Of the documents of a record, as JSON.
fn bytes(record: &WriteRecord) -> u64 {
    let mut length = Length::default();
    for content in record.events.events().filter_map(|event| event.content.ok()) {
        write!(length, "{content}").expect("it takes everything");
    }
    length.0
}

impl Tally {
    /// Events that were stored since the process began.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.shared.events.load(Ordering::Relaxed)
    }

    /// What was written, less what was refused.
    pub(crate) fn stored(&self, sheet: Sheet, verdicts: &Verdicts) {
        let refused = |record: Offset| {
            verdicts.rejected.iter().filter(|rejection| rejection.offset == record).count() as u64
        };
        for Line { record, app, events } in sheet.lines {
            let stored = events.saturating_sub(refused(record));
            self.shared.events.fetch_add(stored, Ordering::Relaxed);
            if let Some(app) = app.filter(|_| stored > 0) {
                self.add(app, stored);
            }
        }
    }

    /// What each app had stored since this was asked last.
    pub(crate) fn take(&self) -> ByApp {
        std::mem::take(&mut *self.by_app())
    }

    /// Nobody could be told of these.
    pub(crate) fn give_back(&self, taken: ByApp) {
        for (app, events) in taken {
            self.add(app, events);
        }
    }

    fn add(&self, app: AppSecret, events: u64) {
        let mut by_app = self.by_app();
        let has_room = by_app.len() < MOST_APPS;
        match by_app.get_mut(&app) {
            Some(known) => *known += events,
            None if has_room => drop(by_app.insert(app, events)),
            None => {}
        }
    }

    fn by_app(&self) -> MutexGuard<'_, ByApp> {
        self.shared.by_app.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(record: u64, app: &str, events: u64) -> Line {
        Line { record: Offset(record), app: AppSecret::new(app), events }
    }

    fn sheet<const N: usize>(lines: [Line; N]) -> Sheet {
        Sheet { lines: lines.into(), redacted: None }
    }

    fn shown(by_app: ByApp) -> Vec<(String, u64)> {
        by_app.into_iter().map(|(app, events)| (app.reveal().to_owned(), events)).collect()
    }

    #[test]
    fn what_is_stored_is_counted_by_app_and_what_is_refused_is_not() {
        let tally = Tally::default();
        let refused = weir_store::Rejection {
            offset: Offset(2),
            index: 0,
            reason: "too large".to_owned(),
            label: "data_too_large",
        };
        let verdicts = Verdicts { rejected: vec![refused] };
        tally.stored(sheet([line(1, "a", 3), line(2, "b", 1), line(3, "", 5), line(4, "a", 2)]), &verdicts);
        assert_eq!(tally.events(), 10);
        let taken = tally.take();
        tally.stored(sheet([line(5, "b", 4)]), &Verdicts::default());
        tally.give_back(taken);
        assert_eq!(shown(tally.take()), [("a".to_owned(), 5), ("b".to_owned(), 4)]);
        assert_eq!((tally.take().len(), tally.events()), (0, 14));
    }

    #[test]
    fn clients_can_not_fill_the_memory() {
        let tally = Tally::default();
        for number in 0..MOST_APPS + 10 {
            tally.stored(sheet([line(1, &number.to_string(), 1)]), &Verdicts::default());
        }
        assert_eq!((tally.events(), tally.take().len()), (MOST_APPS as u64 + 10, MOST_APPS));
    }
}
