//! Batches as barito-flow's records: all items are in them, none is larger than the limit, and each is a record
//! that is cut the same way again.

use bytes::Bytes;
use weir_model::{RecordFormat, Timestamp};
use weir_wire::shape::{KeptSecrets, Layout, Shape, Shaped, Times};
use weir_wire::{ScannedBatch, decode_record, scan_collection, scan_timber};

pub fn run(data: &[u8]) {
    for scanned in [scan_timber(data), scan_collection(data)].into_iter().flatten() {
        for layout in [Layout::Timber, Layout::Collection] {
            check(&scanned, layout, 64);
            check(&scanned, layout, 1 << 20);
        }
    }
}

fn check(scanned: &ScannedBatch<'_>, layout: Layout, limit: usize) {
    let shape = |micros| Shape {
        layout,
        times: Times::Overwrite,
        secrets: KeptSecrets::None,
        now: Timestamp::from_micros(micros),
        limit,
    };
    let records = match scanned.shape(&shape(0)) {
        Ok(records) => records,
        Err(error) => {
            assert!(error.size > limit && error.index < scanned.items());
            return;
        }
    };
    assert_eq!(records.iter().map(|record| record.events).sum::<u32>(), scanned.items());
    for record in &records {
        assert!(record.value.len() <= limit);
        assert_eq!(events(record), record.events);
        assert!(is_sound(record));
    }
    let again = scanned.shape(&shape(1_700_000_000_000_000)).expect("the time has the same length");
    assert!(records.iter().map(|record| record.events).eq(again.iter().map(|record| record.events)));
}

fn events(record: &Shaped) -> u32 {
    let decoded = decode_record(record.format, &record.value, Timestamp::default());
    let events = decoded.map_or_else(|error| error.originals.len(), |batch| batch.len());
    u32::try_from(events).expect("there are fewer than bytes")
}

/// The door would take it, and finds no secret in it.
fn is_sound(record: &Shaped) -> bool {
    let value: &Bytes = &record.value;
    let scanned = match record.format {
        RecordFormat::Timber => scan_timber(value),
        _ => scan_collection(value),
    };
    scanned.is_ok_and(|scanned| scanned.without_app_secret().is_none())
}
