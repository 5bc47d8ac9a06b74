use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::Notify;
use tracing::{debug, info};
use weir_foundation::clock::{Clock, timeout};
use weir_foundation::failure::chain;
use weir_foundation::supervise::{DrainPhase, DrainToken, Policy, Spawner};
use weir_limits::{Ask, OverLimit, Scope, SharedLimiter, TakeError};

use crate::client::{ConnectError, Connection, Connector};
use crate::section::RedisLimitsSettings;

/// What the limiter needs of the process it lives in.
#[derive(Debug, Clone)]
pub struct Parts {
    pub clock: Arc<dyn Clock>,
    pub spawner: Spawner,
}

/// Buckets in Redis. Clones are the same.
///
/// While Redis is away it says so at once and costs nothing; a task of its own tries to reach it again, with
/// back-off. A question that is not answered in time counts as Redis being away.
#[derive(Debug, Clone)]
pub struct RedisLimiter {
    shared: Arc<Shared>,
}

struct Shared {
    connection: ArcSwapOption<Connection>,
    /// The connection is of no more use.
    lost: Notify,
    prefix: String,
    window: Duration,
    time_limit: Duration,
    clock: Arc<dyn Clock>,
}

const AWAY: &str = "Redis is away";

impl RedisLimiter {
    /// Begins to connect, and goes on as long as the process lives. Redis need not be there.
    pub fn start(
        settings: &RedisLimitsSettings,
        window: Duration,
        parts: Parts,
    ) -> Result<Self, ConnectError> {
        let connector = Connector::new(settings)?;
        let shared = Arc::new(Shared {
            connection: ArcSwapOption::empty(),
            lost: Notify::new(),
            prefix: settings.key_prefix.clone(),
            window,
            time_limit: settings.timeout,
            clock: parts.clock,
        });
        let keeper = Keeper { shared: Arc::clone(&shared), connector, settings: settings.clone() };
        let policy = Policy::expendable(DrainPhase::FlushJournal);
        parts.spawner.spawn("limits.redis", policy, |drain| async move {
            keeper.run(&drain).await;
            Ok::<(), Infallible>(())
        });
        Ok(Self { shared })
    }

    /// Whether there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.connection.load().is_some()
    }
}

#[async_trait]
impl SharedLimiter for RedisLimiter {
    async fn take(&self, asks: &[Ask<'_>], events: u32) -> Result<(), TakeError> {
        let shared = &*self.shared;
        let Some(connection) = shared.connection.load_full() else {
            return Err(TakeError::Unavailable { reason: AWAY.to_owned() });
        };
        let keys: Vec<_> = asks.iter().map(|ask| shared.key(ask.scope)).collect();
        let mut arguments = Vec::with_capacity(2 + asks.len());
        arguments.extend([u64::try_from(shared.window.as_micros()).unwrap_or(u64::MAX), u64::from(events)]);
        arguments.extend(asks.iter().map(|ask| u64::from(ask.rate.get())));
        let asked = timeout(&*shared.clock, shared.time_limit, connection.take(&keys, &arguments)).await;
        let reason = match asked {
            Ok(Ok((0, _))) => return Ok(()),
            Ok(Ok((short, wait))) => {
                let ask = asks.get(usize::from(short) - 1);
                let rate = ask.map_or(0, |ask| ask.rate.get());
                let retry_after = u64::try_from(wait).ok().map(Duration::from_micros);
                return Err(OverLimit { rate, retry_after }.into());
            }
            Ok(Err(error)) => chain(&error).to_string(),
            Err(elapsed) => format!("Redis: {elapsed}"),
        };
        shared.lose(&connection);
        Err(TakeError::Unavailable { reason })
    }
}

impl Shared {
    fn key(&self, scope: Scope<'_>) -> String {
        match scope {
            Scope::App(app) => format!("{}app:{app}", self.prefix),
            Scope::Group => format!("{}group", self.prefix),
        }
    }

    /// Whoever failed with an older connection has nothing to say about the present one.
    fn lose(&self, connection: &Arc<Connection>) {
        let none: Option<Arc<Connection>> = None;
        let before = self.connection.compare_and_swap(connection, none);
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, connection)) {
            self.lost.notify_one();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Makes a connection whenever there is none.
struct Keeper {
    shared: Arc<Shared>,
    connector: Connector,
    settings: RedisLimitsSettings,
}

impl Keeper {
    async fn run(self, drain: &DrainToken) {
        loop {
            tokio::select! {
                biased;
                () = drain.draining() => return,
                connection = self.connect() => {
                    info!(address = self.settings.address, "limits are shared through Redis");
                    self.shared.connection.store(Some(Arc::new(connection)));
                }
            }
            tokio::select! {
                biased;
                () = drain.draining() => return,
                () = self.shared.lost.notified() => {}
            }
        }
    }

    async fn connect(&self) -> Connection {
        let mut delays = self.settings.retry.delays(StdRng::from_rng(&mut rand::rng()));
        loop {
            match self.connector.connect().await {
                Ok(connection) => return connection,
                Err(error) => debug!(error = %chain(&error), "could not connect to Redis"),
            }
            self.shared.clock.sleep(delays.next().unwrap_or_default()).await;
        }
    }
}
