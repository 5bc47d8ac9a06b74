//! The role that accepts events, limits them and makes them durable.

mod admission;
mod apps;
mod body;
mod budget;
mod codes;
mod grpc;
mod ingest;
mod metrics;
mod producer;
mod quota;
mod refusal;
mod rest;
mod section;
mod streams;
mod terms;
mod timber;
mod window;

pub use codes::CODES;
pub use producer::{Parts, Producer, Records, StartError};
pub use section::{
    BatchIdSettings, Compat, ProducerSection, RateSettings, RecordFormat, RestGateway, Secrets, Settings,
    StreamOptions, UnknownApps,
};
