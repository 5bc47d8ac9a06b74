use super::write::{put_varint, varint_len};
use super::*;

fn fields(bytes: &[u8]) -> Result<Vec<Field<'_>>, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let mut fields = Vec::new();
    while let Some(field) = cursor.next_field()? {
        fields.push(field);
    }
    Ok(fields)
}

#[test]
fn every_wire_type_is_read_or_skipped() {
    let check = |bytes: &[u8], expected: &[Field<'_>]| {
        assert_eq!(fields(bytes).as_deref(), Ok(expected), "{bytes:02x?}");
    };
    check(b"", &[]);
    check(b"\x08\x96\x01", &[Field::Varint(1, 150)]);
    check(b"\x11\x01\0\0\0\0\0\0\x80", &[Field::Fixed64(2, 1 << 63 | 1)]);
    check(b"\x1a\x02ab\x1a\x00", &[Field::Bytes(3, b"ab"), Field::Bytes(3, b"")]);
    check(b"\x25\x01\0\0\0\x08\x01", &[Field::Other, Field::Varint(1, 1)]);
    // A group in a group, with fields of every type in them.
    check(b"\x2b\x08\x01\x33\x1a\x01x\x34\x2c\x08\x01", &[Field::Other, Field::Varint(1, 1)]);
    // Numbers and tags may be longer than they need to be.
    check(b"\x88\x80\x00\x81\x00", &[Field::Varint(1, 1)]);
    check(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", &[Field::Varint(1, u64::MAX)]);
    check(b"\xf8\xff\xff\xff\x0f\x00", &[Field::Varint((1 << 29) - 1, 0)]);
}

#[test]
fn malformed_messages_are_refused_with_their_place() {
    let check = |bytes: &[u8], at: usize, problem: Problem| {
        assert_eq!(fields(bytes), Err(Malformed { at, problem }), "{bytes:02x?}");
    };
    check(b"\x08\x01\x80", 2, Problem::TruncatedNumber);
    check(b"\x08\x80\x80", 1, Problem::TruncatedNumber);
    check(b"\x11\x01\0\0", 1, Problem::TruncatedNumber);
    check(b"\x25\x01", 1, Problem::TruncatedNumber);
    check(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 1, Problem::OversizedNumber);
    check(b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 1, Problem::OversizedNumber);
    check(b"\x1a\x03ab", 1, Problem::TruncatedField { length: 3 });
    check(b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 1, Problem::TruncatedField { length: u64::MAX });
    check(b"\x00\x01", 0, Problem::FieldNumber);
    check(b"\x80\x80\x80\x80\x10\x00", 0, Problem::FieldNumber);
    check(b"\x0e", 0, Problem::WireType(6));
    check(b"\x0f", 0, Problem::WireType(7));
    check(b"\x2c", 1, Problem::EndOfGroup);
    check(b"\x2b\x08\x01", 3, Problem::OpenGroup);
    check(b"\x2b\x34", 2, Problem::EndOfGroup);
    check(&b"\x2b".repeat(NESTING_LIMIT + 1), NESTING_LIMIT + 1, Problem::Nesting);
}

#[test]
fn a_varint_is_as_long_as_it_says() {
    for shift in 0..64 {
        for value in [1 << shift, (1 << shift) - 1, u64::MAX >> shift] {
            let mut out = vec![0x08];
            put_varint(&mut out, value);
            assert_eq!(out.len() - 1, varint_len(value), "{value}");
            assert_eq!(fields(&out), Ok(vec![Field::Varint(1, value)]));
        }
    }
}
