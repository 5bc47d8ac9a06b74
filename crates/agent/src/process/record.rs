//! An event while it is made.

use std::borrow::Cow;

use weir_wire::members;

/// The members of an event, in their order.
#[derive(Debug, Default)]
pub(crate) struct Record<'a> {
    pub(crate) fields: Vec<Field<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) value: Value<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    /// As it is to be written: known to be JSON that an event may have.
    Json(Cow<'a, str>),
}

impl<'a> Record<'a> {
    pub(crate) fn text(&mut self, name: impl Into<Cow<'a, str>>, text: impl Into<Cow<'a, str>>) {
        self.fields.push(Field { name: name.into(), value: Value::Text(text.into()) });
    }

    pub(crate) fn json(&mut self, name: impl Into<Cow<'a, str>>, json: impl Into<Cow<'a, str>>) {
        self.fields.push(Field { name: name.into(), value: Value::Json(json.into()) });
    }

    /// The field of this name; of several the last, as the store has it.
    pub(crate) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.fields.iter().rev().find(|field| field.name == name).map(|field| &field.value)
    }

    /// The same, also of an object within: `kubernetes.namespace`.
    pub(crate) fn find(&self, path: &str) -> Option<Value<'_>> {
        if let Some(value) = self.get(path) {
            return Some(value.clone());
        }
        path.match_indices('.').find_map(|(dot, _)| {
            let Value::Json(json) = self.get(path.get(..dot)?)? else { return None };
            within(json, path.get(dot + 1..)?)
        })
    }

    /// Writes the event as JSON.
    pub(crate) fn write(&self, json: &mut Vec<u8>) -> serde_json::Result<()> {
        json.push(b'{');
        for (index, Field { name, value }) in self.fields.iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            serde_json::to_writer(&mut *json, name)?;
            json.push(b':');
            match value {
                Value::Text(text) => serde_json::to_writer(&mut *json, text)?,
                Value::Json(text) => json.extend_from_slice(text.as_bytes()),
            }
        }
        json.push(b'}');
        Ok(())
    }
}

fn within<'j>(json: &'j str, path: &str) -> Option<Value<'j>> {
    let mut found = None;
    members(json, |key, value| {
        if key == path {
            found = Some(Value::Json(Cow::Borrowed(value)));
        } else if let Some(rest) = path.strip_prefix(&*key).and_then(|rest| rest.strip_prefix('.')) {
            found = within(value, rest).or(found.take());
        }
    })
    .ok()?;
    found
}

impl<'a> Value<'a> {
    /// A text as it is, anything else as it is written.
    pub(crate) fn as_text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Json(json) if json.starts_with('"') => {
                serde_json::from_str(json).map_or(Cow::Borrowed(&**json), Cow::Owned)
            }
            Self::Json(json) => Cow::Borrowed(json),
        }
    }

    /// A number, also one that is written as a text.
    pub(crate) fn as_number(&self) -> Option<f64> {
        self.as_text().parse().ok().filter(|number: &f64| number.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record<'static> {
        let mut record = Record::default();
        record.text("message", "a \"b\"\n");
        record.json("n", "1.50");
        record.json("a.b", "true");
        record.json("a", r#"{"b":{"c":"x\u0041"},"b.d":2,"b":{"e":3}}"#);
        record.text("n2", "17");
        record.json("twice", "1");
        record.json("twice", "2");
        record
    }

    #[test]
    fn it_is_written_in_order() {
        let mut json = Vec::new();
        record().write(&mut json).expect("memory takes it");
        let expected = r#"{"message":"a \"b\"\n","n":1.50,"a.b":true,"a":{"b":{"c":"x\u0041"},"b.d":2,"b":{"e":3}},"n2":"17","twice":1,"twice":2}"#;
        assert_eq!(str::from_utf8(&json), Ok(expected));
    }

    #[test]
    fn fields_are_found_by_their_path() {
        let record = record();
        let check = |path: &str, expected: Option<&str>| {
            let found = record.find(path);
            assert_eq!(found.as_ref().map(Value::as_text).as_deref(), expected, "{path}");
        };
        check("message", Some("a \"b\"\n"));
        check("a.b", Some("true"));
        check("a.b.c", Some("xA"));
        check("a.b.d", Some("2"));
        check("a.b.e", Some("3"));
        check("a.c", None);
        check("n.x", None);
        check("message.x", None);
        check("", None);
        check(".", None);
        check("twice", Some("2"));
        let number = |path: &str| record.find(path).and_then(|value| value.as_number());
        assert_eq!((number("n"), number("n2"), number("message")), (Some(1.5), Some(17.0), None));
    }
}
