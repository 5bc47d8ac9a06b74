//! JSON text onto the tape of a batch: for contents that were kept as text, and for the query page's examples.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use weir_model::{ContentError, EventBatchBuilder};

/// Appends a JSON value to the event that `builder` has open: keys in their order, repeated ones too,
/// integers of 64 bits with a sign as integers, greater ones as texts, all other numbers as floats.
///
/// # Errors
///
/// The text is not JSON, or nested deeper than a content may be.
pub fn append_json(json: &str, builder: &mut EventBatchBuilder) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Append(builder).deserialize(&mut deserializer)?;
    deserializer.end()
}

struct Append<'a>(&'a mut EventBatchBuilder);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

fn fits<E: Error>(result: Result<(), ContentError>) -> Result<(), E> {
    result.map_err(E::custom)
}

impl<'de> Visitor<'de> for Append<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.null();
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.bool(value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.int(value);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => fits(self.0.number(&value.to_string())),
        }
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.0.float(value);
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        fits(self.0.str(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        fits(self.0.start_array())?;
        while elements.next_element_seed(Append(self.0))?.is_some() {}
        fits(self.0.end())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        fits(self.0.start_object())?;
        while let Some(key) = members.next_key::<String>()? {
            fits(self.0.key(&key))?;
            members.next_value_seed(Append(self.0))?;
        }
        fits(self.0.end())
    }
}
