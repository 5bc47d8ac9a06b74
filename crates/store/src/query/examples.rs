//! The tables of `docs/query.md`, for tests: what the page says, every store must do.
//!
//! A conformance suite writes [`Example::content`] into a store, searches for [`Example::query`] and compares
//! what comes back with [`Example::is_match`].

use bytes::Bytes;
use weir_model::{EventBatch, EventBatchBuilder, IndexPrefix, Timestamp};

pub use crate::json::append_json;

/// A row of a table `query | document | matches`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The line of the page, from 1.
    pub line: usize,
    /// The query's text.
    pub query: String,
    /// The content, a JSON object.
    pub content: String,
    /// Whether it matches.
    pub is_match: bool,
}

/// A row of a table `refused | column | expected`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The line of the page, from 1.
    pub line: usize,
    /// A text that is no query.
    pub query: String,
    /// Where it is wrong.
    pub column: usize,
    /// What the error says was expected.
    pub expected: String,
}

const PAGE: &str = include_str!("../../../../docs/query.md");

/// All examples of the page, in its order.
///
/// # Panics
///
/// If the page has a row that is not as described; a test of this crate reads every row.
#[must_use]
pub fn examples() -> Vec<Example> {
    rows(PAGE, ["query", "document", "matches"])
        .into_iter()
        .map(|(line, [query, content, matches])| {
            assert!(
                ["yes", "no"].contains(&matches.as_str()),
                "line {line} of docs/query.md says `{matches}`"
            );
            Example { line, query: code(&query), content: code(&content), is_match: matches == "yes" }
        })
        .collect()
}

/// All refusals of the page, in its order.
///
/// # Panics
///
/// As [`examples`].
#[must_use]
pub fn refusals() -> Vec<Refusal> {
    rows(PAGE, ["refused", "column", "expected"])
        .into_iter()
        .map(|(line, [query, column, expected])| Refusal {
            line,
            query: code(&query),
            column: column.parse().expect("columns of docs/query.md are numbers"),
            expected,
        })
        .collect()
}

impl Example {
    /// The document as the only event of a batch.
    ///
    /// # Panics
    ///
    /// If the document is not a JSON object with members; a test of this crate builds every one.
    #[must_use]
    pub fn batch(&self, prefix: IndexPrefix, time: Timestamp) -> EventBatch {
        let mut builder = EventBatchBuilder::with_capacity(1, self.content.len());
        builder.begin_event();
        append_json(&self.content, &mut builder).expect("documents of docs/query.md are JSON");
        let value = Bytes::copy_from_slice(self.content.as_bytes());
        builder.finish_event(time, 0..u32::try_from(value.len()).expect("a document is short"));
        builder.build(prefix, value)
    }
}

/// The rows of all tables with this header, with their line numbers.
fn rows(page: &str, header: [&str; 3]) -> Vec<(usize, [String; 3])> {
    let mut rows = Vec::new();
    let mut is_inside = false;
    for (index, line) in page.lines().enumerate() {
        let Some(row) = cells(line) else {
            is_inside = false;
            continue;
        };
        let is_rule = row.iter().all(|cell| cell.starts_with("--"));
        if row == header {
            is_inside = true;
        } else if is_inside && !is_rule {
            rows.push((index + 1, row));
        }
    }
    rows
}

/// The three cells of a row.
fn cells(line: &str) -> Option<[String; 3]> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let mut cells = vec![String::new()];
    let mut chars = inner.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, cells.last_mut()) {
            ('|', _) => cells.push(String::new()),
            ('\\', Some(cell)) if chars.peek() == Some(&'|') => cell.extend(chars.next()),
            (c, Some(cell)) => cell.push(c),
            (_, None) => {}
        }
    }
    <[String; 3]>::try_from(cells).ok().map(|cells| cells.map(|cell| cell.trim().to_owned()))
}

/// What is between the backquotes of a cell; an empty cell has none.
fn code(cell: &str) -> String {
    cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')).unwrap_or(cell).to_owned()
}
