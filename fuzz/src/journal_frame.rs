//! Frames of the journal as a disk may give them back, behind their checksum: the value is as long as the frame
//! says.

use weir_journal::sqlite::value_of_frame;

pub fn run(data: &[u8]) {
    let Some(value) = value_of_frame(data) else { return };
    let (codec, rest) = data.split_first().expect("a frame has a codec");
    let (length, payload) = rest.split_first_chunk().expect("a frame has a length");
    assert_eq!(value.len(), u32::from_le_bytes(*length) as usize);
    assert!(*codec != 0 || value == payload);
}
