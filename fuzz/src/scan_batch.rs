//! What the gRPC door does with the bytes of a request.

use weir_wire::{scan_collection, scan_timber};

pub fn run(data: &[u8]) {
    if let Ok(batch) = scan_collection(data) {
        // An item takes two bytes at least.
        assert!(batch.items() as usize <= data.len() / 2);
    }
    if let Ok(batch) = scan_timber(data) {
        assert_eq!(batch.items(), 1);
    }
}
