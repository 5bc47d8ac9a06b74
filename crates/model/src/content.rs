//! Contents: JSON objects on a flat tape, so that a batch of any size is a handful of allocations and is
//! walked without building a tree.

use std::fmt;

/// How many objects and arrays may enclose a value.
pub const MAX_DEPTH: usize = 64;

/// All contents of a batch, one after the other, each in document order.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    pub(crate) nodes: Vec<Node>,
    pub(crate) text: String,
}

/// Sixteen bytes. `start` and `len` address `Tape::text`; `end` is the node after the container's last.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Node {
    Key { start: u32, len: u32 },
    Str { start: u32, len: u32 },
    Number { start: u32, len: u32 },
    Int(i64),
    Float(f64),
    Bool(bool),
    Null,
    Object { end: u32 },
    Array { end: u32 },
}

/// What an event says: a JSON object. `Display` writes it as compact JSON text, keys in their order.
pub type Content<'a> = Object<'a>;

#[derive(Clone, Copy)]
pub struct Object<'a> {
    tape: &'a Tape,
    node: u32,
}

#[derive(Clone, Copy)]
pub struct Array<'a> {
    tape: &'a Tape,
    node: u32,
}

/// A JSON value. Numbers come in three shapes so that each comes back as it went in.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Always finite.
    Float(f64),
    /// The text of a number that neither `i64` nor `f64` holds exactly.
    Number(&'a str),
    Str(&'a str),
    Array(Array<'a>),
    Object(Object<'a>),
}

/// The members of an object, in order; a key that occurs twice is given twice.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    tape: &'a Tape,
    at: u32,
    end: u32,
}

/// The elements of an array, in order.
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    tape: &'a Tape,
    at: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    #[error("objects and arrays are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    #[error("a batch must stay under 4 GiB when decoded")]
    TooLarge,
}

impl Tape {
    pub(crate) fn object(&self, node: u32) -> Object<'_> {
        Object { tape: self, node }
    }

    pub(crate) fn text(&self, start: u32, len: u32) -> &str {
        &self.text[start as usize..(start + len) as usize]
    }

    /// Where the text is from now on: its start and its length.
    pub(crate) fn push_text(&mut self, text: &str) -> Result<(u32, u32), ContentError> {
        let start = self.text.len();
        self.text.push_str(text);
        match (u32::try_from(start), u32::try_from(text.len()), u32::try_from(self.text.len())) {
            (Ok(start), Ok(len), Ok(_)) => Ok((start, len)),
            _ => Err(ContentError::TooLarge),
        }
    }

    fn end_of(&self, node: u32) -> u32 {
        match self.nodes[node as usize] {
            Node::Object { end } | Node::Array { end } => end,
            _ => node + 1,
        }
    }

    fn value(&self, node: u32) -> Value<'_> {
        match self.nodes[node as usize] {
            Node::Null | Node::Key { .. } => Value::Null,
            Node::Bool(value) => Value::Bool(value),
            Node::Int(value) => Value::Int(value),
            Node::Float(value) => Value::Float(value),
            Node::Number { start, len } => Value::Number(self.text(start, len)),
            Node::Str { start, len } => Value::Str(self.text(start, len)),
            Node::Array { .. } => Value::Array(Array { tape: self, node }),
            Node::Object { .. } => Value::Object(Object { tape: self, node }),
        }
    }
}

impl<'a> Object<'a> {
    #[must_use]
    pub fn entries(self) -> Entries<'a> {
        Entries { tape: self.tape, at: self.node + 1, end: self.tape.end_of(self.node) }
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.node + 1 == self.tape.end_of(self.node)
    }

    /// The value under `key`; the last one if the key occurs more than once.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Value<'a>> {
        self.entries().filter(|(name, _)| *name == key).map(|(_, value)| value).last()
    }
}

impl<'a> Array<'a> {
    #[must_use]
    pub fn elements(self) -> Elements<'a> {
        Elements { tape: self.tape, at: self.node + 1, end: self.tape.end_of(self.node) }
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.node + 1 == self.tape.end_of(self.node)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let Node::Key { start, len } = self.tape.nodes[self.at as usize] else {
            return None;
        };
        let value = self.at + 1;
        self.at = self.tape.end_of(value);
        Some((self.tape.text(start, len), self.tape.value(value)))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let value = self.at;
        self.at = self.tape.end_of(value);
        Some(self.tape.value(value))
    }
}

impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (key, value)) in self.entries().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write_string(f, key)?;
            write!(f, ":{value}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Display for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, value) in self.elements().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{value}")?;
        }
        f.write_str("]")
    }
}

/// JSON text. A float is written in the fewest digits that read back as the same number.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Number(text) => f.write_str(text),
            Self::Str(text) => write_string(f, text),
            Self::Array(array) => write!(f, "{array}"),
            Self::Object(object) => write!(f, "{object}"),
        }
    }
}

impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Writes a JSON string (RFC 8259 section 7), escaping only what must be.
fn write_string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    let mut plain_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        f.write_str(&text[plain_from..at])?;
        plain_from = at + 1;
        match byte {
            b'"' => f.write_str("\\\"")?,
            b'\\' => f.write_str("\\\\")?,
            b'\n' => f.write_str("\\n")?,
            b'\r' => f.write_str("\\r")?,
            b'\t' => f.write_str("\\t")?,
            _ => write!(f, "\\u{byte:04x}")?,
        }
    }
    f.write_str(&text[plain_from..])?;
    f.write_str("\"")
}
