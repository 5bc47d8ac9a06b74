//! How Postgres is reached and asked.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{join, try_join3};
use futures_util::{TryFutureExt as _, TryStreamExt as _};
use tokio::sync::oneshot;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;
use weir_foundation::clock::{Clock, Elapsed, timeout};
use weir_foundation::supervise::{DrainPhase, Policy, Spawner};
use weir_foundation::tls::TlsError;

use crate::error::Trouble;
use crate::section::{Encryption, PostgresSettings};

/// A name may have several addresses, which are tried one after the other: so many of them can be silent within the time
/// that an answer may take.
const SILENT_ADDRESSES: u32 = 2;

/// Makes connections.
pub(crate) struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    /// How long it is waited for each answer.
    limit: Duration,
    clock: Arc<dyn Clock>,
    spawner: Spawner,
}

/// One that is used by one at a time. Dropped, it is closed at once, whatever was going on in it: Postgres then undoes
/// what was not committed.
pub(crate) struct Connection {
    client: Client,
    limit: Duration,
    clock: Arc<dyn Clock>,
    /// Its task ends with it.
    _leash: oneshot::Sender<Infallible>,
}

/// A value of a statement and its type: statements are not prepared under names, which a pooler between weir and
/// Postgres would have to know of.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// What two statements gave.
pub(crate) type Begun = (Vec<Row>, Vec<Row>);

/// Counts what has arrived.
#[derive(Debug, Default)]
pub(crate) struct Progress(AtomicU64);

impl Connector {
    pub(crate) fn new(
        settings: &PostgresSettings,
        clock: Arc<dyn Clock>,
        spawner: Spawner,
    ) -> Result<Self, TlsError> {
        let mut config = Config::new();
        config.host(settings.address.host()).port(settings.address.port());
        config.dbname(&settings.database).user(&settings.username).application_name("weir");
        if let Some(password) = &settings.password {
            config.password(password.reveal());
        }
        if settings.address.host().parse::<IpAddr>().is_err() {
            config.connect_timeout(settings.timeout / (SILENT_ADDRESSES + 1));
        }
        // A server that is gone without a word is noticed by those who wait for it; this is for connections that idle.
        config.keepalives_idle(Duration::from_secs(30)).keepalives_interval(Duration::from_secs(10));
        config.keepalives_retries(3);
        let tls = match &settings.encryption {
            Encryption::None => None,
            Encryption::Tls(tls) => Some(MakeRustlsConnect::new(tls.client()?)),
        };
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        Ok(Self { config, tls, limit: settings.timeout, clock, spawner })
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) async fn connect(&self) -> Result<Connection, ConnectError> {
        let (leash, cut) = oneshot::channel();
        let client = match &self.tls {
            None => {
                let connecting = timeout(&*self.clock, self.limit, self.config.connect(NoTls));
                let (client, connection) = connecting.await??;
                self.drive(connection, cut);
                client
            }
            Some(tls) => {
                let connecting = timeout(&*self.clock, self.limit, self.config.connect(tls.clone()));
                let (client, connection) = connecting.await??;
                self.drive(connection, cut);
                client
            }
        };
        Ok(Connection { client, limit: self.limit, clock: Arc::clone(&self.clock), _leash: leash })
    }

    /// Carries the bytes of a connection until it ends or is cut. It heeds no drain: who uses the connection does.
    fn drive(
        &self,
        connection: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
        cut: oneshot::Receiver<Infallible>,
    ) {
        let task = async move {
            tokio::select! {
                biased;
                // Whoever asks through it is told how it ended.
                _ended = connection => {}
                _cut = cut => {}
            }
            Ok::<(), Infallible>(())
        };
        self.spawner.spawn("state.postgres", Policy::expendable(DrainPhase::Close), |_| task);
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("Postgres does not answer")]
    Silent(#[from] Elapsed),
    #[error(transparent)]
    Failed(#[from] tokio_postgres::Error),
}

impl From<ConnectError> for Trouble {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Silent(elapsed) => Self::Silent(elapsed),
            ConnectError::Failed(error) => error.into(),
        }
    }
}

impl Connection {
    /// Whether it is known to be of no more use.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// What a transaction begins with: how it reads, that names are those of Postgres itself whatever the custom of the
    /// database, and that Postgres itself ends what nobody waits for any more, or the lock of one that is gone would keep
    /// everybody from writing.
    fn beginning(&self, mode: &str) -> String {
        // Before whoever waits for the answer gives up.
        let lock = (self.limit - self.limit / 8).as_millis();
        // After that.
        let idle = (self.limit * 2).as_millis();
        format!(
            "begin isolation level read committed, {mode};
             set local search_path = pg_catalog, pg_temp; set local lock_timeout = {lock}; set local idle_in_transaction_session_timeout = {idle}"
        )
    }

    /// Runs one statement by itself, in one round trip, and takes its rows. It sees the documents of one moment.
    pub(crate) async fn read<T>(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
        mut take: impl FnMut(&Row) -> Result<T, Trouble>,
    ) -> Result<Vec<T>, Trouble> {
        let beginning = self.beginning("read only");
        let progress = Progress::default();
        let rows = async {
            let parameters = parameters.iter().cloned();
            let rows = self.client.query_typed_raw(statement, parameters).await?;
            let mut rows = pin!(rows);
            let mut taken = Vec::new();
            while let Some(row) = rows.try_next().await? {
                progress.count();
                taken.push(take(&row)?);
            }
            Ok::<_, Trouble>(taken)
        };
        // Polled in this order, and so sent in it, before the first is answered.
        let all = try_join3(
            self.client.batch_execute(&beginning).map_err(Trouble::from),
            rows,
            self.client.batch_execute("commit").map_err(Trouble::from),
        );
        let ((), taken, ()) = self.within(&progress, all).await??;
        Ok(taken)
    }

