//! What an input would make of a file.

use std::path::Path;

use weir_model::{IndexPrefix, RecordFormat, Timestamp};
use weir_wire::decode_record;

use super::packing::{ESCAPED, Packed, Packing, Reading, pack};
use crate::process::{Around, Rest};
use crate::section::FilesSettings;

/// An input that is tried on bytes, without an agent.
#[derive(Debug)]
pub struct Preview {
    settings: FilesSettings,
    around: Around,
    prefix: IndexPrefix,
}

/// An event as it would be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewEvent {
    pub time: Timestamp,
    /// A JSON object.
    pub content: String,
}

/// What comes behind the bytes that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// Lines of which nothing is known yet.
    More,
    Nothing,
}

/// As servers have it.
const MAX_PARCEL: usize = 4 << 20;

impl Preview {
    /// Of a file with this name on an agent with this one.
    #[must_use]
    pub fn new(settings: &FilesSettings, agent: &str, path: &Path) -> Option<Self> {
        let prefix = IndexPrefix::new(&settings.app).ok()?;
        let around = Around::of(settings.process.about, agent, path);
        Some(Self { settings: settings.clone(), around, prefix })
    }

    /// The first events of a file from this place on, and how many bytes they are of; none where nothing is complete.
    ///
    /// They are the same however much there is behind them, if it is read from a place to which this function came.
    #[must_use]
    pub fn read(
        &self,
        bytes: &[u8],
        start: u64,
        behind: Behind,
        now: Timestamp,
    ) -> Option<(Vec<PreviewEvent>, usize)> {
        let rest = match behind {
            Behind::More => Rest::MayGrow,
            Behind::Nothing => Rest::IsAll,
        };
        let reading = Reading { bytes, source: [0; 16], start, rest, is_cut: false, around: &self.around };
        let packing = Packing {
            prefix: &self.prefix,
            max_text: self.settings.max_line.as_usize().min(MAX_PARCEL / (ESCAPED + 2)),
            max_parcel: MAX_PARCEL,
            max_lines: u64::MAX,
            now,
        };
        let Packed { events, used, .. } = pack(&self.settings.process, reading, packing).ok()?.ok()?;
        let (value, count) = events.finish();
        if count == 0 {
            return Some((Vec::new(), used));
        }
        let batch = decode_record(RecordFormat::Events, &value, now).ok()?;
        let events = batch.events().filter_map(|event| {
            Some(PreviewEvent { time: event.time, content: event.content.ok()?.to_string() })
        });
        Some((events.collect(), used))
    }

    /// All events of a file.
    #[must_use]
    pub fn read_all(&self, bytes: &[u8], now: Timestamp) -> Vec<PreviewEvent> {
        let (mut all, mut at) = (Vec::new(), 0);
        while let Some((events, used)) =
            self.read(bytes.get(at..).unwrap_or_default(), at as u64, Behind::Nothing, now)
        {
            all.extend(events);
            at += used;
        }
        all
    }
}
