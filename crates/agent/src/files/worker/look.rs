//! Looking for files, and at those that are known.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::schedule::{Look, Schedule};
use super::{Worker, seconds};
use crate::files::identity::{self, FileId, Fingerprint};
use crate::files::inputs::{Input, InputReport, Report, Scan, Slot};
use crate::files::register::{Entry, Patterns, Sync};
use crate::files::scan::{self, Match};
use crate::files::tracked::{Fate, Known, Seen, Tracked};
use crate::files::watch::Changes;
use crate::process::Rest;
use crate::section::StartAt;

/// How soon it is tried again to watch what could not be watched.
const FOLLOW_AGAIN: Duration = Duration::from_secs(60);

impl Worker {
    /// Takes note of which inputs are wanted. If they are others than before everything is looked at.
    pub(super) fn become_wanted(&mut self) {
        let wanted = self.parts.inputs.wanted.borrow_and_update().clone();
        if wanted.generation == self.inputs.generation {
            return;
        }
        if self.inputs.generation > 0 {
            tracing::info!(
                generation = wanted.generation,
                inputs = wanted.inputs.len(),
                "reading other inputs"
            );
        }
        self.inputs.become_wanted(&wanted);
        self.schedule = Schedule::new();
        self.scan_outcome = Scan::Pending;
        self.follow_at = None;
    }

    /// Looks at what is due.
    pub(super) fn look(&mut self) {
        let now = self.now();
        let interval = self.scan_interval();
        if self.schedule.tick(interval).is_none_or(|tick| tick <= now) {
            self.take_changes();
        }
        let (at, look) = self.schedule.next(interval, self.watch.is_polling());
        if at.is_some_and(|at| at > now) {
            return;
        }
        self.schedule.looked(look, now);
        match look {
            Look::Everything => self.scan(now),
            Look::Changed => {
                let unlisted = self.files.iter().filter(|(_, tracked)| !tracked.listed);
                let unlisted: Vec<FileId> = unlisted.map(|(id, _)| *id).collect();
                let ids = self.changed.iter().copied().chain(unlisted).collect();
                self.look_at_each(ids, now);
            }
        }
        if self.files.values().any(|tracked| !tracked.registered) {
            self.save(Sync::Yes);
        }
        self.tell(now);
    }

    /// Takes note of what the kernel tells.
    fn take_changes(&mut self) {
        let Changes { written, names, touched, anything } = self.watch.take();
        self.schedule.anew |= anything;
        for path in written {
            match self.names.get(&path) {
                Some(id) => {
                    self.changed.insert(*id);
                }
                // It was not there, or could not be opened.
                None => self.schedule.anew |= self.inputs.that_wants(&path).is_some(),
            }
        }
        let is_known = |path: &PathBuf| self.names.contains_key(path);
        let is_wanted = |path: &PathBuf| self.inputs.that_wants(path).is_some();
        self.schedule.anew |= names.iter().any(|path| is_known(path) || is_wanted(path));
        // What could not be looked at may be now.
        let may_be = |path: &PathBuf| self.schedule.failed || is_wanted(path);
        self.schedule.anew |= touched.iter().any(|path| !is_known(path) && may_be(path));
        self.schedule.restless |= !self.changed.is_empty();
    }

    /// Looks for new files, for more in those that are known, and for such as are done with.
    fn scan(&mut self, now: Instant) {
        self.parts.metrics.scans.inc();
        let found = scan::find(self.inputs.iter());
        self.schedule.failed = !found.errors.is_empty();
        for (input, path, error) in &found.errors {
            self.complain(input, path, error, "a file can not be looked at");
        }
        for tracked in self.files.values_mut() {
            tracked.listed = false;
        }
        for (id, found) in found.files {
            match self.files.get_mut(&id) {
                Some(tracked) => {
                    tracked.listed = true;
                    tracked.fate = fate(&tracked.input, Some(found.input));
                    if tracked.entry.path != found.path {
                        tracked.is_called(found.path, &self.parts.host);
                    }
                }
                None => {
                    if let Err(error) = self.begin(id, &found, now) {
                        self.complain(&found.input, &found.path, &error, "a file can not be read");
                        self.schedule.failed = true;
                    }
                }
            }
        }
        for tracked in self.files.values_mut().filter(|tracked| !tracked.listed) {
            if self.inputs.position(&tracked.input).is_none() {
                // Nobody finds it, and it may not be at its end: it is of whoever would have read it.
                tracked.fate = fate(&tracked.input, self.inputs.that_wants(&tracked.entry.path).cloned());
            }
        }
        self.look_at_each(self.files.keys().copied().collect(), now);
        self.follow(found.folders, now);
        if self.remember_patterns() {
            self.save(Sync::Yes);
        }
        self.scan_outcome = if self.schedule.failed { Scan::Partial } else { Scan::Whole };
    }

