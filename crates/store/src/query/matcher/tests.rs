use proptest::prelude::*;

use super::*;
use crate::query::text::{append_lowered, lower};
use crate::query::{Expr, Leaf, Query, Test, Wildcard};

/// Few characters, so that texts repeat and overlap; among them separators and letters of several bytes, and
/// capitals that change their length when lowered.
const TEXT: &str = "[abAä\u{23a}\u{212a}_ —-]{0,12}";
const NEEDLE: &str = "[abäk\u{2c65}_ —-]{1,5}";

fn pattern(query: &str) -> Pattern {
    match Query::parse(query).expect(query).expr() {
        Expr::Leaf(Leaf { field: None, test: Test::Term(pattern) }) => pattern.clone(),
        other => unreachable!("{query} is {other:?}, no term"),
    }
}

fn wildcard() -> impl Strategy<Value = Wildcard> {
    let part = prop_oneof![
        "[abä -]{1,2}".prop_map(WildcardPart::Text),
        Just(WildcardPart::AnyRun),
        Just(WildcardPart::AnyCharacter),
    ];
    prop::collection::vec(part, 1..6).prop_map(Wildcard::new)
}

/// No word goes on from `before` to `after`.
fn apart(before: Option<&char>, after: Option<&char>) -> bool {
    !(before.is_some_and(|c| c.is_alphanumeric()) && after.is_some_and(|c| c.is_alphanumeric()))
}

fn naive_literal(needle: &str, text: &str) -> bool {
    let text: Vec<char> = lower(text).chars().collect();
    let needle: Vec<char> = needle.chars().collect();
    (0..=text.len()).any(|start| {
        let (before, rest) = text.split_at(start);
        rest.starts_with(&needle)
            && apart(before.last(), rest.first())
            && apart(rest[..needle.len()].last(), rest.get(needle.len()))
    })
}

fn naive_wildcard(parts: &[WildcardPart], text: &str) -> bool {
    fn matches_here(parts: &[WildcardPart], before: Option<&char>, text: &[char]) -> bool {
        match parts.split_first() {
            None => apart(before, text.first()),
            Some((WildcardPart::AnyRun, [])) => true,
            Some((WildcardPart::AnyRun, rest)) => {
                (0..=text.len()).any(|skip| matches_here(rest, text[..skip].last().or(before), &text[skip..]))
            }
            Some((WildcardPart::AnyCharacter, rest)) => {
                text.split_first().is_some_and(|(c, behind)| matches_here(rest, Some(c), behind))
            }
            Some((WildcardPart::Text(literal), rest)) => {
                let literal: Vec<char> = literal.chars().collect();
                text.strip_prefix(literal.as_slice())
                    .is_some_and(|behind| matches_here(rest, literal.last().or(before), behind))
            }
        }
    }
    let text: Vec<char> = lower(text).chars().collect();
    let is_open = parts.first() == Some(&WildcardPart::AnyRun);
    (0..=text.len()).any(|start| {
        let (before, rest) = text.split_at(start);
        (is_open || apart(before.last(), rest.first())) && matches_here(parts, before.last(), rest)
    })
}

#[test]
fn words_that_must_be_there_are_named() {
    let check = |query: &str, needle: &str, tokens: &[&str]| {
        let matcher = TextMatcher::new(&pattern(query));
        assert_eq!(str::from_utf8(matcher.needle()), Ok(needle), "{query}");
        assert_eq!(matcher.tokens(), tokens, "{query}");
    };
    check("Error", "error", &["error"]);
    check("\"Timed out, timed\"", "timed out, timed", &["out", "timed"]);
    check("/", "/", &[]);
    check("jo*", "jo", &[]);
    check("foo-ba*", "foo-ba", &["foo"]);
    check("*foo.bar.ba?", "foo.bar.ba", &["bar"]);
    check("a*longer*b", "longer", &[]);
    check("a\\ longer*bc\\ d", "a longer", &["a", "d"]);
    check("??", "", &[]);
}

#[test]
fn a_long_run_of_near_hits_takes_no_longer_than_the_text() {
    let text = "a".repeat(1 << 20);
    let needle = "a".repeat(4096);
    assert!(!TextMatcher::new(&Pattern::new(&needle)).matches(&text));
    assert!(!TextMatcher::new(&pattern(&format!("{needle}*b"))).matches(&text));
}

proptest! {
    #[test]
    fn words_and_phrases_are_found_where_a_plain_search_finds_them(needle in NEEDLE, text in TEXT) {
        let matcher = TextMatcher::new(&Pattern::new(&needle));
        prop_assert_eq!(matcher.matches(&text), naive_literal(&lower(&needle), &text));
    }

    #[test]
    fn wildcards_are_found_where_backtracking_finds_them(wildcard in wildcard(), text in TEXT) {
        let matcher = TextMatcher::new(&Pattern::Wildcard(wildcard.clone()));
        prop_assert_eq!(matcher.matches(&text), naive_wildcard(wildcard.parts(), &text));
    }

    #[test]
    fn many_texts_at_once_are_as_one_by_one(
        needle in NEEDLE, wildcard in wildcard(), texts in prop::collection::vec(TEXT, 0..40),
    ) {
        let mut lowered = Vec::new();
        let ends: Vec<usize> = texts
            .iter()
            .map(|text| {
                append_lowered(text, &mut lowered);
                lowered.len()
            })
            .collect();
        for pattern in [Pattern::new(&needle), Pattern::Wildcard(wildcard)] {
            let matcher = TextMatcher::new(&pattern);
            let mut found = Vec::new();
            matcher.matches_in_buffer(&lowered, &ends, |number| found.push(number));
            let expected: Vec<usize> = (0..texts.len()).filter(|n| matcher.matches(&texts[*n])).collect();
            prop_assert_eq!(found, expected, "{:?}", pattern);
        }
    }

    #[test]
    fn what_matches_has_the_needle_and_the_tokens(wildcard in wildcard(), needle in NEEDLE, text in TEXT) {
        for pattern in [Pattern::new(&needle), Pattern::Wildcard(wildcard)] {
            let matcher = TextMatcher::new(&pattern);
            if !matcher.matches(&text) {
                continue;
            }
            let lowered = lower(&text);
            prop_assert!(memchr::memmem::find(lowered.as_bytes(), matcher.needle()).is_some());
            let mut words = Vec::new();
            tokens(&text, |word| words.push(word.to_owned()));
            prop_assert!(matcher.tokens().iter().all(|token| words.contains(token)), "{:?}", pattern);
        }
    }
}
