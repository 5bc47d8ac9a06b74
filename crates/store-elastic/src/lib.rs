//! The index store over Elasticsearch and OpenSearch.
//!
//! ```text
//! write ──documents──▶ queues, one per index ──bulks──▶ sender ──▶ nodes
//!   ▲                                                     │
//!   ╰──────────── verdict of every document ──────────────╯
//! ```
//!
//! [`ElasticStore`] implements the seam. A write is answered when each of its documents is stored or refused for
//! good, so that `durable` of a partition moves with its writes and nothing needs to be remembered over a restart.
//! Documents of all writes share bulks by index; an index that is slow or failing waits for itself alone
//! (`queues`). Requests are built and answers read by pure functions (`client`); bytes move in `http`.
//!
//! A document is the content as it came, `@timestamp` if it has none, and one object `weir`:
//!
//! | field | |
//! |---|---|
//! | `stream` | full name of the stream |
//! | `id` | the event's id, as `_id` |
//! | `received` | when the door took it |
//! | `time` | the event's time, microseconds since 1970 |
//! | `order` | sorts as ids do: `<stream>!<incarnation><partition><offset><index>`, each number behind a letter for its length |
//!
//! Under [`Documents::Barito`] there is no `weir`, and times are those of receipt, to the second.

#![warn(missing_docs)]

mod bulk;
mod client;
mod document;
mod http;
mod indices;
mod metrics;
mod names;
mod nodes;
mod queues;
mod search;
mod section;
mod sender;
mod setup;
mod store;

pub mod fuzz;

pub use metrics::ElasticMetrics;
pub use section::{Credentials, Documents, ElasticSection, IndexMode, Node, Settings};
pub use setup::{SetupError, Template};
pub use store::{ElasticParts, ElasticStore, OpenError};
