//! The thread that reads.

mod look;
mod schedule;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
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
use weir_foundation::clock::{self, Clock};
use weir_foundation::supervise::DrainToken;
use weir_model::Timestamp;
use weir_uplink::{Effect, Link, Place, Uplink, Verdict};

use self::schedule::Schedule;
use super::identity::FileId;
use super::inputs::{Feed, Input, Scan, Slots};
use super::register::{Contents, Entry, Patterns, REMEMBERED, Register, RegisterError, Sync};
use super::tracked::{Moment, Piece, Tracked, Wants};
use super::watch::Watch;
use crate::metrics::Metrics;
use crate::process::Rest;

/// Parcels of a file that are under way at once: enough to hide a round trip.
const AHEAD: usize = 4;

/// How often positions are written down.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// How much longer it takes until they are again than it took to write them.
const SAVE_SHARE: u32 = 100;

/// How soon a file is read again that could not be.
const AGAIN: Duration = Duration::from_secs(1);

/// How soon it is tried again to send where the uplink had no room.
const CROWDED: Duration = Duration::from_millis(5);

/// What the worker needs of the process that it lives in.
pub(crate) struct Parts {
    pub(crate) inputs: Feed,
    /// Where the register is.
    pub(crate) folder: PathBuf,
    pub(crate) host: String,
    pub(crate) uplink: Uplink,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    /// Files that may be open at once.
    pub(crate) max_open: usize,
}

type Verdicts = FuturesUnordered<BoxFuture<'static, (FileId, Place, Option<Verdict>)>>;

pub(crate) struct Worker {
    parts: Parts,
    inputs: Slots,
    link: watch::Receiver<Link>,
    register: Register,
    files: BTreeMap<FileId, Tracked>,
    /// Those of them that may have something to send: few of many, as a rule.
    ready: BTreeSet<FileId>,
    /// What is known of files that are not open.
    known: HashMap<FileId, Entry>,
    verdicts: Verdicts,
    buffer: Vec<u8>,
    watch: Watch,
    /// When it is tried again to watch what could not be watched.
    follow_at: Option<Instant>,
    /// By all names at which changes of them are told.
    names: HashMap<PathBuf, FileId>,
    /// Files that have changed since they were looked at.
    changed: BTreeSet<FileId>,
    schedule: Schedule,
    /// Of the last look at everything.
    scan_outcome: Scan,
    /// Files that are open.
    open: usize,
    /// The file after which the next one has its turn.
    turn: Option<FileId>,
    /// By which files were looked for before; none if it was by all, as far as is known.
    patterns: Option<Patterns>,
    dirty: bool,
    saved_at: Instant,
    save_took: Duration,
    /// Why positions could not be written down the last time.
    unwritten: Option<String>,
    /// What was complained about, so that it is done once.
    complained: HashSet<PathBuf>,
}

/// What there is to send next.
#[derive(Clone, Copy)]
enum Pause {
    /// Nothing before then, or for as long as nothing happens.
    Until(Option<Instant>),
    /// More was there than could be sent.
    Crowded,
}

impl Worker {
    /// Within a runtime.
    pub(crate) fn open(parts: Parts) -> Result<Self, RegisterError> {
        let (register, found) = Register::open(&parts.folder)?;
        let new = || Contents { entries: Vec::new(), patterns: Some(Patterns::new()) };
        let Contents { entries, patterns } = found.unwrap_or_else(new);
        Ok(Self {
            link: parts.uplink.link(),
            inputs: Slots::default(),
            known: entries.into_iter().map(|entry| (entry.id, entry)).collect(),
            patterns,
            register,
            files: BTreeMap::new(),
            ready: BTreeSet::new(),
            verdicts: FuturesUnordered::new(),
            buffer: Vec::new(),
            watch: Watch::new(),
            follow_at: None,
            names: HashMap::new(),
            changed: BTreeSet::new(),
            schedule: Schedule::new(),
            scan_outcome: Scan::Pending,
            open: 0,
            turn: None,
            dirty: false,
            saved_at: parts.clock.monotonic(),
            save_took: Duration::ZERO,
            unwritten: None,
            complained: HashSet::new(),
            parts,
        })
    }

