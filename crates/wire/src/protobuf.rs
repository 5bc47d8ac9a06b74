//! The protobuf wire format (<https://protobuf.dev/programming-guides/encoding>), as much of it as is
//! needed to walk and to write messages without building objects.

use std::ops::Range;

pub(crate) mod write;

/// How deep messages and groups may be nested; the limit of the Go implementation, which is barito-flow's.
pub(crate) const NESTING_LIMIT: usize = 10_000;

const FIELD_NUMBER_LIMIT: u32 = (1 << 29) - 1;

/// A message that does not follow the wire format, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed protobuf at byte {at}: {problem}")]
pub struct Malformed {
    /// Offset into the bytes that were given.
    pub at: usize,
    pub problem: Problem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("a number is cut off")]
    TruncatedNumber,
    #[error("a number has more than 64 bits")]
    OversizedNumber,
    #[error("a field of {length} bytes does not fit into its message")]
    TruncatedField { length: u64 },
    #[error("a field has no legal number")]
    FieldNumber,
    #[error("wire type {0} does not exist")]
    WireType(u8),
    #[error("a group ends that did not start")]
    EndOfGroup,
    #[error("a group does not end")]
    OpenGroup,
    #[error("messages are nested more than {NESTING_LIMIT} deep")]
    Nesting,
    #[error("a string is not valid UTF-8")]
    Utf8,
    #[error("a batch must stay under 4 GiB")]
    Oversized,
}

/// One field of a message: number and value. Groups have no value that anybody here wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    Varint(u32, u64),
    Fixed64(u32, u64),
    Bytes(u32, &'a [u8]),
    Other,
}

/// A place in a message, moving forward field by field.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    /// What is left of the message.
    rest: &'a [u8],
    /// Where the message ends in the outermost one.
    end: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, end: bytes.len() }
    }

    /// Refuses what is too large for the offsets of a record, which are 32 bits wide.
    pub(crate) fn outermost(bytes: &'a [u8]) -> Result<Self, Malformed> {
        match u32::try_from(bytes.len()) {
            Ok(_) => Ok(Self::new(bytes)),
            Err(_) => Err(Malformed { at: 0, problem: Problem::Oversized }),
        }
    }

    /// The message that is the value of the field read last; its errors, too, name places in the outermost.
    #[inline]
    pub(crate) fn inner(&self, value: &'a [u8]) -> Self {
        Self { rest: value, end: self.at() }
    }

    /// The text that is the value of the field read last.
    #[inline]
    pub(crate) fn utf8(&self, value: &'a [u8]) -> Result<&'a str, Malformed> {
        match simdutf8::basic::from_utf8(value) {
            Ok(text) => Ok(text),
            Err(_) => Err(Malformed { at: self.at() - value.len(), problem: Problem::Utf8 }),
        }
    }

    /// Where the value of the field read last is.
    pub(crate) fn range_of(&self, value: &[u8]) -> Range<u32> {
        offset(self.at() - value.len())..offset(self.at())
    }

    /// Where the rest of the message is.
    pub(crate) fn range_of_rest(&self) -> Range<u32> {
        offset(self.at())..offset(self.end)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    fn at(&self) -> usize {
        self.end - self.rest.len()
    }

    /// The next field, or `None` at the end of the message.
    #[inline]
    pub(crate) fn next_field(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.is_done() {
            return Ok(None);
        }
        let tag = self.tag()?;
        self.value(tag).map(Some)
    }

    #[inline]
    fn value(&mut self, tag: Tag) -> Result<Field<'a>, Malformed> {
        match tag.wire_type {
            WireType::Bytes => Ok(Field::Bytes(tag.number, self.length_delimited()?)),
            WireType::Varint => Ok(Field::Varint(tag.number, self.varint()?)),
            WireType::Fixed64 => Ok(Field::Fixed64(tag.number, u64::from_le_bytes(self.fixed()?))),
            WireType::Fixed32 => self.fixed::<4>().map(|_| Field::Other),
            WireType::StartGroup => self.skip_group(tag).map(|()| Field::Other),
            WireType::EndGroup => Err(self.malformed(Problem::EndOfGroup)),
        }
    }

    #[inline]
    fn tag(&mut self) -> Result<Tag, Malformed> {
        let start = self.at();
        let tag = self.varint()?;
        let problem = |problem| Malformed { at: start, problem };
        let wire_type = match tag & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Bytes,
            3 => WireType::StartGroup,
            4 => WireType::EndGroup,
            5 => WireType::Fixed32,
            6 => return Err(problem(Problem::WireType(6))),
            _ => return Err(problem(Problem::WireType(7))),
        };
        match u32::try_from(tag >> 3) {
            Ok(number) if (1..=FIELD_NUMBER_LIMIT).contains(&number) => Ok(Tag { number, wire_type }),
            _ => Err(problem(Problem::FieldNumber)),
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest.split_first() {
            Some((byte, rest)) if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            // The tenth byte holds the one bit that is left.
            if index == 9 && *byte > 1 {
                return Err(self.malformed(Problem::OversizedNumber));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(self.malformed(Problem::TruncatedNumber))
    }

    #[inline]
    fn length_delimited(&mut self) -> Result<&'a [u8], Malformed> {
        let start = self.at();
        let length = self.varint()?;
        match usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length)) {
            Some((value, rest)) => {
                self.rest = rest;
                Ok(value)
            }
            None => Err(Malformed { at: start, problem: Problem::TruncatedField { length } }),
        }
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        match self.rest.split_first_chunk::<N>() {
            Some((value, rest)) => {
                self.rest = rest;
                Ok(*value)
            }
            None => Err(self.malformed(Problem::TruncatedNumber)),
        }
    }

    fn skip_group(&mut self, start: Tag) -> Result<(), Malformed> {
        let mut open = vec![start.number];
        while let Some(number) = open.last().copied() {
            if self.is_done() {
                return Err(self.malformed(Problem::OpenGroup));
            }
            let tag = self.tag()?;
            match tag.wire_type {
                WireType::EndGroup if tag.number == number => drop(open.pop()),
                WireType::StartGroup if open.len() == NESTING_LIMIT => {
                    return Err(self.malformed(Problem::Nesting));
                }
                WireType::StartGroup => open.push(tag.number),
                _ => drop(self.value(tag)?),
            }
        }
        Ok(())
    }

    #[cold]
    pub(crate) fn malformed(&self, problem: Problem) -> Malformed {
        Malformed { at: self.at(), problem }
    }
}

/// Nearly every string is short and ASCII, which is the quickest to see.
#[inline]
pub(crate) fn is_utf8(bytes: &[u8]) -> bool {
    bytes.is_ascii() || simdutf8::basic::from_utf8(bytes).is_ok()
}

/// `Cursor::outermost` refuses bytes in which an offset could be larger.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[derive(Debug, Clone, Copy)]
struct Tag {
    number: u32,
    wire_type: WireType,
}

#[derive(Debug, Clone, Copy)]
enum WireType {
    Varint,
    Fixed64,
    Bytes,
    StartGroup,
    EndGroup,
    Fixed32,
}

#[cfg(test)]
mod tests;
