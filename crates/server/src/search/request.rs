//! From the parameters of a search to what the store is asked.

use weir_foundation::clock::Clock;
use weir_foundation::settings::DurationText;
use weir_model::IndexPrefix;
use weir_store::query::TimeRange;
use weir_store::{Count, Cursor, Interval, SearchLimits, SearchRequest, TopRequest};

use crate::api::{Format, SearchParameters};
use crate::failure::Failure;
use crate::question;
use crate::section::ServerSettings;

pub(super) struct Asked {
    pub(super) request: SearchRequest,
    pub(super) format: Format,
}

const DEFAULT_LIMIT: u32 = 100;
const LIMIT: u32 = 10_000;
const DEFAULT_TOP: u32 = 10;
const TOP: u32 = 1_000;

pub(super) fn request(
    parameters: SearchParameters,
    settings: &ServerSettings,
    clock: &dyn Clock,
) -> Result<Asked, Failure> {
    let format = parameters.format.unwrap_or_default();
    only_hits(&parameters, format)?;
    let request = SearchRequest {
        prefix: prefix(parameters.prefix.as_deref())?,
        query: question::query(parameters.q.as_deref())?,
        range: range(&parameters, clock)?,
        limit: question::number("limit", parameters.limit, DEFAULT_LIMIT, 0, LIMIT)?,
        after: parameters.after.as_deref().map(str::parse::<Cursor>).transpose()?,
        count: if parameters.count == Some(true) { Count::Exact } else { Count::No },
        histogram: parameters.histogram.as_deref().map(interval).transpose()?,
        top: top(parameters.top, parameters.top_limit)?,
        limits: SearchLimits { timeout: settings.search_timeout, memory: settings.search_memory },
    };
    Ok(Asked { request, format })
}

/// Lines of hits have no place for anything else.
fn only_hits(parameters: &SearchParameters, format: Format) -> Result<(), Failure> {
    let more = parameters.histogram.is_some() || parameters.top.is_some();
    if more && format != Format::Json {
        return Err(Failure::bad_parameter("`histogram` and `top` need `format` to be `json`"));
    }
    Ok(())
}

fn prefix(text: Option<&str>) -> Result<IndexPrefix, Failure> {
    let text = text.ok_or_else(|| Failure::bad_parameter("`prefix` is missing: which indices to search"))?;
    IndexPrefix::new(text).map_err(|error| Failure::bad_parameter(format!("`prefix` {error}")))
}

fn range(parameters: &SearchParameters, clock: &dyn Clock) -> Result<TimeRange, Failure> {
    let zone = parameters.zone.as_deref();
    let time =
        |text: &Option<String>| text.as_deref().map(|text| question::time(text, zone, clock)).transpose();
    let range = TimeRange { from: time(&parameters.from)?, to: time(&parameters.to)? };
    if let (Some(from), Some(to)) = (range.from, range.to)
        && from > to
    {
        return Err(Failure::bad_parameter(format!("`from` ({from}) is after `to` ({to})")));
    }
    Ok(range)
}

fn interval(text: &str) -> Result<Interval, Failure> {
    let width: DurationText =
        text.parse().map_err(|error| Failure::bad_parameter(format!("`histogram`: {error}")))?;
    Ok(Interval::new(width.duration())?)
}

fn top(field: Option<String>, limit: Option<u32>) -> Result<Option<TopRequest>, Failure> {
    let limit = question::number("top_limit", limit, DEFAULT_TOP, 1, TOP)?;
    Ok(field.map(|field| TopRequest { field, limit }))
}
