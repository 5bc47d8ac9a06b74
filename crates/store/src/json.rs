//! JSON text onto the tape of a batch: for contents that were kept as text, and for the query page's examples.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use weir_model::{ContentError, EventBatchBuilder};

/// An object's members in their order, repeated keys and all; values are as they were written.
#[derive(Debug)]
pub struct Members<'a>(pub Vec<(String, &'a RawValue)>);

/// Appends a JSON value to the event that `builder` has open: keys in their order, repeated ones too, and
/// numbers as they are taken at the doors.
///
/// # Errors
///
/// The text is not JSON, or nested deeper than a content may be.
pub fn append_json(json: &str, builder: &mut EventBatchBuilder) -> Result<(), serde_json::Error> {
    append(serde_json::from_str(json)?, builder)
}

/// Each level is read for itself, since only the raw text of a number has all of it.
fn append(value: &RawValue, builder: &mut EventBatchBuilder) -> Result<(), serde_json::Error> {
    let json = value.get();
    match json.as_bytes().first() {
        Some(b'{') => {
            fits(builder.start_object())?;
            for (key, value) in serde_json::from_str::<Members<'_>>(json)?.0 {
                fits(builder.key(&key))?;
                append(value, builder)?;
            }
            fits(builder.end())
        }
        Some(b'[') => {
            fits(builder.start_array())?;
            for element in serde_json::from_str::<Vec<&RawValue>>(json)? {
                append(element, builder)?;
            }
            fits(builder.end())
        }
        Some(b'"') => fits(builder.str(&serde_json::from_str::<String>(json)?)),
        Some(b't' | b'f') => {
            builder.bool(json == "true");
            Ok(())
        }
        Some(b'n') => {
            builder.null();
            Ok(())
        }
        _ => fits(builder.number(json)),
    }
}

fn fits(result: Result<(), ContentError>) -> Result<(), serde_json::Error> {
    result.map_err(serde_json::Error::custom)
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}
