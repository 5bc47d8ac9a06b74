use super::*;

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let settings = Settings::validate(&KafkaSection::default()).expect("the defaults are good");
    assert_eq!(settings, Settings::new(vec!["localhost:9092".to_owned()]));
}

#[test]
fn all_problems_come_at_once() {
    let raw = KafkaSection {
        brokers: Some(vec!["a:9092,b:9092".to_owned()]),
        tls: Some(TlsSection { key_file: Some("key.pem".into()), ..TlsSection::default() }),
        sasl: Some(SaslSection { username: Some("weir".to_owned()), ..SaslSection::default() }),
        new_topic_events: Some("new topics".to_owned()),
        options: Some([("acks".to_owned(), "1".to_owned())].into()),
        ..KafkaSection::default()
    };
    let problems = Settings::validate(&raw).expect_err("nearly all is wrong");
    let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["tls.cert_file", "sasl.password", "new_topic_events", "brokers", "options.acks"]);
}

#[test]
fn where_consul_is_asked_no_broker_need_be_known() {
    let check = |brokers: Option<&[&str]>, service: &str, expected: &[&str]| {
        let brokers = brokers.map(|brokers| brokers.iter().map(ToString::to_string).collect());
        let raw =
            KafkaSection { brokers, consul_service: Some(service.to_owned()), ..KafkaSection::default() };
        let settings = Settings::validate(&raw).expect("it is good");
        assert_eq!(settings.brokers.addresses(), expected);
    };
    check(None, "kafka", &[]);
    check(Some(&["a:9092"]), "kafka", &["a:9092"]);
    check(None, "", &["localhost:9092"]);
}

#[test]
fn no_retries_at_start_means_for_ever() {
    let retries = |most| {
        let raw = KafkaSection { start_retries: most, ..KafkaSection::default() };
        Settings::validate(&raw).expect("it is good").start.most
    };
    assert_eq!((retries(None), retries(Some(0)), retries(Some(3))), (None, None, Some(3)));
}

#[test]
fn a_password_is_not_printed() {
    let sasl = SaslSection {
        username: Some("weir".to_owned()),
        password: Some(Secret::new("hunter2")),
        ..SaslSection::default()
    };
    let raw = KafkaSection { sasl: Some(sasl), ..KafkaSection::default() };
    let settings = Settings::validate(&raw).expect("it is good");
    assert!(!format!("{raw:?} {settings:?}").contains("hunter2"));
}
