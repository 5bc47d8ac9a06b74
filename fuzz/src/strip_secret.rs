//! Batches without their secrets: still whole, as many items, and nothing left to strip.

use weir_wire::{ScannedBatch, scan_collection, scan_timber};

pub fn run(data: &[u8]) {
    if let Ok(batch) = scan_collection(data) {
        check(data, &batch, |bytes| scan_collection(bytes).expect("still whole"));
    }
    if let Ok(batch) = scan_timber(data) {
        check(data, &batch, |bytes| scan_timber(bytes).expect("still whole"));
    }
}

fn check(data: &[u8], batch: &ScannedBatch<'_>, scan: fn(&[u8]) -> ScannedBatch<'_>) {
    if let Some(stripped) = batch.without_app_secret() {
        assert!(stripped.len() < data.len());
        let again = scan(&stripped);
        assert_eq!(again.items(), batch.items());
        assert!(again.without_app_secret().is_none());
    }
}
