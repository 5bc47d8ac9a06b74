//! Requests as values and answers as bytes: no sockets here.

mod verdict;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) use self::verdict::{Bulk, Item, read_bulk, read_single};

/// A request, for any node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// From behind the node's URL on.
    pub(crate) path: String,
    pub(crate) body: Option<Body>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) kind: BodyKind,
    pub(crate) encoding: Encoding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    Json,
    Lines,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    Gzip,
}

/// What came back, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

impl Call {
    fn without_body(method: Method, path: String) -> Self {
        Self { method, path, body: None }
    }

    fn with_json(method: Method, path: String, body: &Value) -> Self {
        let bytes = Bytes::from(body.to_string());
        Self { method, path, body: Some(Body { bytes, kind: BodyKind::Json, encoding: Encoding::Plain }) }
    }

    /// Documents with their action lines. Of what is asked for, answers have no more than is read.
    pub(crate) fn bulk(bytes: Bytes, encoding: Encoding) -> Self {
        let path = "_bulk?filter_path=errors,items.*.status,items.*.error".to_owned();
        Self { method: Method::Post, path, body: Some(Body { bytes, kind: BodyKind::Lines, encoding }) }
    }

    /// One document; one that exists stays as it is.
    pub(crate) fn single(index: &str, id: &str, bytes: Bytes, encoding: Encoding) -> Self {
        let path = format!("{}/_create/{}", escape(index), escape(id));
        Self { method: Method::Put, path, body: Some(Body { bytes, kind: BodyKind::Json, encoding }) }
    }

    /// Makes everything written to the indices findable.
    pub(crate) fn refresh(pattern: &str) -> Self {
        Self::without_body(Method::Post, format!("{}/_refresh?{LENIENT}", escape(pattern)))
    }

    /// A search. Its answer is not filtered by path: then documents would be written anew, and numbers with them.
    pub(crate) fn search(pattern: &str, body: &Value) -> Self {
        Self::with_json(Method::Post, format!("{}/_search?{LENIENT}", escape(pattern)), body)
    }

    /// Which of the ids exist.
    pub(crate) fn existing(pattern: &str, ids: &[String]) -> Self {
        let body = json!({
            "size": ids.len(), "_source": false, "query": { "ids": { "values": ids } },
        });
        Self::search(pattern, &body)
    }

    pub(crate) fn indices(pattern: &str) -> Self {
        let path = format!(
            "_cat/indices/{}?format=json&bytes=b&h=index,docs.count,store.size,creation.date&expand_wildcards=all",
            escape(pattern)
        );
        Self::without_body(Method::Get, path)
    }

    pub(crate) fn fields(pattern: &str, fields: &str) -> Self {
        let path = format!(
            "{}/_field_caps?{LENIENT}&fields={}&filter_path=fields.*.*.type",
            escape(pattern),
            escape(fields)
        );
        Self::without_body(Method::Get, path)
    }

    /// Which indices know the field.
    pub(crate) fn mapped_field(pattern: &str, field: &str) -> Self {
        let path = format!(
            "{}/_mapping/field/{}?{LENIENT}&expand_wildcards=all&filter_path=*.mappings",
            escape(pattern),
            escape(field)
        );
        Self::without_body(Method::Get, path)
    }

    pub(crate) fn delete_index(name: &str) -> Self {
        Self::without_body(Method::Delete, format!("{}?ignore_unavailable=true", escape(name)))
    }

    pub(crate) fn exists(name: &str) -> Self {
        Self::without_body(Method::Head, escape(name))
    }

    pub(crate) fn has_component_template(name: &str) -> Self {
        Self::without_body(Method::Head, format!("_component_template/{}", escape(name)))
    }

    pub(crate) fn has_index_template(name: &str) -> Self {
        Self::without_body(Method::Head, format!("_index_template/{}", escape(name)))
    }

    pub(crate) fn put_index_template(name: &str, body: &Value) -> Self {
        Self::with_json(Method::Put, format!("_index_template/{}", escape(name)), body)
    }
}

/// The action line of a document but for its id, and what follows the id.
pub(crate) fn action(index: &str) -> String {
    format!(r#"{{"create":{{"_index":"{index}","_id":""#)
}

pub(crate) const ACTION_END: &[u8] = b"\"}}\n";

/// Id and document of a body with one action line.
pub(crate) fn single_parts(plain: &Bytes) -> Option<(String, Bytes)> {
    let line_end = plain.iter().position(|byte| *byte == b'\n')?;
    let action = str::from_utf8(plain.get(..=line_end)?).ok()?;
    let (_, id) = action.strip_suffix("\"}}\n")?.rsplit_once('"')?;
    let document = plain.slice(line_end + 1..);
    let document = document.strip_suffix(b"\n").map(|bytes| document.slice_ref(bytes))?;
    Some((id.to_owned(), document))
}

/// What is not there is no error.
const LENIENT: &str = "ignore_unavailable=true&allow_no_indices=true";

/// A text as one part of a path or value of a query; `*` and `,` keep their meaning.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'*' | b',') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

impl Answer {
    pub(crate) const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// What the body says went wrong, for people.
    pub(crate) fn reason(&self) -> String {
        verdict::reason_of(&self.body).unwrap_or_else(|| shorten(&String::from_utf8_lossy(&self.body)))
    }
}

/// The answer to a search.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Found {
    pub(crate) timed_out: bool,
    #[serde(rename = "_shards")]
    pub(crate) shards: Shards,
    pub(crate) hits: Hits,
    pub(crate) aggregations: Aggregations,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Shards {
    pub(crate) total: u64,
    pub(crate) failed: u64,
    pub(crate) failures: Vec<Failure>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Failure {
    #[serde(default)]
    pub(crate) reason: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Hits {
    pub(crate) total: Total,
    pub(crate) hits: Vec<FoundHit>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Total {
    pub(crate) value: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct FoundHit {
    #[serde(rename = "_id")]
    pub(crate) id: String,
    #[serde(rename = "_source", default)]
    pub(crate) source: Option<Box<serde_json::value::RawValue>>,
    #[serde(default)]
    pub(crate) sort: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Aggregations {
    pub(crate) times: Times,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Times {
    pub(crate) buckets: Vec<TimeBucket>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TimeBucket {
    pub(crate) key: f64,
    pub(crate) doc_count: u64,
}

/// A row of the list of indices; numbers are texts there, absent while a shard is.
#[derive(Debug, Deserialize)]
pub(crate) struct ListedIndex {
    pub(crate) index: String,
    #[serde(rename = "docs.count", default)]
    pub(crate) documents: Option<String>,
    #[serde(rename = "store.size", default)]
    pub(crate) bytes: Option<String>,
    #[serde(rename = "creation.date", default)]
    pub(crate) created_millis: Option<String>,
}

/// Types of fields by path.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FieldTypes {
    pub(crate) fields: std::collections::BTreeMap<String, std::collections::BTreeMap<String, FieldType>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct FieldType {
    #[serde(rename = "type")]
    pub(crate) name: String,
}

/// Longest text of an error that is passed on.
const LONGEST_REASON: usize = 1_000;

fn shorten(text: &str) -> String {
    match text.char_indices().nth(LONGEST_REASON) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
