//! JSON text back into a content, for what has no columns of its own.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use weir_model::{EventBatch, EventBatchBuilder, IndexPrefix, Timestamp};

/// A batch of one event whose content is `json` under `keys`; absent if `json` is not JSON, or an object is
/// wanted and it is none.
pub(super) fn content(prefix: &IndexPrefix, keys: &[String], json: &str) -> Option<EventBatch> {
    let mut builder = EventBatchBuilder::with_capacity(1, json.len());
    builder.begin_event();
    for key in keys {
        builder.start_object().ok()?;
        builder.key(key).ok()?;
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Append(&mut builder).deserialize(&mut deserializer).ok()?;
    for _ in keys {
        builder.end().ok()?;
    }
    builder.finish_event(Timestamp::default(), 0..0);
    Some(builder.build(prefix.clone(), Bytes::new()))
}

/// Appends one value to the event in hand.
struct Append<'a>(&'a mut EventBatchBuilder);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Append<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.null();
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.0.bool(value);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.0.int(value);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.0.number(&value.to_string()).map_err(E::custom),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.0.float(value);
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.0.str(value).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        self.0.start_array().map_err(A::Error::custom)?;
        while elements.next_element_seed(Append(self.0))?.is_some() {}
        self.0.end().map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.0.start_object().map_err(A::Error::custom)?;
        while let Some(key) = members.next_key::<std::borrow::Cow<'de, str>>()? {
            self.0.key(&key).map_err(A::Error::custom)?;
            members.next_value_seed(Append(self.0))?;
        }
        self.0.end().map_err(A::Error::custom)
    }
}
