//! What rules do to contents: expected by hand, from what barito-flow does.

use weir_redaction::Compat;

use crate::support::World;

/// One app named `shop` with these rules.
fn shop(kind: &str, rules: &str) -> World {
    World::as_in(&format!(r#"{{"shop": {{"{kind}": [{rules}]}}}}"#), Compat::Barito)
}

#[test]
fn paths_are_dots_and_brackets() {
    let check = |path: &str, expected: &str| {
        let path = path.replace('\\', "\\\\");
        let world = shop("JsonPathRules", &format!(r#"{{"Name":"X","Path":"{path}"}}"#));
        let json =
            r#"{"email":"e","users":{"details":[{"email":"a","n":1},{"email":"b"}]},"tags":["s",["t"]]}"#;
        assert_eq!(world.content("shop", json), expected, "{path}");
    };
    let all = r#"{"email":"[X REDACTED]","users":{"details":[{"email":"[X REDACTED]","n":1},{"email":"[X REDACTED]"}]},"tags":["s",["t"]]}"#;
    check("email", all);
    check(r"\.email$", all);
    check(
        "^.email$",
        &all.replace(r#"[{"email":"[X REDACTED]""#, r#"[{"email":"a""#)
            .replace(r#"{"email":"[X REDACTED]"}"#, r#"{"email":"b"}"#),
    );
    check(
        r"^\.users\.details\[\]\.email$",
        r#"{"email":"e","users":{"details":[{"email":"[X REDACTED]","n":1},{"email":"[X REDACTED]"}]},"tags":["s",["t"]]}"#,
    );
    let tags = r#"{"email":"e","users":{"details":[{"email":"a","n":1},{"email":"b"}]},"tags":"#;
    check(r"^\.tags\[\]$", &format!(r#"{tags}["[X REDACTED]",["t"]]}}"#));
    check(r"^\.tags\[\]\[\]$", &format!(r#"{tags}["s",["[X REDACTED]"]]}}"#));
    check(r"\.n$", &format!(r#"{tags}["s",["t"]]}}"#));
}

#[test]
fn only_strings_are_redacted_by_path_and_numbers_stay_as_they_are() {
    let world = shop("JsonPathRules", r#"{"Name":"X","Path":".*"}"#);
    let json = r#"{"i":12345678901234567890,"f":1.0,"b":true,"n":null,"o":{},"a":[1,"s"],"s":""}"#;
    let expected = r#"{"i":12345678901234567890,"f":1.0,"b":true,"n":null,"o":{},"a":[1,"[X REDACTED]"],"s":"[X REDACTED]"}"#;
    assert_eq!(world.content("shop", json), expected);
    assert_eq!(world.redacted("shop", "X"), 2);
}

#[test]
fn the_first_rule_for_a_path_wins() {
    let world = shop(
        "JsonPathRules",
        r#"{"Name":"ONE","Path":"\\.a","HintCharsStart":1},{"Name":"TWO","Path":"b$","HintCharsEnd":2}"#,
    );
    let content = world.content("shop", r#"{"ab":"hello","b":"hello","a":{"b":"hello"}}"#);
    assert_eq!(content, r#"{"ab":"h[ONE REDACTED]","b":"[TWO REDACTED]lo","a":{"b":"h[ONE REDACTED]"}}"#);
    assert_eq!((world.redacted("shop", "ONE"), world.redacted("shop", "TWO")), (2, 1));
}

#[test]
fn hints_are_bytes_of_the_match() {
    let check = |start: usize, end: usize, expected: &str| {
        let rule =
            format!(r#"{{"Name":"CARD","Regex":"\\d{{8}}","HintCharsStart":{start},"HintCharsEnd":{end}}}"#);
        let world = shop("StaticRules", &rule);
        assert_eq!(world.content("shop", r#"{"card":"12345678"}"#), format!(r#"{{"card":"{expected}"}}"#));
    };
    check(0, 0, "[CARD REDACTED]");
    check(2, 0, "12[CARD REDACTED]");
    check(0, 3, "[CARD REDACTED]678");
    check(4, 4, "1234[CARD REDACTED]5678");
    check(8, 1, "12345678[CARD REDACTED]8");
    // It ends with a panic from here on: B12.
    check(9, 1, "[CARD REDACTED]8");
    check(9, 9, "[CARD REDACTED]");
}

#[test]
fn static_rules_see_the_whole_text_in_order_and_keys_too() {
    let world = shop(
        "StaticRules",
        r#"{"Name":"EMAIL","Regex":"[a-z.]+@[a-z.]+"},{"Name":"WORD","Regex":"EMAIL"},{"Name":"N","Regex":":\\d+"}"#,
    );
    let content =
        world.content("shop", r#"{"jane@a.b":"mail jane@a.b, joe@c.d","x":["joe@c.d"],"n":"7:12"}"#);
    let email = "[[WORD REDACTED] REDACTED]";
    assert_eq!(
        content,
        format!(r#"{{"{email}":"mail {email}, {email}","x":["{email}"],"n":"7[N REDACTED]"}}"#)
    );
    assert_eq!((world.redacted("shop", "EMAIL"), world.redacted("shop", "WORD")), (4, 4));
}

#[test]
fn paths_come_before_the_text() {
    let world = World::new(
        r#"{"shop": {"StaticRules": [{"Name": "T", "Regex": "secret|REDACTED"}],
                     "JsonPathRules": [{"Name": "P", "Path": "\\.a$"}]}}"#,
    );
    assert_eq!(
        world.content("shop", r#"{"a":"secret","b":"secret"}"#),
        r#"{"a":"[P [T REDACTED]]","b":"[T REDACTED]"}"#
    );
}

#[test]
fn a_number_may_be_redacted_by_its_text_within_a_string_only() {
    let world = shop("StaticRules", r#"{"Name":"N","Regex":"4711"}"#);
    assert_eq!(world.content("shop", r#"{"a":"x4711"}"#), r#"{"a":"x[N REDACTED]"}"#);
    // The text is no JSON any more: it is kept as a message, without what was redacted.
    assert_eq!(world.content("shop", r#"{"a":4711}"#), r#"{"message":"{\"a\":[N REDACTED]}"}"#);
    assert_eq!(world.content("shop", r#"{"a":"b"}"#), r#"{"a":"b"}"#);
    let exposition = world.metrics.exposition();
    assert!(exposition.contains("weir_redaction_broken_events_total 1"), "{exposition}");
}

#[test]
fn classes_are_of_ascii() {
    let world = shop("StaticRules", r#"{"Name":"W","Regex":"\\b\\w{3}\\b"},{"Name":"D","Regex":"\\d"}"#);
    assert_eq!(world.content("shop", r#"{"x":"née abc ٣4"}"#), r#"{"x":"née [W REDACTED] ٣[D REDACTED]"}"#);
    let world = shop("StaticRules", r#"{"Name":"ANY","Regex":"x.y"}"#);
    assert_eq!(world.content("shop", r#"{"k":"xäy x😀y"}"#), r#"{"k":"[ANY REDACTED] [ANY REDACTED]"}"#);
}

#[test]
fn rules_of_the_default_are_for_those_without_their_own() {
    let rules = r#"{"default": {"StaticRules": [{"Name": "D", "Regex": "one"}]},
                    "shop": {"StaticRules": [{"Name": "S", "Regex": "two"}]},
                    "free": {}}"#;
    let json = r#"{"a":"one two"}"#;
    let barito = World::as_in(rules, Compat::Barito);
    assert_eq!(barito.content("other", json), r#"{"a":"[D REDACTED] two"}"#);
    assert_eq!(barito.content("shop", json), r#"{"a":"one [S REDACTED]"}"#);
    assert_eq!(barito.content("free", json), json);
    let weir = World::new(rules);
    assert_eq!(weir.content("other", json), r#"{"a":"[D REDACTED] two"}"#);
    assert_eq!(weir.content("shop", json), r#"{"a":"[D REDACTED] [S REDACTED]"}"#);
    assert_eq!(weir.content("free", json), r#"{"a":"[D REDACTED] two"}"#);
    assert_eq!(weir.redacted("default", "D"), 3, "the default's rules count for it");
}

#[test]
fn an_app_is_found_by_its_name_as_well() {
    let rules = r#"{"My Shop": {"StaticRules": [{"Name": "S", "Regex": "one"}]},
                    "MY SHOP": {"StaticRules": [{"Name": "T", "Regex": "two"}]},
                    "Cart": {"StaticRules": [{"Name": "C", "Regex": "one"}]},
                    "cart": {"StaticRules": [{"Name": "D", "Regex": "one"}]}}"#;
    for compat in [Compat::Weir, Compat::Barito] {
        let world = World::as_in(rules, compat);
        let json = r#"{"a":"one two"}"#;
        assert_eq!(world.content("my-shop", json), r#"{"a":"[S REDACTED] [T REDACTED]"}"#);
        assert_eq!(world.content("cart", json), r#"{"a":"[D REDACTED] two"}"#, "the prefix itself is meant");
        assert_eq!(world.content("my", json), json);
    }
}

#[test]
fn a_wrong_rule_is_named_and_the_others_stay() {
    let world = World::new(
        r#"{"shop": {"StaticRules": [{"Name": "BAD", "Regex": "(one"}, {"Name": "GOOD", "Regex": "two"},
                                     {"Name": "TYPO", "Regex": "one", "HintStart": 2}],
                     "JsonPathRules": [{"Name": "WORSE", "Path": "[z-a]"}]}}"#,
    );
    let refused: Vec<_> = world.refused.iter().map(ToString::to_string).collect();
    assert_eq!(
        refused,
        [
            "shop: StaticRules TYPO: has an unknown field `HintStart`",
            "shop: JsonPathRules WORSE: the range `z-a` is empty",
            "shop: StaticRules BAD: unclosed group",
        ]
    );
    assert_eq!(world.content("shop", r#"{"a":"one two"}"#), r#"{"a":"one [GOOD REDACTED]"}"#);
    let exposition = world.metrics.exposition();
    for line in [
        "weir_redaction_refused_rules 3",
        r#"barito_redaction_status{app_name="shop",type="StaticRules"} 1"#,
        r#"barito_redaction_status{app_name="shop",type="JsonPathRules"} 0"#,
    ] {
        assert!(exposition.lines().any(|found| found == line), "no `{line}` in\n{exposition}");
    }
}

#[test]
fn an_empty_map_is_no_redaction() {
    let world = World::new("{}");
    assert!(world.redactor.is_off());
    assert_eq!(world.content("shop", r#"{"a":"one"}"#), r#"{"a":"one"}"#);
}
