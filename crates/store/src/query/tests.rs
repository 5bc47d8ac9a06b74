use std::ops::Bound;

use proptest::prelude::*;
use weir_model::{EventBatch, IndexPrefix, Timestamp};

use super::examples::{Example, examples, refusals};
use super::*;

fn batch(content: &str) -> EventBatch {
    let example = Example { line: 0, query: String::new(), content: content.to_owned(), is_match: true };
    example.batch(IndexPrefix::new("shop").expect("a prefix"), Timestamp::default())
}

fn matches(query: &str, content: &str) -> bool {
    let query = Query::parse(query).expect(query);
    let batch = batch(content);
    let event = batch.get(0).expect("one event");
    query.matches(event.content.expect("the content has members"))
}

fn canonical(query: &str) -> String {
    Query::parse(query).expect(query).to_string()
}

#[test]
fn the_page_is_right() {
    let examples = examples();
    assert!(examples.len() >= 200, "only {} examples were found on the page", examples.len());
    let wrong: Vec<String> = examples
        .iter()
        .filter(|example| matches(&example.query, &example.content) != example.is_match)
        .map(|example| format!("line {}: `{}` and `{}`", example.line, example.query, example.content))
        .collect();
    assert!(wrong.is_empty(), "docs/query.md is wrong:\n{}", wrong.join("\n"));
}

#[test]
fn the_page_is_right_about_what_is_refused() {
    let refusals = refusals();
    assert!(refusals.len() >= 20, "only {} refusals were found on the page", refusals.len());
    for refusal in refusals {
        let error = Query::parse(&refusal.query).expect_err(&refusal.query);
        let found = (error.column, error.expected.as_str());
        assert_eq!(found, (refusal.column, refusal.expected.as_str()), "line {}", refusal.line);
    }
}

#[test]
fn the_canonical_form_of_every_example_means_the_same() {
    for example in examples() {
        let form = canonical(&example.query);
        assert_eq!(canonical(&form), form, "line {}: `{}`", example.line, example.query);
        assert_eq!(matches(&form, &example.content), example.is_match, "line {}: `{form}`", example.line);
    }
}

#[test]
fn queries_have_a_canonical_form() {
    let check = |query: &str, expected: &str| assert_eq!(canonical(query), expected, "{query}");
    check("", "*");
    check(" \n\t", "*");
    check("* *", "*");
    check("* OR a", "*");
    check("* a", "a");
    check("-*", "-*");
    check("Error", "error");
    check("\"error\"", "error");
    check("foo-bar", "\"foo-bar\"");
    check("jo**?*", "jo*?*");
    check("a\\ b*", "a\\ b*");
    check("a AND (b AND c)", "a b c");
    check("(a OR b) OR c AND d", "a OR b OR c d");
    check("(a OR b) c", "(a OR b) c");
    check("NOT NOT a", "a");
    check("!(a b)", "-(a b)");
    check("level:(error OR -warn)", "level:error OR -level:warn");
    check("\"a b\":=x", "\"a b\":=\"x\"");
    check("s:[500 TO *]", "s:>=500");
    check("s:{* TO 5e2}", "s:<500");
    check("s:[* TO *}", "s:*");
    check("s:{1 TO b]", "s:{1 TO \"b\"]");
    check("t:>2026-11-21", "t:>\"2026-11-21\"");
    check("a(b)", "a b");
}

