//! Fields that events get, lose, or are called otherwise.

use super::record::Record;

/// In this order: renamed, removed, added.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fields {
    pub(crate) rename: Vec<(String, String)>,
    pub(crate) remove: Vec<String>,
    /// With their values as JSON. They take the place of those that an event has.
    pub(crate) add: Vec<(String, String)>,
}

impl Fields {
    pub(crate) fn is_empty(&self) -> bool {
        self.rename.is_empty() && self.remove.is_empty() && self.add.is_empty()
    }

    pub(crate) fn apply<'a>(&'a self, record: &mut Record<'a>) {
        for (from, to) in &self.rename {
            if record.get(from).is_some() {
                record.fields.retain(|field| field.name != *to);
            }
            for field in record.fields.iter_mut().filter(|field| field.name == *from) {
                field.name = to.into();
            }
        }
        if !self.remove.is_empty() || !self.add.is_empty() {
            record.fields.retain(|field| {
                let is_added = self.add.iter().any(|(name, _)| field.name == *name);
                !is_added && self.remove.iter().all(|name| field.name != *name)
            });
        }
        for (name, json) in &self.add {
            record.json(name, json);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_change_in_order() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let check = |fields: Fields, expected: &str| {
            let mut record = Record::default();
            record.text("a", "1");
            record.json("b", "2");
            record.json("c", "3");
            fields.apply(&mut record);
            let mut json = Vec::new();
            record.write(&mut json).expect("memory takes it");
            assert_eq!(str::from_utf8(&json), Ok(expected), "{fields:?}");
        };
        let none = Fields::default();
        check(none.clone(), r#"{"a":"1","b":2,"c":3}"#);
        check(
            Fields { rename: vec![pair("a", "x"), pair("none", "y")], ..none.clone() },
            r#"{"x":"1","b":2,"c":3}"#,
        );
        check(Fields { rename: vec![pair("a", "b")], ..none.clone() }, r#"{"b":"1","c":3}"#);
        check(Fields { rename: vec![pair("none", "b")], ..none.clone() }, r#"{"a":"1","b":2,"c":3}"#);
        check(
            Fields { rename: vec![pair("a", "x"), pair("b", "a")], ..none.clone() },
            r#"{"x":"1","a":2,"c":3}"#,
        );
        check(Fields { remove: vec!["b".into(), "none".into()], ..none.clone() }, r#"{"a":"1","c":3}"#);
        check(
            Fields { add: vec![pair("b", "true"), pair("d", "\"x\"")], ..none.clone() },
            r#"{"a":"1","c":3,"b":true,"d":"x"}"#,
        );
        check(
            Fields { rename: vec![pair("a", "d")], remove: vec!["d".into()], add: vec![pair("d", "9")] },
            r#"{"b":2,"c":3,"d":9}"#,
        );
        check(Fields { remove: vec!["a".into(), "b".into(), "c".into()], ..none }, "{}");
    }
}
