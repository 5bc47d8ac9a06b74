//! Fakes and fault injection for tests.
//!
//! [`FaultyJournal`] and [`FaultyStore`] wrap any implementation of the seams. What goes wrong, and when the
//! process dies, is said by [`Faults`], which all wrappers of one test share. [`Proxy`] does the like to HTTP,
//! [`Cable`] to bytes of
//! any protocol, [`TlsProxy`] to gRPC whose TLS it ends. [`Authority`] signs for both sides of TLS.

mod authority;
mod cable;
mod clock;
mod faults;
mod journal;
mod proxy;
mod store;
mod tls_proxy;

pub use authority::Authority;
pub use cable::{Cable, State as CableState};
pub use clock::{FastClock, JumpingClock, SkewedClock};
pub use faults::{Call, Faults, Wanted};
pub use journal::FaultyJournal;
pub use proxy::{Action, Proxy, Request};
pub use store::FaultyStore;
pub use tls_proxy::{Message, Place, Says, TlsProxy, escaped_pem};
