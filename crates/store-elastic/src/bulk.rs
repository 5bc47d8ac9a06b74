//! Documents on their way, and who waits for them.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tokio::sync::Notify;
use weir_model::Offset;
use weir_store::{Rejection, Verdicts};

use crate::client::Encoding;

/// The documents of one index that are still being collected.
#[derive(Debug)]
pub(crate) struct Draft {
    bytes: Vec<u8>,
    documents: Vec<Document>,
    tickets: Vec<Arc<Ticket>>,
    /// When it is sent at the latest.
    pub(crate) due: Instant,
}

/// The documents of one request.
#[derive(Debug)]
pub(crate) struct Bulk {
    pub(crate) index: Arc<str>,
    pub(crate) body: Bytes,
    pub(crate) encoding: Encoding,
    documents: Vec<Document>,
    tickets: Vec<Arc<Ticket>>,
}

/// A document in a body, and which event it is.
#[derive(Debug, Clone, Copy)]
struct Document {
    /// Where its lines end in the body before compression.
    end: u32,
    /// Whose it is, by place among the tickets.
    ticket: u32,
    offset: Offset,
    index: u32,
}

/// What one write waits for: so many documents of it have no verdict yet.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    state: Mutex<Waiting>,
    changed: Notify,
    abandoned: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    open: usize,
    rejected: Vec<Rejection>,
}

/// Of the one who waits; without it nobody wants the verdicts.
#[derive(Debug)]
pub(crate) struct Claim(pub(crate) Arc<Ticket>);

