//! A JSON value as a flat list of nodes in document order, which knows how long each object and array will
//! be as a `google.protobuf.Struct` or `ListValue`, so that it is written in one pass.

use std::ops::Range;

use super::RestError;
use crate::json::{JsonError, Reader, Rules, Token};
use crate::protobuf::write::{FIXED64, VARINT, bytes_field_len, put_bytes, put_bytes_header, tag};

#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// All strings and keys.
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Node {
    Key(Span),
    Str(Span),
    /// Infinite if the number is beyond the range of a double.
    Number(f64),
    Bool(bool),
    Null,
    Object(Container),
    Array(Container),
}

/// A part of the tree's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    length: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Container {
    /// The node after the last one inside.
    end: u32,
    /// How many bytes the message will have.
    length: u32,
}

/// No message made from a body of this size reaches 4 GiB, so lengths and places need 32 bits.
const BODY_LIMIT: usize = 256 << 20;

impl Tree {
    /// Nothing but white space is an empty tree.
    pub(super) fn parse(body: &[u8]) -> Result<Self, RestError> {
        if body.len() > BODY_LIMIT {
            return Err(RestError::TooLarge { limit: BODY_LIMIT });
        }
        let body = String::from_utf8_lossy(body);
        let mut builder = Builder::default();
        if !body.trim_matches([' ', '\t', '\r', '\n']).is_empty() {
            builder.read(Reader::new(&body, Rules::GO)).map_err(RestError::Json)?;
        }
        Ok(builder.tree)
    }

    /// `None` if the tree is empty or null.
    pub(super) fn root(&self) -> Option<usize> {
        (self.node(0) != Node::Null).then_some(0)
    }

    pub(super) fn node(&self, at: usize) -> Node {
        self.nodes.get(at).copied().unwrap_or(Node::Null)
    }

    pub(super) fn text(&self, span: Span) -> &str {
        let start = span.start as usize;
        self.text.get(start..start + span.length()).unwrap_or_default()
    }

    /// Names and values of an object, each value by its node.
    pub(super) fn members(&self, node: usize) -> Option<impl Iterator<Item = (&str, usize)>> {
        let Node::Object(object) = self.node(node) else { return None };
        Some(self.children(node + 1..object.end()).map(|at| match self.node(at) {
            Node::Key(name) => (self.text(name), at + 1),
            _ => ("", at),
        }))
    }

    /// The nodes of the elements of an array; null is an empty one.
    pub(super) fn elements(&self, node: usize) -> Option<impl Iterator<Item = usize>> {
        match self.node(node) {
            Node::Array(array) => Some(self.children(node + 1..array.end())),
            Node::Null => Some(self.children(0..0)),
            _ => None,
        }
    }

    /// The nodes in `range` that are not inside of others; a key and its value count as one.
    fn children(&self, range: Range<usize>) -> impl Iterator<Item = usize> {
        let inside = move |at: &usize| *at < range.end;
        std::iter::successors(Some(range.start), |at| Some(self.after(*at))).take_while(inside)
    }

    fn after(&self, at: usize) -> usize {
        match self.node(at) {
            Node::Key(_) => self.after(at + 1),
            Node::Object(container) | Node::Array(container) => container.end(),
            Node::Str(_) | Node::Number(_) | Node::Bool(_) | Node::Null => at + 1,
        }
    }

    /// The length of an object as a `Struct`.
    pub(super) fn struct_length(&self, node: usize) -> usize {
        match self.node(node) {
            Node::Object(object) => object.length(),
            _ => 0,
        }
    }

    /// Writes the object at `node` as the `Struct` in field `number`.
    pub(super) fn put_struct(&self, out: &mut Vec<u8>, number: u8, node: usize) -> Result<(), RestError> {
        let Node::Object(object) = self.node(node) else { return Ok(()) };
        put_bytes_header(out, number, object.length());
        let mut key = None;
        for node in self.nodes.get(node + 1..object.end()).unwrap_or_default() {
            if let Node::Key(span) = node {
                key = Some(self.text(*span));
                continue;
            }
            let length = node.value_length();
            match key.take() {
                Some(key) => put_entry_header(out, key, length),
                None => put_bytes_header(out, 1, length),
            }
            self.put_value(out, *node)?;
        }
        Ok(())
    }

