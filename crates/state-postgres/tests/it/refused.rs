use std::net::SocketAddr;

use weir_foundation::failure::chain;
use weir_foundation::settings::{DurationText, Secret};
use weir_state::{CommitError, State, StateError};
use weir_state_postgres::{OpenError, PostgresSection};

use crate::world::{CUP, SERVER, open, put, run, section, sql, try_open, value};

const PASSWORD: &str = "open sesame";

/// The refusal, which tells no secret.
#[track_caller]
fn refusal(opened: Result<std::sync::Arc<impl State>, OpenError>) -> OpenError {
    let error = opened.expect_err("it is refused");
    let text = format!("{} {error:?}", chain(&error));
    assert!(!text.contains(PASSWORD) && !text.contains(weir_services::Postgres::PASSWORD), "{text}");
    error
}

/// What is in a schema, as far as it could be changed.
async fn contents(schema: &str) -> String {
    let admin = sql(*SERVER, "postgres").await;
    let rows = admin
        .query(
            "select c.relname::text, c.relkind::text, query_to_xml('select * from ' || c.oid::regclass, true, true, '')::text
             from pg_class c join pg_namespace n on n.oid = relnamespace
             where nspname = $1 and relkind in ('r', 'v') order by relname",
            &[&schema],
        )
        .await
        .expect("it can be read");
    rows.iter()
        .map(|row| (0..3).map(|place| row.get::<_, String>(place)).collect::<Vec<_>>().join(" "))
        .collect()
}

async fn logs_in(section: &PostgresSection, role: &str, rights: &str) -> PostgresSection {
    let admin = sql(*SERVER, "postgres").await;
    run(&admin, &format!("create role {role} login password '{PASSWORD}'; {rights}")).await;
    PostgresSection {
        username: Some(role.to_owned()),
        password: Some(Secret::new(PASSWORD)),
        ..section.clone()
    }
}

fn schema(section: &PostgresSection) -> &str {
    section.schema.as_deref().expect("it has one")
}

#[tokio::test]
async fn those_who_may_not_come_in_are_told() {
    let section = section(*SERVER);
    let wrong = [
        PostgresSection { password: Some(Secret::new(PASSWORD)), ..section.clone() },
        PostgresSection { password: None, ..section.clone() },
        PostgresSection { username: Some("nobody".to_owned()), ..section.clone() },
    ];
    for section in wrong {
        let error = refusal(try_open(&section).await);
        assert!(matches!(error, OpenError::Login { .. }), "{error:?}");
    }
    let error = refusal(try_open(&PostgresSection { database: Some("none".to_owned()), ..section }).await);
    let text =
        "there is no database `none`; make it: create database \"none\" encoding 'UTF8' template template0";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn where_nobody_is_it_says_so() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("it has one");
    let silent = PostgresSection { timeout: Some(DurationText::from_millis(50)), ..section(address) };
    // It takes connections and says nothing.
    let error = refusal(try_open(&silent).await);
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error:?}");
    drop(free);
    let error = refusal(try_open(&section(address)).await);
    assert_eq!(error.to_string(), format!("Postgres can not be reached at `{address}`"));
    let nowhere =
        PostgresSection { address: Some("nowhere.invalid:1".to_owned()), encrypt: Some(false), ..silent };
    let error = refusal(try_open(&nowhere).await);
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_newer_format_is_refused_by_name_and_untouched() {
    let section = section(*SERVER);
    let state = open(&section).await;
    let last = state.commit(&[put("a", "1")]).await.expect("committed");
    let admin = sql(*SERVER, "postgres").await;
    let schema = schema(&section);
    run(
        &admin,
        &format!("alter table {schema}.store add column more int; update {schema}.store set format = 2"),
    )
    .await;
    let before = contents(schema).await;
    let error = refusal(try_open(&section).await);
    let text = format!("the schema `{schema}` has state format 2, this weir reads up to 1; use a newer weir");
    assert_eq!(error.to_string(), text);
    // Whoever had it open writes nothing more, and takes in nothing.
    let refused = state.commit(&[put("a", "2")]).await.expect_err("it is refused");
    assert!(matches!(refused, CommitError::Unavailable(_)), "{refused:?}");
    assert!(chain(&refused).to_string().contains("format 2"), "{}", chain(&refused));
    assert!(matches!(state.changes(&[CUP], last).await, Err(StateError::Failed(_))));
    run(&admin, &format!("alter table {schema}.store rename to elsewhere; drop table {schema}.document"))
        .await;
    run(&admin, &format!("alter table {schema}.elsewhere rename to store")).await;
    let error = refusal(try_open(&section).await);
    assert!(matches!(error, OpenError::NewerFormat { found: 2, known: 1, .. }), "{error:?}");
    assert!(before.contains("<format>2</format>") && contents(schema).await.contains("<format>2</format>"));
}

