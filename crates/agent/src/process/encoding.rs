//! How the bytes of a file are text.

use std::borrow::Cow;

use encoding_rs::{Encoding as Legacy, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE};

use super::lines::{self, Line, Rest};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    #[default]
    Utf8,
    Utf16(Endian),
    /// One in which the byte of a line feed is nothing else.
    Legacy(&'static Legacy),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endian {
    Little,
    Big,
}

/// Text, and whether bytes of it were no text and were replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoded<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) mended: bool,
}

impl Encoding {
    /// By a name of <https://encoding.spec.whatwg.org/#names-and-labels>; none if there is no such encoding.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let found = Legacy::for_label(name.as_bytes()).filter(|found| *found != REPLACEMENT)?;
        Some(if found == UTF_8 {
            Self::Utf8
        } else if found == UTF_16LE {
            Self::Utf16(Endian::Little)
        } else if found == UTF_16BE {
            Self::Utf16(Endian::Big)
        } else {
            Self::Legacy(found)
        })
    }

    /// How many bytes the mark of the encoding has with which a file may begin.
    pub(crate) fn mark(self, beginning: &[u8]) -> usize {
        let mark: &[u8] = match self {
            Self::Utf8 => b"\xef\xbb\xbf",
            Self::Utf16(Endian::Little) => b"\xff\xfe",
            Self::Utf16(Endian::Big) => b"\xfe\xff",
            Self::Legacy(_) => b"",
        };
        if beginning.starts_with(mark) { mark.len() } else { 0 }
    }

    /// The first line, as [`lines::first`] has it.
    pub(crate) fn first(self, bytes: &[u8], most: usize, rest: Rest) -> Option<Line<'_>> {
        match self {
            Self::Utf8 => lines::first(bytes, most, rest),
            Self::Utf16(endian) => first_of_units(bytes, most, rest, endian),
            Self::Legacy(_) => lines::first_of_bytes(bytes, most, rest),
        }
    }

    pub(crate) fn decode(self, bytes: &[u8]) -> Decoded<'_> {
        let (text, mended) = match self {
            Self::Utf8 => {
                let text = String::from_utf8_lossy(bytes);
                let mended = matches!(text, Cow::Owned(_));
                (text, mended)
            }
            Self::Utf16(Endian::Little) => UTF_16LE.decode_without_bom_handling(bytes),
            Self::Utf16(Endian::Big) => UTF_16BE.decode_without_bom_handling(bytes),
            Self::Legacy(legacy) => legacy.decode_without_bom_handling(bytes),
        };
        Decoded { text, mended }
    }
}

/// The first line of UTF-16, of which there are whole units before it.
fn first_of_units(bytes: &[u8], most: usize, rest: Rest, endian: Endian) -> Option<Line<'_>> {
    let unit = |byte: u8| match endian {
        Endian::Little => [byte, 0],
        Endian::Big => [0, byte],
    };
    let most = (most & !1).max(2);
    let within = bytes.get(..most + 2).unwrap_or(bytes);
    for at in memchr::memchr_iter(b'\n', within) {
        let (text, end) = within.split_at(at & !1);
        if end.starts_with(&unit(b'\n')) {
            let text = text.strip_suffix(&unit(b'\r')).unwrap_or(text);
            return Some(Line { text, used: (at & !1) + 2 });
        }
    }
    if bytes.len() > most {
        let high = match endian {
            Endian::Little => bytes.get(most - 1),
            Endian::Big => bytes.get(most - 2),
        };
        let is_half_a_pair = high.is_some_and(|byte| byte & 0xfc == 0xd8) && most > 2;
        let end = if is_half_a_pair { most - 2 } else { most };
        return Some(Line { text: bytes.get(..end)?, used: end });
    }
    (rest == Rest::IsAll && !bytes.is_empty()).then_some(Line { text: bytes, used: bytes.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_have_names() {
        let check =
            |name: &str, expected: Option<Encoding>| assert_eq!(Encoding::named(name), expected, "{name}");
        check("utf-8", Some(Encoding::Utf8));
        check("UTF-16LE", Some(Encoding::Utf16(Endian::Little)));
        check("utf-16be", Some(Encoding::Utf16(Endian::Big)));
        check("latin1", Some(Encoding::Legacy(encoding_rs::WINDOWS_1252)));
        check("shift_jis", Some(Encoding::Legacy(encoding_rs::SHIFT_JIS)));
        check("klingon", None);
        check("", None);
        check("iso-2022-kr", None);
    }

    /// The lines of bytes, decoded.
    #[track_caller]
    fn check(name: &str, bytes: &[u8], most: usize, expected: &[&str]) {
        let encoding = Encoding::named(name).expect("there is one");
        let mut left = &bytes[encoding.mark(bytes)..];
        let mut found = Vec::new();
        while let Some(line) = encoding.first(left, most, Rest::IsAll) {
            assert!(line.used > 0 && line.text.len() <= most);
            let Decoded { text, mended } = encoding.decode(line.text);
            assert_eq!(mended, text.contains('\u{fffd}'));
            found.push(text.into_owned());
            left = &left[line.used..];
        }
        assert_eq!(found, expected, "{name} {bytes:?}");
    }

    fn utf16(text: &str, endian: Endian) -> Vec<u8> {
        let bytes = |unit: u16| match endian {
            Endian::Little => unit.to_le_bytes(),
            Endian::Big => unit.to_be_bytes(),
        };
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn lines_are_found_in_each() {
        check("utf-8", b"\xef\xbb\xbfa\r\n\xff\n", 10, &["a", "\u{fffd}"]);
        check("latin1", b"Gr\xfc\xdfe\r\n\x80\n", 10, &["Grüße", "€"]);
        check("shift_jis", b"\x83\x5c\n\x83\n", 10, &["ソ", "\u{fffd}"]);
        for (name, endian) in [("utf-16le", Endian::Little), ("utf-16be", Endian::Big)] {
            // U+0A0D, U+0D0A and U+010A have the bytes of ends in them.
            let text = "\u{feff}one\r\n\u{a0d}\u{d0a}\u{10a}\n\n😀😀 end";
            check(name, &utf16(text, endian), 100, &["one", "\u{a0d}\u{d0a}\u{10a}", "", "😀😀 end"]);
            check(name, &utf16("a😀b", endian), 4, &["a", "😀", "b"]);
            check(name, &utf16("abc\nd", endian), 6, &["abc", "d"]);
            check(name, &utf16("abc\nd", endian), 5, &["ab", "c", "d"]);
            let mut odd = utf16("ab", endian);
            odd.push(b'x');
            check(name, &odd, 100, &["ab\u{fffd}"]);
        }
    }
}