    /// Reads until `stop` fires, then hears what became of what is under way until the uplink ends.
    pub(crate) fn run(mut self, runtime: &Handle, stop: &DrainToken) {
        // What is watched is heard by the runtime, on whatever thread it begins to be.
        let _within = runtime.enter();
        while !stop.is_draining() {
            self.become_wanted();
            self.look();
            let pause = self.send();
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
        let intervals = self.inputs.iter().map(|input| input.settings.scan_interval);
        intervals.min().unwrap_or(Duration::from_secs(1))
    }

    /// Waits for a verdict, for the time, for a change, or for the end.
    async fn pause(&mut self, pause: Pause, stop: &DrainToken) {
        let interval = self.scan_interval();
        let (look_at, _) = self.schedule.next(interval, self.watch.is_polling());
        let now = self.now();
        let until = match pause {
            Pause::Until(at) => at.into_iter().chain(look_at).chain(self.save_at()).min(),
            Pause::Crowded => Some(now + CROWDED),
        };
        let clock = Arc::clone(&self.parts.clock);
        // What is told is not heard before it may be looked at: until then there may be more of it.
        let tick = self.schedule.tick(interval);
        let changed = async {
            clock::until(&*clock, tick).await;
            self.watch.changed().await;
        };
        tokio::select! {
            () = stop.draining() => {}
            () = clock::until(&*clock, until) => {}
            () = changed, if look_at > tick => {}
            Ok(()) = self.link.changed() => {}
            Ok(()) = self.parts.inputs.wanted.changed() => {}
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
        let is_refused = matches!(verdict, Verdict::Refused { .. });
        let effect = tracked.course.arrived(place, verdict);
        self.ready.insert(id);
        self.schedule.restless = true;
        let stored = tracked.course.stored();
        if stored > before {
            tracked.entry.stored = stored;
            tracked.lag.is_stored(stored);
            self.parts.metrics.stored_bytes.inc_by(stored - before);
            self.dirty = true;
        }
        let tally = self.inputs.tally(&tracked.input);
        if let Some(tally) = tally {
            tally.stored_bytes += stored - before;
            if let Effect::Held { code, message, .. } = &effect
                && is_refused
            {
                tally.failed(format!("the server refuses what a file has: {code}: {message}"));
            }
        }
        if let Effect::Held { delay, code, message } = effect {
            tracked.not_before = tracked.not_before.max(now + delay);
            // The link says itself that it is not there, and the batch before this one why it is not stored.
            if !matches!(code.as_str(), "disconnected" | "out-of-order") {
                let file = tracked.entry.path.display();
                tracing::warn!(%file, code, message, ?delay, "the server does not take what a file has");
            }
        }
        self.hand_over(id);
    }

    /// Sends a piece of each file in turn, as long as there is room. Until when there is nothing to do.
    fn send(&mut self) -> Pause {
        let Some(max_parcel) = self.max_parcel() else { return Pause::Until(None) };
        let now = self.now();
        let mut until: Option<Instant> = None;
        loop {
            let mut sent = false;
            for id in self.in_turn() {
                let wants = self.files.get(&id).map_or(Wants::Nothing, Tracked::wants);
                let Wants::At(at, rest) = wants else {
                    self.ready.remove(&id);
                    continue;
                };
                if self.files.get(&id).is_some_and(|tracked| tracked.course.under_way() >= AHEAD) {
                    continue;
                }
                if at > now {
                    until = Some(until.map_or(at, |until| until.min(at)));
                    continue;
                }
                if !self.parts.uplink.has_room() {
                    return Pause::Crowded;
                }
                self.turn = Some(id);
                sent |= self.send_piece(id, max_parcel, rest);
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
    pub(super) fn send_piece(&mut self, id: FileId, max_parcel: usize, rest: Rest) -> bool {
        let (time, now) = (Timestamp::from(self.parts.clock.now()), self.now());
        let Some(tracked) = self.files.get_mut(&id) else { return false };
        let input = Arc::clone(&tracked.input);
        let was_open = tracked.handle.is_open();
        let piece = tracked.next_piece(Moment { max_parcel, time, now }, rest, &mut self.buffer);
        if tracked.is_other {
            self.changed.insert(id);
            self.schedule.restless = true;
        }
        if !was_open && tracked.handle.is_open() {
            self.opened();
        }
        let Some(tracked) = self.files.get_mut(&id) else { return false };
        match piece {
            Ok(Ok(Piece { place, parcel, counts })) => {
                self.parts.metrics.sent(place.end - place.start, counts);
                if let Some(tally) = self.inputs.tally(&input) {
                    tally.counts.add(counts);
                }
                let Some(answered) = self.parts.uplink.try_send(parcel) else {
                    let (code, message) = ("crowded".to_owned(), "there was no room".to_owned());
                    tracked.course.arrived(place, Verdict::Again { delay: Duration::ZERO, code, message });
                    return false;
                };
                self.verdicts.push(async move { (id, place, answered.await.ok()) }.boxed());
                true
            }
            Ok(Err(nothing)) => {
                tracked.rests(nothing);
                false
            }
            Err(error) => {
                tracked.not_before = now + AGAIN;
                // It may have been closed, and be called otherwise by now.
                self.schedule.anew |= !tracked.handle.is_open();
                let path = tracked.entry.path.clone();
                self.complain(&input, &path, &error, "a file can not be read");
                false
            }
        }
    }

    /// What the server takes, while there is one.
    fn max_parcel(&self) -> Option<usize> {
        match *self.link.borrow() {
            Link::Connected { max_parcel } => Some(max_parcel),
            Link::New | Link::Throttled(_) | Link::Disconnected(_) | Link::Refused(_) => None,
        }
    }

    /// When positions are written down again, if they have changed. Of many files that takes long, and is done seldom.
    fn save_at(&self) -> Option<Instant> {
        self.dirty.then(|| self.saved_at + SAVE_EVERY.max(self.save_took * SAVE_SHARE))
    }

    fn save_if_due(&mut self) {
        if self.save_at().is_some_and(|at| at <= self.now()) {
            self.save(Sync::No);
        }
    }

    fn save(&mut self, sync: Sync) {
        let began = self.now();
        let now = seconds(self.parts.clock.now());
        self.known.retain(|_, entry| now.saturating_sub(entry.seen) < REMEMBERED);
        let entries: Vec<&Entry> =
            self.files.values().map(|tracked| &tracked.entry).chain(self.known.values()).collect();
        if let Some(patterns) = &mut self.patterns {
            patterns.retain(|_, seen| now.saturating_sub(*seen) < REMEMBERED);
        }
        match self.register.write(&entries, self.patterns.as_ref(), sync) {
            Ok(()) => {
                self.dirty = false;
                if self.unwritten.take().is_some() {
                    tracing::info!("how far files are read is written down again");
                }
                if sync == Sync::Yes {
                    for (id, tracked) in self.files.iter_mut().filter(|(_, tracked)| !tracked.registered) {
                        tracked.registered = true;
                        self.ready.insert(*id);
                    }
                }
            }
            Err(error) => {
                // What was sent is known to the server; what is not written down is found out by asking it again. A file
                // that is new has to wait.
                self.parts.metrics.register_errors.inc();
                if self.unwritten.is_none() {
                    tracing::error!(%error, "how far files are read can not be written down: new files are not read");
                }
                let folder = self.parts.folder.display();
                self.unwritten =
                    Some(format!("how far files are read can not be written to `{folder}`: {error}"));
                self.dirty = true;
            }
        }
        self.saved_at = self.now();
        self.save_took = self.saved_at.saturating_duration_since(began);
    }

    fn complain(&mut self, input: &Arc<Input>, path: &Path, error: &io::Error, what: &str) {
        self.parts.metrics.errors.inc();
        if let Some(tally) = self.inputs.tally(input) {
            tally.failed(format!("{what}: `{}`: {error}", path.display()));
        }
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
