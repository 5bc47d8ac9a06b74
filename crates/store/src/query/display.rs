//! The canonical text of a query. Longer than what was parsed, it may go beyond the limits of the parser.

use std::fmt;
use std::ops::Bound;

use super::ast::{Expr, FieldPath, Leaf, Operand, Pattern, Range, Test, Wildcard, WildcardPart};

/// Parses to an equal [`Expr`], if this one is canonical.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::And(parts) if parts.is_empty() => f.write_str("*"),
            Self::Or(branches) if branches.is_empty() => f.write_str("-*"),
            Self::And(parts) => joined(f, parts, " ", |part| matches!(part, Self::And(_) | Self::Or(_))),
            Self::Or(branches) => joined(f, branches, " OR ", |branch| matches!(branch, Self::Or(_))),
            Self::Not(inner) => {
                f.write_str("-")?;
                match **inner {
                    Self::And(_) | Self::Or(_) => write!(f, "({inner})"),
                    Self::All | Self::Not(_) | Self::Leaf(_) => write!(f, "{inner}"),
                }
            }
            Self::Leaf(leaf) => leaf.fmt(f),
        }
    }
}

fn joined(
    f: &mut fmt::Formatter<'_>,
    list: &[Expr],
    between: &str,
    needs_parentheses: impl Fn(&Expr) -> bool,
) -> fmt::Result {
    for (index, expr) in list.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        if needs_parentheses(expr) {
            write!(f, "({expr})")?;
        } else {
            write!(f, "{expr}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            write!(f, "{field}:")?;
        }
        match &self.test {
            Test::Exists => f.write_str("*"),
            Test::Term(pattern) => pattern.fmt(f),
            Test::Exact(text) => {
                f.write_str("=")?;
                quoted(f, text)
            }
            Test::Range(range) => range.fmt(f),
        }
    }
}

/// As a query has it before the colon.
impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.as_str();
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
        if path.chars().all(is_plain) && !path.is_empty() && !path.starts_with('-') {
            f.write_str(path)
        } else {
            quoted(f, path)
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Phrase(text) => quoted(f, text),
            Self::Wildcard(wildcard) => wildcard.fmt(f),
        }
    }
}

impl fmt::Display for Wildcard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.parts() {
            match part {
                WildcardPart::AnyCharacter => f.write_str("?")?,
                WildcardPart::AnyRun => f.write_str("*")?,
                WildcardPart::Text(text) => {
                    for c in text.chars() {
                        if !c.is_alphanumeric() && !matches!(c, '.' | '_') {
                            f.write_str("\\")?;
                        }
                        write!(f, "{c}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.lower, &self.upper) {
            (Bound::Included(lower), Bound::Unbounded) => write!(f, ">={lower}"),
            (Bound::Excluded(lower), Bound::Unbounded) => write!(f, ">{lower}"),
            (Bound::Unbounded, Bound::Included(upper)) => write!(f, "<={upper}"),
            (Bound::Unbounded, Bound::Excluded(upper)) => write!(f, "<{upper}"),
            (lower, upper) => {
                f.write_str(if matches!(lower, Bound::Excluded(_)) { "{" } else { "[" })?;
                end(f, lower)?;
                f.write_str(" TO ")?;
                end(f, upper)?;
                f.write_str(if matches!(upper, Bound::Excluded(_)) { "}" } else { "]" })
            }
        }
    }
}

fn end(f: &mut fmt::Formatter<'_>, bound: &Bound<Operand>) -> fmt::Result {
    match bound {
        Bound::Included(operand) | Bound::Excluded(operand) => write!(f, "{operand}"),
        Bound::Unbounded => f.write_str("*"),
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Time { text, .. } | Self::Text(text) => quoted(f, text),
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}