    /// Begins to write, and runs two statements in the transaction, the second of which sees what others committed
    /// before the first had its locks. One round trip.
    pub(crate) async fn begin(
        &self,
        (first, second): (&str, &str),
        parameters: &[Parameter<'_>],
    ) -> Result<Begun, Trouble> {
        // What was answered is durable, whatever is the custom of the database. What asks for more is left.
        let beginning = self.beginning("read write")
            + "; select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off'";
        let all = try_join3(
            self.client.batch_execute(&beginning),
            self.client.query_typed(first, &[]),
            self.client.query_typed(second, parameters),
        );
        let ((), first, second) = self.within(&Progress::default(), all).await??;
        Ok((first, second))
    }

    /// Begins to look.
    pub(crate) async fn begin_to_look(&self) -> Result<(), Trouble> {
        self.run(&self.beginning("read only")).await
    }

    /// Begins to make tables, and waits for others who do. Such a lock ends with the transaction.
    pub(crate) async fn begin_to_make(&self, name: i64) -> Result<(), Trouble> {
        let lock = format!("; select pg_advisory_xact_lock({name})");
        self.run(&(self.beginning("read write") + &lock)).await
    }

    /// Runs a statement in the transaction, and takes its rows.
    pub(crate) async fn ask(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Trouble> {
        Ok(self.within(&Progress::default(), self.client.query_typed(statement, parameters)).await??)
    }

    /// Runs a statement in the transaction.
    pub(crate) async fn write(&self, statement: &str, parameters: &[Parameter<'_>]) -> Result<(), Trouble> {
        let written = self.client.execute_typed(statement, parameters);
        self.within(&Progress::default(), written).await??;
        Ok(())
    }

    /// Runs two statements in the transaction, one after the other, in one round trip.
    pub(crate) async fn write_both(
        &self,
        (one, its): (&str, &[Parameter<'_>]),
        (other, others): (&str, &[Parameter<'_>]),
    ) -> Result<(), Trouble> {
        let both = join(self.client.execute_typed(one, its), self.client.execute_typed(other, others));
        let (one, other) = self.within(&Progress::default(), both).await?;
        // Of two that fail the first says why.
        one?;
        other?;
        Ok(())
    }

    /// Runs what gives no rows: the end of a transaction, or several statements.
    pub(crate) async fn run(&self, statements: &str) -> Result<(), Trouble> {
        self.within(&Progress::default(), self.client.batch_execute(statements)).await??;
        Ok(())
    }

    /// What `work` returns, unless nothing arrives for as long as an answer may take.
    async fn within<T>(&self, progress: &Progress, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        let mut work = pin!(work);
        loop {
            let before = progress.get();
            match timeout(&*self.clock, self.limit, work.as_mut()).await {
                Err(_) if progress.get() != before => {}
                outcome => return outcome,
            }
        }
    }
}

impl Progress {
    fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::{TcpSocket, TcpStream};
    use tokio::runtime::Handle;
    use weir_foundation::clock::SystemClock;
    use weir_foundation::settings::{DurationText, Secret};
    use weir_foundation::supervise::{DrainDeadlines, Supervisor};
    use weir_services::Postgres;

    use super::*;
    use crate::section::PostgresSection;

    fn connector(section: &PostgresSection) -> Connector {
        let settings = PostgresSettings::validate(section).expect("is valid").expect("has an address");
        let supervisor = Supervisor::new(Handle::current(), Arc::new(SystemClock), DrainDeadlines::default());
        let connector = Connector::new(&settings, Arc::new(SystemClock), supervisor.spawner());
        connector.expect("it has no TLS to fail")
    }

    #[tokio::test]
    async fn an_address_has_all_the_time_and_one_of_several_a_part() {
        let check = |address: &str, expected: Option<Duration>| {
            let section = PostgresSection {
                address: Some(address.to_owned()),
                timeout: Some(DurationText::from_secs(6)),
                ..PostgresSection::default()
            };
            assert_eq!(connector(&section).config.get_connect_timeout(), expected.as_ref(), "{address}");
        };
        check("localhost:1", Some(Duration::from_secs(2)));
        check("127.0.0.1:1", None);
        check("[::1]:1", None);
    }

    /// Addresses of a name stand here as hosts of their own, which the driver goes through in the same way.
    #[tokio::test]
    async fn silent_addresses_hide_no_other() {
        let postgres = Postgres::start_lasting().expect("Postgres starts");
        // Where one waits to be accepted, the system leaves others without an answer.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let listener = socket.listen(0).expect("it listens");
        let silent = listener.local_addr().expect("it has one");
        let _first = TcpStream::connect(silent).await.expect("there is room for one");
        let section = PostgresSection {
            address: Some(format!("localhost:{}", silent.port())),
            database: Some("postgres".to_owned()),
            username: Some(Postgres::USER.to_owned()),
            password: Some(Secret::new(Postgres::PASSWORD)),
            timeout: Some(DurationText::from_secs(12)),
            ..PostgresSection::default()
        };
        let mut connector = connector(&section);
        for address in [silent, postgres] {
            connector.config.host(address.ip().to_string()).port(address.port());
        }
        let connection = connector.connect().await.expect("the last one answers");
        connection.run("select 1").await.expect("it is Postgres");
    }
}
