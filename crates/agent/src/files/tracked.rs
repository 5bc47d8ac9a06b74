//! A file that is read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use weir_model::Timestamp;
use weir_uplink::{Course, Parcel, Place};

use super::handle::Handle;
use super::identity::{FileId, Fingerprint};
use super::inputs::Input;
use super::lag::Lag;
use super::pace::Pace;
use super::packing::{Counts, ESCAPED, Nothing, Packed, Packing, Reading, pack};
use super::register::Entry;
use crate::process::{Around, Rest};

/// Bytes that are read of a file at a time, unless its lines may be longer.
const READ: usize = 256 << 10;

/// How long a part of a line waits for the rest of it.
const TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) handle: Handle,
    /// Where it is, if its name is that of a link to it.
    pub(super) real: Option<PathBuf>,
    pub(super) entry: Entry,
    pub(super) course: Course,
    /// Whether its source is written down: before, nothing of it is sent.
    pub(super) registered: bool,
    /// Which input it is of.
    pub(super) input: Arc<Input>,
    pub(super) fate: Fate,
    /// Whether the last scan found it under a name, and since when none did.
    pub(super) listed: bool,
    pub(super) unlisted_since: Option<Instant>,
    /// It does not begin any more as it did.
    pub(super) is_other: bool,
    /// How long it was when it was last looked at, and when it was written by then.
    pub(super) length: u64,
    modified: Option<SystemTime>,
    tried: Option<Tried>,
    pub(super) unchanged_since: Instant,
    pub(super) lag: Lag,
    /// When the last of what was there at first was written, until it was looked at.
    pub(super) written: Option<Instant>,
    /// Not sent before.
    pub(super) not_before: Instant,
    pace: Option<Pace>,
    /// What every event of it says.
    around: Around,
}

/// Whose a file is once nothing of it is under way; until then nothing more of it is sent, unless it stays.
#[derive(Debug)]
pub(super) enum Fate {
    Stays,
    Leaves,
    GoesTo(Arc<Input>),
}

/// What was found at the place where a file goes on.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) place: Place,
    pub(super) parcel: Parcel,
    pub(super) counts: Counts,
}

/// What a file has to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Nothing,
    /// Not before then.
    At(Instant, Rest),
}

/// Where nothing could be packed, how long the file was then, and until when what is there waits.
#[derive(Debug, Clone, Copy)]
struct Tried {
    at: u64,
    length: u64,
    until: Option<Instant>,
}

/// What is known of a file before it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Nothing,
    Written,
}

/// What was seen of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// How long it is, and whether it begins as it did.
    File { length: u64, is_same: bool },
    /// It is not open, and its name does not stand for it.
    Nothing,
}

/// What a piece is made for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Bytes of a parcel at most.
    pub(super) max_parcel: usize,
    pub(super) time: Timestamp,
    pub(super) now: Instant,
}

impl Tracked {
    pub(super) fn new(file: File, entry: Entry, input: Arc<Input>, host: &str, now: Instant) -> Self {
        let course = Course::new(entry.source, entry.stored);
        let around = Around::of(input.settings.process.about, host, &entry.path);
        let pace = input.settings.max_lines_per_second.map(|rate| Pace::new(rate, now));
        let length = entry.stored;
        let real = real(&entry.path);
        Self {
            handle: Handle::new(entry.id, file),
            real,
            entry,
            course,
            registered: false,
            input,
            fate: Fate::Stays,
            listed: true,
            unlisted_since: None,
            is_other: false,
            length,
            modified: None,
            tried: None,
            unchanged_since: now,
            lag: Lag::default(),
            written: None,
            not_before: now,
            pace,
            around,
        }
    }

    /// It has another name now.
    pub(super) fn is_called(&mut self, path: PathBuf, host: &str) {
        self.around = Around::of(self.input.settings.process.about, host, &path);
        self.real = real(&path);
        self.entry.path = path;
    }

    /// The file was emptied or written anew in place: what was last seen of it, and what comes, is of another life.
    pub(super) fn begin_again(&mut self, source: [u8; 16], now: Instant) {
        self.entry = Entry { source, stored: 0, ..self.entry.clone() };
        self.is_other = false;
        self.course = Course::new(source, 0);
        self.registered = false;
        self.length = 0;
        self.tried = None;
        self.unchanged_since = now;
        self.lag = Lag::default();
        self.not_before = now;
    }

    /// It goes on from where it is stored, as this input has it.
    pub(super) fn goes_to(&mut self, input: Arc<Input>, host: &str, now: Instant) {
        self.around = Around::of(input.settings.process.about, host, &self.entry.path);
        self.pace = input.settings.max_lines_per_second.map(|rate| Pace::new(rate, now));
        self.input = input;
        self.fate = Fate::Stays;
        self.tried = None;
        self.not_before = now;
    }

    /// Whether there is something that was not read.
    pub(super) fn has_unsent(&self) -> bool {
        self.course.next().unwrap_or(self.course.stored()) < self.length
    }

