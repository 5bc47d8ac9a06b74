//! `google.protobuf.Struct` onto the tape.
//!
//! A key that occurs twice is kept twice; [`weir_model::Object::get`] takes the last, as protobuf would. A
//! message that occurs twice where one is expected is merged, which by the wire format means that its
//! occurrences are read one after the other.

use std::iter;

use weir_model::{EventBatchBuilder, EventFault};

use crate::entry::{PlainEntry, Scalar};
use crate::protobuf::{Cursor, Field};

/// The occurrences of one message, in order; hardly ever more than one.
#[derive(Debug)]
pub(super) struct Merged<'a> {
    first: &'a [u8],
    more: Vec<&'a [u8]>,
}

impl<'a> Merged<'a> {
    fn one(message: &'a [u8]) -> Self {
        Self { first: message, more: Vec::new() }
    }

    fn and(mut self, occurrence: &'a [u8]) -> Self {
        self.more.push(occurrence);
        self
    }

    pub(super) fn add(merged: &mut Option<Self>, occurrence: &'a [u8]) {
        match merged {
            Some(merged) => merged.more.push(occurrence),
            None => *merged = Some(Self::one(occurrence)),
        }
    }

    fn cursors(&self) -> impl Iterator<Item = Cursor<'a>> {
        iter::once(self.first).chain(self.more.iter().copied()).map(Cursor::new)
    }
}

/// What a `google.protobuf.Value` holds.
enum Kind<'a> {
    Null,
    Number(f64),
    Str(&'a str),
    Bool(bool),
    Object(Merged<'a>),
    Array(Merged<'a>),
}

/// A `google.protobuf.Struct`. Recursion ends where the builder's limit of depth is.
pub(super) fn object(builder: &mut EventBatchBuilder, message: &Merged<'_>) -> Result<(), EventFault> {
    builder.start_object()?;
    for mut cursor in message.cursors() {
        while let Some(field) = cursor.next_field()? {
            if let Field::Bytes(1, member) = field {
                entry(builder, member)?;
            }
        }
    }
    Ok(builder.end()?)
}

/// An entry of the map `Struct.fields`.
#[inline]
fn entry(builder: &mut EventBatchBuilder, message: &[u8]) -> Result<(), EventFault> {
    let Some(plain) = PlainEntry::of(message) else { return unusual_entry(builder, message) };
    if !builder.repeated_key(plain.key) {
        let Ok(key) = str::from_utf8(plain.key) else { return unusual_entry(builder, message) };
        builder.key(key)?;
    }
    match plain.value {
        Scalar::Text(text) => match simdutf8::basic::from_utf8(text) {
            Ok(text) => Ok(builder.str(text)?),
            Err(_) => unusual_entry(builder, message),
        },
        Scalar::Number(value) => number(builder, value),
        Scalar::Bool(value) => {
            builder.bool(value);
            Ok(())
        }
    }
}

/// An entry of any form.
fn unusual_entry(builder: &mut EventBatchBuilder, message: &[u8]) -> Result<(), EventFault> {
    let (mut key, mut value) = ("", None);
    let mut cursor = Cursor::new(message);
    while let Some(field) = cursor.next_field()? {
        match field {
            Field::Bytes(1, text) => key = cursor.utf8(text)?,
            Field::Bytes(2, part) => Merged::add(&mut value, part),
            _ => {}
        }
    }
    builder.key(key)?;
    merged_value(builder, &value.ok_or(EventFault::ValueWithoutKind)?)
}

/// A `google.protobuf.ListValue`.
fn array(builder: &mut EventBatchBuilder, message: &Merged<'_>) -> Result<(), EventFault> {
    builder.start_array()?;
    for mut cursor in message.cursors() {
        while let Some(field) = cursor.next_field()? {
            if let Field::Bytes(1, element) = field {
                value(builder, element)?;
            }
        }
    }
    Ok(builder.end()?)
}

/// A `google.protobuf.Value`.
#[inline]
fn value(builder: &mut EventBatchBuilder, message: &[u8]) -> Result<(), EventFault> {
    let mut cursor = Cursor::new(message);
    let field = cursor.next_field()?;
    if !cursor.is_done() {
        return merged_value(builder, &Merged::one(message));
    }
    match field {
        Some(Field::Bytes(3, text)) => Ok(builder.str(cursor.utf8(text)?)?),
        Some(Field::Fixed64(2, bits)) => number(builder, f64::from_bits(bits)),
        _ => merged_value(builder, &Merged::one(message)),
    }
}

fn merged_value(builder: &mut EventBatchBuilder, message: &Merged<'_>) -> Result<(), EventFault> {
    match kind(message)? {
        Kind::Null => builder.null(),
        Kind::Number(value) => number(builder, value)?,
        Kind::Str(text) => builder.str(text)?,
        Kind::Bool(value) => builder.bool(value),
        Kind::Object(message) => object(builder, &message)?,
        Kind::Array(message) => array(builder, &message)?,
    }
    Ok(())
}

/// The last kind that is set; a message right after one of the same kind is merged into it.
fn kind<'a>(message: &Merged<'a>) -> Result<Kind<'a>, EventFault> {
    let mut kind = None;
    for mut cursor in message.cursors() {
        while let Some(field) = cursor.next_field()? {
            kind = match (field, kind) {
                (Field::Varint(1, _), _) => Some(Kind::Null),
                (Field::Fixed64(2, bits), _) => Some(Kind::Number(f64::from_bits(bits))),
                (Field::Bytes(3, text), _) => Some(Kind::Str(cursor.utf8(text)?)),
                (Field::Varint(4, value), _) => Some(Kind::Bool(value != 0)),
                (Field::Bytes(5, part), Some(Kind::Object(merged))) => Some(Kind::Object(merged.and(part))),
                (Field::Bytes(5, part), _) => Some(Kind::Object(Merged::one(part))),
                (Field::Bytes(6, part), Some(Kind::Array(merged))) => Some(Kind::Array(merged.and(part))),
                (Field::Bytes(6, part), _) => Some(Kind::Array(Merged::one(part))),
                (_, kind) => kind,
            };
        }
    }
    kind.ok_or(EventFault::ValueWithoutKind)
}

/// Up to here every integer is a double; jsonpb prints it without a fraction.
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

fn number(builder: &mut EventBatchBuilder, value: f64) -> Result<(), EventFault> {
    if value.is_nan() {
        builder.str("NaN")?;
    } else if value.is_infinite() {
        builder.str(if value > 0.0 { "Infinity" } else { "-Infinity" })?;
    } else if value.fract() == 0.0 && value.abs() <= EXACT_INTEGERS && !is_negative_zero(value) {
        #[expect(clippy::cast_possible_truncation, reason = "an integer of at most 54 bits")]
        builder.int(value as i64);
    } else {
        builder.float(value);
    }
    Ok(())
}

fn is_negative_zero(value: f64) -> bool {
    value == 0.0 && value.is_sign_negative()
}
