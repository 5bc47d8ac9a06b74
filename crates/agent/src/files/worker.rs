//! The thread that reads.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Handle;
use tokio::sync::watch;
use weir_foundation::clock::Clock;
use weir_foundation::supervise::DrainToken;
use weir_model::{IndexPrefix, Timestamp};
use weir_uplink::{Effect, Link, Place, Uplink, Verdict};

use super::identity::{self, FileId, Fingerprint};
use super::lines::Rest;
use super::register::{Entry, REMEMBERED, Register, RegisterError, Sync};
use super::scan;
use super::tracked::{Packing, Piece, Tracked};
use crate::metrics::Metrics;
use crate::section::{FilesSettings, StartAt};

/// Parcels of a file that are under way at once: enough to hide a round trip.
const AHEAD: usize = 4;

/// How often positions are written down.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// How soon a file is read again that could not be.
const AGAIN: Duration = Duration::from_secs(1);

/// How soon it is tried again to send where the uplink had no room.
const CROWDED: Duration = Duration::from_millis(5);

/// What the worker needs of the process that it lives in.
pub(crate) struct Parts {
    pub(crate) inputs: Vec<FilesSettings>,
    /// Where the register is.
    pub(crate) folder: PathBuf,
    pub(crate) host: String,
    pub(crate) uplink: Uplink,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
}

type Verdicts = FuturesUnordered<BoxFuture<'static, (FileId, Place, Option<Verdict>)>>;

pub(crate) struct Worker {
    parts: Parts,
    prefixes: Vec<IndexPrefix>,
    link: watch::Receiver<Link>,
    register: Register,
    files: BTreeMap<FileId, Tracked>,
    /// Those of them that may have something to send: few of many, as a rule.
    ready: BTreeSet<FileId>,
    /// What is known of files that are not open.
    known: HashMap<FileId, Entry>,
    verdicts: Verdicts,
    buffer: Vec<u8>,
    /// The file after which the next one has its turn.
    turn: Option<FileId>,
    /// Whether no scan was ever made, by the register.
    first_scan: bool,
    dirty: bool,
    saved_at: Instant,
    /// What was complained about, so that it is done once.
    complained: HashSet<PathBuf>,
}

/// What there is to do next.
enum Pause {
    /// Nothing until then.
    Until(Instant),
    /// More was there than could be sent.
    Crowded,
}

impl Worker {
    pub(crate) fn open(parts: Parts) -> Result<Self, RegisterError> {
        let (register, entries) = Register::open(&parts.folder)?;
        // They were validated.
        let prefixes = parts.inputs.iter().filter_map(|input| IndexPrefix::new(&input.app).ok()).collect();
        Ok(Self {
            link: parts.uplink.link(),
            first_scan: entries.is_none(),
            known: entries.into_iter().flatten().map(|entry| (entry.id, entry)).collect(),
            prefixes,
            register,
            files: BTreeMap::new(),
            ready: BTreeSet::new(),
            verdicts: FuturesUnordered::new(),
            buffer: Vec::new(),
            turn: None,
            dirty: false,
            saved_at: parts.clock.monotonic(),
            complained: HashSet::new(),
            parts,
        })
    }

    /// Reads until `stop` fires, then hears what became of what is under way until the uplink ends.
    pub(crate) fn run(mut self, runtime: &Handle, stop: &DrainToken) {
        let mut scan_at = self.now();
        while !stop.is_draining() {
            let now = self.now();
            if now >= scan_at {
                self.scan();
                scan_at = now + self.scan_interval();
            }
            let pause = self.send(scan_at);
            self.save_if_due();
            runtime.block_on(self.pause(pause, stop));
            while let Some(Some(heard)) = self.verdicts.next().now_or_never() {
                self.hear(heard);
            }
        }
        runtime.block_on(async {
            while let Some(heard) = self.verdicts.next().await {
                self.hear(heard);
            }
        });
        self.save(Sync::Yes);
    }

    fn now(&self) -> Instant {
        self.parts.clock.monotonic()
    }

