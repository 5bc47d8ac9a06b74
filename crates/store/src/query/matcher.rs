mod glob;

use memchr::memmem::Finder;

use self::glob::Glob;
use super::ast::{Pattern, WildcardPart};
use super::text::{LowerBuffer, is_boundary, is_word, next_char, tokens};

/// Finds a [`Pattern`] in strings. Made once per query, used for any number of strings and threads.
///
/// "Lowered" is what [`append_lowered`](super::append_lowered) makes of one whole string.
#[derive(Debug, Clone)]
pub struct TextMatcher {
    finder: Finder<'static>,
    shape: Shape,
    tokens: Vec<String>,
}

#[derive(Debug, Clone)]
enum Shape {
    /// The needle, where no word is cut at its ends. Behind a place where one is, `stride` bytes need no
    /// further look.
    Literal { stride: usize },
    /// More than the needle says.
    Glob(Glob),
}

impl TextMatcher {
    /// Compiles a pattern.
    #[must_use]
    pub fn new(pattern: &Pattern) -> Self {
        match pattern {
            Pattern::Word(text) | Pattern::Phrase(text) => Self {
                finder: Finder::new(text).into_owned(),
                shape: Shape::Literal { stride: stride(text) },
                tokens: whole_words(&[WildcardPart::Text(text.clone())]),
            },
            Pattern::Wildcard(wildcard) => Self {
                finder: Finder::new(longest_text(wildcard.parts())).into_owned(),
                shape: Shape::Glob(Glob::new(wildcard.parts())),
                tokens: whole_words(wildcard.parts()),
            },
        }
    }

    /// Whether the pattern is in a string.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.matches_lowered(LowerBuffer::default().lower(text))
    }

    /// Whether the pattern is in a lowered string.
    #[must_use]
    pub fn matches_lowered(&self, lowered: &[u8]) -> bool {
        self.matches_from(lowered, 0)
    }

    /// Calls `each` with the number of every string in which the pattern is, in order. String `n` is
    /// `lowered[ends[n - 1]..ends[n]]`, the first one starting at 0.
    pub fn matches_in_buffer(&self, lowered: &[u8], ends: &[usize], mut each: impl FnMut(usize)) {
        if self.needle().is_empty() {
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let texts = starts.zip(ends).map(|(start, end)| &lowered[start..*end]).enumerate();
            return texts.filter(|(_, text)| self.matches_lowered(text)).for_each(|(number, _)| each(number));
        }
        let mut number = 0;
        let mut from = 0;
        while let Some(found) = self.finder.find(&lowered[from..]) {
            let at = from + found;
            number = first_beyond(ends, number, at);
            let Some(end) = ends.get(number).copied() else { return };
            let start = if number == 0 { 0 } else { ends[number - 1] };
            // A hit that reaches into the next string is none, nor can one behind it in this string be.
            if at + self.needle().len() <= end && self.matches_from(&lowered[start..end], at - start) {
                each(number);
            }
            number += 1;
            from = end;
        }
    }

    /// As `matches_lowered`, if the needle is known not to be before `from`.
    fn matches_from(&self, lowered: &[u8], mut from: usize) -> bool {
        let stride = match &self.shape {
            Shape::Glob(glob) => return glob.matches(lowered),
            Shape::Literal { stride } => *stride,
        };
        while let Some(found) = self.finder.find(&lowered[from..]) {
            let at = from + found;
            if is_boundary(lowered, at) && is_boundary(lowered, at + self.needle().len()) {
                return true;
            }
            from = at + stride;
        }
        false
    }

    /// A part of every lowered string that matches; empty if there is none that is certain.
    #[must_use]
    pub fn needle(&self) -> &[u8] {
        self.finder.needle()
    }

    /// Words that every string that matches has; empty if none is certain.
    #[must_use]
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }
}

/// The first of `ends`, which ascend, beyond `at`; none before `from` is.
fn first_beyond(ends: &[usize], from: usize, at: usize) -> usize {
    let mut low = from;
    let mut step = 1;
    while ends.get(low + step).is_some_and(|end| *end <= at) {
        low += step;
        step *= 2;
    }
    let high = ends.len().min(low + step);
    low + ends[low.min(high)..high].partition_point(|end| *end <= at)
}

/// How far from a hit that cuts a word the next hit can be at the least: a needle that starts with a word
/// can only stand behind a separator, and there is none within that word.
fn stride(needle: &str) -> usize {
    let word: usize = needle.chars().take_while(|c| is_word(*c)).map(char::len_utf8).sum();
    word.max(next_char(needle.as_bytes(), 0))
}

fn longest_text(parts: &[WildcardPart]) -> &[u8] {
    let texts = parts.iter().filter_map(|part| match part {
        WildcardPart::Text(text) => Some(text.as_bytes()),
        WildcardPart::AnyCharacter | WildcardPart::AnyRun => None,
    });
    texts.max_by_key(|text| text.len()).unwrap_or_default()
}

/// The words of the pattern that no gap can make longer.
fn whole_words(parts: &[WildcardPart]) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let WildcardPart::Text(text) = part else { continue };
        let mut certain = text.as_str();
        if index > 0 {
            certain = certain.trim_start_matches(is_word);
        }
        if index + 1 < parts.len() {
            certain = certain.trim_end_matches(is_word);
        }
        tokens(certain, |word| words.push(word.to_owned()));
    }
    words.sort_unstable();
    words.dedup();
    words
}

#[cfg(test)]
mod tests;
