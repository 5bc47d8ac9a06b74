//! Bytes to model and back: protobuf, record formats, JSON, compression. No I/O, no tasks, no clock; what
//! strangers send never panics.
//!
//! * [`scan_timber`], [`scan_collection`]: what the door must know of a request, without objects.
//! * [`RecordDecoder`]: records to their events, at the consumer.
//! * [`EventsBuilder`], [`lines`]: weir's own record format, and the bodies of weir's own door.
//! * [`raw_events`]: the events of such a record as bytes.
//! * [`members`]: what a JSON object has, for whoever makes an event of it.
//! * [`rest`]: the JSON of barito-flow's REST gateway.
//! * [`shape`]: a batch as barito-flow's records, cut to a size.
//! * [`proto`]: generated messages and a client, for clients and tests.
//! * [`sealing`]: what a sealed payload of an agent is bound to.
//! * [`compression`]: gzip and zstd with a limit.

#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::cast_possible_truncation))]

pub mod compression;
mod context;
mod decode;
mod encode;
mod entry;
mod json;
pub mod lines;
mod members;
pub mod proto;
mod protobuf;
mod raw;
pub mod rest;
mod scan;
pub mod sealing;
pub mod shape;
mod time;

pub use context::Context;
pub use decode::{DecodeRecordError, RecordDecoder, RecordFault, decode_content, decode_record};
pub use encode::{EventsBuilder, encode_event, filed_under, single_event_record};
pub use json::{JsonError, JsonProblem};
pub use members::{MembersError, members};
pub use protobuf::{Malformed, Problem};
pub use raw::{RawEvent, RawEvents, raw_events};
pub use scan::{ScannedBatch, ScannedEvents, scan_collection, scan_events, scan_timber};
pub use time::{parse_epoch, parse_rfc3339};
