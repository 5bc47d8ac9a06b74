//! The JSON of barito-flow's REST gateway (`/produce`, `/produce_batch`) to and from protobuf, so that a request takes
//! the same way as one of gRPC.
//!
//! As the gateway: names in snake_case or lowerCamelCase, the last of a name that occurs twice counts,
//! unknown names are ignored, `null` is the default, an integer may be quoted, an empty body is an empty
//! message, and what is no Unicode in a string becomes U+FFFD.

use crate::context::Context;
use crate::json::JsonError;
use crate::protobuf::write::{bytes_field_len, put_bytes, put_bytes_header};
use crate::rest::tree::{Node, Tree};

mod tree;

/// A body that is no such message; the text is for the caller (400, gRPC code 3).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    #[error("the body is no valid JSON: {0}")]
    Json(JsonError),
    #[error("the body has more than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("`{field}` must be {expected}")]
    Field { field: String, expected: &'static str },
    #[error("a number in `content` is beyond the range of a double")]
    NumberRange,
}

/// How many bytes of memory [`timber`] and [`timber_collection`] occupy at most for this body, itself and the
/// result included: a body of many small values takes many times its size.
#[must_use]
pub fn working_memory(body: &[u8]) -> u64 {
    // Before every value but the first there is one of these.
    let values =
        memchr::memchr3_iter(b',', b':', b'[', body).count() + memchr::memchr_iter(b'{', body).count();
    // Body and text of the tree, and the result's strings while it grows.
    4 * body.len() as u64 + VALUE_MEMORY * (values as u64 + 1)
}

/// A node of the tree and the message that becomes of it, each in a list that doubles when it is full.
const VALUE_MEMORY: u64 = 64;

/// The body of `/produce` as a `producer.Timber`.
pub fn timber(body: &[u8]) -> Result<Vec<u8>, RestError> {
    let tree = Tree::parse(body)?;
    let timber = match tree.root() {
        Some(root) => Timber::read(&Message { tree: &tree, node: root, path: String::new() })?,
        None => Timber::default(),
    };
    let mut out = Vec::with_capacity(timber.len(&tree));
    timber.put(&mut out, &tree)?;
    Ok(out)
}

/// The body of `/produce_batch` as a `producer.TimberCollection`.
pub fn timber_collection(body: &[u8]) -> Result<Vec<u8>, RestError> {
    let tree = Tree::parse(body)?;
    let mut out = Vec::with_capacity(body.len());
    let Some(node) = tree.root() else { return Ok(out) };
    let message = Message { tree: &tree, node, path: String::new() };
    let (mut context, mut items) = (None, None);
    for (name, value) in message.fields()? {
        match name {
            "context" => context = message.child("context", value),
            "items" => items = Some(value),
            _ => {}
        }
    }
    if let Some(context) = context {
        put_bytes(&mut out, 1, &read_context(&context)?);
    }
    let Some(items) = items else { return Ok(out) };
    let items = tree.elements(items).ok_or_else(|| message.wrong("items", "an array"))?;
    for (index, node) in items.enumerate() {
        let timber = Timber::read(&Message { tree: &tree, node, path: format!("items[{index}].") })?;
        put_bytes_header(&mut out, 2, timber.len(&tree));
        timber.put(&mut out, &tree)?;
    }
    Ok(out)
}

/// The body of a success.
#[must_use]
pub fn result_body(topic: &str) -> String {
    let mut body = "{".to_owned();
    if !topic.is_empty() {
        body.push_str("\"topic\":");
        put_string(&mut body, topic);
    }
    body.push('}');
    body
}

/// The body of a failure; `code` is that of gRPC.
#[must_use]
pub fn error_body(code: i32, message: &str) -> String {
    let mut body = "{\"error\":".to_owned();
    put_string(&mut body, message);
    body.push_str(&format!(",\"code\":{code},\"message\":"));
    put_string(&mut body, message);
    body.push('}');
    body
}

