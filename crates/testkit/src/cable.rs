//! A TCP connection that breaks as a test wants: between a client and a server whose protocol it does not know.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A cable that is gone when dropped.
#[derive(Debug)]
pub struct Cable {
    address: SocketAddr,
    state: watch::Sender<State>,
    /// How often all connections were ended.
    snaps: watch::Sender<u64>,
    task: JoinHandle<()>,
}

/// How a cable is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All bytes arrive.
    Whole,
    /// All bytes arrive, each so much later.
    Slow(Duration),
    /// No byte arrives, and nobody is told.
    Dead,
    /// No connection lasts.
    Cut,
}

impl Cable {
    /// To `server`, whole.
    pub async fn to(server: SocketAddr) -> io::Result<Self> {
        Self::between(SocketAddr::from(([127, 0, 0, 1], 0)), server).await
    }

    /// From an address to `server`, whole.
    #[expect(clippy::disallowed_methods, reason = "a cable of a test needs no supervision")]
    pub async fn between(near: SocketAddr, server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(near).await?;
        let address = listener.local_addr()?;
        let (state, states) = watch::channel(State::Whole);
        let (snaps, snapped) = watch::channel(0);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                // How a connection ends is seen by both sides.
                connections.spawn(carry(client, server, states.clone(), snapped.clone()));
            }
        });
        Ok(Self { address, state, snaps, task })
    }

    /// Where to connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it is like from now on.
    pub fn becomes(&self, state: State) {
        self.state.send_replace(state);
        if state == State::Cut {
            self.snap();
        }
    }

    /// Ends all connections that there are; new ones are as the cable is.
    pub fn snap(&self) {
        self.snaps.send_modify(|snaps| *snaps += 1);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    client: TcpStream,
    server: SocketAddr,
    states: watch::Receiver<State>,
    mut snapped: watch::Receiver<u64>,
) {
    snapped.mark_unchanged();
    if *states.borrow() == State::Cut {
        return;
    }
    let both = async {
        let server = TcpStream::connect(server).await?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::try_join!(
            one_way(from_client, to_server, states.clone()),
            one_way(from_server, to_client, states.clone())
        )
    };
    tokio::select! {
        _snapped = snapped.changed() => {}
        _ended = both => {}
    }
}

async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut states: watch::Receiver<State>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let state = *states.wait_for(|state| *state != State::Dead).await.map_err(io::Error::other)?;
        if let State::Slow(delay) = state {
            pause(delay).await;
        }
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
    }
}

#[expect(clippy::disallowed_methods, reason = "real connections are late by real time")]
async fn pause(delay: Duration) {
    tokio::time::sleep(delay).await;
}
