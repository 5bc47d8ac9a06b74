//! Compressed bodies: never more than the limit. The first byte chooses the encoding.

use weir_wire::compression::{Encoding, decompress};

const LIMIT: usize = 1 << 20;

pub fn run(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let encoding = if choice % 2 == 0 { Encoding::Gzip } else { Encoding::Zstd };
    if let Ok(body) = decompress(encoding, body, LIMIT) {
        assert!(body.len() <= LIMIT);
    }
}
