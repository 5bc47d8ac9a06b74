//! An entry of `google.protobuf.Struct.fields` as every encoder writes it: the key, then one scalar value.
//!
//! Most of a request is made of these, so they are read without a cursor. What is any different, also what is
//! malformed, is left to the general way.

/// The tags of `FieldsEntry.key` and `.value`, and of three kinds of `Value`.
const KEY: u8 = 0x0a;
const VALUE: u8 = 0x12;
const NUMBER: u8 = 0x11;
const TEXT: u8 = 0x1a;
const BOOL: u8 = 0x20;

/// The strings in it are not checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PlainEntry<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: Scalar<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar<'a> {
    Text(&'a [u8]),
    Number(f64),
    Bool(bool),
}

impl<'a> PlainEntry<'a> {
    #[inline]
    pub(crate) fn of(entry: &'a [u8]) -> Option<Self> {
        let (key, rest) = delimited(entry, KEY)?;
        let (value, rest) = delimited(rest, VALUE)?;
        if !rest.is_empty() {
            return None;
        }
        let value = match value {
            [NUMBER, bits @ ..] => Scalar::Number(f64::from_le_bytes(bits.try_into().ok()?)),
            [BOOL, value @ (0 | 1)] => Scalar::Bool(*value == 1),
            _ => match delimited(value, TEXT)? {
                (text, []) => Scalar::Text(text),
                _ => return None,
            },
        };
        Some(Self { key, value })
    }
}

/// The value of a length-delimited field with this tag, and what is behind it. Its length has one or two bytes.
#[inline]
fn delimited(bytes: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    let (tag, bytes) = bytes.split_first()?;
    if *tag != expected {
        return None;
    }
    match bytes {
        [length @ ..0x80, rest @ ..] => rest.split_at_checked(usize::from(*length)),
        [low, high @ ..0x80, rest @ ..] => {
            rest.split_at_checked(usize::from(low & 0x7f) | usize::from(*high) << 7)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::value::Kind;
    use prost_types::{Struct, Value};

    use super::*;

    fn entry(key: &str, kind: Kind) -> Vec<u8> {
        let fields = [(key.to_owned(), Value { kind: Some(kind) })].into();
        let object = Struct { fields }.encode_to_vec();
        let (entry, rest) = delimited(&object, 0x0a).expect("one entry");
        assert!(rest.is_empty());
        entry.to_vec()
    }

    #[test]
    fn scalars_are_read_as_prost_writes_them() {
        for length in [0, 1, 100, 127, 128, 300, 16_000] {
            let text = "é".repeat(length / 2);
            let bytes = entry("message", Kind::StringValue(text.clone()));
            let expected = PlainEntry { key: b"message", value: Scalar::Text(text.as_bytes()) };
            assert_eq!(PlainEntry::of(&bytes), Some(expected));
        }
        for number in [0.0, -0.0, 200.0, f64::MAX, f64::INFINITY] {
            let bytes = entry("status", Kind::NumberValue(number));
            let expected = PlainEntry { key: b"status", value: Scalar::Number(number) };
            assert_eq!(PlainEntry::of(&bytes), Some(expected));
        }
        for value in [false, true] {
            let bytes = entry("ok", Kind::BoolValue(value));
            assert_eq!(PlainEntry::of(&bytes).map(|plain| plain.value), Some(Scalar::Bool(value)));
        }
    }

    #[test]
    fn anything_else_is_left_to_the_general_way() {
        let good = entry("message", Kind::StringValue("disk full".into()));
        for end in 0..good.len() {
            assert_eq!(PlainEntry::of(&good[..end]), None, "cut at {end}");
        }
        assert_eq!(PlainEntry::of(&[&good[..], &[0]].concat()), None);
        assert_eq!(PlainEntry::of(&[&good[..], &good[..]].concat()), None);
        // No key, which prost leaves out if it is empty, and values that are no scalars or have no kind.
        for kind in [Kind::StringValue(String::new()), Kind::BoolValue(true)] {
            assert_eq!(PlainEntry::of(&entry("", kind)), None);
        }
        for kind in [Kind::NullValue(0), Kind::StructValue(Struct::default())] {
            assert_eq!(PlainEntry::of(&entry("key", kind)), None);
        }
        assert_eq!(PlainEntry::of(&[0x0a, 1, b'k', 0x12, 0]), None);
        // Two kinds in one value, of which the last counts.
        assert_eq!(PlainEntry::of(&[0x0a, 1, b'k', 0x12, 4, 0x20, 1, 0x20, 0]), None);
    }
}