    /// Looks at the file, which is known to have changed or not. One that is closed is opened if it has changed.
    pub(super) fn look(&mut self, known: Known) -> io::Result<Seen> {
        let metadata = match self.handle.get() {
            Some(file) => file.metadata()?,
            None => match self.entry.path.metadata() {
                Ok(metadata) if FileId::of(&metadata) == self.entry.id => metadata,
                Ok(_) => return Ok(Seen::Nothing),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Seen::Nothing),
                Err(error) => return Err(error),
            },
        };
        let (length, modified) = (metadata.len(), metadata.modified().ok());
        let before = std::mem::replace(&mut self.modified, modified);
        // What was emptied may be as long again by now.
        let is_unchanged = length == self.length && modified == before;
        if is_unchanged && known == Known::Nothing && !self.is_other {
            return Ok(Seen::File { length, is_same: true });
        }
        let file = self.handle.open(&self.entry.path)?;
        let grown = match self.entry.fingerprint.grown(file, length) {
            Ok(grown) => grown,
            // Where it can not be read it is taken for the same.
            Err(_) => return Ok(Seen::File { length, is_same: true }),
        };
        self.entry.fingerprint = grown.or_else(|| Fingerprint::of(file, length).ok()).unwrap_or_default();
        Ok(Seen::File { length, is_same: grown.is_some() })
    }

    /// What there is that was not sent.
    pub(super) fn wants(&self) -> Wants {
        let may_send = self.registered && matches!(self.fate, Fate::Stays);
        let Some(next) = self.course.next().filter(|next| may_send && *next < self.length) else {
            return Wants::Nothing;
        };
        match self.tried.filter(|tried| (tried.at, tried.length) == (next, self.length)) {
            None => Wants::At(self.not_before, Rest::MayGrow),
            Some(Tried { until: Some(until), .. }) => Wants::At(until.max(self.not_before), Rest::Waited),
            Some(Tried { until: None, .. }) => Wants::Nothing,
        }
    }

    /// Nothing could be packed: it is tried again once there is more, once it goes on elsewhere, or once what is there has
    /// waited for long enough.
    pub(super) fn rests(&mut self, nothing: Nothing) {
        let multiline = self.input.settings.process.multiline.as_ref();
        let timeout = multiline.map_or(TIMEOUT, |multiline| multiline.timeout);
        let until = (nothing == Nothing::Waits).then(|| self.unchanged_since + timeout);
        self.tried = self.course.next().map(|at| Tried { at, length: self.length, until });
    }

    /// It is known to be so long now.
    pub(super) fn grew(&mut self, length: u64, at: Instant, now: Instant) {
        self.length = length;
        self.lag.grew(length, at);
        self.unchanged_since = now;
    }

    /// Since when something has been there that is not stored, unless it is a line that has no end.
    pub(super) fn behind_since(&self) -> Option<Instant> {
        let rests = |tried: &Tried| (tried.at, tried.length) == (self.course.stored(), self.length);
        self.lag.since().filter(|_| !self.tried.as_ref().is_some_and(rests))
    }

    /// Reads what comes next and packs it.
    pub(super) fn next_piece(
        &mut self,
        moment: Moment,
        rest: Rest,
        buffer: &mut Vec<u8>,
    ) -> io::Result<Result<Piece, Nothing>> {
        let Some(start) = self.course.next() else { return Ok(Err(Nothing::NoLine)) };
        let Input { settings, prefix, .. } = &*self.input;
        let process = &settings.process;
        let max_text = settings.max_line.as_usize().min(moment.max_parcel / (ESCAPED + 2));
        let window =
            if process.is_plain() { max_text + 2 } else { process.cutter(max_text, usize::MAX).window() };
        buffer.resize(READ.max(window), 0);
        let file = self.handle.open(&self.entry.path)?;
        let read = read_at(file, buffer, start)?;
        if !self.entry.fingerprint.fits(file)? {
            self.is_other = true;
            return Ok(Err(Nothing::NoLine));
        }
        let is_cut = read == buffer.len();
        let has_grown = start + read as u64 > self.length;
        let reading = Reading {
            bytes: buffer.get(..read).unwrap_or_default(),
            source: self.course.source(),
            start,
            // What is behind the buffer is still to come, and what has just come may not be all.
            rest: if is_cut || (has_grown && rest == Rest::Waited) { Rest::MayGrow } else { rest },
            is_cut,
            around: &self.around,
        };
        let max_lines = self.pace.as_ref().map_or(u64::MAX, |pace| pace.most(moment.now));
        let packing =
            Packing { prefix, max_text, max_parcel: moment.max_parcel, max_lines, now: moment.time };
        let packed = pack(process, reading, packing)?;
        if has_grown {
            self.grew(start + read as u64, moment.now, moment.now);
        }
        let Packed { events, used, counts } = match packed {
            Ok(packed) => packed,
            Err(nothing) => return Ok(Err(nothing)),
        };
        let parcel = Parcel::pack(&self.input.settings.app, None, events)?;
        let Some(place) = self.course.depart(start + used as u64) else { return Ok(Err(Nothing::NoLine)) };
        if let Some(pace) = &mut self.pace {
            self.not_before = self.not_before.max(pace.took(counts.lines, moment.now));
        }
        Ok(Ok(Piece { place, parcel: parcel.of(place), counts }))
    }
}

/// Where a file is whose name is a link, or is reached by one.
fn real(path: &Path) -> Option<PathBuf> {
    let real = path.canonicalize().ok()?;
    (real != path).then_some(real)
}

/// Fills the buffer as far as the file goes.
fn read_at(file: &File, buffer: &mut [u8], from: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        let room = buffer.get_mut(read..).unwrap_or_default();
        match file.read_at(room, from + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
