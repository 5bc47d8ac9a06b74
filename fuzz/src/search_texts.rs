//! The texts of a search beside its query: times, cursors, widths and sizes. What is read and has a text of its
//! own is read from that text as the same.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use jiff::tz::TimeZone;
use weir_foundation::settings::{DurationText, SizeText};
use weir_model::{EventId, IndexPrefix, Timestamp};
use weir_store::query::parse_time;
use weir_store::{Cursor, Interval};

const NOW: Timestamp = Timestamp::from_micros(1_795_262_400_000_000);

pub fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    for zone in ["UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "<-10>10"] {
        let zone = TimeZone::posix(zone).expect("a zone");
        drop(parse_time(text, NOW, &zone));
    }
    if let Ok(time) = parse_time(text, NOW, &TimeZone::UTC) {
        // Years that do not have four digits are shown in another way.
        let again = parse_time(&time.to_string(), NOW, &TimeZone::UTC);
        assert!(again.is_err() || again == Ok(time), "{time}");
    }
    round_trip::<Cursor>(text);
    round_trip::<EventId>(text);
    if let Ok(width) = text.parse::<DurationText>()
        && let Ok(interval) = Interval::new(width.duration())
    {
        assert!(interval.bucket(NOW) <= NOW);
    }
    drop(text.parse::<SizeText>());
    drop(IndexPrefix::new(text));
}

fn round_trip<T: FromStr + Display + Debug + PartialEq>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        let again = read.to_string().parse::<T>().ok();
        assert_eq!(again.as_ref(), Some(&read), "{text}");
    }
}
