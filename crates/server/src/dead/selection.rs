//! Which letters an operation is about.

use weir_store::DeadLetterFilter;

use crate::api::DeadSelection;
use crate::failure::Failure;
use crate::names::StreamNames;

use super::event_id;

/// Letters by name, or by what they have in common.
#[derive(Debug)]
pub(super) enum Selection {
    Ids(Vec<weir_model::EventId>),
    Filter(DeadLetterFilter),
}

pub(super) fn filter(
    names: &StreamNames,
    stream: Option<&str>,
    code: Option<String>,
) -> Result<DeadLetterFilter, Failure> {
    let full = |written| names.full(written).map_err(|error| Failure::bad_parameter(error.to_string()));
    Ok(DeadLetterFilter { stream: stream.map(full).transpose()?, code })
}

/// Refuses what selects nothing or in two ways, so that a typing error purges nothing.
pub(super) fn selection(names: &StreamNames, asked: DeadSelection) -> Result<Selection, Failure> {
    let by_filter = asked.stream.is_some() || asked.code.is_some();
    match (asked.ids.is_empty(), by_filter, asked.all) {
        (false, false, false) => {
            asked.ids.iter().map(|id| event_id(id)).collect::<Result<_, _>>().map(Selection::Ids)
        }
        (true, true, false) => filter(names, asked.stream.as_deref(), asked.code).map(Selection::Filter),
        (true, false, true) => Ok(Selection::Filter(DeadLetterFilter::default())),
        (true, false, false) => {
            Err(Failure::bad_parameter("name `ids`, `stream` or `code`, or say `all`: true"))
        }
        _ => Err(Failure::bad_parameter(
            "select by `ids`, by `stream` and `code`, or by `all`; not by two of them",
        )),
    }
}
