//! Writing fields; a message's length is computed before it is written.

/// The tag of a field; its number must be below 16, so that it is one byte.
pub(crate) const fn tag(number: u8, wire_type: u8) -> u8 {
    debug_assert!(number < 16 && wire_type < 8);
    number << 3 | wire_type
}

pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const BYTES: u8 = 2;

/// How many bytes `value` takes.
#[inline]
pub(crate) const fn varint_len(value: u64) -> usize {
    // Seven bits a byte; zero takes one.
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes a field with one byte of tag and `length` bytes of value takes.
#[inline]
pub(crate) const fn bytes_field_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

/// The start of a field whose value of `length` bytes comes next.
#[inline]
pub(crate) fn put_bytes_header(out: &mut Vec<u8>, number: u8, length: usize) {
    out.push(tag(number, BYTES));
    put_varint(out, length as u64);
}

#[inline]
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    put_bytes_header(out, number, value.len());
    out.extend_from_slice(value);
}