#[test]
fn an_expression_is_plain_data() {
    let number = |text: &str| Operand::Number(Number::parse(text).expect("a number"));
    let leaf = |field: &str, test: Test| Expr::Leaf(Leaf { field: Some(FieldPath::new(field)), test });
    let range = Range { lower: Bound::Included(number("10")), upper: Bound::Excluded(number("20")) };
    let expected = Expr::and(vec![
        leaf("dur_ms", Test::Range(range)),
        leaf(
            "user.name",
            Test::Term(Pattern::Wildcard(Wildcard::new([
                WildcardPart::Text("Jo".to_owned()),
                WildcardPart::AnyRun,
            ]))),
        ),
        leaf("host", Test::Exists).negated(),
        Expr::or(vec![leaf("a", Test::Exact("X".to_owned())), leaf("b", Test::Term(Pattern::new("X y")))]),
    ]);
    let query = Query::parse("dur_ms:[10 TO 20} user.name:jo* -host:* (a:=X OR b:\"x y\")").expect("a query");
    assert_eq!(*query.expr(), expected);
    assert_eq!(query, Query::new(expected));
}

#[test]
fn an_error_says_what_was_found() {
    let check = |query: &str, expected: &str| {
        assert_eq!(Query::parse(query).expect_err(query).to_string(), expected);
    };
    check("a ) b", "column 3 of the query: expected a `(` before this, found `)`");
    check(
        "x:[1 bananas]",
        "column 6 of the query: expected `TO` between spaces, as in `[10 TO 20]`, found `bananas`",
    );
    check("x:[1\u{7} TO 2", "column 11 of the query: expected `]` or `}`, found the end of the query");
}

#[test]
fn limits_are_exact() {
    let check = |query: &str, error: Option<(usize, &str)>| {
        let outcome = Query::parse(query);
        let found = outcome.as_ref().err().map(|error| (error.column, error.expected.as_str()));
        assert_eq!(found, error, "{} bytes", query.len());
    };
    check(&"x".repeat(8192), None);
    check(&"x".repeat(8193), Some((1, "a query of at most 8192 bytes")));
    check(&"x ".repeat(256), None);
    check(&"x ".repeat(257), Some((513, "at most 256 terms")));
    check(&"x?y? ".repeat(32), None);
    check(&"x?y? ".repeat(33), Some((162, "at most 64 wildcards `?`")));
    check(&format!("{}x{}", "(".repeat(32), ")".repeat(32)), None);
    check(
        &format!("{}x{}", "(".repeat(33), ")".repeat(33)),
        Some((33, "at most 32 parentheses in each other")),
    );
    check(&format!("{}x", "-".repeat(8000)), None);
    check(&format!("{}x", "NOT ".repeat(2000)), None);
}

#[test]
fn numbers_beyond_floats_are_outside_of_equality_only() {
    assert!(matches("n:>1e308", "{\"n\":\"1e400\"}"));
    assert!(!matches("n:1e400", "{\"n\":1.7e308}"));
    assert!(matches("n:1e400", "{\"n\":\"is 1e400\"}"));
}

fn operand() -> impl Strategy<Value = Operand> {
    prop_oneof![
        any::<i64>().prop_map(|value| Operand::Number(Number::from_int(value))),
        any::<f64>().prop_map(|value| Operand::new(&format!("{value:?}"))),
        "\\PC{0,6}".prop_map(|text| Operand::new(&text)),
        "20[0-9]{2}-1[012]-[01][1-9]".prop_map(|text| Operand::new(&text)),
    ]
}

fn bound() -> impl Strategy<Value = Bound<Operand>> {
    prop_oneof![
        operand().prop_map(Bound::Included),
        operand().prop_map(Bound::Excluded),
        Just(Bound::Unbounded)
    ]
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let gap = prop_oneof![Just(WildcardPart::AnyRun), Just(WildcardPart::AnyCharacter)];
    let text = "\\PC{1,4}".prop_map(WildcardPart::Text);
    let parts = prop::collection::vec(prop_oneof![gap, text], 0..4);
    prop_oneof![
        "\\PC{1,8}".prop_map(|text| Pattern::new(&text)),
        "[a-zA-Z]{1,3}".prop_map(|text| Pattern::new(&text)),
        parts.prop_map(|mut parts| {
            parts.extend([WildcardPart::AnyCharacter, WildcardPart::AnyRun]);
            Pattern::Wildcard(Wildcard::new(parts))
        }),
    ]
}

