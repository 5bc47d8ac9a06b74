use weir_store::query::Query;

use super::*;

fn types(fields: &[(&str, &[&str])]) -> FieldTypes {
    let of_field = |names: &[&str]| {
        names.iter().map(|name| ((*name).to_owned(), FieldType { name: (*name).to_owned() })).collect()
    };
    FieldTypes { fields: fields.iter().map(|(path, names)| ((*path).to_owned(), of_field(names))).collect() }
}

#[track_caller]
fn check(query: &str, fields: &[(&str, &[&str])], expected: impl Into<Option<Value>>) {
    let query = Query::parse(query).expect("is a query");
    assert_eq!(narrow(query.expr(), &types(fields)).certain, expected.into(), "{query}");
}

fn contains(path: &str, part: &str) -> Value {
    json!({ "wildcard": { path: { "value": format!("*{part}*"), "case_insensitive": true } } })
}

#[test]
fn words_are_looked_for_inside_of_terms() {
    let fields: &[(&str, &[&str])] = &[
        ("message", &["text"]),
        ("message.keyword", &["keyword"]),
        ("weir.stream", &["keyword"]),
        ("@timestamp", &["date"]),
    ];
    let ignored = json!({ "terms": { "_ignored": ["@timestamp"] } });
    let any =
        |conditions: Value| Some(json!({ "bool": { "should": conditions, "minimum_should_match": 1 } }));
    check("Error", fields, any(json!([contains("message", "error"), ignored])));
    check("2026", fields, any(json!([exists("@timestamp"), contains("message", "2026"), ignored])));
    let field = json!({ "term": { "_ignored": "message" } });
    check("message:jo*", fields, any(json!([contains("message", "jo"), field])));
    let both = json!({ "bool": { "filter": [contains("message", "disk"), contains("message", "full")] } });
    check("message:\"disk full\"", fields, any(json!([both, field])));
    check("message:größe", fields, any(json!([exists("message"), field])));
}

#[test]
fn numbers_are_looked_for_around() {
    let any = |condition: Value| {
        let ignored = json!({ "term": { "_ignored": "n" } });
        Some(json!({ "bool": { "should": [condition, ignored], "minimum_should_match": 1 } }))
    };
    let fields: &[(&str, &[&str])] = &[("n", &["long"])];
    check("n:500", fields, any(json!({ "range": { "n": { "gte": 494.0, "lte": 506.0 } } })));
    check("n:>=500", fields, any(json!({ "range": { "n": { "gte": 494.0 } } })));
    check("n:<1e30", fields, any(exists("n")));
    check("n:>=m", fields, any(exists("n")));
    check("n:5*", fields, any(exists("n")));
}

#[test]
fn what_is_not_known_narrows_nothing() {
    for query in ["*", "-error", "missing:x", "n:*", "n:null", "\"\":x", "nested.n:1", "nested:x OR n:1"] {
        check(query, &[("n", &["long"]), ("nested", &["nested"]), ("nested.n", &["long"])], None);
    }
    check("-*", &[], Some(json!({ "match_none": {} })));
}

#[test]
fn only_what_is_named_is_asked_for() {
    let check = |query: &str, expected: &str| {
        assert_eq!(fields(Query::parse(query).expect("is a query").expr()), expected, "{query}");
    };
    check("a.b.c:1 -d:2", "a,a.b,a.b.c,d,weir.order");
    check("a:1 error", "*");
    check("*", "weir.order");
}
