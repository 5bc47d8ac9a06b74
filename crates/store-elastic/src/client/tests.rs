use super::*;

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, body: Bytes::copy_from_slice(body.as_bytes()) }
}

#[test]
fn requests_are_these() {
    let check = |call: &Call, method: Method, path: &str, body: Option<&str>| {
        assert_eq!((call.method, call.path.as_str()), (method, path));
        assert_eq!(call.body.as_ref().map(|body| &body.bytes[..]), body.map(str::as_bytes));
    };
    let lines = Bytes::from_static(b"{}\n{}\n");
    let bulk = Call::bulk(lines, Encoding::Gzip);
    check(&bulk, Method::Post, "_bulk?filter_path=errors,items.*.status,items.*.error", Some("{}\n{}\n"));
    let single = Call::single("a+b-2026.11.21", "x_logs-1-0-1.2", Bytes::from_static(b"{}"), Encoding::Plain);
    check(&single, Method::Put, "a%2Bb-2026.11.21/_create/x_logs-1-0-1.2", Some("{}"));
    check(
        &Call::refresh("shop-*"),
        Method::Post,
        "shop-*/_refresh?ignore_unavailable=true&allow_no_indices=true",
        None,
    );
    let existing = Call::existing("shop", &["a".to_owned(), "b".to_owned()]);
    assert_eq!(
        existing.body.expect("has one").bytes,
        r#"{"_source":false,"query":{"ids":{"values":["a","b"]}},"size":2}"#
    );
    check(
        &Call::delete_index("shop-2026.11.21"),
        Method::Delete,
        "shop-2026.11.21?ignore_unavailable=true",
        None,
    );
}

#[test]
fn items_are_judged_one_by_one() {
    let body = r#"{"errors":true,"items":[
        {"create":{"status":201}},
        {"index":{"status":200}},
        {"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"exists"}}},
        {"create":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"queue"}}},
        {"create":{"status":503,"error":{"reason":"primary shard is not active"}}},
        {"create":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"failed to parse field [n]","caused_by":{"type":"number_format_exception","reason":"For input"}}}},
        {"create":{"status":404,"error":"no such index"}},
        {"create":{"status":403,"error":{"reason":"index read-only"}}}
    ]}"#;
    let Bulk::Items(items) = read_bulk(&answer(200, body), 8) else { panic!("has items") };
    assert_eq!(items[..3], [201, 200, 409].map(|status| Item::Stored { status }));
    let [away, shard, mapping, missing, denied] = &items[3..] else { panic!("has eight") };
    assert!(matches!(away, Item::Away { status: 429, label: "undefined_error", .. }), "{away:?}");
    assert!(matches!(shard, Item::Away { status: 503, label: "inactive_primary_shard", .. }), "{shard:?}");
    let reason =
        "mapper_parsing_exception: failed to parse field [n]: number_format_exception: For input".to_owned();
    assert_eq!(*mapping, Item::Rejected { status: 400, reason, label: "mapping_failed" });
    let reason = "no such index".to_owned();
    assert_eq!(*missing, Item::Rejected { status: 404, reason, label: "undefined_error" });
    assert!(matches!(denied, Item::Denied { status: 403, label: "index_read_only", .. }), "{denied:?}");
}

#[test]
fn without_errors_nobody_looks_at_items() {
    let check = |body: &str, documents: usize| {
        assert_eq!(
            read_bulk(&answer(200, body), documents),
            Bulk::Items(vec![Item::Stored { status: 201 }; documents])
        );
    };
    check(r#"{"errors":false}"#, 3);
    check(
        r#"{"took":3,"errors":false,"items":[{"index":{"_index":"a","status":201,"result":"created"}}]}"#,
        1,
    );
}

#[test]
fn a_whole_answer_is_judged() {
    let check =
        |status: u16, body: &str, expected: Bulk| assert_eq!(read_bulk(&answer(status, body), 2), expected);
    check(413, "<html>", Bulk::TooLarge);
    check(400, r#"{"error":{"type":"t","reason":"r"},"status":400}"#, Bulk::Broken("t: r".to_owned()));
    check(401, "no", Bulk::Denied { status: 401, reason: "no".to_owned() });
    check(403, r#"{"error":"no"}"#, Bulk::Denied { status: 403, reason: "no".to_owned() });
    for status in [404, 405, 408, 429, 500, 502, 503, 504, 301] {
        check(status, "gone", Bulk::Away { status, reason: "gone".to_owned() });
    }
    for body in ["", "[]", r#"{"errors":true,"items":[{"create":{"status":201}}]}"#, r#"{"errors":true}"#] {
        assert!(matches!(read_bulk(&answer(200, body), 2), Bulk::Away { .. }), "{body}");
    }
}

#[test]
fn a_single_document_is_judged() {
    let check = |status: u16, body: &str| read_single(&answer(status, body));
    assert_eq!(check(201, "{}"), Bulk::Items(vec![Item::Stored { status: 201 }]));
    assert_eq!(check(409, "{}"), Bulk::Items(vec![Item::Stored { status: 409 }]));
    assert_eq!(check(413, ""), Bulk::TooLarge);
    assert!(matches!(check(429, ""), Bulk::Away { status: 429, .. }));
    assert!(matches!(check(503, ""), Bulk::Away { status: 503, .. }));
    assert!(matches!(check(403, ""), Bulk::Denied { .. }));
    let rejected = check(400, r#"{"error":{"reason":"no mapping"}}"#);
    let reason = "no mapping".to_owned();
    assert_eq!(rejected, Bulk::Items(vec![Item::Rejected { status: 400, reason, label: "mapping_failed" }]));
}

#[test]
fn labels_do_not_depend_on_chance() {
    // Two of barito-flow's patterns fit; the first in its list is taken.
    let body = r#"{"error":{"reason":"failed to parse field, Limit of total fields"}}"#;
    let Bulk::Items(items) = read_single(&answer(400, body)) else { panic!("is judged") };
    assert!(matches!(items[..], [Item::Rejected { label: "mapping_failed", .. }]), "{items:?}");
    let body = r#"{"error":{"reason":"other","caused_by":{"reason":"maximum shards open"}}}"#;
    let Bulk::Items(items) = read_single(&answer(400, body)) else { panic!("is judged") };
    assert!(matches!(items[..], [Item::Rejected { label: "maximum_shards_open", .. }]), "{items:?}");
}

#[test]
fn a_single_document_is_taken_apart() {
    let mut body = action("shop-2026.11.21").into_bytes();
    body.extend_from_slice(b"x_logs-1-0-1.2");
    body.extend_from_slice(ACTION_END);
    body.extend_from_slice(b"{\"a\":1}\n");
    let expected = "{\"create\":{\"_index\":\"shop-2026.11.21\",\"_id\":\"x_logs-1-0-1.2\"}}\n{\"a\":1}\n";
    assert_eq!(body, expected.as_bytes());
    let (id, document) = single_parts(&body.into()).expect("has both");
    assert_eq!((id.as_str(), &document[..]), ("x_logs-1-0-1.2", &b"{\"a\":1}"[..]));
}
