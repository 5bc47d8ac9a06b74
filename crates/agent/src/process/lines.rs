//! Lines in what was read of a file.

/// A line, and how many bytes it took with its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Without its end, `\n` or `\r\n`.
    pub(crate) text: &'a [u8],
    pub(crate) used: usize,
}

/// What may come behind what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Anything.
    MayGrow,
    /// Nothing that belongs to the lines that are there: it was waited for long enough.
    Waited,
    /// Nothing: what has no end is a line, too.
    IsAll,
}

/// The first line; none if it has not ended. One that is longer than `most` bytes is cut there, between characters.
pub(crate) fn first(bytes: &[u8], most: usize, rest: Rest) -> Option<Line<'_>> {
    first_cut(bytes, most, rest, boundary)
}

/// The same where every byte is a character.
pub(crate) fn first_of_bytes(bytes: &[u8], most: usize, rest: Rest) -> Option<Line<'_>> {
    first_cut(bytes, most, rest, |_, at| at)
}

/// One that is too long is cut where `cut` says, at or before `most`.
#[inline]
fn first_cut(
    bytes: &[u8],
    most: usize,
    rest: Rest,
    cut: impl FnOnce(&[u8], usize) -> usize,
) -> Option<Line<'_>> {
    // The end may be right behind a line as long as may be.
    let within = bytes.get(..most.saturating_add(1)).unwrap_or(bytes);
    if let Some(end) = memchr::memchr(b'\n', within) {
        let (text, _) = within.split_at(end);
        return Some(Line { text: text.strip_suffix(b"\r").unwrap_or(text), used: end + 1 });
    }
    if bytes.len() > most {
        let end = cut(bytes, most);
        return Some(Line { text: bytes.get(..end)?, used: end });
    }
    (rest == Rest::IsAll && !bytes.is_empty()).then_some(Line { text: bytes, used: bytes.len() })
}

/// The last place at or before `at` that is not inside of a character, if there is one near.
fn boundary(bytes: &[u8], at: usize) -> usize {
    let is_inside = |place: usize| bytes.get(place).is_some_and(|byte| byte & 0xc0 == 0x80);
    (at.saturating_sub(3)..=at).rev().find(|place| *place > 0 && !is_inside(*place)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &str, most: usize, rest: Rest, expected: &[&str]) {
        let (mut left, mut found) = (bytes.as_bytes(), Vec::new());
        while let Some(line) = first(left, most, rest) {
            assert!(line.used > 0);
            found.push(std::str::from_utf8(line.text).expect("it is cut between characters"));
            left = &left[line.used..];
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn lines_end_where_they_say() {
        check("a\nbc\n", 10, Rest::MayGrow, &["a", "bc"]);
        check("a\r\n\r\n\n", 10, Rest::MayGrow, &["a", "", ""]);
        check("a\nbc", 10, Rest::MayGrow, &["a"]);
        check("a\nbc", 10, Rest::IsAll, &["a", "bc"]);
        check("", 10, Rest::IsAll, &[]);
        check("a\rb\n", 10, Rest::MayGrow, &["a\rb"]);
    }

    #[test]
    fn a_long_line_becomes_several() {
        check("abcdef\ng\n", 3, Rest::MayGrow, &["abc", "def", "g"]);
        check("abc\n", 3, Rest::MayGrow, &["abc"]);
        check("abcd", 3, Rest::MayGrow, &["abc"]);
        check("aé", 2, Rest::IsAll, &["a", "é"]);
        check("ééé\n", 3, Rest::MayGrow, &["é", "é", "é"]);
        check("€€\n", 3, Rest::MayGrow, &["€", "€"]);
    }

    #[test]
    fn no_byte_is_lost_or_seen_twice() {
        for most in 1..8 {
            for length in 0..40_usize {
                let bytes: Vec<u8> =
                    (0..length).map(|n| [b'x', b'\n', 0xff, 0x80, b'\r'][n * n % 5]).collect();
                let mut used = 0;
                while let Some(line) = first(&bytes[used..], most, Rest::IsAll) {
                    assert!(line.used > 0 && line.text.len() <= most);
                    used += line.used;
                }
                assert_eq!(used, length);
            }
        }
    }
}
