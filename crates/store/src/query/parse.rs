//! ```text
//! query   = [ or ]
//! or      = and { "OR" and }
//! and     = not { [ "AND" ] not }
//! not     = { "NOT" | "-" | "!" } ( "(" or ")" | leaf )
//! leaf    = [ field ":" ] value
//! value   = "*" | text | quoted | compare operand | "=" operand | range | "(" or ")"
//! compare = ">" | ">=" | "<" | "<="
//! range   = ( "[" | "{" ) operand "TO" operand ( "]" | "}" )
//! ```
//!
//! All values but the first three need a field. Below `field:(`, leaves have no field of their own.

mod cursor;
mod term;

use std::ops::Bound;

use super::ast::{Expr, FieldPath, Leaf, Operand, Range, Test};
use super::error::QueryParseError;

use self::cursor::Cursor;
use self::term::{Colon, Text};

/// The longest query, in bytes.
pub const MAX_BYTES: usize = 8 * 1024;
/// The most words, phrases, comparisons and so on of a query.
pub const MAX_TERMS: usize = 256;
/// The most parentheses in parentheses.
pub const MAX_DEPTH: usize = 32;
/// The most wildcards `?`. Each of them may cost a step at each character of a text.
pub const MAX_ANY_CHARACTERS: usize = 64;

const TERM: &str = "a word, a quoted text, `field:value` or `(`";
const VALUE: &str = "a value directly behind the colon (a text with a colon in it needs quotes)";
const OPERAND: &str = "a value to compare with, directly behind the operator";

type Parsed<T> = Result<T, QueryParseError>;

struct Parser {
    cursor: Cursor,
    n_terms: usize,
    n_any_characters: usize,
    depth: usize,
}

pub(super) fn parse(text: &str) -> Parsed<Expr> {
    if text.len() > MAX_BYTES {
        return Err(QueryParseError {
            column: 1,
            expected: format!("a query of at most {MAX_BYTES} bytes"),
            found: format!("{} bytes", text.len()),
        });
    }
    let mut parser = Parser { cursor: Cursor::new(text), n_terms: 0, n_any_characters: 0, depth: 0 };
    parser.cursor.skip_space();
    if parser.cursor.is_at_end() {
        return Ok(Expr::All);
    }
    let expr = parser.or(None)?;
    if parser.cursor.is_at_end() { Ok(expr) } else { Err(parser.cursor.error("a `(` before this")) }
}

impl Parser {
    /// Ends before a `)` or at the end.
    fn or(&mut self, field: Option<&FieldPath>) -> Parsed<Expr> {
        let mut branches = vec![self.and(field)?];
        while self.cursor.eat_keyword("OR") {
            branches.push(self.and(field)?);
        }
        Ok(Expr::or(branches))
    }

    fn and(&mut self, field: Option<&FieldPath>) -> Parsed<Expr> {
        let mut parts = vec![self.not(field)?];
        loop {
            self.cursor.skip_space();
            if self.cursor.is_at_end() || self.cursor.peek() == Some(')') || self.cursor.is_keyword("OR") {
                return Ok(Expr::and(parts));
            }
            self.cursor.eat_keyword("AND");
            parts.push(self.not(field)?);
        }
    }

    fn not(&mut self, field: Option<&FieldPath>) -> Parsed<Expr> {
        let mut n_negations = 0;
        loop {
            self.cursor.skip_space();
            if self.cursor.eat_keyword("NOT") {
                n_negations += 1;
            } else if let Some(sign @ ('-' | '!')) = self.cursor.peek() {
                if self.cursor.peek_second().is_none_or(char::is_whitespace) {
                    let expected = format!("what to exclude directly behind `{sign}` (or quotes around it)");
                    return Err(self.cursor.error(expected));
                }
                self.cursor.advance();
                n_negations += 1;
            } else {
                break;
            }
        }
        let expr = self.primary(field)?;
        Ok(if n_negations % 2 == 0 { expr } else { expr.negated() })
    }

    fn primary(&mut self, field: Option<&FieldPath>) -> Parsed<Expr> {
        let cursor = &mut self.cursor;
        if cursor.is_at_end()
            || cursor.peek() == Some(')')
            || ["OR", "AND"].iter().any(|word| cursor.is_keyword(word))
        {
            return Err(cursor.error(TERM));
        }
        if cursor.peek() == Some('(') {
            return self.group(field);
        }
        match field {
            Some(field) => self.value(field, Colon::Refused),
            None => self.leaf(),
        }
    }

    fn group(&mut self, field: Option<&FieldPath>) -> Parsed<Expr> {
        if self.depth == MAX_DEPTH {
            return Err(self.cursor.error(format!("at most {MAX_DEPTH} parentheses in each other")));
        }
        self.cursor.advance();
        self.depth += 1;
        let expr = self.or(field)?;
        self.depth -= 1;
        self.cursor.skip_space();
        if !self.cursor.eat(')') {
            return Err(self.cursor.error("`)`"));
        }
        Ok(expr)
    }

    fn leaf(&mut self) -> Parsed<Expr> {
        let start = self.cursor.position();
        let text = self.text(Colon::Ends)?;
        if self.cursor.eat(':') {
            let field = self.field(start, &text)?;
            return self.value(&field, Colon::Kept);
        }
        if let Some(operator @ (">" | ">=" | "<" | "<=" | "=" | "==")) = text.plain() {
            let expected = "a field directly before the operator, as in `status:>=500`";
            return Err(self.cursor.error_at(start, expected, format!("`{operator}`")));
        }
        self.term(start, None, &text)
    }

