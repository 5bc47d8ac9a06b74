use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use weir_model::Timestamp;

/// Which times are wanted; stands beside a query, not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeRange {
    /// The first time; absent for all before `to`.
    pub from: Option<Timestamp>,
    /// The first time that is too late; absent for all since `from`.
    pub to: Option<Timestamp>,
}

/// The text names no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no time; a time is `now`, how long ago (`90s`, `15m`, `1h30m`, `2d`, `1w`), `now-1h`, \
     a date, a date with a time of day (`2026-11-21 13:00`), or RFC 3339"
)]
pub struct ParseTimeError {
    /// What was given.
    pub text: String,
}

impl TimeRange {
    /// Every time.
    pub const ALL: Self = Self { from: None, to: None };

    /// Whether the time is wanted.
    #[must_use]
    pub fn contains(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }
}

/// Reads a point in time as people write it:
///
/// * `now`, `now-1h`, `now+5m`;
/// * `1h30m`: that long before `now`. Units are `ms`, `s`, `m`, `h`, `d` (24 hours) and `w` (7 days);
/// * a date, or a date and a time of day, in the zone `tz`, or with an offset or `Z` of its own. Of a time
///   that the zone has twice the first is meant; one that it skips is moved on by as much as was skipped.
///
/// # Errors
///
/// The text is none of these, or the time does not fit a [`Timestamp`].
pub fn parse_time(text: &str, now: Timestamp, tz: &TimeZone) -> Result<Timestamp, ParseTimeError> {
    let trimmed = text.trim();
    relative(trimmed, now)
        .or_else(|| absolute(trimmed, tz))
        .ok_or_else(|| ParseTimeError { text: text.to_owned() })
}

fn relative(text: &str, now: Timestamp) -> Option<Timestamp> {
    let offset = match text.strip_prefix("now").map(str::trim) {
        Some("") => 0,
        Some(rest) if rest.starts_with('+') => micros_of(rest[1..].trim())?,
        Some(rest) if rest.starts_with('-') => -micros_of(rest[1..].trim())?,
        Some(_) => return None,
        None => -micros_of(text)?,
    };
    now.micros().checked_add(offset).map(Timestamp::from_micros)
}

/// The length of `1h30m`, in microseconds; not negative.
fn micros_of(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit())?;
        let (count, behind) = rest.split_at(unit_at);
        let unit_end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_end);
        let micros = count.parse::<i64>().ok()?.checked_mul(unit_micros(unit)?)?;
        total = total.checked_add(micros)?;
        rest = behind;
    }
    (!text.is_empty()).then_some(total)
}

fn unit_micros(unit: &str) -> Option<i64> {
    const SECOND: i64 = 1_000_000;
    match unit {
        "ms" => Some(1_000),
        "s" => Some(SECOND),
        "m" => Some(60 * SECOND),
        "h" => Some(3_600 * SECOND),
        "d" => Some(86_400 * SECOND),
        "w" => Some(7 * 86_400 * SECOND),
        _ => None,
    }
}

fn absolute(text: &str, tz: &TimeZone) -> Option<Timestamp> {
    // Without the dashes a date would be any eight digits.
    let is_date = text.len() >= 10 && text.is_char_boundary(10) && text[..10].matches('-').count() == 2;
    if !is_date {
        return None;
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(from_jiff(time));
    }
    let local = text.parse::<DateTime>().ok()?;
    tz.to_timestamp(local).ok().map(from_jiff)
}

/// Reads RFC 3339 (section 5.6, with a space in place of the `T` too) and nothing wider; finer parts than
/// microseconds are cut off.
#[must_use]
pub fn parse_rfc_3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if bytes.len() < "2026-11-21T13:00:00Z".len() || !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    let shape = |byte: u8| if byte.is_ascii_digit() { b'0' } else { byte };
    let date_has_shape = bytes[..10].iter().map(|byte| shape(*byte)).eq(*b"0000-00-00");
    let time_has_shape = bytes[11..19].iter().map(|byte| shape(*byte)).eq(*b"00:00:00");
    let mut behind = &bytes[19..];
    if let [b'.', fraction @ ..] = behind {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        // Nine is what the parser below takes.
        if !(1..=9).contains(&digits) {
            return None;
        }
        behind = &fraction[digits..];
    }
    let offset_has_shape = match behind {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', offset @ ..] => offset.iter().map(|byte| shape(*byte)).eq(*b"00:00"),
        _ => false,
    };
    if !(date_has_shape && time_has_shape && offset_has_shape) {
        return None;
    }
    text.parse().ok().map(from_jiff)
}

