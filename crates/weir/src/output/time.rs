//! Times as people see them: local, with offset.

use jiff::tz::TimeZone;
use weir_model::Timestamp;

/// The zone that times are shown in.
#[derive(Debug, Clone)]
pub(crate) struct Zone(TimeZone);

impl Zone {
    /// The machine's, or that of the environment variable `TZ`.
    pub(crate) fn local() -> Self {
        Self(TimeZone::system())
    }

    #[cfg(test)]
    pub(crate) fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Self {
        Self(TimeZone::get(name).expect("the zone is known"))
    }

    pub(crate) fn time_zone(&self) -> &TimeZone {
        &self.0
    }
}

/// RFC 3339 with the offset of the zone at that time, milliseconds at least: `2026-11-21T15:04:05.678+01:00`.
/// A time outside the years that have a calendar here is shown in UTC.
pub(crate) fn local_text(time: Timestamp, zone: &Zone) -> String {
    let Ok(instant) = jiff::Timestamp::from_microsecond(time.micros()) else {
        return time.to_string();
    };
    let fraction = if time.micros() % 1_000 == 0 { "%.3f" } else { "%.6f" };
    instant.to_zoned(zone.0.clone()).strftime(&format!("%Y-%m-%dT%H:%M:%S{fraction}%:z")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_the_offset_of_its_season() {
        let check = |micros: i64, zone: &str, text: &str| {
            assert_eq!(local_text(Timestamp::from_micros(micros), &Zone::named(zone)), text);
        };
        check(1_700_000_000_123_000, "Europe/Berlin", "2023-11-14T23:13:20.123+01:00");
        check(1_690_000_000_000_000, "Europe/Berlin", "2023-07-22T06:26:40.000+02:00");
        check(1_700_000_000_123_456, "America/St_Johns", "2023-11-14T18:43:20.123456-03:30");
        check(0, "UTC", "1970-01-01T00:00:00.000+00:00");
        check(-62_167_219_200_000_000, "UTC", "0000-01-01T00:00:00.000+00:00");
    }

    #[test]
    fn a_time_without_a_calendar_is_shown_all_the_same() {
        let text = local_text(Timestamp::MAX, &Zone::utc());
        assert_eq!(text, Timestamp::MAX.to_string());
    }
}
