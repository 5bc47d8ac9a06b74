use super::parse::MAX_BYTES;

/// The text is no query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column} of the query: expected {expected}, found {found}")]
pub struct QueryParseError {
    /// Where, in characters; the first is 1, the end of the query is one more than it has characters.
    pub column: usize,
    /// What would have been legal there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// Characters of the query that [`QueryParseError::point`] shows before and after the column.
const CONTEXT: usize = 35;

impl QueryParseError {
    /// Two lines for a terminal: the part of `query` around the column, and a caret below the column.
    ///
    /// `query` is the text that was parsed. Line breaks and other control characters are shown as spaces.
    #[must_use]
    pub fn point(&self, query: &str) -> String {
        let chars: Vec<char> = query.chars().take(MAX_BYTES + 1).collect();
        let at = self.column.saturating_sub(1).min(chars.len());
        let start = at.saturating_sub(CONTEXT);
        let end = chars.len().min(at + CONTEXT);
        let shown: String = chars[start..end].iter().map(|c| if c.is_control() { ' ' } else { *c }).collect();
        format!("{shown}\n{:>width$}", '^', width = at - start + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_points_at_the_column() {
        let check = |query: &str, column: usize, expected: &str| {
            let error = QueryParseError { column, expected: String::new(), found: String::new() };
            assert_eq!(error.point(query), expected);
        };
        check("a OR", 5, "a OR\n    ^");
        check("a ) b", 3, "a ) b\n  ^");
        check("ä\n)", 3, "ä )\n  ^");
        check("", 1, "\n^");
        check("a", 99, "a\n ^");
        let long = "x".repeat(100);
        check(&long, 81, &format!("{}\n{}^", "x".repeat(55), " ".repeat(35)));
    }
}
