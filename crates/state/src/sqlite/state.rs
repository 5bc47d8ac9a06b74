//! The handle.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::{Mutex, watch};
use weir_foundation::clock::Clock;
use weir_foundation::failure::chain;
use weir_foundation::supervise::{BlockingError, DrainPhase, DrainToken, Policy, Spawner};

use super::file::{self, SqliteSettings};
use super::rows;
use crate::error::{CommitError, OpenError, StateError};
use crate::seam::{self, Changes, Entry, Kind, State, Write};

/// How often it is looked whether other processes wrote.
const LOOK: Duration = Duration::from_millis(300);

/// The state in a file. Dropping it closes it, without waiting; see [`SqliteState::close`].
pub struct SqliteState {
    shared: Arc<Shared>,
}

/// A connection that one at a time uses, on a thread for blocking work; absent once it is closed.
type Shelf = Arc<Mutex<Option<Connection>>>;

struct Shared {
    settings: SqliteSettings,
    spawner: Spawner,
    writer: Shelf,
    reader: Shelf,
    revision: watch::Sender<u64>,
    /// Why nothing is written any more: what is on the disk may be other than what is read here.
    failure: OnceLock<Arc<str>>,
}

/// After a commit whose outcome is not known.
#[derive(Debug, thiserror::Error)]
#[error("an earlier write failed, so that nothing is written before a restart: {0}")]
struct FailedBefore(Arc<str>);

impl SqliteState {
    /// Opens or makes the file. Blocks.
    pub fn open(
        settings: SqliteSettings,
        clock: Arc<dyn Clock>,
        spawner: &Spawner,
    ) -> Result<Arc<Self>, OpenError> {
        let opened = file::open(&settings)?;
        let revision = rows::revision(&opened.reader).map_err(|source| OpenError::Failed {
            path: settings.directory.clone(),
            source: source.into(),
        })?;
        let shelf = |connection| Arc::new(Mutex::new(Some(connection)));
        let shared = Arc::new(Shared {
            settings,
            spawner: spawner.clone(),
            writer: shelf(opened.writer),
            reader: shelf(opened.reader),
            revision: watch::Sender::new(revision),
            failure: OnceLock::new(),
        });
        let watched = Arc::downgrade(&shared);
        spawner
            .spawn("state.watch", Policy::expendable(DrainPhase::Close), |drain| look(watched, clock, drain));
        Ok(Arc::new(Self { shared }))
    }

    /// Why nothing is written any more before a restart; absent if all is well.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<str>> {
        self.shared.failure.get().cloned()
    }

    /// Takes no more, waits for what it has, and closes the file. Idempotent.
    pub async fn close(&self) {
        let writer = self.shared.writer.lock().await.take();
        let reader = self.shared.reader.lock().await.take();
        // The last connection that closes moves everything into the file.
        let closed = self.shared.spawner.blocking("state.close", move || drop((reader, writer)));
        if let Err(error) = closed.await {
            tracing::warn!(%error, "the state was not closed in order");
        }
    }
}

impl Shared {
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StateError> {
        let shelf = Arc::clone(&self.reader).lock_owned().await;
        if shelf.is_none() {
            return Err(StateError::Closing);
        }
        let work = move || shelf.as_ref().map(work).transpose();
        match self.spawner.blocking("state.read", work).await {
            Ok(Ok(Some(result))) => Ok(result),
            Ok(Ok(None)) | Err(BlockingError::ShuttingDown { .. }) => Err(StateError::Closing),
            Ok(Err(error)) => Err(StateError::Failed(error.into())),
            Err(error @ BlockingError::Panicked { .. }) => Err(StateError::Failed(error.into())),
        }
    }

    fn commit(&self, connection: &mut Connection, writes: &[Write]) -> Result<u64, CommitError> {
        if let Some(why) = self.failure.get() {
            return Err(CommitError::Unavailable(FailedBefore(Arc::clone(why)).into()));
        }
        let committed = rows::commit(connection, writes);
        match &committed {
            Ok(revision) => self.tell(*revision),
            Err(error) if error.outcome_unknown() => {
                let why = chain(error).to_string();
                tracing::error!(error = why, "the state failed; it is not written any more before a restart");
                // Who holds the connection is alone here.
                drop(self.failure.set(why.into()));
            }
            Err(_) => {}
        }
        committed
    }

    fn tell(&self, revision: u64) {
        self.revision.send_if_modified(|told| {
            let is_news = revision > *told;
            *told = revision.max(*told);
            is_news
        });
    }
}

/// Tells what other processes wrote, until the store is dropped or closed.
async fn look(shared: Weak<Shared>, clock: Arc<dyn Clock>, drain: DrainToken) -> Result<(), StateError> {
    let mut failing = false;
    loop {
        tokio::select! {
            () = drain.draining() => return Ok(()),
            () = clock.sleep(LOOK) => {}
        }
        let Some(shared) = shared.upgrade() else { return Ok(()) };
        match shared.read(rows::revision).await {
            Ok(revision) => {
                failing = false;
                shared.tell(revision);
            }
            Err(StateError::Closing) => return Ok(()),
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(error = %chain(&error), "it is not known what others write into the state");
                }
            }
        }
    }
}

#[async_trait]
impl State for SqliteState {
    async fn get(&self, kind: Kind, name: &str) -> Result<Option<Entry>, StateError> {
        let key = kind.key(name);
        self.shared.read(move |connection| rows::get(connection, &key)).await
    }

    async fn changes(&self, kinds: &[Kind], since: u64) -> Result<Changes, StateError> {
        let kinds = kinds.to_vec();
        self.shared.read(move |connection| rows::changes(connection, &kinds, since)).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<u64, CommitError> {
        seam::check(writes)?;
        let mut shelf = Arc::clone(&self.shared.writer).lock_owned().await;
        let (shared, writes) = (Arc::clone(&self.shared), writes.to_vec());
        // The connection moves along: a caller that goes away does not stop what has begun.
        let work = move || match shelf.as_mut() {
            Some(connection) => shared.commit(connection, &writes),
            None => Err(CommitError::Closing),
        };
        match self.shared.spawner.blocking("state.commit", work).await {
            Ok(committed) => committed,
            Err(BlockingError::ShuttingDown { .. }) => Err(CommitError::Closing),
            Err(error @ BlockingError::Panicked { .. }) => Err(CommitError::Failed(error.into())),
        }
    }

    fn revision(&self) -> watch::Receiver<u64> {
        self.shared.revision.subscribe()
    }
}

impl fmt::Debug for SqliteState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteState").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
