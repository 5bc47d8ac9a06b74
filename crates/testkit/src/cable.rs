//! A TCP connection that breaks as a test wants: between a client and a server whose protocol it does not know.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
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
    /// All bytes arrive. As where packets are lost and sent again, one piece in so many is late, with everything behind it.
    Lossy { one_in: u32, late: Duration },
    /// No byte arrives, and nobody is told.
    Dead,
    /// The server has lost its connections, and clients are not told: not now, and not when the cable is whole again.
    HalfOpen,
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

    /// Ends all connections that there are, in turn in good order and by a reset; new ones are as the cable is.
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
    mut client: TcpStream,
    server: SocketAddr,
    states: watch::Receiver<State>,
    mut snapped: watch::Receiver<u64>,
) {
    snapped.mark_unchanged();
    if *states.borrow() == State::Cut {
        return;
    }
    let is_snapped = tokio::select! {
        _snapped = snapped.changed() => true,
        () = connect(&mut client, server, states) => false,
    };
    // Some end in good order, others are reset.
    if is_snapped && snapped.borrow().is_multiple_of(2) {
        client.set_zero_linger().ok();
    }
}

/// Until both sides have ended.
async fn connect(client: &mut TcpStream, server: SocketAddr, mut states: watch::Receiver<State>) {
    let (mut from_client, mut to_client) = client.split();
    let (one, another) = (states.clone(), states.clone());
    let both = async {
        let (mut from_server, mut to_server) = TcpStream::connect(server).await?.into_split();
        tokio::try_join!(
            one_way(&mut from_client, &mut to_server, one),
            one_way(&mut from_server, &mut to_client, another)
        )
    };
    tokio::select! {
        biased;
        Ok(_) = states.wait_for(|state| *state == State::HalfOpen) => {}
        _ended = both => return,
    }
    std::future::pending().await
}

/// What fits into a packet.
const PIECE: usize = 1_460;

async fn one_way(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut states: watch::Receiver<State>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut pieces: u32 = 0;
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let state = *states.wait_for(|state| *state != State::Dead).await.map_err(io::Error::other)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        match state {
            State::Lossy { one_in, late } => {
                for piece in bytes.chunks(PIECE) {
                    pieces = pieces.wrapping_add(1);
                    if pieces.is_multiple_of(one_in) {
                        pause(late).await;
                    }
                    to.write_all(piece).await?;
                }
            }
            State::Slow(delay) => {
                pause(delay).await;
                to.write_all(bytes).await?;
            }
            State::Whole | State::Cut | State::Dead | State::HalfOpen => to.write_all(bytes).await?,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "real connections are late by real time")]
async fn pause(delay: Duration) {
    tokio::time::sleep(delay).await;
}
