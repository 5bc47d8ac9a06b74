use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_postgres::{Client, Config, NoTls};
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::settings::{DurationText, Secret};
use weir_foundation::supervise::{DrainDeadlines, Spawner, Supervisor};
use weir_services::Postgres;
use weir_state::{Expect, Kind, State, Write};
use weir_state_postgres::{OpenError, PostgresSection, PostgresSettings, PostgresState};

pub(crate) const CUP: Kind = Kind::new("cup");

/// The server of all tests that do it no harm.
pub(crate) static SERVER: LazyLock<SocketAddr> =
    LazyLock::new(|| Postgres::start_lasting().expect("Postgres starts"));

pub(crate) fn spawner() -> Spawner {
    Supervisor::new(Handle::current(), Arc::new(SystemClock), DrainDeadlines::default()).spawner()
}

/// Settings of a schema that nobody has used before.
pub(crate) fn section(address: SocketAddr) -> PostgresSection {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let schema = format!("state_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    PostgresSection {
        address: Some(address.to_string()),
        database: Some("postgres".to_owned()),
        username: Some(Postgres::USER.to_owned()),
        password: Some(Secret::new(Postgres::PASSWORD)),
        schema: Some(schema),
        // The machine of the tests is busy.
        timeout: Some(DurationText::from_secs(60)),
        ..PostgresSection::default()
    }
}

pub(crate) async fn try_open(section: &PostgresSection) -> Result<Arc<PostgresState>, OpenError> {
    let settings = PostgresSettings::validate(section).expect("are valid").expect("have an address");
    PostgresState::open(settings, Arc::new(SystemClock), &spawner()).await
}

pub(crate) async fn open(section: &PostgresSection) -> Arc<PostgresState> {
    try_open(section).await.expect("it opens")
}

/// Whoever may do everything, in a database.
pub(crate) async fn sql(address: SocketAddr, database: &str) -> Client {
    let mut config = Config::new();
    config.host(address.ip().to_string()).port(address.port());
    config.user(Postgres::USER).password(Postgres::PASSWORD).dbname(database);
    let (client, connection) = config.connect(NoTls).await.expect("it lets in");
    let task = async move {
        drop(connection.await);
        Ok::<(), std::convert::Infallible>(())
    };
    let policy =
        weir_foundation::supervise::Policy::expendable(weir_foundation::supervise::DrainPhase::Close);
    spawner().spawn("test.sql", policy, |_| task);
    client
}

pub(crate) async fn run(client: &Client, statements: &str) {
    let ran = client.batch_execute(statements).await;
    assert!(ran.is_ok(), "{statements}: {ran:?}");
}

pub(crate) fn put(name: &str, value: impl Into<Vec<u8>>) -> Write {
    CUP.key(name).put(Expect::Any, value.into())
}

pub(crate) async fn value(state: &dyn State, name: &str) -> Option<String> {
    let entry = state.get(CUP, name).await.expect("it can be read");
    entry.map(|entry| String::from_utf8(entry.value).expect("it is a text"))
}

/// Waits for a condition, for a minute at most.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let started = SystemClock.monotonic();
    while !condition().await {
        let waited = SystemClock.monotonic().saturating_duration_since(started);
        assert!(waited < Duration::from_secs(60), "a minute passed and still not: {what}");
        SystemClock.sleep(Duration::from_millis(5)).await;
    }
}
