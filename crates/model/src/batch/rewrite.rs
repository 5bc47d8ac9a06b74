//! Changing what a decoded batch says, in place.

use crate::content::{ContentError, Node};

use super::{Event, EventBatch, EventBatchBuilder, EventFault, RecentKeys};

/// Says what becomes of the strings of a content.
///
/// A place is where a value is in the document, in terms of the rewriter: it is asked for the place of each
/// member from that of its object, and once for the place of all elements of an array.
pub trait StringRewriter {
    type Place: Copy;

    /// The place of the content itself.
    fn root(&self) -> Self::Place;

    fn member(&mut self, object: Self::Place, key: &str) -> Self::Place;

    fn element(&mut self, array: Self::Place) -> Self::Place;

    /// What the string shall be instead; `None` if it stays. Keys and numbers are never asked about.
    fn string(&mut self, place: Self::Place, text: &str) -> Option<String>;
}

/// An object or array whose end is not reached.
struct Open<P> {
    /// Of the object, or of the elements of the array.
    place: P,
    end: usize,
    is_array: bool,
}

impl EventBatch {
    /// Rewrites the strings of an event's content; of an event without one, nothing. Whether anything changed:
    /// then the event has no original any more.
    pub fn rewrite_strings<R: StringRewriter>(&mut self, index: u32, rewriter: &mut R) -> bool {
        let Some(Event { content: Ok(root), .. }) = self.events.get(index as usize) else { return false };
        match self.rewrite_from(*root as usize, rewriter) {
            Ok(false) => false,
            Ok(true) => {
                self.events[index as usize].original = None;
                true
            }
            Err(error) => {
                self.reject(index, error.into());
                true
            }
        }
    }

    fn rewrite_from<R: StringRewriter>(
        &mut self,
        root: usize,
        rewriter: &mut R,
    ) -> Result<bool, ContentError> {
        let mut open = Vec::with_capacity(8);
        open.extend(self.open_at(root, rewriter.root(), rewriter));
        let (mut at, mut changed) = (root + 1, false);
        while let Some(Open { place, end, is_array }) = open.last() {
            if at >= *end {
                open.pop();
                continue;
            }
            let mut place = *place;
            if !is_array {
                if let Node::Key { start, len } = self.tape.nodes[at] {
                    place = rewriter.member(place, self.tape.text(start, len));
                }
                at += 1;
            }
            if let Node::Str { start, len } = self.tape.nodes[at]
                && let Some(text) = rewriter.string(place, self.tape.text(start, len))
            {
                let (start, len) = self.tape.push_text(&text)?;
                self.tape.nodes[at] = Node::Str { start, len };
                changed = true;
            }
            open.extend(self.open_at(at, place, rewriter));
            at += 1;
        }
        Ok(changed)
    }

    fn open_at<R: StringRewriter>(
        &self,
        at: usize,
        place: R::Place,
        rewriter: &mut R,
    ) -> Option<Open<R::Place>> {
        match self.tape.nodes[at] {
            Node::Object { end } => Some(Open { place, end: end as usize, is_array: false }),
            Node::Array { end } => {
                Some(Open { place: rewriter.element(place), end: end as usize, is_array: true })
            }
            _ => None,
        }
    }

    /// Gives an event another content: what `write` writes, as between `begin_event` and `finish_event` of a
    /// builder. The event then has no original any more.
    ///
    /// # Errors
    ///
    /// What was written is no content; the batch is as it was.
    pub fn replace(
        &mut self,
        index: u32,
        write: impl FnOnce(&mut EventBatchBuilder) -> Result<(), EventFault>,
    ) -> Result<(), EventFault> {
        let Some(time) = self.events.get(index as usize).map(|event| event.time) else { return Ok(()) };
        let mut builder = EventBatchBuilder {
            tape: std::mem::take(&mut self.tape),
            events: Vec::with_capacity(1),
            open: Vec::with_capacity(8),
            event_nodes: 0,
            event_text: 0,
            keys: RecentKeys::default(),
        };
        builder.begin_event();
        match write(&mut builder) {
            Ok(()) => builder.finish_event(time, 0..0),
            Err(fault) => builder.reject_event(time, 0..0, fault),
        }
        self.tape = builder.tape;
        match builder.events.pop() {
            Some(Event { content: Err(fault), .. }) => Err(fault),
            Some(written) => {
                self.events[index as usize] = Event { original: None, ..written };
                Ok(())
            }
            None => Ok(()),
        }
    }
    /// Makes the event one that can not be stored, of which nothing is left.
    pub fn reject(&mut self, index: u32, fault: EventFault) {
        if let Some(event) = self.events.get_mut(index as usize) {
            *event = Event { time: event.time, content: Err(fault), original: None };
        }
    }
}
