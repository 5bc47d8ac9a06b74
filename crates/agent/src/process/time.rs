//! Times in texts.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp as Instant, Zoned};
use weir_model::Timestamp;
use weir_wire::{parse_epoch, parse_rfc3339};

use super::record::{Record, Value};

/// Where the time of an event is, and how it is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TimeField {
    pub(crate) field: String,
    pub(crate) format: TimeFormat,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TimeFormat {
    /// RFC 3339, or a number since 1970 whose magnitude tells its unit.
    Auto,
    Rfc3339,
    /// A number since 1970, of so many in a second.
    Unix {
        per_second: u64,
    },
    /// As `strftime` has it; without an offset in this zone, and without a year in the last one that it may be.
    Pattern {
        pattern: String,
        zone: TimeZone,
    },
}

/// A pattern that is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    #[error("is no pattern of times: {0}")]
    Wrong(String),
    #[error("does not say all of a time: it needs a day and a time of day")]
    Incomplete,
}

/// How far ahead of this machine's clock a time may be.
const AHEAD: Duration = Duration::from_secs(24 * 3_600);

/// The time of an event that is the same at weir's other doors: the first of `@timestamp`, `time` and `ts` that is one.
pub(crate) fn usual(record: &Record<'_>, now: Timestamp) -> Option<Timestamp> {
    const FIELDS: [(&str, TimeFormat); 3] =
        [("@timestamp", TimeFormat::Rfc3339), ("time", TimeFormat::Auto), ("ts", TimeFormat::Auto)];
    FIELDS.iter().find_map(|(name, format)| format.read(record.get(name)?, now))
}

impl TimeField {
    /// The time that the event names; none where it names none, or one that can not be: before 1970, or a day or more ahead.
    pub(crate) fn of(&self, record: &Record<'_>, now: Timestamp) -> Option<Timestamp> {
        self.format.read(&record.find(&self.field)?, now)
    }
}

impl TimeFormat {
    pub(crate) fn pattern(pattern: &str, zone: TimeZone) -> Result<Self, PatternError> {
        let format = Self::Pattern { pattern: pattern.to_owned(), zone: zone.clone() };
        let some = DateTime::constant(2024, 2, 3, 4, 5, 6, 0);
        let sample = some.to_zoned(zone).map_err(|error| PatternError::Wrong(error.to_string()))?;
        let text = jiff::fmt::strtime::format(pattern, &sample);
        let text = text.map_err(|error| PatternError::Wrong(error.to_string()))?;
        let now = Timestamp::from_micros(sample.timestamp().as_microsecond());
        match format.read(&Value::Text(text.into()), now) {
            Some(_) => Ok(format),
            None => Err(PatternError::Incomplete),
        }
    }

    fn read(&self, value: &Value<'_>, now: Timestamp) -> Option<Timestamp> {
        let text = value.as_text();
        let time = match self {
            Self::Auto => parse_rfc3339(text.as_bytes()).or_else(|| parse_epoch(&text)),
            Self::Rfc3339 => parse_rfc3339(text.as_bytes()),
            Self::Unix { per_second } => unix(&text, *per_second),
            Self::Pattern { pattern, zone } => by_pattern(pattern, zone, &text, now),
        };
        time.filter(|time| *time >= Timestamp::default() && *time < now.saturating_add(AHEAD))
    }
}

/// A number with or without a fraction, to the microsecond.
fn unix(text: &str, per_second: u64) -> Option<Timestamp> {
    const MICROS: u64 = 1_000_000;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let fraction: f64 = format!("0.{fraction}").parse().ok()?;
    let micros = if per_second <= MICROS {
        whole
            .checked_mul(MICROS / per_second)?
            .checked_add((fraction * (MICROS / per_second) as f64) as u64)?
    } else {
        whole / (per_second / MICROS)
    };
    Some(Timestamp::from_micros(i64::try_from(micros).ok()?))
}

fn by_pattern(pattern: &str, zone: &TimeZone, text: &str, now: Timestamp) -> Option<Timestamp> {
    let mut read = BrokenDownTime::parse(pattern, text).ok()?;
    if read.timestamp().is_some() || read.year().is_some() {
        return timestamp(&read, zone);
    }
    let now_there = Instant::from_microsecond(now.micros()).ok()?.to_zoned(zone.clone());
    let mut in_year = |year: i16| {
        read.set_year(Some(year)).ok()?;
        timestamp(&read, zone)
    };
    let this_year = in_year(now_there.year());
    this_year.filter(|time| *time < now.saturating_add(AHEAD)).or_else(|| in_year(now_there.year() - 1))
}