/// The HTTP status of a gRPC code.
#[must_use]
pub fn http_status(code: i32) -> u16 {
    match code {
        0 => 200,
        1 => 408,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

/// A JSON object that stands for a message.
struct Message<'a> {
    tree: &'a Tree,
    node: usize,
    /// The names that lead to it, each with a dot, for errors.
    path: String,
}

impl<'a> Message<'a> {
    fn fields(&self) -> Result<impl Iterator<Item = (&'a str, usize)>, RestError> {
        let fields = self.tree.members(self.node);
        fields.ok_or_else(|| match self.path.strip_suffix('.') {
            Some(field) => RestError::Field { field: field.to_owned(), expected: "an object" },
            None => RestError::Field { field: "the body".to_owned(), expected: "an object" },
        })
    }

    /// The message in a field; `None` if it is null.
    fn child(&self, name: &str, node: usize) -> Option<Self> {
        let is_null = matches!(self.tree.node(node), Node::Null);
        (!is_null).then(|| Self { tree: self.tree, node, path: format!("{}{name}.", self.path) })
    }

    fn text(&self, name: &str, node: usize) -> Result<&'a str, RestError> {
        match self.tree.node(node) {
            Node::Str(span) => Ok(self.tree.text(span)),
            Node::Null => Ok(""),
            _ => Err(self.wrong(name, "a string")),
        }
    }

    fn int32(&self, name: &str, node: usize) -> Result<i32, RestError> {
        let value = match self.tree.node(node) {
            Node::Null => Some(0),
            Node::Str(span) => self.tree.text(span).parse().ok(),
            #[expect(clippy::cast_possible_truncation, reason = "compared with what was cut")]
            Node::Number(value) => Some(value as i32).filter(|cut| f64::from(*cut) == value),
            _ => None,
        };
        value.ok_or_else(|| self.wrong(name, "an integer of 32 bits"))
    }

    fn bool(&self, name: &str, node: usize) -> Result<bool, RestError> {
        match self.tree.node(node) {
            Node::Bool(value) => Ok(value),
            Node::Null => Ok(false),
            _ => Err(self.wrong(name, "true or false")),
        }
    }

    fn wrong(&self, name: &str, expected: &'static str) -> RestError {
        RestError::Field { field: format!("{}{name}", self.path), expected }
    }
}

#[derive(Default)]
struct Timber<'a> {
    context: Option<Vec<u8>>,
    timestamp: &'a str,
    /// The node of the object.
    content: Option<usize>,
}

impl<'a> Timber<'a> {
    fn read(message: &Message<'a>) -> Result<Self, RestError> {
        let mut timber = Self::default();
        if matches!(message.tree.node(message.node), Node::Null) {
            return Ok(timber);
        }
        let mut context = None;
        for (name, value) in message.fields()? {
            match name {
                "context" => context = message.child("context", value),
                "timestamp" => timber.timestamp = message.text("timestamp", value)?,
                "content" => {
                    timber.content = match message.tree.node(value) {
                        Node::Object { .. } => Some(value),
                        Node::Null => None,
                        _ => return Err(message.wrong("content", "an object")),
                    }
                }
                _ => {}
            }
        }
        timber.context = context.map(|context| read_context(&context)).transpose()?;
        Ok(timber)
    }

    fn len(&self, tree: &Tree) -> usize {
        let context = self.context.as_ref().map_or(0, |context| bytes_field_len(context.len()));
        let timestamp = if self.timestamp.is_empty() { 0 } else { bytes_field_len(self.timestamp.len()) };
        let content = self.content.map_or(0, |node| bytes_field_len(tree.struct_length(node)));
        context + timestamp + content
    }

    fn put(&self, out: &mut Vec<u8>, tree: &Tree) -> Result<(), RestError> {
        if let Some(context) = &self.context {
            put_bytes(out, 1, context);
        }
        if !self.timestamp.is_empty() {
            put_bytes(out, 2, self.timestamp.as_bytes());
        }
        match self.content {
            Some(node) => tree.put_struct(out, 3, node),
            None => Ok(()),
        }
    }
}

fn read_context(message: &Message<'_>) -> Result<Vec<u8>, RestError> {
    let mut context = Context::default();
    for (name, value) in message.fields()? {
        match name {
            "kafka_topic" | "kafkaTopic" => context.topic = message.text(name, value)?,
            "kafka_partition" | "kafkaPartition" => context.partitions = message.int32(name, value)?,
            "kafka_replication_factor" | "kafkaReplicationFactor" => {
                context.replication_factor = message.int32(name, value)?;
            }
            "es_index_prefix" | "esIndexPrefix" => context.index_prefix = message.text(name, value)?,
            "es_document_type" | "esDocumentType" => context.document_type = message.text(name, value)?,
            "app_max_tps" | "appMaxTps" => context.max_tps = message.int32(name, value)?,
            "app_secret" | "appSecret" => context.app_secret = Some(message.text(name, value)?),
            "disable_app_tps" | "disableAppTps" => context.disable_app_tps = message.bool(name, value)?,
            "app_group_max_tps" | "appGroupMaxTps" => {
                context.app_group_max_tps = message.int32(name, value)?;
            }
            _ => {}
        }
    }
    Ok(context.to_protobuf())
}

/// A JSON string as Go writes it: `<`, `>`, `&` and two line separators are escaped as well.
fn put_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..'\u{20}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests;
