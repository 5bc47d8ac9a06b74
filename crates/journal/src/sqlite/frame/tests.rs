#![expect(clippy::indexing_slicing, reason = "tests may panic")]

use proptest::prelude::*;
use weir_model::{BatchTag, Incarnation, RecordFormat, Timestamp};

use super::*;

fn label() -> Label {
    Label {
        incarnation: Incarnation(0x0102_0304_0506_0708),
        partition: 3,
        events: 100,
        received: Timestamp::from_micros(1_700_000_000_000_000),
        format: RecordFormat::TimberCollection,
        batch: Some(BatchTag { id: 1, digest: 2 }),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Files of any age hold these bytes; they must stay readable.
#[test]
fn frames_have_these_bytes() {
    let check = |value: &[u8], golden: &str| {
        let bytes: Vec<u8> = golden
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ascii"), 16).expect("hex"))
            .collect();
        assert_eq!(open(bytes, &label(), 7, 700).as_deref(), Ok(value), "{golden}");
    };
    check(b"abc", STORED_ABC);
    check(&[b'a'; 40], LZ4_AAA);
    check(&[b'a'; 40], ZSTD_AAA);
    assert_eq!(hex(Frame::new(Codec::None, &label(), b"abc").seal(7, 700)), STORED_ABC);
    // What does not get smaller is stored.
    assert_eq!(hex(Frame::new(Codec::Lz4, &label(), b"abc").seal(7, 700)), STORED_ABC);
    assert_eq!(hex(Frame::new(Codec::Lz4, &label(), &[b'a'; 40]).seal(7, 700)), LZ4_AAA);
    assert_eq!(hex(Frame::new(Codec::Zstd, &label(), &[b'a'; 40]).seal(7, 700)), ZSTD_AAA);
}

const STORED_ABC: &str = "37eeb91a0003000000616263";
const LZ4_AAA: &str = "e47c1a3a01280000001f6101000e60616161616161";
const ZSTD_AAA: &str = "0647c385022800000028b52ffd202845000010616101001f8005";

#[test]
fn a_frame_belongs_to_its_row() {
    let mut frame =
        Frame::new(Codec::Lz4, &label(), b"a value that is long enough, long enough, long enough");
    let bytes = frame.seal(7, 700).to_vec();
    let check = |label: Label, offset: u64, first_event: u64| {
        assert_eq!(open(bytes.clone(), &label, offset, first_event), Err(DamagedFrame::Checksum));
    };
    check(label(), 8, 700);
    check(label(), 7, 701);
    check(Label { partition: 4, ..label() }, 7, 700);
    check(Label { events: 101, ..label() }, 7, 700);
    check(Label { incarnation: Incarnation(9), ..label() }, 7, 700);
    check(Label { format: RecordFormat::Events, ..label() }, 7, 700);
    check(Label { received: Timestamp::from_micros(0), ..label() }, 7, 700);
    check(Label { batch: None, ..label() }, 7, 700);
}

proptest! {
    #[test]
    fn every_value_comes_back(value in prop::collection::vec(any::<u8>(), 0..5000), repeat in 1_usize..5, codec in 0_usize..3) {
        let codec = [Codec::None, Codec::Lz4, Codec::Zstd][codec];
        let value = value.repeat(repeat);
        let mut frame = Frame::new(codec, &label(), &value);
        let bytes = frame.seal(1, 2).to_vec();
        prop_assert_eq!(claimed_length(&bytes), value.len());
        prop_assert!(bytes.len() <= value.len() + HEADER);
        prop_assert_eq!(open(bytes, &label(), 1, 2), Ok(Bytes::from(value)));
    }

    #[test]
    fn no_flipped_bit_goes_unnoticed(value in prop::collection::vec(0_u8..4, 1..500), at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut frame = Frame::new(Codec::Lz4, &label(), &value);
        let mut bytes = frame.seal(1, 2).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(open(bytes, &label(), 1, 2).is_err());
    }

    #[test]
    fn garbage_is_no_frame(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(open(bytes, &label(), 1, 2).is_err());
    }
}
