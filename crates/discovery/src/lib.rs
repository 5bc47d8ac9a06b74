//! Finds the servers of a service in Consul, and follows them as they move.
//!
//! [`Consul::resolve`] asks once; [`Consul::follow`] keeps [`Endpoints`] up to date by blocking queries. What was
//! known last stays as long as Consul is away.

mod answer;
mod client;
mod endpoint;
mod follow;
mod metrics;
mod section;

pub use answer::{AnswerError, Instance, read_catalog, read_health};
pub use client::{ClientError, Consul, ResolveError};
pub use endpoint::Endpoint;
pub use follow::{Endpoints, Parts, Standby};
pub use metrics::DiscoveryMetrics;
pub use section::{ConsulSection, ConsulSettings, Instances, InstancesText};
