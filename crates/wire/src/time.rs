//! RFC 3339 (<https://www.rfc-editor.org/rfc/rfc3339>), the only form of text that is a time on the wire, and numbers since
//! 1970.

use std::ops::Range;

use weir_model::{Day, Timestamp};

use crate::json::double;

/// The years 0 to 9999 of UTC, in microseconds.
const YEARS: Range<i64> =
    Day::from_civil(0, 1, 1).start().micros()..Day::from_civil(10_000, 1, 1).start().micros();

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Reads `YYYY-MM-DDTHH:MM:SS[.fraction](Z|±HH:MM)`, also with small `t` and `z`; nothing before or after.
///
/// Fractions are cut to microseconds. A leap second (`:60`) is read as the last microsecond of its minute, so
/// that it stays in its day. A space instead of the `T` and a time without an offset are no RFC 3339; nor is,
/// here, a time that only its offset moves out of the years 0 to 9999: it could not be written in UTC.
#[must_use]
pub fn parse_rfc3339(text: &[u8]) -> Option<Timestamp> {
    let mut scan = Scan(text);
    let year = scan.digits(4)?;
    scan.byte(b'-')?;
    let month = scan.digits(2)?;
    scan.byte(b'-')?;
    let day = scan.digits(2)?;
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    scan.either(b'T', b't')?;
    let time_of_day = scan.time_of_day()?;
    let offset = scan.offset()?;
    if !scan.0.is_empty() {
        return None;
    }
    let midnight = Day::from_civil(i64::from(year), month, day).start().micros();
    let micros = midnight + time_of_day - offset;
    YEARS.contains(&micros).then(|| Timestamp::from_micros(micros))
}

fn days_in_month(year: u32, month: u32) -> u32 {
    let is_leap_year = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if is_leap_year => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// What is left to read.
struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        let mut value = 0;
        for digit in digits {
            value = value * 10 + u32::from(digit.is_ascii_digit().then(|| digit - b'0')?);
        }
        Some(value)
    }

    fn byte(&mut self, expected: u8) -> Option<()> {
        self.either(expected, expected)
    }

    fn either(&mut self, one: u8, other: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        (*first == one || *first == other).then_some(())
    }

    /// Microseconds since midnight.
    fn time_of_day(&mut self) -> Option<i64> {
        let hour = self.digits(2)?;
        self.byte(b':')?;
        let minute = self.digits(2)?;
        self.byte(b':')?;
        let second = self.digits(2)?;
        let fraction = self.fraction()?;
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (second, fraction) = if second == 60 { (59, MICROS_PER_SECOND - 1) } else { (second, fraction) };
        Some(i64::from(hour * 3_600 + minute * 60 + second) * MICROS_PER_SECOND + fraction)
    }

    /// Microseconds; zero if there is no point.
    fn fraction(&mut self) -> Option<i64> {
        let Some((b'.', digits)) = self.0.split_first() else {
            return Some(0);
        };
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = digits.split_at_checked(count).filter(|(digits, _)| !digits.is_empty())?;
        self.0 = rest;
        let six_digits = digits.iter().chain([b'0'; 5].iter()).take(6);
        Some(six_digits.fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0')))
    }

    /// How far local time is ahead of UTC, in microseconds. `-00:00` is UTC, too.
    fn offset(&mut self) -> Option<i64> {
        let (sign, rest) = self.0.split_first()?;
        self.0 = rest;
        let sign = match sign {
            b'Z' | b'z' => return Some(0),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let hours = self.digits(2)?;
        self.byte(b':')?;
        let minutes = self.digits(2)?;
        if hours > 23 || minutes > 59 {
            return None;
        }
        Some(sign * i64::from(hours * 60 + minutes) * 60 * MICROS_PER_SECOND)
    }
}

/// From which number on a number is in which unit.
const UNITS: [(u64, Unit); 4] = [
    (100_000_000, Unit::Seconds),
    (100_000_000_000, Unit::Millis),
    (100_000_000_000_000, Unit::Micros),
    (100_000_000_000_000_000, Unit::Nanos),
];

#[derive(Debug, Clone, Copy)]
enum Unit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

/// Reads a number since 1970 whose magnitude tells its unit: from 10^8 on seconds (also with a fraction), from 10^11
/// milliseconds, from 10^14 microseconds, from 10^17 nanoseconds. A smaller one is no time.
#[must_use]
pub fn parse_epoch(text: &str) -> Option<Timestamp> {
    let micros = match text.parse::<i64>() {
        Ok(number) => match unit(u64::try_from(number).ok()?)? {
            Unit::Seconds => number * 1_000_000,
            Unit::Millis => number * 1_000,
            Unit::Micros => number,
            Unit::Nanos => number / 1_000,
        },
        Err(_) => rounded(text)?,
    };
    Some(Timestamp::from_micros(micros))
}

/// The microseconds of a number that is no integer of 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "checked to be below 10^18")]
fn rounded(text: &str) -> Option<i64> {
    let number = double(text).filter(|number| (0.0..1e18).contains(number))?;
    let micros = match unit(number.floor() as u64)? {
        Unit::Seconds => number * 1e6,
        Unit::Millis => number * 1e3,
        Unit::Micros => number,
        Unit::Nanos => number / 1e3,
    };
    Some(micros.round() as i64)
}

fn unit(number: u64) -> Option<Unit> {
    UNITS.iter().rev().find(|(start, _)| number >= *start).map(|(_, unit)| *unit)
}

#[cfg(test)]
mod tests;