/// The body of a request can not be read any more.
#[derive(Debug, thiserror::Error)]
#[error("a compressed body can not be read back")]
pub(crate) struct Unreadable(#[source] std::io::Error);

impl Draft {
    pub(crate) fn new(ticket: &Arc<Ticket>, due: Instant) -> Self {
        Self { bytes: Vec::new(), documents: Vec::new(), tickets: vec![Arc::clone(ticket)], due }
    }

    /// Adds a document of the first ticket by what `write` appends.
    pub(crate) fn add<E>(
        &mut self,
        offset: Offset,
        index: u32,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        let end = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.documents.push(Document { end, ticket: 0, offset, index });
        Ok(())
    }

    /// Takes over documents from the end of another draft of the index, as many as there is room for.
    pub(crate) fn fill(&mut self, other: &mut Self, most_documents: usize, most_bytes: usize) {
        let documents = most_documents.saturating_sub(self.documents());
        let bytes = most_bytes.saturating_sub(self.size());
        let mut first = other.documents();
        while first > 0
            && other.documents() - first < documents
            && other.size() - other.start_of(first - 1) <= bytes
        {
            first -= 1;
        }
        if first == other.documents() {
            return;
        }
        let (start, end, tickets) = (other.start_of(first), self.size(), self.tickets.len());
        let shift = |document: Document| Document {
            end: u32::try_from(document.end as usize - start + end).unwrap_or(u32::MAX),
            ticket: document.ticket + u32::try_from(tickets).unwrap_or(u32::MAX),
            ..document
        };
        self.documents.extend(other.documents.drain(first..).map(shift));
        self.bytes.extend_from_slice(&other.bytes[start..]);
        other.bytes.truncate(start);
        self.tickets.extend(other.tickets.iter().cloned());
        self.due = self.due.min(other.due);
    }

    /// Where the lines of a document start.
    fn start_of(&self, document: usize) -> usize {
        document.checked_sub(1).map_or(0, |before| self.documents[before].end as usize)
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn documents(&self) -> usize {
        self.documents.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Compresses, which takes some milliseconds.
    pub(crate) fn close(self, index: Arc<str>, gzip_level: u32) -> Bulk {
        let Self { bytes, documents, tickets, .. } = self;
        let (body, encoding) = compress(bytes, gzip_level);
        Bulk { index, body, encoding, documents, tickets }
    }
}

fn compress(bytes: Vec<u8>, level: u32) -> (Bytes, Encoding) {
    if level == 0 {
        return (bytes.into(), Encoding::Plain);
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 6), Compression::new(level));
    let compressed = encoder.write_all(&bytes).and_then(|()| encoder.finish());
    (compressed.expect("a vector takes everything").into(), Encoding::Gzip)
}

impl Bulk {
    pub(crate) fn documents(&self) -> usize {
        self.documents.len()
    }

    /// Bytes in memory.
    pub(crate) fn size(&self) -> usize {
        self.body.len() + self.documents.len() * size_of::<Document>()
    }

    /// Whether somebody waits for a verdict.
    pub(crate) fn is_wanted(&self) -> bool {
        self.tickets.iter().any(|ticket| ticket.is_wanted())
    }

    /// Some of the documents, by their place. Those that nobody waits for are left out.
    pub(crate) fn select(&self, gzip_level: u32, keep: impl Fn(usize) -> bool) -> Result<Self, Unreadable> {
        let plain = self.plain()?;
        let mut bytes = Vec::new();
        let mut documents = Vec::new();
        let mut start = 0;
        for (place, document) in self.documents.iter().enumerate() {
            let lines = plain.get(start..document.end as usize).unwrap_or_default();
            start = document.end as usize;
            if keep(place) && self.ticket(document).is_some_and(|ticket| ticket.is_wanted()) {
                bytes.extend_from_slice(lines);
                documents.push(Document { end: u32::try_from(bytes.len()).unwrap_or(u32::MAX), ..*document });
            }
        }
        let (body, encoding) = compress(bytes, gzip_level);
        Ok(Self { index: Arc::clone(&self.index), body, encoding, documents, tickets: self.tickets.clone() })
    }

    /// The same once more.
    pub(crate) fn again(&self) -> Self {
        Self {
            index: Arc::clone(&self.index),
            body: self.body.clone(),
            encoding: self.encoding,
            documents: self.documents.clone(),
            tickets: self.tickets.clone(),
        }
    }

    /// Both halves of the documents.
    pub(crate) fn halves(&self, gzip_level: u32) -> Result<[Self; 2], Unreadable> {
        let middle = self.documents.len() / 2;
        Ok([
            self.select(gzip_level, |place| place < middle)?,
            self.select(gzip_level, |place| place >= middle)?,
        ])
    }

    /// The body as it was before compression.
    pub(crate) fn plain(&self) -> Result<Bytes, Unreadable> {
        match self.encoding {
            Encoding::Plain => Ok(self.body.clone()),
            Encoding::Gzip => {
                let size = self.documents.last().map_or(0, |document| document.end as usize);
                let mut plain = Vec::with_capacity(size);
                let limit = u64::try_from(size).unwrap_or(u64::MAX);
                GzDecoder::new(&self.body[..]).take(limit).read_to_end(&mut plain).map_err(Unreadable)?;
                Ok(plain.into())
            }
        }
    }

    /// The document at this place is stored.
    pub(crate) fn stored(&self, place: usize) {
        if let Some(ticket) = self.documents.get(place).and_then(|document| self.ticket(document)) {
            ticket.settle(None);
        }
    }

    /// The document at this place will never be.
    pub(crate) fn rejected(&self, place: usize, reason: String, label: &'static str) {
        let Some(document) = self.documents.get(place) else { return };
        let Document { offset, index, .. } = *document;
        if let Some(ticket) = self.ticket(document) {
            ticket.settle(Some(Rejection { offset, index, reason, label }));
        }
    }

    fn ticket(&self, document: &Document) -> Option<&Arc<Ticket>> {
        self.tickets.get(document.ticket as usize)
    }
}

impl Ticket {
    /// One more document will have a verdict.
    pub(crate) fn open(&self) {
        self.state().open += 1;
    }

    pub(crate) fn reject(&self, rejection: Rejection) {
        self.state().rejected.push(rejection);
    }

    fn settle(&self, rejection: Option<Rejection>) {
        let is_last = {
            let mut state = self.state();
            state.rejected.extend(rejection);
            state.open = state.open.saturating_sub(1);
            state.open == 0
        };
        if is_last {
            self.changed.notify_one();
        }
    }

    fn is_wanted(&self) -> bool {
        !self.abandoned.load(Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Waits for all verdicts, in the order of positions.
    pub(crate) async fn verdicts(&self) -> Verdicts {
        loop {
            {
                let mut state = self.0.state();
                if state.open == 0 {
                    let mut rejected = std::mem::take(&mut state.rejected);
                    rejected.sort_by_key(|rejection| (rejection.offset, rejection.index));
                    return Verdicts { rejected };
                }
            }
            self.0.changed.notified().await;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.abandoned.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use weir_foundation::clock::{Clock, ManualClock};

    use super::*;

    fn draft(ticket: &Arc<Ticket>, texts: &[&str]) -> Draft {
        let mut draft = Draft::new(ticket, ManualClock::new(std::time::UNIX_EPOCH).monotonic());
        for (offset, text) in (0..).zip(texts) {
            ticket.open();
            let added = draft.add(Offset(offset), 0, |bytes| {
                bytes.extend_from_slice(text.as_bytes());
                Ok::<(), ()>(())
            });
            assert_eq!(added, Ok(()));
        }
        draft
    }

    fn text(bulk: &Bulk) -> String {
        String::from_utf8(bulk.plain().expect("reads").to_vec()).expect("is UTF-8")
    }

    #[tokio::test]
    async fn every_document_has_a_verdict_of_its_own() {
        for level in [0, 1] {
            let claims = [Claim(Arc::default()), Claim(Arc::default())];
            let mut all = draft(&claims[0].0, &["a\n", "bb\n"]);
            all.fill(&mut draft(&claims[1].0, &["ccc\n", "d\n"]), usize::MAX, usize::MAX);
            let bulk = all.close("shop".into(), level);
            assert_eq!((text(&bulk).as_str(), bulk.documents()), ("a\nbb\nccc\nd\n", 4));
            let rest = bulk.select(level, |place| place % 2 == 1).expect("selects");
            assert_eq!(text(&rest), "bb\nd\n");
            bulk.stored(0);
            bulk.rejected(2, "no".to_owned(), "x");
            rest.stored(1);
            rest.rejected(0, "never".to_owned(), "y");
            let expected = |offset: u64, reason: &str, label| {
                vec![Rejection { offset: Offset(offset), index: 0, reason: reason.to_owned(), label }]
            };
            assert_eq!(claims[0].verdicts().await.rejected, expected(1, "never", "y"));
            assert_eq!(claims[1].verdicts().await.rejected, expected(0, "no", "x"));
        }
    }

    #[test]
    fn what_nobody_waits_for_is_left_out() {
        let claims = [Claim(Arc::default()), Claim(Arc::default())];
        let mut all = draft(&claims[0].0, &["a\n", "b\n"]);
        all.fill(&mut draft(&claims[1].0, &["c\n"]), usize::MAX, usize::MAX);
        let bulk = all.close("shop".into(), 1);
        let [gone, kept] = claims;
        drop(gone);
        assert!(bulk.is_wanted());
        assert_eq!(text(&bulk.select(1, |_| true).expect("selects")), "c\n");
        drop(kept);
        assert!(!bulk.is_wanted());
    }

    #[test]
    fn halves_are_the_whole() {
        let claim = Claim(Arc::default());
        let bulk = draft(&claim.0, &["a\n", "b\n", "c\n"]).close("shop".into(), 1);
        let halves = bulk.halves(1).expect("halves");
        assert_eq!(halves.each_ref().map(text), ["a\n", "b\nc\n"]);
    }

    #[test]
    fn a_document_that_fails_leaves_no_trace() {
        let claim = Claim(Arc::default());
        let mut all = draft(&claim.0, &["a\n"]);
        let failed = all.add(Offset(1), 0, |bytes| {
            bytes.extend_from_slice(b"half");
            Err("no")
        });
        assert_eq!((failed, all.documents()), (Err("no"), 1));
        assert_eq!(text(&all.close("shop".into(), 0)), "a\n");
    }
}
