use crate::json::{JsonError, JsonProblem, LoneSurrogate};

/// A string that was read: where it is in the text, or `None` if it had to be unescaped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    pub(super) plain: Option<(usize, usize)>,
    /// The offset after the closing quote.
    pub(super) after: usize,
}

/// Reads the string whose opening quote is at `quote`. Escape sequences are resolved into `unescaped`, which
/// must be empty.
#[inline]
pub(super) fn read(
    text: &str,
    quote: usize,
    lone_surrogate: LoneSurrogate,
    unescaped: &mut String,
) -> Result<Text, JsonError> {
    let start = quote + 1;
    let end = start + plain_length(bytes_from(text, start));
    match text.as_bytes().get(end) {
        Some(b'"') => Ok(Text { plain: Some((start, end)), after: end + 1 }),
        _ => Unescaper { text, at: end, lone_surrogate, out: unescaped }.run(start),
    }
}

struct Unescaper<'a> {
    text: &'a str,
    at: usize,
    lone_surrogate: LoneSurrogate,
    out: &'a mut String,
}

impl Unescaper<'_> {
    /// `self.at` is at the first byte that is not plain.
    fn run(mut self, start: usize) -> Result<Text, JsonError> {
        let mut plain_from = start;
        loop {
            self.out.push_str(self.text.get(plain_from..self.at).unwrap_or_default());
            match self.text.as_bytes().get(self.at) {
                Some(b'"') => return Ok(Text { plain: None, after: self.at + 1 }),
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.error(self.at, JsonProblem::ControlCharacter)),
                None => return Err(self.error(self.at, JsonProblem::Truncated)),
            }
            plain_from = self.at;
            self.at += plain_length(bytes_from(self.text, self.at));
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        let character = match self.text.as_bytes().get(start + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            Some(_) => return Err(self.error(start, JsonProblem::Escape)),
            None => return Err(self.error(start + 1, JsonProblem::Truncated)),
        };
        self.out.push(character);
        self.at = start + 2;
        Ok(())
    }

    fn unicode_escape(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        let high = self.code_unit(start)?;
        self.at = start + 6;
        let character = match high {
            0xD800..0xDC00 => self.low_surrogate(high),
            _ => char::from_u32(high),
        };
        match (character, self.lone_surrogate) {
            (Some(character), _) => self.out.push(character),
            (None, LoneSurrogate::Replace) => self.out.push(char::REPLACEMENT_CHARACTER),
            (None, LoneSurrogate::Refuse) => return Err(self.error(start, JsonProblem::LoneSurrogate)),
        }
        Ok(())
    }

    /// The second half of a pair, if it comes next.
    fn low_surrogate(&mut self, high: u32) -> Option<char> {
        let start = self.at;
        if !bytes_from(self.text, start).starts_with(b"\\u") {
            return None;
        }
        match self.code_unit(start) {
            Ok(low @ 0xDC00..0xE000) => {
                self.at = start + 6;
                char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00))
            }
            _ => None,
        }
    }

    /// The four digits of the `\u` sequence at `start`.
    fn code_unit(&self, start: usize) -> Result<u32, JsonError> {
        let digits = bytes_from(self.text, start + 2).first_chunk::<4>();
        let digits = digits.ok_or(self.error(self.text.len(), JsonProblem::Truncated))?;
        let mut unit = 0;
        for digit in digits {
            let digit = char::from(*digit).to_digit(16).ok_or(self.error(start, JsonProblem::Escape))?;
            unit = unit << 4 | digit;
        }
        Ok(unit)
    }

    #[cold]
    fn error(&self, at: usize, problem: JsonProblem) -> JsonError {
        JsonError { at, problem }
    }
}

fn bytes_from(text: &str, start: usize) -> &[u8] {
    text.as_bytes().get(start..).unwrap_or_default()
}

/// How many bytes come before the first quote, backslash or control character; all if there is none.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    words.len() * 8 + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// The high bit of each byte that is special. A borrow can mark a byte above such a byte as well, so only
/// the lowest mark means something.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH_BITS: u64 = ONES * 0x80;
    let equals = |byte: u8| {
        let zero_where_equal = word ^ (ONES * u64::from(byte));
        zero_where_equal.wrapping_sub(ONES) & !zero_where_equal
    };
    let is_control = word.wrapping_sub(ONES * 0x20) & !word;
    (equals(b'"') | equals(b'\\') | is_control) & HIGH_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_is() {
        for special in (0..=255).filter(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
            for length in 0..20 {
                for (other, after) in [(b'a', special), (0xff, b'"'), (0x7f, b'!'), (b' ', 0x80), (0x80, 0)] {
                    let mut bytes = vec![other; length];
                    bytes.push(special);
                    bytes.extend([after; 9]);
                    assert_eq!(plain_length(&bytes), length, "{special} after {length} of {other}");
                }
            }
        }
        assert_eq!(plain_length("käse und brot, \u{7f}!#[]".as_bytes()), 21);
    }
}
