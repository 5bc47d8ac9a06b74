use serde::Deserialize;

use super::*;
use crate::mask::{Cut, Mask, ShortMatch};

/// What Go 1.26 makes of expressions: the first line has the texts, each further one an expression on one of them.
const GO: &str = include_str!("../../tests/golden/go-regexp.jsonl");

#[derive(Debug, Deserialize)]
struct Case {
    pattern: String,
    text: usize,
    /// Whether Go compiles it.
    valid: bool,
    matches: Vec<(usize, usize)>,
    /// Hints.
    start: usize,
    end: usize,
    /// After every match was replaced, by bytes; absent where Go panicked.
    result: Option<String>,
}

/// Expressions that Go refuses and that mean here what they would mean there.
const LENIENT: [&str; 4] = ["a**", "a+*", "^*", "x{1001}"];

fn go() -> (Vec<String>, Vec<Case>) {
    let mut lines = GO.lines();
    let texts = serde_json::from_str(lines.next().expect("the texts")).expect("are JSON");
    (texts, lines.map(|line| serde_json::from_str(line).expect("is a case")).collect())
}

#[test]
fn the_same_expressions_are_valid() {
    let (_, cases) = go();
    for Case { pattern, valid, .. } in cases {
        let compiled = compile(&pattern);
        if compiled.is_ok() != valid && !LENIENT.contains(&pattern.as_str()) {
            panic!("`{pattern}` is {} in Go, here: {compiled:?}", if valid { "valid" } else { "refused" });
        }
    }
}

#[test]
fn they_match_the_same() {
    let (texts, cases) = go();
    let mut wrong = Vec::new();
    for Case { pattern, text, matches, .. } in cases.into_iter().filter(|case| case.valid) {
        let regex = compile(&pattern).expect("is valid");
        let found: Vec<_> = regex.find_iter(&texts[text]).map(|found| (found.start(), found.end())).collect();
        if found != matches {
            wrong.push(format!("`{pattern}` on {:?}: {found:?}, in Go {matches:?}", texts[text]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn they_are_replaced_the_same() {
    let (texts, cases) = go();
    let mut compared = 0;
    for Case { pattern, text, start, end, result, .. } in cases.into_iter().filter(|case| case.valid) {
        // Where Go cuts a character in two, its parts were no text any more when they were written down.
        let Some(result) = result.filter(|result| !result.contains('\u{fffd}')) else { continue };
        let mask = Mask::new("X", start, end, ShortMatch::Show);
        let regex = compile(&pattern).expect("is valid");
        let mut out = String::new();
        let mut from = 0;
        for found in regex.find_iter(&texts[text]) {
            out.push_str(&texts[text][from..found.start()]);
            mask.put(found.as_str(), Cut::Text, &mut out);
            from = found.end();
        }
        out.push_str(&texts[text][from..]);
        assert_eq!(out, result, "`{pattern}` with hints {start}, {end}");
        compared += 1;
    }
    assert!(compared > 400, "{compared}");
}

#[test]
fn what_is_refused_is_explained() {
    let check = |pattern: &str, expected: PatternError| {
        assert_eq!(compile(pattern).map(drop), Err(expected), "{pattern}");
    };
    check("[a", PatternError::Unfinished);
    check("a\\", PatternError::Unfinished);
    check("\\Z", PatternError::Escape('Z'));
    check("(a)\\1", PatternError::Escape('1'));
    check("(?x)a", PatternError::Flag('x'));
    check("(?=a)", PatternError::Flag('='));
    check("[[:nope^:]]", PatternError::Class("[:nope^:]".to_owned()));
    check("[z-a]", PatternError::EmptyRange('z', 'a'));
    check(&"a".repeat(70_000), PatternError::TooLarge { limit: LENGTH_LIMIT });
    check("(a{1000}){1000}", PatternError::TooLarge { limit: SIZE_LIMIT });
    check("(a", PatternError::Syntax("unclosed group".to_owned()));
}
