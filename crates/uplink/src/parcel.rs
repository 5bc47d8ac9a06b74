use std::io;
use std::time::Duration;

use bytes::Bytes;
use weir_model::IndexPrefix;
use weir_wire::EventsBuilder;
use weir_wire::compression::{Encoding, compress};

/// Where a parcel is from: a part of a source, which begins where the one before it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// One life of a file or of a spool on this agent.
    pub source: [u8; 16],
    pub start: u64,
    /// The first position behind it.
    pub end: u64,
    /// How far the source is stored, by the verdicts so far.
    pub stored: u64,
}

/// Events of an app on their way to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    pub(crate) app: String,
    pub(crate) place: Option<Place>,
    pub(crate) events: u32,
    /// Compressed.
    pub(crate) payload: Bytes,
}

/// What became of a parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is durable at the server. Its source is stored up to `mark`, which is below its end where a part of it was
    /// stored before: then the source goes on from there.
    Stored { mark: u64 },
    /// Nothing of it is known to be stored: its source goes on from its start, not before the delay.
    Again { delay: Duration, code: String, message: String },
    /// The server will not take it as it is, until something is changed there or here.
    Refused { code: String, message: String },
}

impl Parcel {
    /// The index prefix that the events of an app need.
    ///
    /// Fails for what is no name of an app.
    pub fn prefix(app: &str) -> Result<IndexPrefix, weir_model::IllegalName> {
        IndexPrefix::new(app)
    }

    /// Packs events that were collected for the prefix of this app. It takes a millisecond for a megabyte, and belongs
    /// on a thread that may block.
    pub fn pack(app: &str, place: Option<Place>, events: EventsBuilder) -> io::Result<Self> {
        let (value, events) = events.finish();
        let payload = if events == 0 { Bytes::new() } else { compress(Encoding::Zstd, &value)?.into() };
        Ok(Self { app: app.to_owned(), place, events, payload })
    }

    /// The same, from there.
    #[must_use]
    pub fn of(self, place: Place) -> Self {
        Self { place: Some(place), ..self }
    }

    /// Where it is from, if it is from somewhere.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// How many events it has.
    #[must_use]
    pub fn events(&self) -> u32 {
        self.events
    }

    /// Bytes of its payload, compressed.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.payload.len()
    }
}
