use std::sync::Arc;

use async_trait::async_trait;
use weir_state::State;
use weir_state::conformance::{CASES, Factory};
use weir_state_postgres::PostgresSection;

use crate::world::{SERVER, open, run, section, sql};

/// Schemas of a database.
#[derive(Debug)]
struct Database(&'static str);

#[async_trait]
impl Factory for Database {
    async fn make(&self) -> [Arc<dyn State>; 2] {
        let section = PostgresSection { database: Some(self.0.to_owned()), ..section(*SERVER) };
        [open(&section).await, open(&section).await]
    }
}

#[expect(clippy::print_stderr, reason = "says which case fails")]
async fn check(make: &dyn Factory) {
    for case in CASES {
        eprintln!("{make:?}: {}", case.name);
        (case.run)(make).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_in_postgres_conforms() {
    check(&Database("postgres")).await;
}

/// One that sorts as people do, forgets what a crash takes, reads what others have not committed, and looks for names
/// elsewhere first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms_whatever_the_customs_of_the_database() {
    let admin = sql(*SERVER, "postgres").await;
    run(&admin, "create database peculiar template template0 encoding 'UTF8' locale_provider icu icu_locale 'en-u-ks-level2' locale 'C'")
        .await;
    let inside = sql(*SERVER, "peculiar").await;
    run(
        &inside,
        "create schema first; create table first.document (a int); create table first.store (a int);
         create table first.pg_class (a int); create table first.pg_namespace (a int);
         create function first.pg_is_in_recovery() returns bool language sql as 'select true';
         alter database peculiar set search_path = first, pg_catalog;
         alter database peculiar set synchronous_commit = off;
         alter database peculiar set default_transaction_isolation = serializable;
         alter database peculiar set default_transaction_read_only = on;
         alter database peculiar set default_transaction_deferrable = on;
         alter database peculiar set bytea_output = escape;
         alter database peculiar set standard_conforming_strings = off;
         alter database peculiar set quote_all_identifiers = on;
         alter database peculiar set timezone = 'Asia/Kathmandu'",
    )
    .await;
    check(&Database("peculiar")).await;
}