fn leaf() -> impl Strategy<Value = Expr> {
    let path = prop_oneof!["[a-z.@_-]{1,6}", "\\PC{0,6}"].prop_map(FieldPath::new);
    let test = prop_oneof![
        Just(Test::Exists),
        pattern().prop_map(Test::Term),
        "\\PC{0,6}".prop_map(Test::Exact),
        (bound(), bound()).prop_map(|range| match range {
            (Bound::Unbounded, Bound::Unbounded) => Test::Exists,
            (lower, upper) => Test::Range(Range { lower, upper }),
        }),
    ];
    prop_oneof![
        pattern().prop_map(|pattern| Leaf { field: None, test: Test::Term(pattern) }),
        (path, test).prop_map(|(path, test)| Leaf { field: Some(path), test }),
    ]
    .prop_map(Expr::Leaf)
}

fn expr() -> impl Strategy<Value = Expr> {
    let base = prop_oneof![1 => Just(Expr::All), 9 => leaf()];
    base.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Expr::and),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Expr::or),
            inner.prop_map(Expr::negated),
        ]
    })
}

const LIKE_A_QUERY: &str = "([ab:\"()*?\\\\><=\\[\\]{}!. -]|AND |OR |NOT | TO |field:|1){0,24}";

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC*") {
        if let Err(error) = Query::parse(&text) {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.column));
            prop_assert_eq!(error.point(&text).lines().count(), 2);
        }
    }

    #[test]
    fn any_text_like_a_query_is_parsed_or_refused(text in LIKE_A_QUERY) {
        if let Ok(query) = Query::parse(&text) {
            prop_assert_eq!(Query::parse(&query.to_string()), Ok(query));
        }
    }

    #[test]
    fn the_canonical_form_parses_to_the_same(expr in expr()) {
        let text = expr.to_string();
        let query = Query::parse(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(query.expr(), &expr, "{}", text);
    }

    #[test]
    fn a_word_is_found_wherever_it_is_one(word in "[a-zä]{1,3}", message in "[a-zäÄA-C ._-]{0,16}") {
        let found = message.split(|c: char| !c.is_alphanumeric()).any(|token| token.to_lowercase() == word);
        let content = format!("{{\"n\":1,\"list\":[{{\"message\":{message:?}}}]}}");
        prop_assert_eq!(matches(&word, &content), found);
        prop_assert_eq!(matches(&format!("list.message:\"{word}\""), &content), found);
        prop_assert_eq!(matches(&format!("-{word}"), &content), !found);
    }
}

#[test]
fn a_range_of_integers_is_passed_by_only_if_none_of_them_matches() {
    let tests =
        ["f:3", "f:3.0", "f:=3", "f:2.5", "f:x", "f:*", "f:true", "f:>3", "f:>=3", "f:<3", "f:<=2.5", "f:>x"];
    let ranges =
        ["f:[2 TO 4]", "f:{2 TO 4}", "f:[2.5 TO 3.5]", "f:[4 TO 2]", "f:[x TO z]", "f:>1e300", "f:<-1e300"];
    for text in tests.into_iter().chain(ranges) {
        let query = Query::parse(text).unwrap_or_else(|error| panic!("`{text}`: {error}"));
        let Expr::Leaf(leaf) = query.expr() else { panic!("`{text}` is one leaf") };
        let matcher = ValueMatcher::new(&leaf.test);
        for min in -1..6 {
            for max in min..6 {
                let some = (min..=max).any(|value| matcher.matches_int(value));
                assert!(matcher.matches_int_within(min, max) || !some, "`{text}` in {min}..={max}");
            }
        }
        let far = (100..=200).any(|value| matcher.matches_int(value));
        let open = text.contains(['*', '>']);
        assert!(far || open || !matcher.matches_int_within(100, 200), "`{text}` is not in 100..=200");
    }
}
