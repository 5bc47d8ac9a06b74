use weir_foundation::failure::chain;
use weir_foundation::tls::{DistrustKind, TlsSection};
use weir_services::{Postgres, Shown};
use weir_state::State;
use weir_state_postgres::{OpenError, PostgresSection};
use weir_testkit::Authority;

use crate::world::{SERVER, open, put, section, try_open, value};

fn trusting(authority: &Authority, section: &PostgresSection) -> PostgresSection {
    let tls = TlsSection { ca_file: Some(authority.path("ca.pem")), ..TlsSection::default() };
    PostgresSection { encrypt: Some(true), tls, ..section.clone() }
}

#[tokio::test]
async fn the_server_must_be_who_it_should_be() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.sign("127.0.0.1");
    let directory = tempfile::tempdir().expect("a directory");
    let shown = Shown { certificate, key };
    let postgres = Postgres::start_tls(directory.path(), &shown).expect("it starts");
    let section = section(postgres.address());
    let state = open(&trusting(&authority, &section)).await;
    state.commit(&[put("a", "1")]).await.expect("committed");
    assert_eq!(value(&*state, "a").await.as_deref(), Some("1"));

    let check = async |section: PostgresSection, expected: DistrustKind| match try_open(&section).await {
        Err(OpenError::Untrusted { source, .. }) => assert_eq!(source.kind, expected),
        other => unreachable!("it is not trusted: {other:?}"),
    };
    check(trusting(&other, &section), DistrustKind::Stranger).await;
    // The authorities of the system.
    check(PostgresSection { encrypt: Some(true), ..section.clone() }, DistrustKind::Stranger).await;
    let by_name = format!("localhost:{}", postgres.address().port());
    let other_name = PostgresSection { address: Some(by_name), ..section.clone() };
    check(trusting(&authority, &other_name), DistrustKind::OtherName).await;

    let absent = TlsSection { ca_file: Some(authority.path("absent.pem")), ..TlsSection::default() };
    let absent = PostgresSection { encrypt: Some(true), tls: absent, ..section.clone() };
    let error = try_open(&absent).await.expect_err("there is no such file");
    assert!(matches!(error, OpenError::Tls(_)), "{}", chain(&error));
}

#[tokio::test]
async fn a_server_without_tls_is_not_talked_to_without_it() {
    let error = try_open(&trusting(&Authority::new(), &section(*SERVER))).await.expect_err("it speaks none");
    assert!(matches!(error, OpenError::NoTls { .. }), "{error:?}");
}
