use super::*;
use crate::logs::LogRequestDocument;
use crate::reports::ReportDocument;

/// The text of a document stays what it is, or there is a new format.
#[track_caller]
fn check<D: Document>(name: &str, text: &str) {
    let flat: String = text.lines().map(str::trim).collect();
    let document: D = decode(name, flat.as_bytes()).expect("it is a document of today");
    assert_eq!(String::from_utf8(encode(&document)).expect("it is a text"), flat);
    let later = flat.replacen('{', "{\"later\":1,", 1);
    let refused = decode::<D>(name, later.as_bytes()).map(drop).expect_err("of a newer weir");
    assert_eq!(refused.key, D::KIND.key(name));
    let told = format!("{refused} {refused:?}");
    assert!(!told.contains("later"), "what stands there is not told: {told}");
}

const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const PIN: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const THUMBPRINT: &str = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";

#[test]
fn documents_have_one_form() {
    check::<Operator>("admin", &format!(r#"{{"hash":"{HASH}","made":1700000000000001}}"#));
    check::<Operator>("ann", &format!(r#"{{"hash":"{HASH}","made":1,"made_by":"admin","expires":2}}"#));
    check::<LogRequestDocument>("r", r#"{"agent":"node-7","lines":9,"asked":5}"#);
    check::<LogRequestDocument>("r", r#"{"agent":"node-7","lines":9,"asked":5,"answer":{"lines":["one"]}}"#);
    check::<App>("shop", r#"{"secrets":[],"enabled":true,"made":1,"made_by":"admin"}"#);
    check::<App>(
        "shop",
        &format!(
            r#"{{"secrets":["{HASH}"],"max_tps":50,"index_prefix":"shop-eu","enabled":false,
                "made":1,"made_by":"admin"}}"#
        ),
    );
    check::<AccessKey>(
        "k1",
        &format!(
            r#"{{"title":"nodes of rack 7","hash":"{HASH}","apps":["shop","cafe"],"labels":"rack=7,zone=eu",
                "made":1,"made_by":"admin","expires":900000001,"uses":3,"used":1,"last_used":5,"revoked":7,
                "seal":true,"roots":[1,2]}}"#
        ),
    );
    check::<AccessKey>(
        "k2",
        &format!(
            r#"{{"title":"all","hash":"{HASH}","apps":["shop"],"labels":"","made":1,"made_by":"admin","used":0,
                "seal":false,"roots":[1]}}"#
        ),
    );
    check::<Joined>(&format!("k1.{PIN}"), r#"{"agent":"node-7","joined":5}"#);
    check::<Counter>("configuration", r#"{"last":7}"#);
    check::<Assignment>(HASH, r#"{"selector":"zone=eu","revisions":[3,7]}"#);
    check::<Configuration>(
        "00000000000000000007",
        &format!(
            r#"{{"selector":"*","hash":"{HASH}","text":"abc\n\"","made":1,"made_by":"admin","note":"why",
                "restores":3}}"#
        ),
    );
}

#[test]
fn agents_have_one_form() {
    let agent = |revoked: &str| {
        format!(
            r#"{{"apps":["shop"],"labels":"zone=eu","access_key":"k1","seal":true,"joined":5,"first_pin":"{PIN}",
                "generation":2,"certificates":[{{"generation":2,"pin":"{PIN}","thumbprint":"{THUMBPRINT}",
                "serial":"4f00","issued":5,"not_after":86400000005,"root":1}}],"bundle":1,{revoked}
                "forgotten":false}}"#
        )
    };
    check::<Agent>("node-7", &agent(""));
    check::<Agent>("node-7", &agent(r#""revoked":{"at":9,"reason":{"cloned":{"how":"why"}}},"#));
    check::<Agent>(
        "node-7",
        &agent(r#""revoked":{"at":9,"reason":{"operator":{"by":"ann","note":"lost"}}},"#),
    );
    check::<Agent>("node-7", &agent(r#""revoked":{"at":9,"reason":{"access_key":{"by":"ann"}}},"#));
    check::<Agent>("node-7", &agent(r#""revoked":{"at":9,"reason":{"forgotten":{"by":"ann"}}},"#));
}

/// What a newer weir put into a report is passed over, and so is what an older one did.
#[test]
fn reports_have_one_form() {
    let check = |text: &str, other: &str| {
        let flat: String = text.lines().map(str::trim).collect();
        let document: ReportDocument = decode("node-7", flat.as_bytes()).expect("it is a document of today");
        assert_eq!(String::from_utf8(encode(&document)).expect("it is a text"), flat);
        let other: String = other.lines().map(str::trim).collect();
        let read: ReportDocument = decode("node-7", other.as_bytes()).expect("it can be read");
        assert_eq!(read, document);
    };
    check(
        r#"{"life":5,"seen":7,"generation":2,"attendance":{"session":3,"since":6,"takeovers":1},"over":true}"#,
        r#"{"life":5,"seen":7,"generation":2,"attendance":{"session":3,"since":6,"later":1,"takeovers":1},
            "over":true,"later":1}"#,
    );
    let said = format!(
        r#""version":"0.1.0","host":"","os":"","own_inputs":false,"offered":"{HASH}","running":"{HASH}",
            "failed":{{"hash":"{HASH}","reason":"no such file"}}"#
    );
    check(
        &format!(r#"{{"life":5,"seen":7,"generation":2,"said":{{{said}}}}}"#),
        &format!(
            r#"{{"life":5,"seen":7,"generation":2,"said":{{"version":"0.1.0","offered":"{HASH}","running":"{HASH}",
                "failed":{{"hash":"{HASH}","reason":"no such file"}},"lag_bytes":12,"last_error":"refused"}}}}"#
        ),
    );
    let input = r#"{"kind":"files","name":"/a","app":"shop","files":1,"lag_bytes":2,"lag_millis":3,"stored_bytes":4,
        "lines":5,"errors":6,"last_error":"refused""#;
    check(
        &format!(
            r#"{{"life":5,"seen":7,"generation":2,"said":{{{said},
                "status":{{"inputs":[{input}}}],"clock_skew_millis":-8,"error":"full"}}}}}}"#
        ),
        &format!(
            r#"{{"life":5,"seen":7,"generation":2,"said":{{{said},
                "status":{{"inputs":[{input},"later":1}}],"clock_skew_millis":-8,"error":"full"}}}}}}"#
        ),
    );
}

