//! Names of indices: the namespace of the settings, the prefix, the day.

use weir_model::{Day, IndexPrefix};

use crate::section::IndexMode;

/// How indices are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// Stands before every name.
    pub(crate) namespace: String,
    pub(crate) mode: IndexMode,
}

const DAY: usize = "2026.11.21".len();

impl Names {
    /// Where events of the prefix on the day go.
    pub(crate) fn target(&self, prefix: &IndexPrefix, day: Day) -> String {
        match self.mode {
            IndexMode::Daily | IndexMode::Single => format!("{}{prefix}-{day}", self.namespace),
            IndexMode::DataStream => format!("{}{prefix}", self.namespace),
        }
    }

    /// What all indices of the prefix match, and perhaps others.
    pub(crate) fn pattern(&self, prefix: &IndexPrefix) -> String {
        match self.mode {
            IndexMode::Daily | IndexMode::Single => format!("{}{prefix}-*", self.namespace),
            IndexMode::DataStream => format!("{}{prefix}", self.namespace),
        }
    }

    /// What all indices match, and perhaps others.
    pub(crate) fn every_pattern(&self) -> String {
        match self.mode {
            IndexMode::Daily | IndexMode::Single => format!("{}*-*.*.*", self.namespace),
            IndexMode::DataStream => format!("{}*", self.namespace),
        }
    }

    /// Reads the name of a daily index, or of the index behind a data stream, of which only some versions say a
    /// day: then it is `made`.
    pub(crate) fn parse(&self, name: &str, made: Option<Day>) -> Option<(IndexPrefix, Day)> {
        let (prefix, day) = match self.mode {
            IndexMode::Daily | IndexMode::Single => {
                let name = name.strip_prefix(&self.namespace)?;
                let (prefix, day) = name.split_at_checked(name.len().checked_sub(DAY)?)?;
                (prefix.strip_suffix('-')?, parse_day(day)?)
            }
            IndexMode::DataStream => {
                let name = name.strip_prefix(".ds-")?.strip_prefix(&self.namespace)?;
                let (name, generation) = name.rsplit_once('-')?;
                generation.parse::<u64>().ok()?;
                let dated = name.len().checked_sub(DAY).and_then(|at| name.split_at_checked(at));
                match dated.and_then(|(prefix, day)| Some((prefix.strip_suffix('-')?, parse_day(day)?))) {
                    Some(parsed) => parsed,
                    None => (name, made?),
                }
            }
        };
        Some((IndexPrefix::new(prefix).ok()?, day))
    }
}

/// `YYYY.MM.DD` and nothing that only looks like it.
fn parse_day(text: &str) -> Option<Day> {
    let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let parsed = Day::from_civil(i64::from(year), month, day);
    (parsed.to_string() == text).then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(mode: IndexMode) -> Names {
        Names { namespace: "test-".to_owned(), mode }
    }

    #[test]
    fn a_name_is_read_as_it_is_made() {
        let prefix = IndexPrefix::new("shop-eu").expect("legal");
        let day = Day::from_civil(2026, 11, 21);
        let daily = names(IndexMode::Daily);
        assert_eq!(daily.target(&prefix, day), "test-shop-eu-2026.11.21");
        assert_eq!(daily.parse("test-shop-eu-2026.11.21", None), Some((prefix.clone(), day)));
        assert_eq!(names(IndexMode::DataStream).target(&prefix, day), "test-shop-eu");
    }

    #[test]
    fn other_names_are_left_alone() {
        for name in [
            "shop-2026.11.21",
            "test-shop",
            "test-shop-2026.13.21",
            "test-2026.11.21",
            "test-shop2026.11.21",
            "ä",
        ] {
            assert_eq!(names(IndexMode::Daily).parse(name, None), None, "{name}");
        }
    }

    #[test]
    fn the_indices_of_a_data_stream_have_the_day_they_were_made() {
        let check = |name: &str, made: Option<(i64, u32, u32)>, expected: Option<&str>| {
            let made = made.map(|(year, month, day)| Day::from_civil(year, month, day));
            let found = names(IndexMode::DataStream).parse(name, made);
            assert_eq!(found.map(|(prefix, day)| format!("{prefix} {day}")).as_deref(), expected, "{name}");
        };
        check(".ds-test-shop-2026.11.21-000001", None, Some("shop 2026.11.21"));
        check(".ds-test-shop-000002", Some((2026, 11, 20)), Some("shop 2026.11.20"));
        check(".ds-test-shop-000002", None, None);
        check(".ds-other-000002", Some((2026, 11, 20)), None);
        check("test-shop", Some((2026, 11, 20)), None);
    }
}
