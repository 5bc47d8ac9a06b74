//! What events have to be like.

use super::expression::Expression;
use super::record::{Record, Value};

/// Something about a field; all of it has to be so.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    pub(crate) field: String,
    pub(crate) tests: Vec<Test>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    Equals(Scalar),
    Matches(Expression),
    Exists,
    IsAbsent,
    Above(f64),
    Below(f64),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Text(String),
    Number(f64),
    Boolean(bool),
}

impl Condition {
    pub(crate) fn holds(&self, record: &Record<'_>) -> bool {
        let value = record.find(&self.field);
        self.tests.iter().all(|test| test.holds(value.as_ref()))
    }
}

impl Test {
    fn holds(&self, value: Option<&Value<'_>>) -> bool {
        let Some(value) = value else { return *self == Self::IsAbsent };
        let number = |is_so: &dyn Fn(f64) -> bool| value.as_number().is_some_and(is_so);
        match self {
            Self::Equals(scalar) => scalar.is(value),
            Self::Matches(expression) => expression.is_match(&value.as_text()),
            Self::Exists => true,
            Self::IsAbsent => false,
            Self::Above(limit) => number(&|number| number > *limit),
            Self::Below(limit) => number(&|number| number < *limit),
        }
    }
}

impl Scalar {
    fn is(&self, value: &Value<'_>) -> bool {
        match self {
            Self::Text(text) => value.as_text() == *text,
            Self::Number(number) => value.as_number() == Some(*number),
            Self::Boolean(boolean) => value.as_text() == if *boolean { "true" } else { "false" },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_or_not() {
        let mut record = Record::default();
        record.text("level", "debug");
        record.json("status", "200");
        record.text("took", "1.5");
        record.json("ok", "true");
        record.json("nothing", "null");
        record.json("k", r#"{"ns":"shop"}"#);
        let text = |text: &str| Test::Equals(Scalar::Text(text.to_owned()));
        let number = |number| Test::Equals(Scalar::Number(number));
        let matches = |pattern| Test::Matches(Expression::compile(pattern).expect("it is one"));
        let check = |field: &str, tests: Vec<Test>, expected: bool| {
            let condition = Condition { field: field.to_owned(), tests };
            assert_eq!(condition.holds(&record), expected, "{condition:?}");
        };
        check("level", vec![text("debug")], true);
        check("level", vec![text("Debug")], false);
        check("level", vec![matches("^de")], true);
        check("level", vec![matches("^e")], false);
        check("level", vec![Test::Above(0.0)], false);
        check("status", vec![number(200.0)], true);
        check("status", vec![text("200")], true);
        check("status", vec![Test::Above(199.0), Test::Below(300.0)], true);
        check("status", vec![Test::Above(199.0), Test::Below(200.0)], false);
        check("took", vec![Test::Below(2.0), number(1.5)], true);
        check("ok", vec![Test::Equals(Scalar::Boolean(true))], true);
        check("ok", vec![Test::Equals(Scalar::Boolean(false))], false);
        check("nothing", vec![Test::Exists], true);
        check("none", vec![Test::Exists], false);
        check("none", vec![Test::IsAbsent], true);
        check("level", vec![Test::IsAbsent], false);
        check("none", vec![matches("x*")], false);
        check("k.ns", vec![text("shop")], true);
    }
}