fn from_jiff(time: jiff::Timestamp) -> Timestamp {
    let micros = time.as_nanosecond().div_euclid(1_000);
    Timestamp::from_micros(i64::try_from(micros).expect("jiff's years are within -9999 to 9999"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        parse_rfc_3339("2026-11-21T12:00:00Z").expect("a time")
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        let check = |text: &str, expected: &str| {
            let time = parse_time(text, now(), &berlin).expect(text);
            assert_eq!(time.to_string(), expected, "{text}");
        };
        check("now", "2026-11-21T12:00:00Z");
        check(" now ", "2026-11-21T12:00:00Z");
        check("1h", "2026-11-21T11:00:00Z");
        check("1h30m", "2026-11-21T10:30:00Z");
        check("90s", "2026-11-21T11:58:30Z");
        check("250ms", "2026-11-21T11:59:59.750Z");
        check("2d", "2026-11-19T12:00:00Z");
        check("1w", "2026-11-14T12:00:00Z");
        check("now-15m", "2026-11-21T11:45:00Z");
        check("now - 15m", "2026-11-21T11:45:00Z");
        check("now+1d", "2026-11-22T12:00:00Z");
        check("2026-11-21", "2026-11-20T23:00:00Z");
        check("2026-07-01", "2026-06-30T22:00:00Z");
        check("2026-11-21 13:00", "2026-11-21T12:00:00Z");
        check("2026-11-21T13:00:05.5", "2026-11-21T12:00:05.500Z");
        check("2026-11-21T13:00:00Z", "2026-11-21T13:00:00Z");
        check("2026-11-21 13:00+02:00", "2026-11-21T11:00:00Z");
        check("2026-11-21T13:00:00.123456789-05:00", "2026-11-21T18:00:00.123456Z");
        check("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z");
        check("2026-10-25 02:30", "2026-10-25T00:30:00Z");
        check("2026-03-29 02:30", "2026-03-29T01:30:00Z");
    }

    #[test]
    fn other_texts_are_no_times() {
        let check = |text: &str| {
            let error = parse_time(text, now(), &TimeZone::UTC).expect_err(text);
            assert_eq!(error.text, text);
        };
        for text in ["", "yesterday", "1", "1y", "h", "-1h", "1.5h", "now1h", "now-", "nowhere", "20261121"] {
            check(text);
        }
        for text in ["2026-13-01", "2026-02-30", "2026-11-21 25:00", "12:00", "99999999999999999999d"] {
            check(text);
        }
        check("9999999999999w");
        check("now+9223372036854775807ms");
    }

    #[test]
    fn rfc_3339_is_read_strictly() {
        let check = |text: &str, expected: Option<&str>| {
            let time = parse_rfc_3339(text).map(|time| time.to_string());
            assert_eq!(time.as_deref(), expected, "{text}");
        };
        check("2026-11-21T13:00:00Z", Some("2026-11-21T13:00:00Z"));
        check("2026-11-21t13:00:00.25z", Some("2026-11-21T13:00:00.250Z"));
        check("2026-11-21 13:00:00+05:30", Some("2026-11-21T07:30:00Z"));
        check("1969-12-31T23:59:59.9999999Z", Some("1969-12-31T23:59:59.999999Z"));
        for text in [
            "2026-11-21",
            "2026-11-21T13:00Z",
            "2026-11-21T13:00:00",
            "2026-11-21T13:00:00+0530",
            "2026-11-21T13:00:00.Z",
            "20261121T130000Z0000",
            "2026-11-21T25:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-11-21T13:00:00Z[UTC]",
            "２026-11-21T13:00:00Z",
            "2026-11-21T13:00:00.1234567890Z",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn a_range_holds_its_start_and_not_its_end() {
        let at = Timestamp::from_micros;
        let range = TimeRange { from: Some(at(10)), to: Some(at(20)) };
        assert_eq!([9, 10, 19, 20].map(|micros| range.contains(at(micros))), [false, true, true, false]);
        assert!(TimeRange::ALL.contains(Timestamp::MIN) && TimeRange::ALL.contains(Timestamp::MAX));
    }
}
