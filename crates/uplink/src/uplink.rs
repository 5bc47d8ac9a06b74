use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tonic::transport::Endpoint;
use weir_foundation::clock::Clock;
use weir_foundation::retry::Backoff;
use weir_foundation::supervise::{DrainPhase, Policy, Spawner};

use crate::condition::Offer;
use crate::control::Attendance;
use crate::dial::Pings;
use crate::flight::Sending;
use crate::link::Connector;
use crate::parcel::{Parcel, Verdict};

/// Parcels that wait for their turn; whoever has another one waits.
const QUEUE: usize = 16;

/// How to reach the server, and who asks.
#[derive(Debug, Clone)]
pub struct Settings {
    pub server: Server,
    /// How long connecting, and the welcome of the server, may take.
    pub connect_timeout: Duration,
    /// How long an answer may take; then the stream is given up.
    pub answer_timeout: Duration,
    /// Between attempts to connect.
    pub backoff: Backoff,
    pub pings: Pings,
}

/// What is at the other end, and as whom it is asked.
#[derive(Debug, Clone)]
pub enum Server {
    /// A server on this machine, which takes everybody there.
    Open {
        endpoint: Box<Endpoint>,
        /// What this agent is called: the same for as long as its state lasts.
        agent: String,
    },
    /// The servers of the instance that the agent is enrolled with: they show who they are, and are shown who it is.
    Secured(Attendance),
}

/// How the connection is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Link {
    /// It was not tried yet.
    #[default]
    New,
    Connected {
        /// The largest parcel that the server takes, in bytes before it is packed.
        max_parcel: usize,
    },
    /// Connected, and asked by the server to send nothing for a while, with the reason.
    Throttled(Arc<str>),
    /// With the reason.
    Disconnected(Arc<str>),
    /// The server knows this agent and does not take it, or does not know it: somebody has to act.
    Refused(Arc<str>),
}

/// The way to the server. Clones are the same.
#[derive(Clone)]
pub struct Uplink {
    queue: mpsc::Sender<Sending>,
    link: watch::Receiver<Link>,
    offers: watch::Receiver<Option<Arc<Offer>>>,
}

impl Uplink {
    /// Starts to connect, by a task named `uplink`. On drain it takes no more parcels in
    /// [`DrainPhase::FlushJournal`]; what was sent by then is answered or comes back.
    #[must_use]
    pub fn start(settings: Settings, clock: Arc<dyn Clock>, spawner: &Spawner) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (tell, link) = watch::channel(Link::New);
        let (offer, offers) = watch::channel(None);
        let grace = spawner.deadline(DrainPhase::FlushJournal) / 2;
        let connector = Connector { settings, clock, waiting, tell, offers: offer, grace };
        spawner.spawn("uplink", Policy::essential(DrainPhase::FlushJournal), |drain| async move {
            Box::pin(connector.run(&drain)).await;
            Ok::<(), Infallible>(())
        });
        Self { queue, link, offers }
    }

    /// Sends a parcel, once there is room, and tells what becomes of it. Parcels go in the order in which they were
    /// taken. The verdict is an error once the process drains.
    pub async fn send(&self, parcel: Parcel) -> oneshot::Receiver<Verdict> {
        let (verdict, answered) = oneshot::channel();
        // Dropped when the process drains, which the receiver tells.
        drop(self.queue.send(Sending { parcel, verdict }).await);
        answered
    }

    /// Whether a parcel would be taken at once, if nobody else sends one.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queue.capacity() > 0
    }

    /// As [`Uplink::send`], without waiting: none if there is no room.
    #[must_use]
    pub fn try_send(&self, parcel: Parcel) -> Option<oneshot::Receiver<Verdict>> {
        let (verdict, answered) = oneshot::channel();
        let sent = self.queue.try_send(Sending { parcel, verdict });
        match sent {
            Err(mpsc::error::TrySendError::Full(_)) => None,
            // Dropped when the process drains, which the receiver tells.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Some(answered),
        }
    }

    /// What the server would like the agent to run, by the last word that it had; none if it has said nothing.
    #[must_use]
    pub fn offers(&self) -> watch::Receiver<Option<Arc<Offer>>> {
        self.offers.clone()
    }

    /// How the connection is, now and later.
    #[must_use]
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }
}

impl fmt::Debug for Uplink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uplink").field("link", &*self.link.borrow()).finish_non_exhaustive()
    }
}