    fn field(&self, start: usize, text: &Text) -> Parsed<FieldPath> {
        match text.literal() {
            Some("") if !text.is_quoted() => Err(self.cursor.error_at(
                start,
                "a field before the colon, or quotes around a text with a colon in it",
                "`:`",
            )),
            Some(path) => Ok(FieldPath::new(path)),
            None => Err(self.cursor.error_at(
                start,
                "the name of one field; a `*` or `?` that is part of the name needs a `\\` before it",
                "a wildcard",
            )),
        }
    }

    fn value(&mut self, field: &FieldPath, colon: Colon) -> Parsed<Expr> {
        let start = self.cursor.position();
        match self.cursor.peek() {
            None | Some(')') => Err(self.cursor.error(VALUE)),
            Some(c) if c.is_whitespace() => Err(self.cursor.error(VALUE)),
            Some('(') => self.group(Some(field)),
            Some('[' | '{') => {
                let range = self.range()?;
                let is_open = matches!((&range.lower, &range.upper), (Bound::Unbounded, Bound::Unbounded));
                let test = if is_open { Test::Exists } else { Test::Range(range) };
                self.test(start, Some(field), test)
            }
            Some('>' | '<') => {
                let range = self.comparison()?;
                self.test(start, Some(field), Test::Range(range))
            }
            Some('=') => {
                self.cursor.advance();
                let text = self.operand(Colon::Kept)?;
                self.test(start, Some(field), Test::Exact(text.verbatim()))
            }
            Some('/') if self.cursor.peek_second() == Some('/') => {
                Err(self.cursor.error("a value; a URL needs quotes"))
            }
            Some(_) => {
                let text = self.text(colon)?;
                self.term(start, Some(field), &text)
            }
        }
    }

    fn comparison(&mut self) -> Parsed<Range> {
        let is_greater = self.cursor.eat('>');
        if !is_greater {
            self.cursor.advance();
        }
        let is_inclusive = self.cursor.eat('=');
        let operand = Operand::new(&self.operand(Colon::Kept)?.verbatim());
        let bound = if is_inclusive { Bound::Included(operand) } else { Bound::Excluded(operand) };
        Ok(if is_greater {
            Range { lower: bound, upper: Bound::Unbounded }
        } else {
            Range { lower: Bound::Unbounded, upper: bound }
        })
    }

    fn range(&mut self) -> Parsed<Range> {
        let includes_lower = self.cursor.eat('[');
        if !includes_lower {
            self.cursor.advance();
        }
        let lower = self.range_end()?;
        if !self.cursor.eat_keyword("TO") {
            return Err(self.cursor.error("`TO` between spaces, as in `[10 TO 20]`"));
        }
        let upper = self.range_end()?;
        self.cursor.skip_space();
        let includes_upper = self.cursor.eat(']');
        if !includes_upper && !self.cursor.eat('}') {
            return Err(self.cursor.error("`]` or `}`"));
        }
        self.end_of_text()?;
        let bound = |operand: Option<Operand>, is_inclusive| match operand {
            None => Bound::Unbounded,
            Some(operand) if is_inclusive => Bound::Included(operand),
            Some(operand) => Bound::Excluded(operand),
        };
        Ok(Range { lower: bound(lower, includes_lower), upper: bound(upper, includes_upper) })
    }

    fn range_end(&mut self) -> Parsed<Option<Operand>> {
        self.cursor.skip_space();
        if matches!(self.cursor.peek(), Some(']' | '}')) || self.cursor.is_keyword("TO") {
            return Err(self.cursor.error("an end of the range, `*` for none"));
        }
        let text = self.operand(Colon::InRange)?;
        Ok(if text.is_everything() { None } else { Some(Operand::new(&text.verbatim())) })
    }

    /// A text in which `*` and `?` are no wildcards.
    fn operand(&mut self, colon: Colon) -> Parsed<Text> {
        match self.cursor.peek() {
            None | Some('(' | ')') => Err(self.cursor.error(OPERAND)),
            Some(c) if c.is_whitespace() => Err(self.cursor.error(OPERAND)),
            Some(_) => self.text(colon),
        }
    }

    fn term(&mut self, start: usize, field: Option<&FieldPath>, text: &Text) -> Parsed<Expr> {
        if text.is_everything() && field.is_none() {
            self.count_term(start)?;
            return Ok(Expr::All);
        }
        match text.test() {
            Some(test) => self.test(start, field, test),
            None => Err(self.cursor.error_at(
                start,
                "a text between the quotes (`field:=\"\"` finds empty texts)",
                "`\"\"`",
            )),
        }
    }

    fn test(&mut self, start: usize, field: Option<&FieldPath>, test: Test) -> Parsed<Expr> {
        self.count_term(start)?;
        Ok(Expr::Leaf(Leaf { field: field.cloned(), test }))
    }

    fn count_term(&mut self, start: usize) -> Parsed<()> {
        if self.n_terms == MAX_TERMS {
            let expected = format!("at most {MAX_TERMS} terms");
            return Err(self.cursor.error_at(start, expected, "one more"));
        }
        self.n_terms += 1;
        Ok(())
    }

    /// At a `?`.
    fn count_any_character(&mut self) -> Parsed<()> {
        if self.n_any_characters == MAX_ANY_CHARACTERS {
            return Err(self.cursor.error(format!("at most {MAX_ANY_CHARACTERS} wildcards `?`")));
        }
        self.n_any_characters += 1;
        Ok(())
    }
}