    /// A `Value`; of an object or array only the start, as what is inside comes next.
    fn put_value(&self, out: &mut Vec<u8>, node: Node) -> Result<(), RestError> {
        match node {
            Node::Null => out.extend_from_slice(&[tag(1, VARINT), 0]),
            Node::Number(value) if value.is_finite() => {
                out.push(tag(2, FIXED64));
                out.extend_from_slice(&value.to_le_bytes());
            }
            Node::Number(_) => return Err(RestError::NumberRange),
            Node::Str(span) | Node::Key(span) => put_bytes(out, 3, self.text(span).as_bytes()),
            Node::Bool(value) => out.extend_from_slice(&[tag(4, VARINT), u8::from(value)]),
            Node::Object(object) => put_bytes_header(out, 5, object.length()),
            Node::Array(array) => put_bytes_header(out, 6, array.length()),
        }
        Ok(())
    }
}

impl Span {
    fn length(self) -> usize {
        self.length as usize
    }
}

impl Container {
    fn end(self) -> usize {
        self.end as usize
    }

    fn length(self) -> usize {
        self.length as usize
    }
}

fn narrow(size: usize) -> u32 {
    u32::try_from(size).expect("`BODY_LIMIT` bounds it")
}

impl Node {
    /// How long the node is as a `Value`.
    fn value_length(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) => 2,
            Self::Number(_) => 1 + size_of::<f64>(),
            Self::Str(span) | Self::Key(span) => bytes_field_len(span.length()),
            Self::Object(container) | Self::Array(container) => bytes_field_len(container.length()),
        }
    }
}

/// The start of an entry of `Struct.fields` whose `Value` of `length` bytes comes next.
fn put_entry_header(out: &mut Vec<u8>, key: &str, length: usize) {
    put_bytes_header(out, 1, bytes_field_len(key.len()) + bytes_field_len(length));
    put_bytes(out, 1, key.as_bytes());
    put_bytes_header(out, 2, length);
}

#[derive(Default)]
struct Builder {
    tree: Tree,
    open: Vec<Open>,
}

/// An object or array that has not ended.
struct Open {
    node: usize,
    length: usize,
    /// Of the member being read; `None` in an array.
    key_length: Option<usize>,
}

impl Builder {
    fn read(&mut self, mut reader: Reader<'_>) -> Result<(), JsonError> {
        loop {
            match reader.next_token()? {
                Token::ObjectStart => self.start(Node::Object(Container::default())),
                Token::ArrayStart => self.start(Node::Array(Container::default())),
                Token::ObjectEnd | Token::ArrayEnd => self.end(),
                Token::Key(key) => {
                    let span = self.keep(key);
                    self.tree.nodes.push(Node::Key(span));
                    if let Some(open) = self.open.last_mut() {
                        open.key_length = Some(key.len());
                    }
                }
                Token::Str(text) => {
                    let span = self.keep(text);
                    self.scalar(Node::Str(span));
                }
                // A number that follows the grammar is a double, if need be an infinite one.
                Token::Number(text) => self.scalar(Node::Number(text.parse().unwrap_or(f64::INFINITY))),
                Token::Bool(value) => self.scalar(Node::Bool(value)),
                Token::Null => self.scalar(Node::Null),
                Token::End => return Ok(()),
            }
        }
    }

    fn keep(&mut self, text: &str) -> Span {
        let start = narrow(self.tree.text.len());
        self.tree.text.push_str(text);
        Span { start, length: narrow(text.len()) }
    }

    fn start(&mut self, node: Node) {
        self.open.push(Open { node: self.tree.nodes.len(), length: 0, key_length: None });
        self.tree.nodes.push(node);
    }

    fn scalar(&mut self, node: Node) {
        self.tree.nodes.push(node);
        self.count(node.value_length());
    }

    fn end(&mut self) {
        let end = self.tree.nodes.len();
        let Some(closed) = self.open.pop() else { return };
        let Some(node) = self.tree.nodes.get_mut(closed.node) else { return };
        if let Node::Object(container) | Node::Array(container) = node {
            *container = Container { end: narrow(end), length: narrow(closed.length) };
        }
        let length = node.value_length();
        self.count(length);
    }

    /// Adds a value of `length` bytes to the message around it.
    fn count(&mut self, length: usize) {
        if let Some(around) = self.open.last_mut() {
            let element = bytes_field_len(length);
            around.length += match around.key_length {
                Some(key) => bytes_field_len(bytes_field_len(key) + element),
                None => element,
            };
        }
    }
}
