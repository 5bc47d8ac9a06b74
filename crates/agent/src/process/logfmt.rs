//! `level=info msg="it is here" took=3ms`: keys with values, and nothing else.

use std::borrow::Cow;

/// Tells keys and values in their order, or that the text is something else: words that are no keys, or none that is one.
pub(crate) fn read<'t>(text: &'t str, mut tell: impl FnMut(&'t str, Cow<'t, str>)) -> Option<()> {
    let mut rest = text.trim_matches(is_space);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=')?;
        if key.is_empty() || key.contains(|letter| is_space(letter) || letter == '"' || letter.is_control()) {
            return None;
        }
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = behind.find(is_space).unwrap_or(behind.len());
                let (value, behind) = behind.split_at(end);
                if value.contains(['"', '=']) {
                    return None;
                }
                (Cow::Borrowed(value), behind)
            }
        };
        tell(key, value);
        rest = behind.trim_start_matches(is_space);
        if !rest.is_empty() && rest.len() == behind.len() {
            return None;
        }
    }
    Some(())
}

fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t')
}

/// What is before the closing quote, and what is behind it.
fn unquote(quoted: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = quoted.find(['"', '\\'])?;
    let (plain, behind) = quoted.split_at(end);
    if let Some(behind) = behind.strip_prefix('"') {
        return Some((Cow::Borrowed(plain), behind));
    }
    let mut text = plain.to_owned();
    let mut letters = behind.chars();
    loop {
        match letters.next()? {
            '"' => return Some((Cow::Owned(text), letters.as_str())),
            '\\' => match letters.next()? {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                'x' => text.push(code(&mut letters, 2)?),
                'u' => text.push(code(&mut letters, 4)?),
                letter @ ('"' | '\\' | '/' | '\'') => text.push(letter),
                _ => return None,
            },
            letter => text.push(letter),
        }
    }
}

fn code(letters: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let text =
        letters.as_str().get(..digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    *letters = letters.as_str().get(digits..)?.chars();
    char::from_u32(u32::from_str_radix(text, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&[(&str, &str)]>) {
        let mut found = Vec::new();
        let is_one = read(text, |key, value| found.push((key, value)));
        let found: Vec<_> = found.iter().map(|(key, value)| (*key, &**value)).collect();
        assert_eq!(is_one.map(|()| found.as_slice()), expected, "{text}");
    }

    #[test]
    fn keys_have_values() {
        check("a=1", Some(&[("a", "1")]));
        check(
            " level=info  msg=\"it is \\\"here\\\"\\n\\u00fc\" took=3ms\te= f=\"\" ",
            Some(&[("level", "info"), ("msg", "it is \"here\"\nü"), ("took", "3ms"), ("e", ""), ("f", "")]),
        );
        check("a=1 a=2", Some(&[("a", "1"), ("a", "2")]));
        check("a.b-c/d=ü", Some(&[("a.b-c/d", "ü")]));
    }

    #[test]
    fn what_is_something_else_is_said_to_be() {
        for text in [
            "",
            "  ",
            "plain text",
            "GET /a?b=c HTTP/1.1",
            "started port=80",
            "port=80 started",
            "a=\"open",
            "a=\"b\"c",
            "a=b\"c\"",
            "a==b",
            "=a",
            "a=\"\\q\"",
            "a=\"\\ud800\"",
            "a=\"\\u12\"",
            "\"a\"=b",
        ] {
            check(text, None);
        }
    }
}
