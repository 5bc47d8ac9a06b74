//! Who weir says that it is to the brokers, and which brokers it believes.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::failure::chain;
use weir_foundation::metrics::Builder;
use weir_foundation::settings::Secret;
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_foundation::tls::{IdentityFiles, TlsSettings};
use weir_journal::Journal;
use weir_journal_kafka::{KafkaJournal, Retries, SaslMechanism, SaslSettings, Settings};
use weir_services::{Guard, Guarded, Home, Kafka};
use weir_testkit::Authority;

use crate::broker::{append, create, only, receive};

const USER: &str = "weir";
const PASSWORD: &str = "a secret";

/// Ways to be believed, each with the topic that it writes to and reads from.
fn good(authority: &Authority, guarded: &Guarded) -> Vec<(&'static str, Settings)> {
    let tls = || Some(trust(authority, None));
    let sasl = |mechanism| Some(sasl(mechanism, PASSWORD));
    let login = |mechanism, encrypted: Option<TlsSettings>| {
        let address = if encrypted.is_some() { &guarded.login_tls } else { &guarded.login };
        Settings { tls: encrypted, sasl: sasl(mechanism), ..settings(address) }
    };
    vec![
        ("certificate", Settings { tls: Some(trust(authority, Some("client"))), ..settings(&guarded.tls) }),
        ("plain-tls", login(SaslMechanism::Plain, tls())),
        ("plain", login(SaslMechanism::Plain, None)),
        ("scram-256-tls", login(SaslMechanism::ScramSha256, tls())),
        ("scram-512-tls", login(SaslMechanism::ScramSha512, tls())),
        ("scram-512", login(SaslMechanism::ScramSha512, None)),
    ]
}

/// Ways not to be. The stranger has signed nothing of it.
fn bad(authority: &Authority, stranger: &Authority, guarded: &Guarded) -> Vec<(&'static str, Settings)> {
    let wrong = |mechanism| Some(sasl(mechanism, "another secret"));
    let believed = Some(trust(authority, None));
    vec![
        ("no certificate", Settings { tls: believed.clone(), ..settings(&guarded.tls) }),
        ("no encryption", settings(&guarded.tls)),
        ("nobody", Settings { tls: believed.clone(), ..settings(&guarded.login_tls) }),
        (
            "wrong password",
            Settings {
                tls: believed.clone(),
                sasl: wrong(SaslMechanism::ScramSha512),
                ..settings(&guarded.login_tls)
            },
        ),
        ("wrong password", Settings { sasl: wrong(SaslMechanism::Plain), ..settings(&guarded.login) }),
        (
            "a broker that a stranger vouches for",
            Settings {
                tls: Some(trust(stranger, None)),
                sasl: Some(sasl(SaslMechanism::Plain, PASSWORD)),
                ..settings(&guarded.login_tls)
            },
        ),
    ]
}

fn settings(address: &str) -> Settings {
    Settings {
        start: Retries { most: Some(1), interval: Duration::from_secs(1) },
        request_timeout: Duration::from_secs(30),
        ..Settings::new(vec![address.to_owned()])
    }
}

fn trust(authority: &Authority, identity: Option<&str>) -> TlsSettings {
    let identity = identity.map(|name| IdentityFiles {
        cert_file: authority.path(&format!("{name}.pem")),
        key_file: authority.path(&format!("{name}.key")),
    });
    TlsSettings { ca_file: Some(authority.path("ca.pem")), identity }
}

fn sasl(mechanism: SaslMechanism, password: &str) -> SaslSettings {
    SaslSettings { mechanism, username: USER.to_owned(), password: Secret::new(password) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_those_who_know_each_other_talk() {
    let authority = Authority::new();
    authority.issue("client", "weir");
    let (certificate, key) = authority.sign("127.0.0.1");
    let (user, password) = (USER.to_owned(), PASSWORD.to_owned());
    let guard = Guard { ca: authority.pem(), certificate, key, user, password };
    let directory = tempfile::tempdir().expect("there is space");
    let started = Kafka::start_guarded(&Home::of_the_tree(), directory.path(), &guard);
    let (_kafka, guarded) = started.expect("it starts");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let supervisor = Supervisor::new(Handle::current(), Arc::clone(&clock), DrainDeadlines::default());
    let open = async |settings| {
        let (clock, spawner) = (Arc::clone(&clock), supervisor.spawner());
        KafkaJournal::open(settings, clock, &spawner, &mut Builder::new()).await
    };
    for (name, settings) in good(&authority, &guarded) {
        let journal = open(settings).await.unwrap_or_else(|error| panic!("{name}: {}", chain(&error)));
        let topic = format!("{name}_logs");
        create(&journal, &topic, 1).await;
        append(&journal, &topic, name).await;
        let mut member = journal.subscribe(name, only(&topic)).await.expect("a group");
        assert_eq!(receive(&mut *member, 1).await[0].1, name);
    }
    let stranger = Authority::new();
    for (name, settings) in bad(&authority, &stranger, &guarded) {
        // librdkafka goes on trying until then.
        let settings = Settings { request_timeout: Duration::from_secs(5), ..settings };
        assert!(open(settings).await.is_err(), "{name} is let in");
    }
}