    fn look_at_each(&mut self, ids: BTreeSet<FileId>, now: Instant) {
        for id in ids {
            self.hand_over(id);
            let known = if self.changed.remove(&id) { Known::Written } else { Known::Nothing };
            if let Err((input, path, error)) = self.look_at(id, known, now) {
                self.complain(&input, &path, &error, "a file can not be looked at");
                self.schedule.failed = true;
            }
        }
    }

    /// Watches these folders, and those of files that have links there.
    fn follow(&mut self, mut folders: BTreeSet<PathBuf>, now: Instant) {
        self.names.clear();
        for (id, tracked) in &self.files {
            self.names.insert(tracked.entry.path.clone(), *id);
            if let Some(real) = &tracked.real {
                self.names.insert(real.clone(), *id);
                folders.extend(real.parent().map(Path::to_owned));
            }
        }
        if self.inputs.iter().any(|input| input.settings.poll) {
            return self.watch.poll();
        }
        // Where it can not be watched that is tried again, not in every interval.
        if self.watch.is_polling() && self.follow_at.is_some_and(|at| now < at) {
            return;
        }
        self.follow_at = Some(now + FOLLOW_AGAIN);
        // What happened in a folder before it was watched was not told.
        self.schedule.anew |= self.watch.follow(&folders);
    }

    /// Takes note of by what was looked for files; whether some of it is new.
    fn remember_patterns(&mut self) -> bool {
        let seen = seconds(self.parts.clock.now());
        let Some(patterns) = &mut self.patterns else {
            let all = self.inputs.iter().flat_map(|input| &input.settings.paths);
            self.patterns = Some(all.map(|pattern| (pattern.clone(), seen)).collect());
            return true;
        };
        let mut is_new = false;
        for pattern in self.inputs.iter().flat_map(|input| &input.settings.paths) {
            match patterns.get_mut(pattern) {
                Some(last) => *last = seen,
                None => {
                    patterns.insert(pattern.clone(), seen);
                    is_new = true;
                }
            }
        }
        is_new
    }

    /// Says how the inputs are.
    fn tell(&mut self, now: Instant) {
        let mut inputs: Vec<InputReport> = self.inputs.slots.iter().map(Slot::report).collect();
        let (mut total, mut oldest, mut is_restless) = (0_u64, None, false);
        for tracked in self.files.values() {
            let lag = tracked.length.saturating_sub(tracked.course.stored());
            total = total.saturating_add(lag);
            let since = tracked.behind_since();
            oldest = oldest.into_iter().chain(since).min();
            is_restless |= since.is_some() || !tracked.listed || !tracked.registered;
            let input = if let Fate::GoesTo(input) = &tracked.fate { input } else { &tracked.input };
            let of = self.inputs.position(input).and_then(|index| inputs.get_mut(index));
            let Some(report) = of else { continue };
            report.files += 1;
            report.lag_bytes += lag;
            report.lag_age = report.lag_age.max(since.map(|since| now.saturating_duration_since(since)));
        }
        self.schedule.restless |= is_restless;
        let metrics = &self.parts.metrics;
        metrics.lag_bytes.set(i64::try_from(total).unwrap_or(i64::MAX));
        let age = oldest.map_or(0, |oldest| now.saturating_duration_since(oldest).as_secs());
        metrics.lag_seconds.set(i64::try_from(age).unwrap_or(i64::MAX));
        metrics.open_files.set(i64::try_from(self.files.len()).unwrap_or(i64::MAX));
        let report = Report {
            generation: self.inputs.generation,
            scan: self.scan_outcome,
            unwritten: self.unwritten.clone(),
            inputs,
        };
        self.parts.inputs.report.send_if_modified(|told| {
            let is_other = *told != report;
            *told = report;
            is_other
        });
    }

