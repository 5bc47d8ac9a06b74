use jiff::tz::{Offset, TimeZone};
use proptest::prelude::*;
use weir_wire::parse_rfc3339;

/// From year 0 to 9999, so far from both ends that an offset does not leave them.
const MICROS: std::ops::Range<i64> = -62_167_000_000_000_000..253_402_000_000_000_000;

fn by_jiff(text: &str) -> Option<i64> {
    text.parse()
        .ok()
        .map(|time: jiff::Timestamp| time.as_nanosecond().div_euclid(1_000))
        .and_then(|micros| micros.try_into().ok())
}

proptest! {
    #[test]
    fn times_of_jiff_are_read(micros in MICROS, nanos in 0..1000_i128, digits in 0..10_usize, minutes in -1439..1440) {
        let time = jiff::Timestamp::from_nanosecond(i128::from(micros) * 1_000 + nanos).expect("in range");
        let offset = Offset::from_seconds(minutes * 60).expect("in range");
        let zoned = time.to_zoned(TimeZone::fixed(offset));
        let fraction = if digits == 0 { "%S".to_owned() } else { format!("%S.%{digits}f") };
        let text = zoned.strftime(&format!("%Y-%m-%dT%H:%M:{fraction}%:z")).to_string();
        prop_assert_eq!(parse_rfc3339(text.as_bytes()).map(|time| time.micros()), by_jiff(&text), "{}", text);
    }

    #[test]
    fn what_is_read_means_the_same_to_jiff(
        text in "[0-9]{4}-[0-3][0-9]-[0-3][0-9][Tt][0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?([Zz]|[+-][0-2][0-9]:[0-5][0-9])",
    ) {
        if let Some(time) = parse_rfc3339(text.as_bytes()) {
            prop_assert_eq!(Some(time.micros()), by_jiff(&text));
        }
    }
}
