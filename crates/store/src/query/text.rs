//! What a word is and what lower case is, on which all search of text stands.
//!
//! A word is a maximal run of alphanumeric characters (Unicode's `Alphabetic`, `Nd`, `Nl` and `No`). Each
//! character is lowered on its own by Unicode's simple mapping, and the final sigma is a sigma. Lowering
//! never makes a separator of a word's character or the other way round, so the words of a lowered text are
//! the lowered words of the text.

/// Keeps the memory in which texts are lowered.
#[derive(Debug, Default)]
pub struct LowerBuffer {
    bytes: Vec<u8>,
}

/// Texts of up to this many bytes are lowered without an allocation.
const SHORT_TEXT: usize = 512;

impl LowerBuffer {
    /// The text in lower case: UTF-8, valid until the next call.
    pub fn lower(&mut self, text: &str) -> &[u8] {
        self.bytes.clear();
        append_lowered(text, &mut self.bytes);
        &self.bytes
    }
}

/// Appends the text in lower case. ASCII keeps its length, other characters may not.
pub fn append_lowered(text: &str, lowered: &mut Vec<u8>) {
    if text.is_ascii() {
        let start = lowered.len();
        lowered.extend_from_slice(text.as_bytes());
        lowered[start..].make_ascii_lowercase();
        return;
    }
    lowered.reserve(text.len());
    for c in text.chars().map(lower_char) {
        lowered.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Calls `each` with every word of the text, in order and in lower case.
pub fn tokens(text: &str, mut each: impl FnMut(&str)) {
    if !text.is_ascii() {
        return lower(text).split(|c| !is_word(c)).filter(|word| !word.is_empty()).for_each(each);
    }
    if !text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return ascii_words(text, &mut each);
    }
    let mut short = [0; SHORT_TEXT];
    match short.get_mut(..text.len()) {
        Some(lowered) => {
            lowered.copy_from_slice(text.as_bytes());
            lowered.make_ascii_lowercase();
            ascii_words(str::from_utf8(lowered).expect("it is ASCII"), &mut each);
        }
        None => ascii_words(&text.to_ascii_lowercase(), &mut each),
    }
}

/// The words of a text of ASCII without capitals. Every event's every text comes this way when it is stored,
/// so it looks at 64 bytes at a time and has no branch per byte.
fn ascii_words(text: &str, each: &mut impl FnMut(&str)) {
    let (blocks, rest) = text.as_bytes().as_chunks::<64>();
    let mut last = [0; 64];
    last[..rest.len()].copy_from_slice(rest);
    let mut open: Option<usize> = None;
    let mut carry = 0;
    for (index, block) in blocks.iter().chain([&last]).enumerate() {
        let inside = word_bits(block);
        let mut edges = inside ^ ((inside << 1) | carry);
        carry = inside >> 63;
        while edges != 0 {
            let at = index * 64 + edges.trailing_zeros() as usize;
            edges &= edges - 1;
            match open.take() {
                Some(start) => each(&text[start..at]),
                None => open = Some(at),
            }
        }
    }
    // The last block has room behind the text, so no word is left open.
}

/// Bit `n` says whether byte `n` is a lower-case letter or a digit.
fn word_bits(block: &[u8; 64]) -> u64 {
    // Moves the lowest bits of eight bytes into the topmost byte, in order.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let flags = block.map(|byte| u8::from(byte.is_ascii_lowercase() | byte.is_ascii_digit()));
    let (eights, _) = flags.as_chunks::<8>();
    eights
        .iter()
        .rev()
        .fold(0, |bits, eight| bits << 8 | u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56)
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric()
}

pub(super) fn lower(text: &str) -> String {
    text.chars().map(lower_char).collect()
}

/// Unicode has one lower-case mapping of more than one character, that of `İ`; its first, `i`, is the simple
/// mapping.
fn lower_char(c: char) -> char {
    match c {
        'ς' => 'σ',
        _ if c.is_ascii() => c.to_ascii_lowercase(),
        _ => c.to_lowercase().next().unwrap_or(c),
    }
}

/// Whether no word goes on from before `at` to behind it. `text` is UTF-8 and `at` between two characters.
pub(super) fn is_boundary(text: &[u8], at: usize) -> bool {
    let inside = at > 0
        && at < text.len()
        && char_at(text, previous_char(text, at)).is_some_and(is_word)
        && char_at(text, at).is_some_and(is_word);
    !inside
}

pub(super) fn char_at(text: &[u8], at: usize) -> Option<char> {
    let first = *text.get(at)?;
    if first.is_ascii() {
        return Some(char::from(first));
    }
    str::from_utf8(&text[at..next_char(text, at)]).ok()?.chars().next()
}

/// Where the character after the one at `at` starts.
pub(super) fn next_char(text: &[u8], at: usize) -> usize {
    let continuations = text.iter().skip(at + 1).take_while(|byte| is_continuation(**byte)).count();
    at + 1 + continuations
}

/// Where the character before `at`, which is not 0, starts.
pub(super) fn previous_char(text: &[u8], at: usize) -> usize {
    let continuations = text[..at].iter().rev().take_while(|byte| is_continuation(**byte)).count();
    at.saturating_sub(1 + continuations)
}

const fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        tokens(text, |word| words.push(word.to_owned()));
        words
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        let check = |text: &str, expected: &[&str]| assert_eq!(words(text), expected, "{text}");
        check("", &[]);
        check(" .-_ ", &[]);
        check("Connection timed-out", &["connection", "timed", "out"]);
        check("user_name=Jo.Ann", &["user", "name", "jo", "ann"]);
        check("10.251.73.220:80", &["10", "251", "73", "220", "80"]);
        check("Größe ÄÖÜ", &["größe", "äöü"]);
        check("ΟΔΟΣ οδος", &["οδοσ", "οδοσ"]);
        check("東京、大阪", &["東京", "大阪"]);
        check("İstanbul", &["istanbul"]);
        check("a\u{301}b", &["a", "b"]);
        check("½ ² Ⅷ", &["½", "²", "ⅷ"]);
        for length in [63, 64, 65, 127, 128, 129, 511, 512, 513] {
            check(&"A".repeat(length), &[&"a".repeat(length)]);
            check(&format!("{} b", "a".repeat(length)), &[&"a".repeat(length), "b"]);
            check(&format!("{}b", " ".repeat(length)), &["b"]);
        }
    }

    #[test]
    fn lowering_is_stable_and_keeps_words_whole() {
        for c in '\0'..=char::MAX {
            let lowered = lower_char(c);
            assert_eq!(lower_char(lowered), lowered, "{c:?}");
            assert_eq!(is_word(lowered), is_word(c), "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn tokens_agree_with_a_split(text in "\\PC{0,40}|[ -~]{0,200}|[a-z0-9 ]{0,200}") {
            let runs = text.split(|c: char| !c.is_alphanumeric());
            let expected: Vec<String> = runs.filter(|word| !word.is_empty()).map(lower).collect();
            prop_assert_eq!(words(&text), expected);
        }

        #[test]
        fn both_ways_of_lowering_agree(text in "\\PC{0,40}") {
            let (mut buffer, expected) = (LowerBuffer::default(), lower(&text));
            prop_assert_eq!(buffer.lower(&text), expected.as_bytes());
        }
    }
}