    /// Gives a file to whom it goes, once nothing of it is under way.
    pub(super) fn hand_over(&mut self, id: FileId) {
        let now = self.now();
        let Some(tracked) = self.files.get_mut(&id).filter(|tracked| tracked.course.under_way() == 0) else {
            return;
        };
        match std::mem::replace(&mut tracked.fate, Fate::Stays) {
            Fate::Stays => {}
            Fate::GoesTo(input) => {
                tracked.goes_to(input, &self.parts.host, now);
                self.ready.insert(id);
            }
            Fate::Leaves => self.part_with(id, "a file is of no input any more"),
        }
    }

    /// Begins to read a file, where it was left if it is known.
    fn begin(&mut self, id: FileId, found: &Match, now: Instant) -> io::Result<()> {
        let Match { input, pattern, path } = found;
        let Some((file, metadata)) = scan::open(path, id)? else { return Ok(()) };
        let (length, born) = (metadata.len(), identity::born(&metadata));
        // Where the file can not be read now it is looked at again by the next scan, and is not taken for another one.
        let known = self.recognize(id, path, length, born, &file)?;
        let fingerprint = Fingerprint::of(&file, length)?;
        self.complained.remove(path);
        let pattern = input.settings.paths.get(*pattern);
        let is_new = |patterns: &Patterns| pattern.is_some_and(|pattern| !patterns.contains_key(pattern));
        let from_end = input.settings.start_at == StartAt::End && self.patterns.as_ref().is_some_and(is_new);
        let new = || (rand::random(), if from_end { length } else { 0 });
        let is_known = known.is_some();
        let (source, stored) = known.map_or_else(new, |known| (known.source, known.stored));
        let entry = Entry { id, fingerprint, born, source, stored, path: path.clone(), seen: 0 };
        tracing::info!(file = %path.display(), from = entry.stored, "reading a file");
        let mut tracked = Tracked::new(file, entry, Arc::clone(input), &self.parts.host, now);
        // It is written down already, under this source.
        tracked.registered = is_known;
        tracked.written = age(&metadata, self.parts.clock.now()).and_then(|age| now.checked_sub(age));
        self.files.insert(id, tracked);
        self.opened();
        Ok(())
    }

    /// One more file is open: others are closed if these are too many. They are opened again when there is more in them.
    pub(super) fn opened(&mut self) {
        self.open += 1;
        if self.open <= self.parts.max_open {
            return;
        }
        // One without a name could not be opened again.
        let open = self.files.iter().filter(|(_, tracked)| tracked.handle.is_open() && tracked.listed);
        let mut open: Vec<(bool, Instant, FileId)> =
            open.map(|(id, tracked)| (tracked.has_unsent(), tracked.unchanged_since, *id)).collect();
        open.sort_unstable();
        let most = self.parts.max_open - self.parts.max_open / 8;
        for (_, _, id) in open {
            if self.open <= most {
                break;
            }
            let closed = self.files.get_mut(&id).is_some_and(|tracked| tracked.handle.close());
            self.open -= usize::from(closed);
        }
    }

    /// What is known of a file: by what it is, or by its name where only the number of its disk has changed, as happens
    /// when a machine starts again.
    fn recognize(
        &mut self,
        id: FileId,
        path: &Path,
        length: u64,
        born: Option<u64>,
        file: &File,
    ) -> io::Result<Option<Entry>> {
        let is_it = |entry: &&Entry| {
            // Without a time of birth only its beginning tells it from another one in its place.
            let is_born_alike = match (entry.born, born) {
                (Some(then), Some(now)) => then == now,
                _ => entry.fingerprint.bytes > 0,
            };
            let is_placed_alike = entry.id == id || (entry.id.inode == id.inode && entry.path == path);
            is_placed_alike && is_born_alike && entry.stored <= length
        };
        let by_id = self.known.get(&id).filter(is_it);
        let Some(entry) = by_id.or_else(|| self.known.values().find(is_it)).cloned() else {
            self.known.remove(&id);
            return Ok(None);
        };
        let fits = entry.fingerprint.fits(file)?;
        self.known.remove(&entry.id);
        Ok(fits.then_some(entry))
    }

