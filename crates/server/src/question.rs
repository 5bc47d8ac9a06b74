//! What callers write, read: queries, times and numbers.

use http::StatusCode;
use jiff::tz::TimeZone;
use weir_foundation::clock::Clock;
use weir_model::Timestamp;
use weir_store::query::{Query, parse_time};

use crate::codes;
use crate::failure::Failure;

/// No text, or an empty one, asks for everything.
pub(crate) fn query(text: Option<&str>) -> Result<Query, Failure> {
    let Some(text) = text else {
        return Ok(Query::all());
    };
    Query::parse(text).map_err(|error| {
        let column = u32::try_from(error.column).unwrap_or(u32::MAX);
        Failure::new(StatusCode::BAD_REQUEST, codes::BAD_QUERY, error.to_string())
            .at_column(column, Some(error.expected))
    })
}

/// A time as people write it, in the zone of that name (UTC if there is none) where it names no offset.
pub(crate) fn time(text: &str, zone: Option<&str>, clock: &dyn Clock) -> Result<Timestamp, Failure> {
    let zone = match zone {
        None => TimeZone::UTC,
        Some(name) => TimeZone::get(name)
            .map_err(|_unknown| Failure::bad_parameter(format!("`zone`: there is no time zone `{name}`")))?,
    };
    parse_time(text, clock.now().into(), &zone)
        .map_err(|error| Failure::new(StatusCode::BAD_REQUEST, codes::BAD_TIME, error.to_string()))
}

/// A number that has bounds, both of them legal.
pub(crate) fn number(
    name: &str,
    given: Option<u32>,
    default: u32,
    least: u32,
    most: u32,
) -> Result<usize, Failure> {
    let number = given.unwrap_or(default);
    if !(least..=most).contains(&number) {
        return Err(Failure::bad_parameter(format!("`{name}` is {least} to {most}, not {number}")));
    }
    Ok(number as usize)
}
