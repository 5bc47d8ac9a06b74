//! The listener for operators: is it alive, is it ready, what does it do.
//!
//! It runs on a thread and a runtime of its own, so that it answers while everything else is busy or stuck.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 `ok` as long as the process lives |
//! | `/readyz` | 200 `ready` or 503 with the components that are not; `?verbose` lists all |
//! | `/status` | JSON: version, role, start, durability, components and the sections of [`StatusBoard`] |
//! | `/metrics` | the metrics of [`crate::metrics`] |

mod routes;
mod status;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::failure::chain;
use crate::health::Health;
use crate::metrics::Metrics;

pub use self::status::{Identity, StatusBoard};

/// What the listener shows.
#[derive(Debug, Clone)]
pub struct Views {
    pub status: StatusBoard,
    pub health: Health,
    pub metrics: Metrics,
}

/// The running listener. It ends with the process, or earlier by [`Ops::stop`].
#[derive(Debug)]
pub struct Ops {
    address: SocketAddr,
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("start the operations listener")]
    Start(#[source] io::Error),
}

/// Serves on `listener`, which comes from [`crate::listen::bind`].
pub fn start(listener: TcpListener, views: Views) -> Result<Ops, StartError> {
    let address = listener.local_addr().map_err(StartError::Start)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Start)?;
    let listener = {
        let _entered = runtime.enter();
        tokio::net::TcpListener::from_std(listener).map_err(StartError::Start)?
    };
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let serve = async move {
        // Not graceful: a client that keeps its connection open must not hold up the end of the process.
        tokio::select! {
            outcome = axum::serve(listener, routes::router(views)) => {
                if let Err(failure) = outcome {
                    error!(error = %chain(&failure), "operations listener failed");
                }
            }
            () = stopped.cancelled() => {}
        }
    };
    let thread = thread::Builder::new().name("ops".to_owned()).spawn(move || runtime.block_on(serve));
    Ok(Ops { address, stop, thread: thread.map_err(StartError::Start)? })
}

impl Ops {
    /// Where it listens, with the port that the system chose if it was asked to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and its connections, and waits until that is done.
    pub fn stop(self) {
        self.stop.cancel();
        if self.thread.join().is_err() {
            error!("operations listener panicked");
        }
    }
}

#[cfg(test)]
mod tests;