    fn scan_interval(&self) -> Duration {
        let intervals = self.parts.inputs.iter().map(|input| input.scan_interval);
        intervals.min().unwrap_or(Duration::from_secs(1))
    }

    /// Waits for a verdict, for the time, or for the end.
    async fn pause(&mut self, pause: Pause, stop: &DrainToken) {
        let time = match pause {
            Pause::Until(at) => at.saturating_duration_since(self.parts.clock.monotonic()),
            Pause::Crowded => CROWDED,
        };
        let clock = Arc::clone(&self.parts.clock);
        tokio::select! {
            () = stop.draining() => {}
            () = clock.sleep(time) => {}
            Ok(()) = self.link.changed() => {}
            Some(heard) = self.verdicts.next(), if !self.verdicts.is_empty() => self.hear(heard),
        }
    }

    /// Moves a file on by what became of a piece of it.
    fn hear(&mut self, (id, place, verdict): (FileId, Place, Option<Verdict>)) {
        let now = self.now();
        // The uplink is at its end, or the file has begun again since.
        let Some(verdict) = verdict else { return };
        let Some(tracked) = self.files.get_mut(&id).filter(|tracked| tracked.course.source() == place.source)
        else {
            return;
        };
        let before = tracked.course.stored();
        let effect = tracked.course.arrived(place, verdict);
        self.ready.insert(id);
        let stored = tracked.course.stored();
        if stored > before {
            tracked.entry.stored = stored;
            self.parts.metrics.stored_bytes.inc_by(stored - before);
            self.dirty = true;
        }
        if let Effect::Held { delay, code, message } = effect {
            tracked.not_before = tracked.not_before.max(now + delay);
            // The link says itself that it is not there, and the batch before this one why it is not stored.
            if !matches!(code.as_str(), "disconnected" | "out-of-order") {
                let file = tracked.entry.path.display();
                tracing::warn!(%file, code, message, ?delay, "the server does not take what a file has");
            }
        }
    }

    /// Sends a piece of each file in turn, as long as there is room. Until when there is nothing to do.
    fn send(&mut self, scan_at: Instant) -> Pause {
        let Some(max_parcel) = self.max_parcel() else { return Pause::Until(scan_at) };
        let now = self.now();
        let mut until = scan_at;
        loop {
            let mut sent = false;
            for id in self.in_turn() {
                let Some(tracked) = self.files.get(&id).filter(|tracked| tracked.has_more()) else {
                    self.ready.remove(&id);
                    continue;
                };
                if tracked.course.under_way() >= AHEAD {
                    continue;
                }
                if tracked.not_before > now {
                    until = until.min(tracked.not_before);
                    continue;
                }
                if !self.parts.uplink.has_room() {
                    return Pause::Crowded;
                }
                self.turn = Some(id);
                sent |= self.send_piece(id, max_parcel, Rest::MayGrow);
            }
            if !sent {
                return Pause::Until(until);
            }
        }
    }

    /// All that are ready, those behind the one that had the last turn first.
    fn in_turn(&self) -> Vec<FileId> {
        let ids: Vec<FileId> = self.ready.iter().copied().collect();
        let at = self.turn.map_or(0, |turn| ids.partition_point(|id| *id <= turn));
        let (before, behind) = ids.split_at(at);
        [behind, before].concat()
    }

