//! Bytes as text: hexadecimal digits and base64url without padding. Each value has one text; others are refused. PEM is
//! for other programs.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

const PEM_LINE: usize = 64;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

pub(crate) fn from_hex<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    let digit =
        |digit: &u8| DIGITS.iter().position(|known| known == digit).and_then(|at| u8::try_from(at).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != LENGTH || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; LENGTH];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

/// RFC 7468. It is wiped, as it may be a key.
pub(crate) fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(BASE64_STANDARD.encode(der));
    // All that is put in, so that it is never moved and left behind.
    let longest = encoded.len() + encoded.len() / PEM_LINE + 2 * label.len() + 64;
    let mut pem = Zeroizing::new(String::with_capacity(longest));
    pem.extend(["-----BEGIN ", label, "-----\n"]);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(PEM_LINE));
        pem.extend([line, "\n"]);
        rest = behind;
    }
    pem.extend(["-----END ", label, "-----\n"]);
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_has_lines() {
        assert_eq!(*pem("A B", b"abc"), "-----BEGIN A B-----\nYWJj\n-----END A B-----\n");
        let lines: Vec<usize> = pem("X", &[0; 97]).lines().map(str::len).collect();
        assert_eq!(lines, [17, 64, 64, 4, 15]);
        assert_eq!(pem("X", &[0; 96]).lines().count(), 4);
    }

    #[test]
    fn a_value_has_one_text() {
        assert_eq!(hex(&[0x00, 0x9f, 0xff]), "009fff");
        assert_eq!(from_hex("009fff"), Some([0x00, 0x9f, 0xff]));
        for other in ["009FFF", "009ff", "009fff0", "009fff00", "009ffg", " 09fff", ""] {
            assert_eq!(from_hex::<3>(other), None, "{other:?}");
        }
        assert_eq!(base64(&[0xff, 0xfe]), "__4");
        assert_eq!(from_base64("__4"), Some(vec![0xff, 0xfe]));
        for other in ["__5", "__4=", "//4", "__4\n", "__4 ", "_"] {
            assert_eq!(from_base64(other), None, "{other:?}");
        }
    }
}