fn timestamp(read: &BrokenDownTime, zone: &TimeZone) -> Option<Timestamp> {
    let instant = match read.to_timestamp() {
        Ok(instant) => instant,
        Err(_) => {
            let there: Zoned = read.to_datetime().ok()?.to_zoned(zone.clone()).ok()?;
            there.timestamp()
        }
    };
    Some(Timestamp::from_micros(instant.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-29T00:00:00Z
    const NOW: Timestamp = Timestamp::from_micros(1_795_910_400_000_000);

    #[track_caller]
    fn check(format: &TimeFormat, text: &str, expected: Option<&str>) {
        let found = format.read(&Value::Text(text.into()), NOW).map(|time| time.to_string());
        assert_eq!(found.as_deref(), expected, "{format:?} {text}");
    }

    #[test]
    fn numbers_and_rfc_3339() {
        let unix = |per_second| TimeFormat::Unix { per_second };
        check(&unix(1), "1700000000", Some("2023-11-14T22:13:20Z"));
        check(&unix(1), "1700000000.123456789", Some("2023-11-14T22:13:20.123456Z"));
        check(&unix(1_000), "1700000000123", Some("2023-11-14T22:13:20.123Z"));
        check(&unix(1_000), "1700000000123.5", Some("2023-11-14T22:13:20.123500Z"));
        check(&unix(1_000_000), "1700000000123456", Some("2023-11-14T22:13:20.123456Z"));
        check(&unix(1_000_000_000), "1700000000123456789", Some("2023-11-14T22:13:20.123456Z"));
        check(&unix(1), "99999999999999999999", None);
        check(&unix(1), "1700000000000", None);
        for text in ["", "-1", "1.", ".5", "1e9", "x", "1700000000 "] {
            check(&unix(1), text, None);
        }
        check(&TimeFormat::Rfc3339, "2026-11-28T23:59:59.5+01:00", Some("2026-11-28T22:59:59.500Z"));
        check(&TimeFormat::Rfc3339, "1700000000", None);
        check(&TimeFormat::Rfc3339, "2026-11-29T23:59:59Z", Some("2026-11-29T23:59:59Z"));
        check(&TimeFormat::Rfc3339, "2026-11-30T00:00:00Z", None);
        check(&TimeFormat::Rfc3339, "1969-12-31T23:59:59Z", None);
        check(&TimeFormat::Auto, "2026-11-28T23:59:59Z", Some("2026-11-28T23:59:59Z"));
        check(&TimeFormat::Auto, "1700000000123", Some("2023-11-14T22:13:20.123Z"));
        check(&TimeFormat::Auto, "17", None);
    }

    #[test]
    fn patterns() {
        let utc = |pattern: &str| {
            TimeFormat::pattern(pattern, TimeZone::UTC)
                .unwrap_or_else(|error| unreachable!("{pattern} {error}"))
        };
        check(&utc("%d/%b/%Y:%H:%M:%S %z"), "28/Nov/2026:10:00:00 +0200", Some("2026-11-28T08:00:00Z"));
        check(&utc("%Y-%m-%d %H:%M:%S%.f"), "2026-11-28 10:00:00.25", Some("2026-11-28T10:00:00.250Z"));
        check(&utc("%Y-%m-%d %H:%M:%S,%3f"), "2026-11-28 10:00:00,250", Some("2026-11-28T10:00:00.250Z"));
        check(&utc("%b %e %H:%M:%S"), "Nov  8 10:00:00", Some("2026-11-08T10:00:00Z"));
        check(&utc("%b %e %H:%M:%S"), "Dec 31 23:59:59", Some("2025-12-31T23:59:59Z"));
        check(&utc("%b %e %H:%M:%S"), "Feb 29 10:00:00", None);
        check(&utc("%s"), "1700000000", Some("2023-11-14T22:13:20Z"));
        check(&utc("%Y-%m-%d %H:%M:%S"), "2026-11-28 10:00:00 behind", None);
        let berlin = TimeZone::get("Europe/Berlin").expect("the machine knows it");
        let there = TimeFormat::pattern("%Y-%m-%d %H:%M:%S", berlin).expect("it is one");
        check(&there, "2026-07-01 10:00:00", Some("2026-07-01T08:00:00Z"));
        check(&there, "2026-11-28 10:00:00", Some("2026-11-28T09:00:00Z"));
        let error =
            |pattern: &str| TimeFormat::pattern(pattern, TimeZone::UTC).expect_err("it is none").to_string();
        assert!(error("%Y-%!").starts_with("is no pattern of times: "), "{}", error("%Y-%!"));
        assert!(error("%H:%M:%S").contains("needs a day"), "{}", error("%H:%M:%S"));
        assert!(!error("at %").is_empty());
    }
}