#[tokio::test]
async fn what_is_no_state_is_refused_and_untouched() {
    let check = async |tables: &str, expected: &str| {
        let section = section(*SERVER);
        let schema = schema(&section);
        let admin = sql(*SERVER, "postgres").await;
        run(&admin, &format!("create schema {schema}; set search_path = {schema}; {tables}")).await;
        let before = contents(schema).await;
        let error = refusal(try_open(&section).await);
        let text =
            format!("the schema `{schema}` is not one of the state: it has `{expected}`; name another one");
        assert_eq!(error.to_string(), text);
        assert_eq!(contents(schema).await, before);
    };
    check("create table diary (day date); insert into diary values (now())", "diary").await;
    check("create view diary as select 1", "diary").await;
    check("create table document (a int)", "document").await;
    check("create table store (format int); insert into store values (1)", "store").await;
    check("create table document (a int); create table store (format text)", "document").await;
    check("create table document (a int); create table store (format int)", "document").await;
}

#[tokio::test]
async fn an_encoding_that_does_not_hold_every_name_is_refused() {
    let admin = sql(*SERVER, "postgres").await;
    run(&admin, "create database latin encoding 'LATIN1' locale 'C' template template0").await;
    let section = PostgresSection { database: Some("latin".to_owned()), ..section(*SERVER) };
    let error = refusal(try_open(&section).await);
    let text = "the database `latin` has the encoding LATIN1; make another one, and name it in `database`: \
                create database NAME encoding 'UTF8' template template0";
    assert_eq!(error.to_string(), text);
}

/// Where new databases have another encoding.
#[tokio::test]
async fn what_it_says_to_do_about_a_database_helps() {
    let directory = tempfile::tempdir().expect("a directory");
    let postgres = weir_services::Postgres::start(directory.path()).expect("it starts");
    let admin = sql(postgres.address(), "postgres").await;
    for statement in [
        "update pg_database set datistemplate = false where datname = 'template1'",
        "drop database template1",
        "create database template1 encoding 'LATIN1' locale 'C' template template0",
        "create database latin",
    ] {
        run(&admin, statement).await;
    }
    let section = section(postgres.address());
    let of = |database: &str| PostgresSection { database: Some(database.to_owned()), ..section.clone() };
    for (database, made) in [("none", "none"), ("latin", "other")] {
        let error = refusal(try_open(&of(database)).await).to_string();
        let advice = error.find("create database").map(|begin| error[begin..].replace("NAME", made));
        run(&admin, &advice.expect("it says what to do")).await;
        open(&of(made)).await.commit(&[put("a", "1")]).await.expect("committed");
    }
}

