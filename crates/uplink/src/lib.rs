//! The client of an instance of weir: the streams `weir.ingest.v1.Ingest` and `weir.control.v1.Control` (`proto/weir`).
//!
//! [`Enrolment`] makes an agent of a node. [`Uplink::send`] takes a [`Parcel`] and tells what became of it; see
//! [`Verdict`]. One connection at a time carries all parcels, as many at once as the server allows, and beside them what
//! agent and server have to tell each other: [`Condition`] and [`Offer`]. When it breaks, everything that was not
//! answered comes back to those who sent it, who know what to send again and in which order; the uplink connects again by
//! itself, and renews token and certificate before they end.

mod condition;
mod control;
mod course;
mod dial;
mod enrol;
mod flight;
mod identity;
mod link;
mod parcel;
mod patience;
mod stream;
mod uplink;

pub use condition::{Condition, InputCondition, Offer, Outcome};
pub use control::{Attendance, OwnLog};
pub use course::{Course, Effect};
pub use dial::{DialError, Pings};
pub use enrol::{EnrolError, Enrolment};
pub use identity::{IdentityError, IdentityFile, is_enrolled};
pub use parcel::{Parcel, Place, Verdict};
pub use patience::{Silent, Step};
pub use uplink::{Link, Server, Settings, Uplink};
