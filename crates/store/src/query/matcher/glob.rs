use memchr::memmem::Finder;

use crate::query::ast::WildcardPart;
use crate::query::text::{is_boundary, next_char, previous_char};

/// A wildcard, cut at its runs: pieces that must follow one another with anything between them.
///
/// The leftmost place of a piece is also the one that ends first, so taking it leaves the most room for the
/// pieces behind and no place has to be tried twice.
#[derive(Debug, Clone)]
pub(super) struct Glob {
    pieces: Vec<Piece>,
    start: End,
    end: End,
}

/// What a wildcard asks of one of its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// No word may be cut there.
    Whole,
    /// Anything may be there.
    Open,
}

/// Texts and single characters in a row.
#[derive(Debug, Clone)]
struct Piece {
    /// Characters before the first text.
    lead: usize,
    /// The first text; empty if the piece has none.
    text: Finder<'static>,
    rest: Vec<WildcardPart>,
}

impl Glob {
    pub(super) fn new(parts: &[WildcardPart]) -> Self {
        let end = |part: Option<&WildcardPart>| match part {
            Some(WildcardPart::AnyRun) => End::Open,
            _ => End::Whole,
        };
        let pieces = parts.split(|part| *part == WildcardPart::AnyRun);
        Self {
            pieces: pieces.filter(|piece| !piece.is_empty()).map(Piece::new).collect(),
            start: end(parts.first()),
            end: end(parts.last()),
        }
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let mut from = 0;
        for (index, piece) in self.pieces.iter().enumerate() {
            let start = if index == 0 { self.start } else { End::Open };
            let end = if index + 1 == self.pieces.len() { self.end } else { End::Open };
            match piece.find(text, from, start, end) {
                Some(after) => from = after,
                None => return false,
            }
        }
        true
    }
}

impl Piece {
    fn new(parts: &[WildcardPart]) -> Self {
        let is_text = |part: &WildcardPart| matches!(part, WildcardPart::Text(_));
        let lead = parts.iter().position(is_text);
        let (lead, text, rest) = match lead.map(|lead| (lead, &parts[lead], &parts[lead + 1..])) {
            Some((lead, WildcardPart::Text(text), rest)) => (lead, text.as_str(), rest),
            _ => (0, "", parts),
        };
        Self { lead, text: Finder::new(text).into_owned(), rest: rest.to_vec() }
    }

    /// Where the leftmost place of the piece at or behind `from` ends.
    fn find(&self, text: &[u8], from: usize, start: End, end: End) -> Option<usize> {
        let mut at = from;
        while at <= text.len() {
            let hit = at + self.text.find(&text[at..])?;
            if let Some((first, after)) = self.extent(text, from, hit)
                && (start == End::Open || is_boundary(text, first))
                && (end == End::Open || is_boundary(text, after))
            {
                return Some(after);
            }
            at = next_char(text, hit);
        }
        None
    }

    /// Start and end of the piece if its first text is at `hit`.
    fn extent(&self, text: &[u8], from: usize, hit: usize) -> Option<(usize, usize)> {
        let mut first = hit;
        for _ in 0..self.lead {
            if first == from {
                return None;
            }
            first = previous_char(text, first);
        }
        let mut after = hit + self.text.needle().len();
        for part in &self.rest {
            let rest = text.get(after..).filter(|rest| !rest.is_empty())?;
            after += match part {
                WildcardPart::Text(literal) if rest.starts_with(literal.as_bytes()) => literal.len(),
                WildcardPart::AnyCharacter => next_char(rest, 0),
                WildcardPart::Text(_) | WildcardPart::AnyRun => return None,
            };
        }
        Some((first, after))
    }
}