    /// Sees how long a file is, whether it is still the same, and whether it is done with.
    fn look_at(
        &mut self,
        id: FileId,
        known: Known,
        now: Instant,
    ) -> Result<(), (Arc<Input>, PathBuf, io::Error)> {
        let seen = seconds(self.parts.clock.now());
        let Some(tracked) = self.files.get_mut(&id) else { return Ok(()) };
        let was_open = tracked.handle.is_open();
        let looked = tracked.look(known);
        if !was_open && tracked.handle.is_open() {
            self.opened();
        }
        let Some(tracked) = self.files.get_mut(&id) else { return Ok(()) };
        let (length, is_same) = match looked {
            Ok(Seen::File { length, is_same }) => (length, is_same),
            // It was closed, and has another name now, or none.
            Ok(Seen::Nothing) if tracked.listed => {
                self.schedule.anew = true;
                return Ok(());
            }
            Ok(Seen::Nothing) => {
                self.lose(id, known);
                return Ok(());
            }
            Err(error) => return Err((Arc::clone(&tracked.input), tracked.entry.path.clone(), error)),
        };
        tracked.entry.seen = seen;
        let position = tracked.course.next().unwrap_or(tracked.course.stored());
        let changed = length != tracked.length;
        let is_other = length < position || !is_same || tracked.is_other;
        if is_other {
            tracing::warn!(file = %tracked.entry.path.display(), "a file was written anew in place: it is read from its beginning");
            self.parts.metrics.truncated.inc();
            tracked.begin_again(rand::random(), now);
            tracked.grew(length, now, now);
            self.ready.insert(id);
            return Ok(());
        }
        if changed {
            self.dirty = true;
            let written = tracked.written.take().unwrap_or(now);
            tracked.grew(length, written, now);
            self.ready.insert(id);
        }
        let close_after = tracked.input.settings.close_after;
        tracked.unlisted_since =
            if tracked.listed { None } else { Some(tracked.unlisted_since.unwrap_or(now)) };
        // It may be written to under its new name, or none, however long nobody did under the old one.
        let is_done = tracked.unlisted_since.is_some_and(|since| {
            now.saturating_duration_since(since.max(tracked.unchanged_since)) >= close_after
        });
        if is_done {
            self.finish(id, length);
        }
        Ok(())
    }

    /// A file without a name gets no more: what its last line has is a line, and then it is closed.
    fn finish(&mut self, id: FileId, length: u64) {
        let Some(tracked) = self.files.get(&id) else { return };
        let may_send = tracked.registered && matches!(tracked.fate, Fate::Stays);
        if tracked.course.under_way() > 0 || !may_send || tracked.not_before > self.now() {
            return;
        }
        if tracked.course.stored() >= length {
            return self.part_with(id, "a file is done with");
        }
        if let Some(max_parcel) = self.max_parcel()
            && self.parts.uplink.has_room()
        {
            self.send_piece(id, max_parcel, Rest::IsAll);
        }
    }

    /// A file that was closed for want of room, and of which there is no name any more.
    fn lose(&mut self, id: FileId, known: Known) {
        let Some(tracked) = self.files.get(&id).filter(|tracked| tracked.course.under_way() == 0) else {
            return;
        };
        if tracked.course.stored() < tracked.length || known == Known::Written {
            let file = tracked.entry.path.display();
            tracing::error!(%file, "a file is gone that could not be kept open, and was not read to its end");
            self.parts.metrics.lost.inc();
        }
        self.part_with(id, "a file is gone");
    }

    fn part_with(&mut self, id: FileId, why: &str) {
        let Some(mut tracked) = self.files.remove(&id) else { return };
        self.open -= usize::from(tracked.handle.close());
        tracing::info!(file = %tracked.entry.path.display(), "{why}");
        tracked.entry.seen = seconds(self.parts.clock.now());
        self.known.insert(id, tracked.entry);
        self.dirty = true;
    }
}

/// What becomes of a file of an input that another one wants now, or none.
fn fate(input: &Arc<Input>, wanted: Option<Arc<Input>>) -> Fate {
    match wanted {
        Some(wanted) if Arc::ptr_eq(input, &wanted) => Fate::Stays,
        Some(wanted) => Fate::GoesTo(wanted),
        None => Fate::Leaves,
    }
}

/// How long ago a file was last written.
fn age(metadata: &Metadata, now: SystemTime) -> Option<Duration> {
    now.duration_since(metadata.modified().ok()?).ok()
}
