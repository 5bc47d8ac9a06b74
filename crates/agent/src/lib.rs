//! The role that collects on a node: reads files and sends what they say to a server, each line once and in the order of
//! its file, as long as the file is there.
//!
//! A file is its own spool: how far it is sent moves with the answers of the server, and nothing is kept beside it but a
//! small register of positions.

mod agent;
mod files;
mod metrics;
mod section;

pub use agent::{Agent, Parts, StartError};
pub use files::{InputReport, Inputs, RegisterError, Report, Scan};
pub use section::{AgentSection, FilesSettings, InputKind, InputSection, Settings, StartAt};
