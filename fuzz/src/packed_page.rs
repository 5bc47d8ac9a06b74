//! Packed pages as a disk may give them back: never more than the column has. The first two bytes say how much
//! that is.

use weir_store::segment::unpacked_page;

pub fn run(data: &[u8]) {
    let Some((limit, packed)) = data.split_first_chunk() else { return };
    let limit = usize::from(u16::from_le_bytes(*limit));
    assert!(unpacked_page(packed, limit).is_none_or(|length| length <= limit));
}
