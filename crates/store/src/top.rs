//! Which values of a field an event counts for, in every implementation.

use std::collections::BTreeSet;

use weir_model::{Array, Content, Object, Value};

/// The values under a path as JSON text, each once: scalars but `null`, and the elements of arrays at any
/// depth in their stead. Objects are no values. The path is keys joined by dots, as in a query.
#[must_use]
pub fn values_under(content: Content<'_>, path: &str) -> BTreeSet<String> {
    let mut values = BTreeSet::new();
    in_object(content, path, &mut values);
    values
}

fn in_object(object: Object<'_>, path: &str, values: &mut BTreeSet<String>) {
    for (key, value) in object.entries() {
        let Some(rest) = path.strip_prefix(key) else { continue };
        if rest.is_empty() {
            at_path(value, values);
        } else if let Some(rest) = rest.strip_prefix('.') {
            below(value, rest, values);
        }
    }
}

fn below(value: Value<'_>, path: &str, values: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => in_object(object, path, values),
        Value::Array(array) => array.elements().for_each(|element| below(element, path, values)),
        _ => {}
    }
}

fn at_path(value: Value<'_>, values: &mut BTreeSet<String>) {
    match value {
        Value::Object(_) | Value::Null => {}
        Value::Array(array) => elements(array, values),
        scalar => {
            values.insert(scalar.to_string());
        }
    }
}

fn elements(array: Array<'_>, values: &mut BTreeSet<String>) {
    array.elements().for_each(|element| at_path(element, values));
}
