//! What answers to documents mean.

use serde::Deserialize;

use super::{Answer, shorten};

/// What became of a bulk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bulk {
    /// Of each document, in their order.
    Items(Vec<Item>),
    /// It is larger than the store or something before it takes.
    TooLarge,
    /// Something in it is broken; the store does not say what.
    Broken(String),
    /// We may not write. Somebody has to act.
    Denied { status: u16, reason: String },
    /// Nothing is known; later.
    Away { status: u16, reason: String },
}

/// What became of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// It is there, now or before (409).
    Stored { status: u16 },
    /// Never to be tried again.
    Rejected { status: u16, reason: String, label: &'static str },
    /// As [`Bulk::Denied`].
    Denied { status: u16, reason: String, label: &'static str },
    /// Later.
    Away { status: u16, reason: String, label: &'static str },
}

#[derive(Deserialize)]
struct BulkBody {
    items: Vec<std::collections::BTreeMap<String, ItemBody>>,
}

#[derive(Deserialize)]
struct Errors {
    errors: bool,
}

#[derive(Deserialize)]
struct ItemBody {
    status: u16,
    #[serde(default)]
    error: Option<ErrorBody>,
}

#[derive(Deserialize)]
struct FailureBody {
    error: ErrorBody,
}

/// An object, or a text alone where something before the store answered.
#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorBody {
    Object {
        #[serde(default, rename = "type")]
        kind: Option<String>,
        #[serde(default)]
        reason: Option<String>,
        #[serde(default)]
        caused_by: Option<Box<ErrorBody>>,
    },
    Text(String),
}

/// What the answer to a bulk of so many documents says.
pub(crate) fn read_bulk(answer: &Answer, documents: usize) -> Bulk {
    let status = answer.status;
    match status {
        200..=299 => read_items(answer, documents),
        413 => Bulk::TooLarge,
        400 => Bulk::Broken(answer.reason()),
        401 | 403 => Bulk::Denied { status, reason: answer.reason() },
        _ => Bulk::Away { status, reason: answer.reason() },
    }
}

fn read_items(answer: &Answer, documents: usize) -> Bulk {
    let strange = |what: String| Bulk::Away { status: answer.status, reason: what };
    match serde_json::from_slice::<Errors>(&answer.body) {
        Ok(Errors { errors: false }) => return Bulk::Items(vec![Item::Stored { status: 201 }; documents]),
        Ok(Errors { errors: true }) => {}
        Err(error) => return strange(format!("the answer is not that of `_bulk`: {error}")),
    }
    let body: BulkBody = match serde_json::from_slice(&answer.body) {
        Ok(body) => body,
        Err(error) => return strange(format!("the answer is not that of `_bulk`: {error}")),
    };
    let items: Vec<Item> =
        body.items.into_iter().filter_map(|item| item.into_values().next()).map(judge).collect();
    if items.len() != documents {
        return strange(format!("the answer has {} items for {documents} documents", items.len()));
    }
    Bulk::Items(items)
}

/// What the answer to a request with one document says.
pub(crate) fn read_single(answer: &Answer) -> Bulk {
    let status = answer.status;
    match status {
        200..=299 | 409 => Bulk::Items(vec![Item::Stored { status }]),
        413 => Bulk::TooLarge,
        401 | 403 => Bulk::Denied { status, reason: answer.reason() },
        400..=499 if status != 408 && status != 429 => {
            let error = serde_json::from_slice::<FailureBody>(&answer.body).ok().map(|body| body.error);
            Bulk::Items(vec![judge(ItemBody { status, error })])
        }
        _ => Bulk::Away { status, reason: answer.reason() },
    }
}

fn judge(item: ItemBody) -> Item {
    let ItemBody { status, error } = item;
    if matches!(status, 200..=299 | 409) {
        return Item::Stored { status };
    }
    let label = error.as_ref().map_or("undefined_error", label);
    let reason = error.as_ref().map_or_else(|| format!("status {status}"), describe);
    match status {
        401 | 403 => Item::Denied { status, reason, label },
        400..=499 if status != 408 && status != 429 => Item::Rejected { status, reason, label },
        _ => Item::Away { status, reason, label },
    }
}

/// What the `error` of a body says.
pub(super) fn reason_of(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<FailureBody>(body).ok().map(|body| describe(&body.error))
}

/// `type: reason: type: reason`, from the outside in.
fn describe(error: &ErrorBody) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        match error {
            ErrorBody::Text(text) => {
                parts.push(text);
                next = None;
            }
            ErrorBody::Object { kind, reason, caused_by } => {
                parts.extend(kind.as_deref());
                parts.extend(reason.as_deref());
                next = caused_by.as_deref();
            }
        }
    }
    shorten(&parts.join(": "))
}

/// barito-flow's words for errors, the first that fits: of the reason, then of its cause.
const LABELS: [(&str, &str); 12] = [
    ("the final mapping", "multiple_type"),
    ("to parse field", "mapping_failed"),
    ("mapping", "mapping_failed"),
    ("mapper", "mapping_failed"),
    ("Data too large", "data_too_large"),
    ("TransportService is closed", "request_error_transport_service_closed"),
    ("Node not connected", "node_not_connected"),
    ("primary shard is not active", "inactive_primary_shard"),
    ("no such shard", "no_such_shard"),
    ("index read-only", "index_read_only"),
    ("Limit of total fields", "limit_of_total_fields_excedeed"),
    ("maximum shards open", "maximum_shards_open"),
];

fn label(error: &ErrorBody) -> &'static str {
    let find = |text: &str| LABELS.iter().find(|(part, _)| text.contains(part)).map(|(_, label)| *label);
    let found = match error {
        ErrorBody::Text(text) => find(text),
        ErrorBody::Object { reason, caused_by, .. } => {
            let cause = || match caused_by.as_deref()? {
                ErrorBody::Text(text) => find(text),
                ErrorBody::Object { reason, .. } => find(reason.as_deref()?),
            };
            reason.as_deref().and_then(find).or_else(cause)
        }
    };
    found.unwrap_or("undefined_error")
}