    /// Whether something was sent.
    fn send_piece(&mut self, id: FileId, max_parcel: usize, rest: Rest) -> bool {
        let now = Timestamp::from(self.parts.clock.now());
        let Some(tracked) = self.files.get_mut(&id) else { return false };
        let (Some(input), Some(prefix)) =
            (self.parts.inputs.get(tracked.input), self.prefixes.get(tracked.input))
        else {
            return false;
        };
        let max_line = input.max_line.as_usize();
        let packing = Packing { app: &input.app, prefix, max_line, max_parcel, now };
        match tracked.next_piece(packing, rest, &mut self.buffer) {
            Ok(Some(Piece { place, parcel, lines, mended })) => {
                let metrics = &self.parts.metrics;
                metrics.lines.inc_by(lines);
                metrics.bytes.inc_by(place.end - place.start);
                metrics.mended.inc_by(mended);
                let Some(answered) = self.parts.uplink.try_send(parcel) else {
                    let (code, message) = ("crowded".to_owned(), "there was no room".to_owned());
                    tracked.course.arrived(place, Verdict::Again { delay: Duration::ZERO, code, message });
                    return false;
                };
                self.verdicts.push(async move { (id, place, answered.await.ok()) }.boxed());
                true
            }
            Ok(None) => {
                // What is there has not ended: it is looked at again when there is more.
                tracked.rests();
                false
            }
            Err(error) => {
                tracked.not_before = self.parts.clock.monotonic() + AGAIN;
                let path = tracked.entry.path.clone();
                self.complain(&path, &error, "a file can not be read");
                false
            }
        }
    }

    /// Looks for new files, for more in those that are known, and for such as are done with.
    fn scan(&mut self) {
        let found = scan::find(&self.parts.inputs);
        for (path, error) in &found.errors {
            self.complain(path, error, "a file can not be looked at");
        }
        let now = self.now();
        for tracked in self.files.values_mut() {
            tracked.listed = false;
        }
        for (id, (input, path)) in found.files {
            match self.files.get_mut(&id) {
                Some(tracked) => {
                    tracked.listed = true;
                    if tracked.entry.path != path {
                        tracked.is_called(path, &self.parts.host);
                    }
                }
                None => self.begin(id, input, &path, now),
            }
        }
        let ids: Vec<FileId> = self.files.keys().copied().collect();
        for id in ids {
            self.look_at(id, now);
        }
        if self.first_scan || self.files.values().any(|tracked| !tracked.registered) {
            self.save(Sync::Yes);
        }
        self.first_scan = false;
        let lags = self.files.values().map(|tracked| tracked.length.saturating_sub(tracked.course.stored()));
        let metrics = &self.parts.metrics;
        metrics.lag_bytes.set(i64::try_from(lags.sum::<u64>()).unwrap_or(i64::MAX));
        metrics.open_files.set(i64::try_from(self.files.len()).unwrap_or(i64::MAX));
    }

