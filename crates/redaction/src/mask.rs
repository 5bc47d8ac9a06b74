//! What stands where something was redacted: `<hint>[<name> REDACTED]<hint>`.

/// The replacement of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mask {
    text: String,
    /// How many bytes of the beginning and of the end stay to be seen, at most.
    start: usize,
    end: usize,
    short: ShortMatch,
}

/// What is shown of a match that the two hints together would show whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShortMatch {
    /// Nothing.
    Hide,
    /// Each hint that the match is long enough for, as barito-flow does.
    Show,
}

/// What is being cut, so that it is cut where it can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Any text: between characters.
    Text,
    /// The text of JSON: also not within an escape sequence.
    Json,
}

impl Mask {
    pub(crate) fn new(name: &str, start: usize, end: usize, short: ShortMatch) -> Self {
        Self { text: format!("[{name} REDACTED]"), start, end, short }
    }

    /// Adds what stands for `found` to `out`.
    pub(crate) fn put(&self, found: &str, cut: Cut, out: &mut String) {
        let (start, end) = self.hints(found, cut);
        out.push_str(start);
        out.push_str(&self.text);
        out.push_str(end);
    }

    pub(crate) fn of(&self, found: &str, cut: Cut) -> String {
        let mut out = String::with_capacity(self.text.len() + self.start.min(64) + self.end.min(64));
        self.put(found, cut, &mut out);
        out
    }

    fn hints<'t>(&self, found: &'t str, cut: Cut) -> (&'t str, &'t str) {
        let length = found.len();
        let whole = self.start.saturating_add(self.end) >= length;
        if (self.start == 0 && self.end == 0) || (whole && self.short == ShortMatch::Hide) {
            return ("", "");
        }
        // A hint never shows more than was asked for.
        let start = if self.start > length { 0 } else { last_boundary(found, self.start, cut) };
        let end = match length.checked_sub(self.end) {
            Some(from) => first_boundary(found, from, cut),
            None => length,
        };
        (found.get(..start).unwrap_or_default(), found.get(end..).unwrap_or_default())
    }
}

/// The last place up to `limit` where `text` can be cut.
fn last_boundary(text: &str, limit: usize, cut: Cut) -> usize {
    boundaries(text, cut).take_while(|at| *at <= limit).last().unwrap_or_default()
}

/// The first place from `limit` on where `text` can be cut.
fn first_boundary(text: &str, limit: usize, cut: Cut) -> usize {
    boundaries(text, cut).find(|at| *at >= limit).unwrap_or(text.len())
}

/// Every place where `text` can be cut, its ends among them.
fn boundaries(text: &str, cut: Cut) -> impl Iterator<Item = usize> + '_ {
    let mut at = Some(0);
    std::iter::from_fn(move || {
        let here = at?;
        let rest = text.get(here..)?;
        at = rest.chars().next().map(|c| {
            let length = match (cut, rest.as_bytes().get(1)) {
                (Cut::Json, Some(b'u')) if c == '\\' => 6,
                (Cut::Json, Some(_)) if c == '\\' => 2,
                _ => c.len_utf8(),
            };
            // An escape sequence that the match ends in has no further boundary but the end.
            (here + length).min(text.len())
        });
        Some(here)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: &str, (start, end): (usize, usize), short: ShortMatch, expected: &str) {
        assert_eq!(Mask::new("X", start, end, short).of(found, Cut::Text), expected, "{found:?}");
    }

    #[test]
    fn hints_are_bytes_of_both_ends() {
        for short in [ShortMatch::Hide, ShortMatch::Show] {
            check("0123456789", (0, 0), short, "[X REDACTED]");
            check("0123456789", (2, 0), short, "01[X REDACTED]");
            check("0123456789", (0, 3), short, "[X REDACTED]789");
            check("0123456789", (4, 5), short, "0123[X REDACTED]56789");
            check("", (0, 0), short, "[X REDACTED]");
        }
    }

    #[test]
    fn a_match_is_not_shown_whole() {
        check("0123", (2, 2), ShortMatch::Hide, "[X REDACTED]");
        check("0123", (9, 0), ShortMatch::Hide, "[X REDACTED]");
        check("", (1, 1), ShortMatch::Hide, "[X REDACTED]");
    }

    #[test]
    fn barito_shows_what_it_can() {
        check("0123", (2, 2), ShortMatch::Show, "01[X REDACTED]23");
        check("0123", (3, 3), ShortMatch::Show, "012[X REDACTED]123");
        // It ends with a panic from here on.
        check("0123", (5, 0), ShortMatch::Show, "[X REDACTED]");
        check("0123", (5, 2), ShortMatch::Show, "[X REDACTED]23");
        check("", (1, 1), ShortMatch::Show, "[X REDACTED]");
        check("ab", (usize::MAX, usize::MAX), ShortMatch::Show, "[X REDACTED]");
    }

    #[test]
    fn characters_stay_whole() {
        let check = |found, hints, expected| check(found, hints, ShortMatch::Show, expected);
        check("äöü", (1, 1), "[X REDACTED]");
        check("äöü", (2, 2), "ä[X REDACTED]ü");
        check("äöü", (3, 3), "ä[X REDACTED]ü");
        check("a😀b", (2, 3), "a[X REDACTED]b");
    }

    #[test]
    fn escape_sequences_stay_whole_in_json() {
        let check = |found: &str, start, end, expected: &str| {
            assert_eq!(Mask::new("X", start, end, ShortMatch::Show).of(found, Cut::Json), expected);
        };
        check(r#"a\"b"#, 2, 2, "a[X REDACTED]b");
        check(r#"a\"b"#, 3, 3, r#"a\"[X REDACTED]\"b"#);
        check(r"\u0001cd\u0002", 3, 5, "[X REDACTED]");
        check(r"\u0001cd\u0002", 6, 6, r"\u0001[X REDACTED]\u0002");
        check("ab\\", 1, 1, "a[X REDACTED]\\");
        check("\\", 1, 1, "\\[X REDACTED]\\");
    }
}