#[tokio::test]
async fn a_role_makes_what_it_may_and_uses_what_is_there() {
    let section = section(*SERVER);
    let schema = schema(&section);
    // It may read everything, and make nothing.
    let reader = logs_in(&section, "reader", "grant pg_read_all_data to reader").await;
    let error = refusal(try_open(&reader).await);
    assert!(matches!(error, OpenError::NotPermitted { .. }), "{error:?}");
    assert!(error.to_string().starts_with("`reader` lacks rights: let it make the schema"), "{error}");

    let state = open(&section).await;
    state.commit(&[put("a", "1")]).await.expect("committed");
    let read_only = try_open(&reader).await.expect("it may look");
    assert_eq!(value(&*read_only, "a").await.as_deref(), Some("1"));
    let refused = read_only.commit(&[put("a", "2")]).await.expect_err("it may not");
    assert!(matches!(refused, CommitError::Unavailable(_)), "{refused:?}");
    assert_eq!(value(&*read_only, "a").await.as_deref(), Some("1"));

    let rights = format!(
        "grant usage on schema {schema} to writer;
         grant select, insert, update, delete on {schema}.document, {schema}.store to writer"
    );
    let writer = open(&logs_in(&section, "writer", &rights).await).await;
    writer.commit(&[put("a", "3"), put("b", "3")]).await.expect("it may write");
    writer.commit(&[CUP.key("b").delete(weir_state::Expect::Any)]).await.expect("it may delete");
    assert_eq!(value(&*state, "a").await.as_deref(), Some("3"));

    // An empty schema that somebody made for it.
    let given = crate::world::section(*SERVER);
    let name = given.schema.clone().expect("it has one");
    let given = logs_in(&given, "owner", &format!("create schema {name} authorization owner")).await;
    open(&given).await.commit(&[put("a", "1")]).await.expect("it may write");
    let stranger = logs_in(&given, "stranger", &format!("grant usage on schema {name} to stranger")).await;
    let error = refusal(try_open(&stranger).await);
    assert!(matches!(error, OpenError::NotPermitted { .. }), "{error:?}");
}

#[tokio::test]
async fn secrets_are_not_for_everybody() {
    let section = section(*SERVER);
    open(&section).await;
    let schema = schema(&section);
    let admin = sql(*SERVER, "postgres").await;
    for rights in ["select", "update", "select (value)"] {
        run(&admin, &format!("grant {rights} on {schema}.document to public")).await;
        let error = refusal(try_open(&section).await);
        let text = format!(
            "whoever may log in gets at the secrets in `{schema}.document`: revoke all on \"{schema}\".\"document\" from public"
        );
        assert_eq!(error.to_string(), text);
        run(&admin, &format!("revoke all on \"{schema}\".\"document\" from public")).await;
        run(&admin, &format!("revoke all (value) on \"{schema}\".\"document\" from public")).await;
        open(&section).await;
    }
    // A database that gives new tables to everybody.
    run(&admin, "create database generous encoding 'UTF8' template template0").await;
    let inside = sql(*SERVER, "generous").await;
    run(&inside, "alter default privileges grant select on tables to public").await;
    let section = PostgresSection { database: Some("generous".to_owned()), ..section };
    open(&section).await;
    open(&section).await;
}

/// It says that it is one, whatever else is asked.
#[tokio::test]
async fn a_server_that_takes_no_writes_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut standby = weir_services::Postgres::start(directory.path()).expect("it starts");
    let address: SocketAddr = standby.address();
    let section = section(address);
    let state = open(&section).await;
    state.commit(&[put("a", "1")]).await.expect("committed");
    standby.kill().expect("it can be killed");
    std::fs::write(directory.path().join("data/standby.signal"), "").expect("written");
    standby.restart().expect("it starts as a standby of nobody");
    let error = refusal(try_open(&section).await);
    let text =
        format!("the Postgres at `{address}` is a standby, which takes no writes; name the primary server");
    assert_eq!(error.to_string(), text);
    let refused = state.commit(&[put("a", "2")]).await.expect_err("it takes no writes");
    assert!(matches!(refused, CommitError::Unavailable(_)), "{refused:?}");
}
