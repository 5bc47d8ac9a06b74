use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use crate::app::{AppSecret, IndexPrefix};
use crate::content::{Content, ContentError, MAX_DEPTH, Node, Tape};
use crate::number::Number;
use crate::time::Timestamp;

mod rewrite;

pub use rewrite::StringRewriter;

/// A decoded record: its events in order, with everything that they share.
#[derive(Debug)]
pub struct EventBatch {
    index_prefix: IndexPrefix,
    app_secret: Option<AppSecret>,
    value: Bytes,
    tape: Tape,
    events: Vec<Event>,
}

#[derive(Debug)]
struct Event {
    time: Timestamp,
    content: Result<u32, EventFault>,
    /// Absent once the content was rewritten.
    original: Option<Range<u32>>,
}

/// One event of a batch.
#[derive(Debug, Clone, Copy)]
pub struct EventRef<'a> {
    /// The event's own time; the time of receipt where it names none.
    pub time: Timestamp,
    /// What the event says, or why nobody can tell.
    pub content: Result<Content<'a>, &'a EventFault>,
    /// The bytes of this event as they came, in the format of the record; `None` if the content was rewritten
    /// since, so that they say something else.
    pub original: Option<&'a [u8]>,
}

/// Why an event of a decodable record can not be stored: it becomes a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventFault {
    MissingContent,
    EmptyContent,
    /// A `google.protobuf.Value` with none of its kinds set.
    ValueWithoutKind,
    TooDeep,
    Undecodable(String),
}

/// Collects the events of one record; decoders drive it.
///
/// An event is `begin_event`, then exactly one value (an object: `start_object`, pairs of `key` and a
/// value, `end`), then `finish_event`; or `reject_event` at any point after `begin_event`.
#[derive(Debug, Default)]
pub struct EventBatchBuilder {
    tape: Tape,
    events: Vec<Event>,
    open: Vec<u32>,
    event_nodes: usize,
    event_text: usize,
    keys: RecentKeys,
}

/// Where the keys of the event before are in the text: most events of a batch have the same ones in the same
/// order.
#[derive(Debug, Default)]
struct RecentKeys {
    places: Vec<(u32, u32)>,
    /// How many keys the current event has had.
    at: usize,
}

/// Keys of an event that are remembered.
const RECENT_KEYS: usize = 64;

impl EventBatch {
    #[must_use]
    pub fn index_prefix(&self) -> &IndexPrefix {
        &self.index_prefix
    }

    /// The same, from the app of this secret.
    #[must_use]
    pub fn of_app(self, app_secret: Option<AppSecret>) -> Self {
        Self { app_secret, ..self }
    }

    /// Of which app it is, where the record says so.
    #[must_use]
    pub fn app_secret(&self) -> Option<&AppSecret> {
        self.app_secret.as_ref()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub fn events(&self) -> impl ExactSizeIterator<Item = EventRef<'_>> {
        self.events.iter().map(|event| self.event_ref(event))
    }

    #[must_use]
    pub fn get(&self, index: u32) -> Option<EventRef<'_>> {
        self.events.get(index as usize).map(|event| self.event_ref(event))
    }

    fn event_ref<'a>(&'a self, event: &'a Event) -> EventRef<'a> {
        EventRef {
            time: event.time,
            content: match &event.content {
                Ok(node) => Ok(self.tape.object(*node)),
                Err(fault) => Err(fault),
            },
            original: event
                .original
                .as_ref()
                .map(|range| &self.value[range.start as usize..range.end as usize]),
        }
    }

    /// Roughly what the decoded batch occupies in memory, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.tape.text.capacity()
            + self.tape.nodes.capacity() * size_of::<Node>()
            + self.events.capacity() * size_of::<Event>()
            + self.value.len()
    }
}

impl EventBatchBuilder {
    /// `text` is how many bytes of strings to expect; a record's length is a good guess.
    #[must_use]
    pub fn with_capacity(events: usize, text: usize) -> Self {
        let mut builder = Self::default();
        builder.reserve(events, text);
        builder
    }

    /// Makes room for as much as [`EventBatchBuilder::with_capacity`] does.
    pub fn reserve(&mut self, events: usize, text: usize) {
        self.tape.nodes.reserve(events * 12);
        self.tape.text.reserve(text);
        self.events.reserve(events);
    }

    pub fn begin_event(&mut self) {
        self.open.clear();
        self.event_nodes = self.tape.nodes.len();
        self.event_text = self.tape.text.len();
        self.keys.at = 0;
    }

    pub fn start_object(&mut self) -> Result<(), ContentError> {
        self.start(Node::Object { end: 0 })
    }

    pub fn start_array(&mut self) -> Result<(), ContentError> {
        self.start(Node::Array { end: 0 })
    }

    fn start(&mut self, node: Node) -> Result<(), ContentError> {
        if self.open.len() == MAX_DEPTH {
            return Err(ContentError::TooDeep);
        }
        let at = self.next_node()?;
        self.open.push(at);
        self.tape.nodes.push(node);
        Ok(())
    }

    fn next_node(&self) -> Result<u32, ContentError> {
        u32::try_from(self.tape.nodes.len()).ok().ok_or(ContentError::TooLarge)
    }

    /// Closes the object or array that was started last.
    pub fn end(&mut self) -> Result<(), ContentError> {
        let after = self.next_node()?;
        if let Some(at) = self.open.pop() {
            match &mut self.tape.nodes[at as usize] {
                Node::Object { end } | Node::Array { end } => *end = after,
                _ => {}
            }
        }
        Ok(())
    }

