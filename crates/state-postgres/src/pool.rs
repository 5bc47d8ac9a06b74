//! Connections that wait to be used again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::Row;
use weir_foundation::clock::timeout;

use crate::client::{Begun, Connection, Connector, Parameter};
use crate::error::Trouble;

/// So many connections at most, each of which is used by one at a time; who comes first is served first.
pub(crate) struct Pool {
    connector: Arc<Connector>,
    size: u32,
    turns: Semaphore,
    idle: Mutex<Vec<Connection>>,
    /// Nobody begins any more.
    closing: AtomicBool,
}

/// A connection for a while. It is closed when dropped, unless it is [given back](Taken::give_back).
pub(crate) struct Taken<'a> {
    connection: Connection,
    /// It may have ended without anybody being told.
    was_idle: bool,
    pool: &'a Pool,
    _turn: SemaphorePermit<'a>,
}

/// Why nothing could be asked.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    Closing,
    Trouble(Trouble),
}

impl Pool {
    pub(crate) fn new(connector: Arc<Connector>, size: u8) -> Self {
        let turns = Semaphore::new(size.into());
        let idle = Mutex::default();
        Self { connector, size: size.into(), turns, idle, closing: AtomicBool::new(false) }
    }

    /// [`Connection::read`] in one of them.
    pub(crate) async fn read<T>(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
        mut take: impl FnMut(&Row) -> Result<T, Trouble>,
    ) -> Result<Vec<T>, NoAnswer> {
        loop {
            let taken = self.take().await?;
            match taken.connection.read(statement, parameters, &mut take).await {
                Ok(rows) => {
                    taken.give_back();
                    return Ok(rows);
                }
                Err(trouble) => taken.again_after(trouble)?,
            }
        }
    }

    /// [`Connection::begin`] in one of them, which is given to who then writes.
    pub(crate) async fn begin(
        &self,
        statements: (&str, &str),
        parameters: &[Parameter<'_>],
    ) -> Result<(Taken<'_>, Begun), NoAnswer> {
        loop {
            let taken = self.take().await?;
            match taken.connection.begin(statements, parameters).await {
                Ok(begun) => return Ok((taken, begun)),
                Err(trouble) => taken.again_after(trouble)?,
            }
        }
    }

    async fn take(&self) -> Result<Taken<'_>, NoAnswer> {
        let turn = timeout(self.connector.clock(), self.connector.limit(), self.turns.acquire()).await;
        let turn = turn.map_err(Trouble::from)?.map_err(|_closed| NoAnswer::Closing)?;
        if self.closing.load(Ordering::SeqCst) {
            return Err(NoAnswer::Closing);
        }
        if let Some(connection) = self.take_idle() {
            return Ok(Taken { connection, was_idle: true, pool: self, _turn: turn });
        }
        let connection = self.connector.connect().await.map_err(Trouble::from)?;
        Ok(Taken { connection, was_idle: false, pool: self, _turn: turn })
    }

    /// Lets nobody begin any more, and waits for those who have begun. Idempotent.
    pub(crate) async fn close(&self) {
        self.stop();
        // All turns at once: when nobody has one.
        if let Ok(all) = self.turns.acquire_many(self.size).await {
            drop(all);
            self.turns.close();
        }
    }

    /// Lets nobody begin any more.
    pub(crate) fn stop(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.connections().clear();
    }

    /// Takes in a connection in which nothing goes on.
    pub(crate) fn put(&self, connection: Connection) {
        let mut connections = self.connections();
        if !self.closing.load(Ordering::SeqCst) {
            connections.push(connection);
        }
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut connections = self.connections();
        while let Some(connection) = connections.pop() {
            if !connection.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    fn connections(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken<'_> {
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether what failed in the first thing that was asked is asked again, in another connection: this one had ended
    /// while it was idle, and so probably have the others.
    fn again_after(self, trouble: Trouble) -> Result<(), NoAnswer> {
        if !self.was_idle || !trouble.is_stale() {
            return Err(trouble.into());
        }
        self.pool.connections().clear();
        Ok(())
    }

    /// When nothing goes on in it.
    pub(crate) fn give_back(self) {
        self.pool.put(self.connection);
    }
}

impl From<Trouble> for NoAnswer {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}
