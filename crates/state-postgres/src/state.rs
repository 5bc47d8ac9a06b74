//! The handle.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join;
use tokio::sync::watch;
use weir_foundation::clock::Clock;
use weir_foundation::failure::chain;
use weir_foundation::supervise::{DrainPhase, DrainToken, Policy, Spawner};
use weir_state::{Changes, CommitError, Entry, Kind, State, StateError, Write};

use crate::client::Connector;
use crate::error::OpenError;
use crate::pool::{NoAnswer, Pool};
use crate::rows::{self, Statements};
use crate::schema;
use crate::section::PostgresSettings;

/// How often it is looked whether other processes wrote.
const LOOK: Duration = Duration::from_millis(300);

/// Commits take turns, in Postgres too: a second connection of a process would wait for the first.
const WRITERS: u8 = 1;
/// Reads of a process at a time.
const READERS: u8 = 3;

/// The state in Postgres. Dropping it closes it, without waiting; see [`PostgresState::close`].
pub struct PostgresState {
    shared: Arc<Shared>,
}

struct Shared {
    settings: PostgresSettings,
    statements: Statements,
    writers: Pool,
    readers: Pool,
    revision: watch::Sender<u64>,
}

impl PostgresState {
    /// Opens the tables, or makes them if there are none. Postgres must be there; from then on it may go away and come
    /// back.
    pub async fn open(
        settings: PostgresSettings,
        clock: Arc<dyn Clock>,
        spawner: &Spawner,
    ) -> Result<Arc<Self>, OpenError> {
        let connector = Arc::new(Connector::new(&settings, Arc::clone(&clock), spawner.clone())?);
        let connection = schema::open(&connector, &settings).await?;
        let writers = Pool::new(Arc::clone(&connector), WRITERS);
        let readers = Pool::new(connector, READERS);
        readers.put(connection);
        let statements = Statements::new(&settings.schema);
        let revision = rows::revision(&readers, &statements).await.map_err(|no_answer| match no_answer {
            NoAnswer::Trouble(trouble) => schema::refused(trouble, &settings),
            NoAnswer::Closing => unreachable!("nobody else has the pool"),
        })?;
        let revision = watch::Sender::new(revision);
        let shared = Arc::new(Shared { settings, statements, writers, readers, revision });
        let watched = Arc::downgrade(&shared);
        spawner
            .spawn("state.watch", Policy::expendable(DrainPhase::Close), |drain| look(watched, clock, drain));
        Ok(Arc::new(Self { shared }))
    }

    /// Takes no more, waits for what it has, and closes the connections. Idempotent. Happens by itself, without waiting,
    /// when the process closes its files.
    pub async fn close(&self) {
        join(self.shared.writers.close(), self.shared.readers.close()).await;
    }
}

/// What a look at the revision found.
enum Seen {
    /// What there is was told.
    All,
    WentBack(WentBack),
}

/// What the log has of the looks until now.
#[derive(Default)]
struct Noted {
    failing: bool,
    went_back: bool,
}

impl Shared {
    async fn look(&self) -> Result<Seen, StateError> {
        let told = *self.revision.borrow();
        let revision = rows::revision(&self.readers, &self.statements).await.map_err(unread)?;
        // A read sees whatever was told before it began.
        if revision < told {
            return Ok(Seen::WentBack(WentBack { told, revision }));
        }
        self.tell(revision);
        Ok(Seen::All)
    }

    fn tell(&self, revision: u64) {
        self.revision.send_if_modified(|told| {
            let is_news = revision > *told;
            *told = revision.max(*told);
            is_news
        });
    }
}

/// Another server has taken over that did not have everything, or a copy was put back.
#[derive(Debug, thiserror::Error)]
#[error(
    "Postgres is at revision {revision} and was at {told}: it lost what it had acknowledged; restart all processes of the \
     instance"
)]
struct WentBack {
    told: u64,
    revision: u64,
}

impl Noted {
    /// Each turn of things once. That the store went back is not one of the failures that pass, and is said beside them.
    fn note(&mut self, looked: &Result<Seen, StateError>) {
        match looked {
            Ok(Seen::All) => {
                self.went_back = false;
                if std::mem::replace(&mut self.failing, false) {
                    tracing::info!("it is known again what others write into the state");
                }
            }
            Ok(Seen::WentBack(went_back)) => {
                if !std::mem::replace(&mut self.went_back, true) {
                    tracing::error!(error = %chain(went_back), "the state is older than it was");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(error = %chain(error), "it is not known what others write into the state");
                }
            }
        }
    }
}

fn unread(no_answer: NoAnswer) -> StateError {
    match no_answer {
        NoAnswer::Closing => StateError::Closing,
        NoAnswer::Trouble(trouble) => trouble.unread(),
    }
}

/// Tells what other processes wrote, until the state is dropped or closed; closes it when the process drains.
async fn look(shared: Weak<Shared>, clock: Arc<dyn Clock>, drain: DrainToken) -> Result<(), StateError> {
    let mut noted = Noted::default();
    loop {
        tokio::select! {
            () = drain.draining() => break,
            () = clock.sleep(LOOK) => {}
        }
        let Some(shared) = shared.upgrade() else { return Ok(()) };
        let looked = tokio::select! {
            () = drain.draining() => break,
            looked = shared.look() => looked,
        };
        if matches!(looked, Err(StateError::Closing)) {
            return Ok(());
        }
        noted.note(&looked);
    }
    if let Some(shared) = shared.upgrade() {
        shared.writers.stop();
        shared.readers.stop();
    }
    Ok(())
}

#[async_trait]
impl State for PostgresState {
    async fn get(&self, kind: Kind, name: &str) -> Result<Option<Entry>, StateError> {
        // No document has such a name, and no text of Postgres such a byte.
        if name.contains('\0') {
            return Ok(None);
        }
        let Shared { readers, statements, .. } = &*self.shared;
        rows::get(readers, statements, &kind.key(name)).await.map_err(unread)
    }

    async fn changes(&self, kinds: &[Kind], since: u64) -> Result<Changes, StateError> {
        let Shared { readers, statements, .. } = &*self.shared;
        rows::changes(readers, statements, kinds, since).await.map_err(unread)
    }

    async fn commit(&self, writes: &[Write]) -> Result<u64, CommitError> {
        weir_state::check(writes)?;
        let Shared { writers, statements, .. } = &*self.shared;
        let revision = rows::commit(writers, statements, writes).await?;
        self.shared.tell(revision);
        Ok(revision)
    }

    fn revision(&self) -> watch::Receiver<u64> {
        self.shared.revision.subscribe()
    }
}

impl fmt::Debug for PostgresState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresState").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
