//! Another server has taken over that did not have everything.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::SystemTime;

use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use weir_foundation::settings::{DurationText, Secret};
use weir_state::State;
use weir_state_postgres::PostgresSection;
use weir_testkit::{Cable, CableState};

use crate::world::{SERVER, eventually, open, put, run, section, sql};

/// What is logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

/// Nobody's. While there is but one subscriber, `tracing` takes a place of the code that logs for the first time on a thread
/// without one, as those of other tests are, for one that never logs.
static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));

impl Log {
    /// Of this thread, for as long as the second is held.
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        LazyLock::force(&ANOTHER);
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::INFO)
            .with_writer(log.clone())
            .with_ansi(false)
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// How many lines have all of these.
    fn lines(&self, parts: &[&str]) -> usize {
        let text = self.0.lock().expect("no test panics with it").clone();
        let text = String::from_utf8(text).expect("is text");
        text.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// It is an error once each time, also where the server could not be reached before.
#[tokio::test]
async fn a_state_that_went_back_is_an_error_once() {
    let (log, _guard) = Log::begin();
    let admin = sql(*SERVER, "postgres").await;
    run(&admin, "create role looker login superuser password 'x'").await;
    let cable = Cable::to(*SERVER).await.expect("it is laid");
    let section = PostgresSection {
        address: Some(cable.address().to_string()),
        username: Some("looker".to_owned()),
        password: Some(Secret::new("x")),
        // The machine of the tests is busy.
        timeout: Some(DurationText::from_secs(10)),
        ..section(*SERVER)
    };
    let state = open(&section).await;
    for value in ["1", "2", "3"] {
        state.commit(&[put("a", value)]).await.expect("committed");
    }
    let schema = section.schema.as_deref().expect("it has one");
    let becomes =
        async |revision: u64| run(&admin, &format!("update {schema}.store set revision = {revision}")).await;
    let unknown = ["WARN", "it is not known what others write"];
    let went_back = ["ERROR", "lost what it had acknowledged", "restart all processes of the instance"];

    cable.becomes(CableState::Cut);
    eventually("it is said that nobody is there", async || log.lines(&unknown) == 1).await;
    becomes(1).await;
    cable.becomes(CableState::Whole);
    eventually("it is said that the state went back", async || log.lines(&went_back) > 0).await;
    let looks = Mutex::new(BTreeSet::<SystemTime>::new());
    eventually("it has looked again", async || {
        let begun =
            admin.query("select query_start from pg_stat_activity where usename = 'looker'", &[]).await;
        let mut looks = looks.lock().expect("no test panics with it");
        looks.extend(begun.expect("it is seen").iter().filter_map(|row| row.get::<_, Option<SystemTime>>(0)));
        looks.len() > 8
    })
    .await;
    assert_eq!((log.lines(&went_back), log.lines(&unknown)), (1, 1));

    becomes(10).await;
    eventually("it is beyond that", async || *state.revision().borrow() == 10).await;
    becomes(5).await;
    eventually("it is said again", async || log.lines(&went_back) == 2).await;
}
