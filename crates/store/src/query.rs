//! The query language. `docs/query.md` is its normative page, and the tables on it are tests.
//!
//! A [`Query`] is parsed and compiled once and then asked about any number of contents. A store that does
//! not look at contents one by one compiles the [`Expr`] its own way, out of the same parts: [`ValueMatcher`]
//! decides about one value, [`TextMatcher`] finds a text among many, [`tokens`] are the words by which both
//! may be ruled out.

mod ast;
mod display;
mod error;
mod evaluate;
mod matcher;
mod number;
mod parse;
mod text;
mod time;
mod value;

pub mod examples;

use std::fmt;
use std::sync::Arc;

use weir_model::Content;

use self::evaluate::Node;

pub use self::ast::{Expr, FieldPath, Leaf, Operand, Pattern, Range, Scalar, Test, Wildcard, WildcardPart};
pub use self::error::QueryParseError;
pub use self::matcher::TextMatcher;
pub use self::number::Number;
pub use self::parse::{MAX_ANY_CHARACTERS, MAX_BYTES, MAX_DEPTH, MAX_TERMS};
pub use self::text::{LowerBuffer, append_lowered, tokens};
pub use self::time::{ParseTimeError, TimeRange, parse_rfc_3339, parse_time};
pub use self::value::ValueMatcher;

/// Which events are wanted. A clone is cheap and shares what was compiled.
///
/// `Display` writes the canonical form: a text that parses to the same [`Expr`].
#[derive(Clone)]
pub struct Query {
    compiled: Arc<Compiled>,
}

struct Compiled {
    expr: Expr,
    node: Node,
}

impl Query {
    /// The query that matches every event.
    #[must_use]
    pub fn all() -> Self {
        Self::new(Expr::All)
    }

    /// Compiles a query that was made without a text.
    #[must_use]
    pub fn new(expr: Expr) -> Self {
        let node = Node::compile(&expr);
        Self { compiled: Arc::new(Compiled { expr, node }) }
    }

    /// Parses and compiles.
    ///
    /// # Errors
    ///
    /// The text is no query, or goes beyond [`MAX_BYTES`], [`MAX_TERMS`],
    /// [`MAX_DEPTH`] or [`MAX_ANY_CHARACTERS`].
    pub fn parse(text: &str) -> Result<Self, QueryParseError> {
        parse::parse(text).map(Self::new)
    }

    /// What was asked.
    #[must_use]
    pub fn expr(&self) -> &Expr {
        &self.compiled.expr
    }

    /// Whether the content is wanted: the definition that every store has to agree with.
    #[must_use]
    pub fn matches(&self, content: Content<'_>) -> bool {
        self.compiled.node.matches(content, &mut LowerBuffer::default())
    }
}

impl Default for Query {
    fn default() -> Self {
        Self::all()
    }
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        self.expr() == other.expr()
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr().fmt(f)
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Query({self})")
    }
}

#[cfg(test)]
mod tests;
