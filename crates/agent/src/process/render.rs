//! From a group of lines to an event.

use std::path::Path;

use serde_json::Value as Json;
use weir_model::Timestamp;
use xxhash_rust::xxh3::Xxh3;

use super::condition::Condition;
use super::encoding::Encoding;
use super::fields::Fields;
use super::formats::Format;
use super::groups::{Cutter, Group};
use super::kubernetes::Pod;
use super::multiline::Multiline;
use super::parser::Parser;
use super::record::Record;

/// What is made of the lines of an input.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Process {
    pub(crate) encoding: Encoding,
    pub(crate) format: Format,
    pub(crate) multiline: Option<Multiline>,
    pub(crate) about: About,
    pub(crate) parser: Option<Parser>,
    /// Events for which one of these holds are dropped.
    pub(crate) drop: Vec<Condition>,
    pub(crate) sample: Option<Sample>,
    pub(crate) fields: Fields,
}

/// What events say of where they are from, beside the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) host: Told,
    pub(crate) pod: Told,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Yes,
    No,
}

/// Events of which one in so many is sent, unless one of these holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) one_in: u64,
    pub(crate) unless: Vec<Condition>,
}

/// What every event of a file says of where it is from.
#[derive(Debug)]
pub(crate) struct Around {
    /// Names, and values as JSON.
    members: Vec<(&'static str, String)>,
    /// What an event of nothing but a message ends with.
    ending: String,
}

/// What a group is rendered with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) around: &'a Around,
    pub(crate) source: [u8; 16],
    /// Where in the source that was read begins.
    pub(crate) start: u64,
    pub(crate) now: Timestamp,
    /// Bytes of an event at most, unless it is as it is in the file.
    pub(crate) room: usize,
}

/// What came of a part of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was written.
    Event {
        time: Timestamp,
        fits: Fits,
    },
    Dropped,
    /// By chance.
    LeftOut,
}

/// How far it was possible to do with an event what was wanted. It is sent in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fits {
    Yes,
    /// The parser has nothing to say about its text.
    No,
    /// It has no time where it should, or one that can not be.
    ButItsTime,
}

/// How much a line of the file may have beside its text where a format puts something around it, and escapes it.
const WRAPPED: usize = 128 << 10;

impl Default for Process {
    fn default() -> Self {
        Self {
            encoding: Encoding::Utf8,
            format: Format::Plain,
            multiline: None,
            about: About { host: Told::Yes, pod: Told::No },
            parser: None,
            drop: Vec::new(),
            sample: None,
            fields: Fields::default(),
        }
    }
}

impl Process {
    /// Whether every line is an event, as it is.
    pub(crate) fn is_plain(&self) -> bool {
        let is_cut_plainly =
            self.encoding == Encoding::Utf8 && self.format == Format::Plain && self.multiline.is_none();
        let is_sent_plainly = self.parser.is_none() && self.drop.is_empty() && self.sample.is_none();
        is_cut_plainly && is_sent_plainly && self.fields.is_empty()
    }

    /// For texts of so many bytes, and lines that may have so many more, of which none is longer than `limit`.
    pub(crate) fn cutter(&self, max_text: usize, limit: usize) -> Cutter<'_> {
        let max_line = match self.format {
            Format::Plain => max_text,
            Format::Cri | Format::Docker => max_text.max(WRAPPED),
        };
        Cutter {
            encoding: self.encoding,
            format: self.format,
            multiline: self.multiline.as_ref(),
            max_text: max_text.min(limit),
            max_line: max_line.min(limit),
            max_extent: max_text.max(WRAPPED),
        }
    }

    /// Writes the event of a group, or of a part of one that is too long for one event.
    pub(crate) fn render(
        &self,
        group: &Group<'_>,
        part: &str,
        scene: Scene<'_>,
        json: &mut Vec<u8>,
    ) -> serde_json::Result<Outcome> {
        let is_whole = part.len() == group.text.len();
        let parser = self.parser.as_ref().filter(|_| is_whole);
        let from = json.len();
        let outcome = self.render_by(parser, group, part, scene, json)?;
        if parser.is_none() || json.len() - from <= scene.room {
            return Ok(outcome);
        }
        // As it is it does not become too long.
        json.truncate(from);
        self.render_by(None, group, part, scene, json)
    }

    fn render_by(
        &self,
        parser: Option<&Parser>,
        group: &Group<'_>,
        text: &str,
        scene: Scene<'_>,
        json: &mut Vec<u8>,
    ) -> serde_json::Result<Outcome> {
        let mut record = Record::default();
        let mut time = group.time.unwrap_or(scene.now);
        let mut fits = if self.parser.is_some() { Fits::No } else { Fits::Yes };
        if let Some(parser) = parser.filter(|parser| parser.read(text, &mut record)) {
            fits = Fits::Yes;
            match parser.time.of(&record, scene.now) {
                Ok(Some(found)) => time = found,
                Ok(None) => {}
                Err(_) => fits = Fits::ButItsTime,
            }
        } else {
            record.text("message", text);
        }
        let stream = group.stream.map(|stream| ("stream", stream.json()));
        let attributes = group.attributes.as_deref().map(|attributes| ("attrs", attributes));
        let around = scene.around.members.iter().map(|(name, json)| (*name, json.as_str()));
        let own = record.fields.len();
        for (name, json) in stream.into_iter().chain(attributes).chain(around) {
            // What an event says itself goes before what is said of it.
            if record.fields.iter().take(own).all(|field| field.name != name) {
                record.json(name, json);
            }
        }
        if self.drop.iter().any(|condition| condition.holds(&record)) {
            return Ok(Outcome::Dropped);
        }
        if self.sample.as_ref().is_some_and(|sample| sample.leaves_out(&record, group, scene)) {
            return Ok(Outcome::LeftOut);
        }
        self.fields.apply(&mut record);
        record.write(json)?;
        Ok(Outcome::Event { time, fits })
    }
}

impl Sample {
    /// Whoever reads the same again leaves the same out.
    fn leaves_out(&self, record: &Record<'_>, group: &Group<'_>, scene: Scene<'_>) -> bool {
        if self.unless.iter().any(|condition| condition.holds(record)) {
            return false;
        }
        let mut hash = Xxh3::new();
        hash.update(&scene.source);
        hash.update(&(scene.start + group.start as u64).to_le_bytes());
        !hash.digest().is_multiple_of(self.one_in)
    }
}

impl Around {
    pub(crate) fn of(about: About, host: &str, path: &Path) -> Self {
        let text = |text: &str| Json::from(text).to_string();
        let mut members = Vec::new();
        if about.host == Told::Yes {
            members.push(("host", text(host)));
        }
        members.push(("file", text(&path.to_string_lossy())));
        if let Some(pod) = Pod::of(path).filter(|_| about.pod == Told::Yes) {
            members.push(("kubernetes", pod.json()));
        }
        let mut ending: String = members.iter().map(|(name, json)| format!(",\"{name}\":{json}")).collect();
        ending.push('}');
        Self { members, ending }
    }

    /// The content of an event that is nothing but a text, as JSON.
    pub(crate) fn plain(&self, text: &str, json: &mut Vec<u8>) -> serde_json::Result<()> {
        json.clear();
        json.extend_from_slice(b"{\"message\":");
        serde_json::to_writer(&mut *json, text)?;
        json.extend_from_slice(self.ending.as_bytes());
        Ok(())
    }
}
