use super::*;

fn read(text: &str, rules: Rules) -> Result<Vec<String>, JsonError> {
    let mut reader = Reader::new(text, rules);
    let mut tokens = Vec::new();
    loop {
        match reader.next_token()? {
            Token::End => return Ok(tokens),
            token => tokens.push(format!("{token:?}")),
        }
    }
}

#[test]
fn tokens_come_in_order_and_strings_unescaped() {
    let tokens = read(
        " {\"a\" : [1, -0.5e+3 ,true,false,null,{}, []],\n\"\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00fc\\ud83d\\ude00 plain\"}\r\t",
        Rules::EVENT,
    );
    assert_eq!(
        tokens.expect("legal").join(" "),
        "ObjectStart Key(\"a\") ArrayStart Number(\"1\") Number(\"-0.5e+3\") Bool(true) Bool(false) Null \
         ObjectStart ObjectEnd ArrayStart ArrayEnd ArrayEnd Key(\"\") \
         Str(\"\\\"\\\\/\\u{8}\\u{c}\\n\\r\\tü😀 plain\") ObjectEnd"
    );
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    let check = |text: &str, at: usize, message: &str| {
        let error = read(text, Rules::EVENT).expect_err(text);
        assert_eq!((error.at, error.problem.to_string().as_str()), (at, message), "{text:?}");
    };
    check("", 0, "the text ends too early");
    check("{", 1, "the text ends too early");
    check("{\"a\"", 4, "the text ends too early");
    check("{\"a\":", 5, "the text ends too early");
    check("{\"a\":1", 6, "the text ends too early");
    check("\"a", 2, "the text ends too early");
    check("\"\\", 2, "the text ends too early");
    check("\"\\u12", 5, "the text ends too early");
    check("{\"a\":1,}", 7, "expected a key in double quotes");
    check("{,}", 1, "expected a key in double quotes");
    check("{a:1}", 1, "expected a key in double quotes");
    check("{'a':1}", 1, "expected a key in double quotes");
    check("{\"a\" 1}", 5, "expected `:`");
    check("{\"a\":1 \"b\":2}", 7, "expected `,` or `}`");
    check("{\"a\":1]", 6, "expected `,` or `}`");
    check("[1}", 2, "expected `,` or `]`");
    check("[1,]", 3, "expected a value");
    check("[,]", 1, "expected a value");
    check("1 2", 2, "expected the end of the text");
    check("{}}", 2, "expected the end of the text");
    check("NaN", 0, "expected a value");
    check("-Infinity", 0, "no such number");
    check("tru", 0, "expected a value");
    check("nul ", 0, "expected a value");
    check("\u{feff}1", 0, "expected a value");
    check("\u{a0}1", 0, "expected a value");
    for number in ["-", "01", "-01", "1.", ".5", "+1", "1e", "1e+", "0x10", "1.e5"] {
        assert!(read(number, Rules::EVENT).is_err(), "{number}");
    }
    check("\"a\nb\"", 2, "a control character must be escaped");
    check("\"\\u00e4\0\"", 7, "a control character must be escaped");
    check("\"\\x\"", 1, "no such escape sequence");
    check("\"\\u00g0\"", 1, "no such escape sequence");
    check("\"\\u+123\"", 1, "no such escape sequence");
    check("\"\\ud800\"", 1, "half a surrogate pair");
    check("\"\\udc00\"", 1, "half a surrogate pair");
    check("\"\\ud800\\u0041\"", 1, "half a surrogate pair");
    check("\"\\ud800\\ud800\"", 1, "half a surrogate pair");
}

#[test]
fn go_replaces_half_a_surrogate_pair() {
    let check = |text: &str, expected: &str| {
        assert_eq!(read(text, Rules::GO), Ok(vec![format!("{:?}", Token::Str(expected))]));
    };
    check("\"a\\ud800b\"", "a\u{fffd}b");
    check("\"\\ud800\\u0041\"", "\u{fffd}A");
    check("\"\\ud800\\ud83d\\ude00\"", "\u{fffd}😀");
    check("\"\\udc00\"", "\u{fffd}");
}

#[test]
fn nesting_is_bounded_and_costs_no_stack() {
    let nested = |depth: usize| "[{\"a\":".repeat(depth / 2) + "1" + &"}]".repeat(depth / 2);
    assert!(read(&nested(64), Rules::EVENT).is_ok());
    let error = read(&nested(66), Rules::EVENT).expect_err("too deep");
    assert_eq!(error.problem, JsonProblem::TooDeep { limit: 64 });
    let tokens = read(&nested(10_000), Rules::GO).expect("within the limit");
    assert_eq!(tokens.len(), 25_001);
    assert!(read(&nested(10_002), Rules::GO).is_err());
    // Closing brackets must match at every depth.
    for depth in [2, 64, 66, 128, 130, 200] {
        let wrong = nested(depth).replacen("}]", "]]", 1);
        assert!(read(&wrong, Rules::GO).is_err(), "{depth}");
    }
}