    /// Begins to read a file, where it was left if it is known.
    fn begin(&mut self, id: FileId, input: usize, path: &Path, now: Instant) {
        let (file, metadata) = match scan::open(path, id) {
            Ok(Some(opened)) => opened,
            Ok(None) => return,
            Err(error) => return self.complain(path, &error, "a file can not be opened"),
        };
        let (length, born) = (metadata.len(), identity::born(&metadata));
        // Where the file can not be read now it is looked at again by the next scan, and is not taken for another one.
        let recognized = self.recognize(id, path, length, born, &file);
        let begun = recognized.and_then(|known| Ok((known, Fingerprint::of(&file, length)?)));
        let (known, fingerprint) = match begun {
            Ok(begun) => begun,
            Err(error) => return self.complain(path, &error, "a file can not be read"),
        };
        self.complained.remove(path);
        let from_end = self.first_scan
            && self.parts.inputs.get(input).is_some_and(|input| input.start_at == StartAt::End);
        let new = || (rand::random(), if from_end { length } else { 0 });
        let (source, stored) = known.map_or_else(new, |known| (known.source, known.stored));
        let entry = Entry { id, fingerprint, born, source, stored, path: path.to_owned(), seen: 0 };
        tracing::info!(file = %path.display(), from = entry.stored, "reading a file");
        self.files.insert(id, Tracked::new(file, entry, input, &self.parts.host, now));
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
    fn look_at(&mut self, id: FileId, now: Instant) {
        let seen = seconds(self.parts.clock.now());
        let Some(tracked) = self.files.get_mut(&id) else { return };
        let length = match tracked.file.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) => {
                let path = tracked.entry.path.clone();
                return self.complain(&path, &error, "a file can not be looked at");
            }
        };
        tracked.entry.seen = seen;
        let position = tracked.course.next().unwrap_or(tracked.course.stored());
        let changed = length != tracked.length;
        let is_other = length < position
            || (changed && !tracked.entry.fingerprint.fits(&tracked.file).unwrap_or(true))
            || tracked.is_other;
        if is_other {
            tracing::warn!(file = %tracked.entry.path.display(), "a file was written anew in place: it is read from its beginning");
            self.parts.metrics.truncated.inc();
            tracked.begin_again(rand::random(), now);
            tracked.length = length;
            self.ready.insert(id);
            return;
        }
        if changed {
            tracked.length = length;
            tracked.unchanged_since = now;
            self.ready.insert(id);
        }
        if tracked.entry.fingerprint.may_grow(length)
            && let Ok(fingerprint) = Fingerprint::of(&tracked.file, length)
        {
            tracked.entry.fingerprint = fingerprint;
            self.dirty = true;
        }
        let close_after =
            self.parts.inputs.get(tracked.input).map_or(Duration::ZERO, |input| input.close_after);
        tracked.unlisted_since =
            if tracked.listed { None } else { Some(tracked.unlisted_since.unwrap_or(now)) };
        // It may be written to under its new name, or none, however long nobody did under the old one.
        let is_done = tracked.unlisted_since.is_some_and(|since| {
            now.saturating_duration_since(since.max(tracked.unchanged_since)) >= close_after
        });
        if is_done {
            self.finish(id, length);
        }
    }

    /// A file without a name gets no more: what its last line has is a line, and then it is closed.
    fn finish(&mut self, id: FileId, length: u64) {
        let Some(tracked) = self.files.get(&id) else { return };
        if tracked.course.under_way() > 0 || !tracked.registered || tracked.not_before > self.now() {
            return;
        }
        if tracked.course.stored() >= length {
            if let Some(tracked) = self.files.remove(&id) {
                tracing::info!(file = %tracked.entry.path.display(), "a file is done with");
                self.known.insert(id, tracked.entry);
                self.dirty = true;
            }
            return;
        }
        if let Some(max_parcel) = self.max_parcel()
            && self.parts.uplink.has_room()
        {
            self.send_piece(id, max_parcel, Rest::IsAll);
        }
    }

    /// What the server takes, while there is one.
    fn max_parcel(&self) -> Option<usize> {
        match *self.link.borrow() {
            Link::Connected { max_parcel } => Some(max_parcel),
            Link::New | Link::Disconnected(_) | Link::Refused(_) => None,
        }
    }

    fn save_if_due(&mut self) {
        if self.dirty && self.now().saturating_duration_since(self.saved_at) >= SAVE_EVERY {
            self.save(Sync::No);
        }
    }

    fn save(&mut self, sync: Sync) {
        let now = seconds(self.parts.clock.now());
        self.known.retain(|_, entry| now.saturating_sub(entry.seen) < REMEMBERED);
        let entries: Vec<&Entry> =
            self.files.values().map(|tracked| &tracked.entry).chain(self.known.values()).collect();
        match self.register.write(&entries, sync) {
            Ok(()) => {
                self.dirty = false;
                if sync == Sync::Yes {
                    for (id, tracked) in self.files.iter_mut().filter(|(_, tracked)| !tracked.registered) {
                        tracked.registered = true;
                        self.ready.insert(*id);
                    }
                }
            }
            Err(error) => {
                // What was sent is known to the server; what is not written down is found out by asking it again.
                tracing::error!(%error, "how far files are read could not be written down");
                self.dirty = true;
            }
        }
        self.saved_at = self.now();
    }

    fn complain(&mut self, path: &Path, error: &io::Error, what: &str) {
        self.parts.metrics.errors.inc();
        if self.complained.insert(path.to_owned()) {
            tracing::warn!(file = %path.display(), %error, "{what}");
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("files", &self.files.len()).finish_non_exhaustive()
    }
}