    pub fn key(&mut self, key: &str) -> Result<(), ContentError> {
        if self.repeated_key(key.as_bytes()) {
            return Ok(());
        }
        let (start, len) = self.tape.push_text(key)?;
        self.tape.nodes.push(Node::Key { start, len });
        self.keys.put(start, len);
        Ok(())
    }

    /// The same as `key` if the event before had this key at this place; else it does nothing and says so.
    /// Spares a decoder to look at a key whose bytes it looked at before.
    #[inline]
    pub fn repeated_key(&mut self, key: &[u8]) -> bool {
        let Some(&(start, len)) = self.keys.places.get(self.keys.at) else { return false };
        if self.tape.text.as_bytes().get(start as usize..(start + len) as usize) != Some(key) {
            return false;
        }
        self.tape.nodes.push(Node::Key { start, len });
        self.keys.at += 1;
        true
    }

    pub fn str(&mut self, value: &str) -> Result<(), ContentError> {
        let (start, len) = self.tape.push_text(value)?;
        self.tape.nodes.push(Node::Str { start, len });
        Ok(())
    }

    /// A number as JSON writes it: it becomes an integer or a float where that says all that the text does.
    pub fn number(&mut self, text: &str) -> Result<(), ContentError> {
        match Number::of(text) {
            Number::Int(value) => self.int(value),
            Number::Float(value) => self.float(value),
            Number::Other => {
                let (start, len) = self.tape.push_text(text)?;
                self.tape.nodes.push(Node::Number { start, len });
            }
        }
        Ok(())
    }

    pub fn int(&mut self, value: i64) {
        self.tape.nodes.push(Node::Int(value));
    }

    /// `value` must be finite.
    pub fn float(&mut self, value: f64) {
        debug_assert!(value.is_finite(), "JSON has no such number");
        self.tape.nodes.push(Node::Float(value));
    }

    pub fn bool(&mut self, value: bool) {
        self.tape.nodes.push(Node::Bool(value));
    }

    pub fn null(&mut self) {
        self.tape.nodes.push(Node::Null);
    }

    /// The object of the event that was begun last and not yet finished, once its root is closed.
    #[must_use]
    pub fn current(&self) -> Option<Content<'_>> {
        match (self.open.is_empty(), self.tape.nodes.get(self.event_nodes)) {
            (true, Some(Node::Object { .. })) => {
                u32::try_from(self.event_nodes).ok().map(|node| self.tape.object(node))
            }
            _ => None,
        }
    }

    /// Ends the event. `original` is where its bytes are in the record's value.
    pub fn finish_event(&mut self, time: Timestamp, original: Range<u32>) {
        let content = match (self.open.is_empty(), self.tape.nodes.get(self.event_nodes)) {
            (true, Some(Node::Object { end })) if *end as usize == self.event_nodes + 1 => {
                Err(EventFault::EmptyContent)
            }
            (true, Some(Node::Object { .. })) => {
                u32::try_from(self.event_nodes).ok().ok_or_else(|| ContentError::TooLarge.into())
            }
            _ => Err(EventFault::MissingContent),
        };
        match content {
            Ok(node) => self.events.push(Event { time, content: Ok(node), original: Some(original) }),
            Err(fault) => self.reject_event(time, original, fault),
        }
    }

    /// Ends the event as one that can not be stored.
    pub fn reject_event(&mut self, time: Timestamp, original: Range<u32>, fault: EventFault) {
        self.tape.nodes.truncate(self.event_nodes);
        self.tape.text.truncate(self.event_text);
        self.open.clear();
        self.keys.forget();
        self.events.push(Event { time, content: Err(fault), original: Some(original) });
    }

    /// `value` is the record's value that the events' `original` ranges address.
    ///
    /// # Panics
    ///
    /// If such a range lies outside `value`: decoders take ranges from `value` itself.
    #[must_use]
    pub fn build(mut self, index_prefix: IndexPrefix, value: Bytes) -> EventBatch {
        self.take(index_prefix, value)
    }

    /// As [`EventBatchBuilder::build`]; what is left is an empty builder that has some memory already.
    ///
    /// # Panics
    ///
    /// As that does.
    #[must_use]
    pub fn take(&mut self, index_prefix: IndexPrefix, value: Bytes) -> EventBatch {
        let (tape, events) = (std::mem::take(&mut self.tape), std::mem::take(&mut self.events));
        self.open.clear();
        self.keys.forget();
        let inside = |range: &Range<u32>| range.start <= range.end && range.end as usize <= value.len();
        let mut originals = events.iter().filter_map(|event| event.original.as_ref());
        assert!(originals.all(inside), "an event lies outside its record");
        EventBatch { index_prefix, app_secret: None, value, tape, events }
    }
}

impl RecentKeys {
    /// The text that they are in is another one.
    fn forget(&mut self) {
        self.places.clear();
        self.at = 0;
    }

    fn put(&mut self, start: u32, len: u32) {
        match self.places.get_mut(self.at) {
            Some(place) => *place = (start, len),
            None if self.at < RECENT_KEYS => self.places.push((start, len)),
            None => {}
        }
        self.at += 1;
    }
}

impl fmt::Display for EventFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingContent => f.write_str("the event has no content"),
            Self::EmptyContent => f.write_str("the content of the event has no fields"),
            Self::ValueWithoutKind => f.write_str("a value in the content has no kind"),
            Self::TooDeep => write!(f, "the content is nested more than {MAX_DEPTH} deep"),
            Self::Undecodable(what) => write!(f, "the event could not be decoded: {what}"),
        }
    }
}

impl From<ContentError> for EventFault {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::TooDeep => Self::TooDeep,
            ContentError::TooLarge => Self::Undecodable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
