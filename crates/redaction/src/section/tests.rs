use super::*;

fn raw() -> RedactionSection {
    RedactionSection::default()
}

#[track_caller]
fn check(raw: &RedactionSection, expected: &str) {
    assert_eq!(RedactionSettings::validate(raw).expect_err("is refused").to_string(), expected);
}

#[test]
fn documented_defaults_are_the_real_ones() {
    let documented: RedactionSection = weir_foundation::settings::documented_defaults();
    let show = |raw| format!("{:?}", RedactionSettings::validate(raw).expect("is valid"));
    assert_eq!(show(&documented), show(&raw()));
    let settings = RedactionSettings::validate(&raw()).expect("is valid");
    assert!(matches!(settings.source, Source::Off));
    let manner = Manner { defaults: DefaultRules::Merge, short_matches: ShortMatch::Hide };
    assert_eq!((settings.manner, settings.refresh), (manner, Duration::from_secs(60)));
}

#[test]
fn names_every_problem() {
    check(
        &RedactionSection {
            endpoint: Some("ftp://market".to_owned()),
            timeout: Some(DurationText::from_secs(0)),
            refresh: Some(DurationText::from_millis(10)),
            tls: TlsSection { key_file: Some("a".into()), ..TlsSection::default() },
            ..raw()
        },
        "refresh: must be at least `1s`\n\
         endpoint: must be a URL of `http` or `https`\n\
         timeout: must be longer than zero\n\
         tls.cert_file: is needed with `key_file`\n",
    );
    check(
        &RedactionSection { endpoint: Some("market".to_owned()), ..raw() },
        "endpoint: is no URL: relative URL without a base\n",
    );
    check(
        &RedactionSection { rules: Some("{".to_owned()), ..raw() },
        "rules: the rules are no JSON object with an object for each app: EOF while parsing an object at line 1 \
         column 1\n",
    );
    check(
        &RedactionSection { rules: Some("{}".to_owned()), file: Some("a".into()), ..raw() },
        "`rules`, `file` and `endpoint` exclude each other\n",
    );
}

#[test]
fn a_blank_endpoint_is_none() {
    let blank = RedactionSection { endpoint: Some(" ".to_owned()), rules: Some(String::new()), ..raw() };
    let settings = RedactionSettings::validate(&blank).expect("is valid");
    assert!(matches!(settings.source, Source::Off));
}

#[test]
fn barito_prefers_its_variable_and_replaces_defaults() {
    let both = RedactionSection {
        endpoint: Some("http://market/".to_owned()),
        rules: Some("{}".to_owned()),
        compat: Some(Compat::Barito),
        ..raw()
    };
    let settings = RedactionSettings::validate(&both).expect("is valid");
    assert!(matches!(settings.source, Source::Text(_)));
    assert_eq!(settings.manner, Manner { defaults: DefaultRules::Replace, short_matches: ShortMatch::Show });
    assert_eq!(settings.unknown_fields, UnknownFields::Ignore);
    let merged = RedactionSection { default_rules: Some(DefaultRulesText::Merge), ..both };
    let settings = RedactionSettings::validate(&merged).expect("is valid");
    assert_eq!(settings.manner.defaults, DefaultRules::Merge);
}

#[test]
fn the_key_is_not_printed() {
    let raw = RedactionSection {
        endpoint: Some("http://market/".to_owned()),
        client_key: Some(Secret::new("hunter2")),
        ..raw()
    };
    let settings = RedactionSettings::validate(&raw).expect("is valid");
    assert!(!format!("{raw:?} {settings:?}").contains("hunter2"));
}