#[test]
fn the_instance_has_one_form() {
    let root = |number: u64| {
        format!(
            r#"{{"number":{number},"certificate":"AQID","key":"BAUG",
                "intermediate":{{"certificate":"AQID","key":"BAUG","made":1,"not_after":2}}}}"#
        )
    };
    let signing = r#"{"key":"BAUG","made":1,"used_from":2}"#;
    check::<Instance>(
        "instance",
        &format!(
            r#"{{"id":"eu-1","made":1,"bundle":1,"roots":[{}],"signing":[{signing}],"seal":"BAUG"}}"#,
            root(1)
        ),
    );
    check::<Instance>(
        "instance",
        &format!(
            r#"{{"id":"eu-1","made":1,"bundle":2,"roots":[{},{}],
                "rotation":{{"begun":5,"begun_by":"ann","switched":6}},"signing":[{signing},{signing}],
                "seal":"BAUG"}}"#,
            root(1),
            root(2)
        ),
    );
    let followed = root(1).replace("}}", r#"},"former":["AQID","AQID"]}"#);
    check::<Instance>(
        "instance",
        &format!(r#"{{"id":"eu-1","made":1,"bundle":1,"roots":[{followed}],"signing":[],"seal":"BAUG"}}"#),
    );
}

/// What is wrong is told by its place.
#[test]
fn damage_is_told_without_what_stands_there() {
    let check = |text: &str| {
        let damaged = decode::<Instance>("instance", text.as_bytes()).expect_err("it is damaged");
        let told = format!("{damaged} {damaged:?}");
        assert!(!told.contains("secret"), "{told}");
    };
    check(r#"{"id":"eu-1","made":"secret"}"#);
    check(r#"{"id":"eu-1","made":1,"seal":"secret!"}"#);
    check(r#"{"id":"secret!"}"#);
    check(r#"{"secret":1}"#);
    check("secret");
}
