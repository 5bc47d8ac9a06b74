use std::fmt;

use crate::protobuf::write::{VARINT, put_bytes, put_varint, tag};
use crate::protobuf::{Cursor, Field, Malformed};

/// A `producer.TimberContext`, borrowed from the request that brought it. Fields that were not sent have
/// the default of their type.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Context<'a> {
    /// The name of the stream, without prefix and suffix.
    pub topic: &'a str,
    pub partitions: i32,
    pub replication_factor: i32,
    pub index_prefix: &'a str,
    pub document_type: &'a str,
    /// Events per second.
    pub max_tps: i32,
    /// `Some` when the field was sent, even if it is empty.
    pub app_secret: Option<&'a str>,
    /// Whether the limit is `app_group_max_tps`, shared by a group of apps.
    pub disable_app_tps: bool,
    pub app_group_max_tps: i32,
}

pub(crate) const SECRET_FIELD: u32 = 7;

impl<'a> Context<'a> {
    /// Reads a message that is a context. What it sets replaces what was set: so protobuf merges a
    /// message that occurs more than once.
    pub(crate) fn merge(&mut self, mut message: Cursor<'a>) -> Result<(), Malformed> {
        while let Some(field) = message.next_field()? {
            match field {
                Field::Bytes(1, text) => self.topic = message.utf8(text)?,
                Field::Varint(2, number) => self.partitions = int32(number),
                Field::Varint(3, number) => self.replication_factor = int32(number),
                Field::Bytes(4, text) => self.index_prefix = message.utf8(text)?,
                Field::Bytes(5, text) => self.document_type = message.utf8(text)?,
                Field::Varint(6, number) => self.max_tps = int32(number),
                Field::Bytes(SECRET_FIELD, text) => self.app_secret = Some(message.utf8(text)?),
                Field::Varint(8, number) => self.disable_app_tps = number != 0,
                Field::Varint(9, number) => self.app_group_max_tps = int32(number),
                _ => {}
            }
        }
        Ok(())
    }

    /// The message without defaults, fields in the order of their numbers.
    #[must_use]
    pub fn to_protobuf(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.topic.len() + self.index_prefix.len());
        put_text(&mut out, 1, self.topic);
        put_int32(&mut out, 2, self.partitions);
        put_int32(&mut out, 3, self.replication_factor);
        put_text(&mut out, 4, self.index_prefix);
        put_text(&mut out, 5, self.document_type);
        put_int32(&mut out, 6, self.max_tps);
        put_text(&mut out, 7, self.app_secret.unwrap_or_default());
        put_int32(&mut out, 8, i32::from(self.disable_app_tps));
        put_int32(&mut out, 9, self.app_group_max_tps);
        out
    }
}

/// The secret shows as `***`.
impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("topic", &self.topic)
            .field("partitions", &self.partitions)
            .field("replication_factor", &self.replication_factor)
            .field("index_prefix", &self.index_prefix)
            .field("document_type", &self.document_type)
            .field("max_tps", &self.max_tps)
            .field("app_secret", &self.app_secret.map(|_| "***"))
            .field("disable_app_tps", &self.disable_app_tps)
            .field("app_group_max_tps", &self.app_group_max_tps)
            .finish()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "protobuf cuts what is longer than its type")]
fn int32(number: u64) -> i32 {
    number as i32
}

fn put_text(out: &mut Vec<u8>, number: u8, text: &str) {
    if !text.is_empty() {
        put_bytes(out, number, text.as_bytes());
    }
}

fn put_int32(out: &mut Vec<u8>, number: u8, value: i32) {
    if value != 0 {
        out.push(tag(number, VARINT));
        // A negative number takes ten bytes: protobuf extends the sign to 64 bits.
        put_varint(out, i64::from(value).cast_unsigned());
    }
}
