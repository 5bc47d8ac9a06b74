//! A file that is read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use weir_model::Timestamp;
use weir_uplink::{Course, Parcel, Place};
use weir_wire::EventsBuilder;

use super::identity::Fingerprint;
use super::inputs::Input;
use super::lag::Lag;
use super::lines::{self, Rest};
use super::register::Entry;

/// Bytes that are read of a file at a time, unless its lines may be longer.
const READ: usize = 256 << 10;

/// What an event has beside its text, at most, and the frame around it.
const AROUND: usize = 64;

/// How much larger a text can be as JSON: every byte of it `\u0000`.
const ESCAPED: usize = 6;

#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) file: File,
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
    /// How long it was when it was last looked at, and since when.
    pub(super) length: u64,
    /// Where no line was found that had ended, and how long the file was then.
    tried: Option<(u64, u64)>,
    pub(super) unchanged_since: Instant,
    pub(super) lag: Lag,
    /// When the last of what was there at first was written, until it was looked at.
    pub(super) written: Option<Instant>,
    /// Not sent before.
    pub(super) not_before: Instant,
    /// What every event of it ends with.
    ending: String,
}

/// Whose a file is once nothing of it is under way; until then nothing more of it is sent, unless it stays.
#[derive(Debug)]
pub(super) enum Fate {
    Stays,
    Leaves,
    GoesTo(Arc<Input>),
}

/// What a piece of a file is packed for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing {
    /// Bytes of a parcel at most.
    pub(super) max_parcel: usize,
    pub(super) now: Timestamp,
}

/// What was found at the place where a file goes on.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) place: Place,
    pub(super) parcel: Parcel,
    pub(super) lines: u64,
    /// Bytes that were no UTF-8 were replaced in so many lines.
    pub(super) mended: u64,
}

impl Tracked {
    pub(super) fn new(file: File, entry: Entry, input: Arc<Input>, host: &str, now: Instant) -> Self {
        let course = Course::new(entry.source, entry.stored);
        let ending = ending(host, &entry.path);
        let length = entry.stored;
        Self {
            file,
            entry,
            course,
            registered: false,
            input,
            fate: Fate::Stays,
            listed: true,
            unlisted_since: None,
            is_other: false,
            length,
            tried: None,
            unchanged_since: now,
            lag: Lag::default(),
            written: None,
            not_before: now,
            ending,
        }
    }

    /// It has another name now.
    pub(super) fn is_called(&mut self, path: PathBuf, host: &str) {
        self.ending = ending(host, &path);
        self.entry.path = path;
    }

    /// The file was emptied or written anew in place: what comes is of another life.
    pub(super) fn begin_again(&mut self, source: [u8; 16], now: Instant) {
        self.entry = Entry { source, stored: 0, fingerprint: Fingerprint::default(), ..self.entry.clone() };
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
    pub(super) fn goes_to(&mut self, input: Arc<Input>, now: Instant) {
        self.input = input;
        self.fate = Fate::Stays;
        self.tried = None;
        self.not_before = now;
    }

    /// Whether there is something that was not sent.
    pub(super) fn has_more(&self) -> bool {
        let may_send = self.registered && matches!(self.fate, Fate::Stays);
        let next = self.course.next().filter(|_| may_send);
        next.is_some_and(|next| next < self.length && self.tried != Some((next, self.length)))
    }

    /// Nothing could be read: it is tried again once there is more, or once it goes on elsewhere.
    pub(super) fn rests(&mut self) {
        self.tried = self.course.next().map(|next| (next, self.length));
    }

    /// Since when something has been there that is not stored, unless it is a line that has no end.
    pub(super) fn behind_since(&self) -> Option<Instant> {
        let is_unended = self.tried == Some((self.course.stored(), self.length));
        self.lag.since().filter(|_| !is_unended)
    }

    /// Reads the next lines and packs them; none if no line has ended.
    pub(super) fn next_piece(
        &mut self,
        packing: Packing,
        rest: Rest,
        buffer: &mut Vec<u8>,
    ) -> io::Result<Option<Piece>> {
        let Some(start) = self.course.next() else { return Ok(None) };
        let Input { settings, prefix, .. } = &*self.input;
        let max_line = settings.max_line.as_usize().min(packing.max_parcel / (ESCAPED + 2));
        buffer.resize(READ.max(max_line + 2), 0);
        let read = read_at(&self.file, buffer, start)?;
        if !self.entry.fingerprint.fits(&self.file)? {
            self.is_other = true;
            return Ok(None);
        }
        let bytes = buffer.get(..read).unwrap_or_default();
        // What is behind the buffer is still to come.
        let rest = if read < buffer.len() { rest } else { Rest::MayGrow };
        let mut events = EventsBuilder::with_capacity(prefix, read + read / 2);
        let (mut used, mut count, mut mended) = (0, 0, 0);
        let mut json = Vec::new();
        while let Some(line) = lines::first(bytes.get(used..).unwrap_or_default(), max_line, rest) {
            if !line.text.is_empty() {
                let text = String::from_utf8_lossy(line.text);
                self.content(&text, &mut json)?;
                if events.bytes() + json.len() + AROUND > packing.max_parcel && !events.is_empty() {
                    break;
                }
                mended += u64::from(matches!(text, std::borrow::Cow::Owned(_)));
                let json = std::str::from_utf8(&json).map_err(io::Error::other)?;
                events.push_json(json, Some(packing.now));
                count += 1;
            }
            used += line.used;
        }
        if used == 0 {
            return Ok(None);
        }
        let parcel = Parcel::pack(&settings.app, None, events)?;
        let Some(place) = self.course.depart(start + used as u64) else { return Ok(None) };
        Ok(Some(Piece { place, parcel: parcel.of(place), lines: count, mended }))
    }

    /// The content of an event as JSON.
    fn content(&self, text: &str, json: &mut Vec<u8>) -> io::Result<()> {
        json.clear();
        json.extend_from_slice(b"{\"message\":");
        serde_json::to_writer(&mut *json, text)?;
        json.extend_from_slice(self.ending.as_bytes());
        Ok(())
    }
}

/// The end of every event of a file: where it is from.
fn ending(host: &str, path: &Path) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    format!(",\"host\":{},\"file\":{}}}", text(host), text(&path.to_string_lossy()))
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
