//! The client of the stream `weir.ingest.v1.Ingest` (`proto/weir/ingest/v1/ingest.proto`).
//!
//! [`Uplink::send`] takes a [`Parcel`] and tells what became of it; see [`Verdict`]. One stream at a time carries all
//! parcels, as many at once as the server allows. When it breaks, everything that was not answered comes back to those
//! who sent it, who know what to send again and in which order; the uplink connects again by itself.

mod course;
mod flight;
mod link;
mod parcel;
mod uplink;

pub use course::{Course, Effect};
pub use parcel::{Parcel, Place, Verdict};
pub use uplink::{Link, Settings, Uplink};
