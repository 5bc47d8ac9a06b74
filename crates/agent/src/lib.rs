//! The role that collects on a node: reads files and sends what they say to a server, each line once and in the order of
//! its file, as long as the file is there.
//!
//! A file is its own spool: how far it is sent moves with the answers of the server, and nothing is kept beside it but a
//! small register of positions. What can not be read again is kept by a [`Spool`].
//!
//! What is read is said by settings on the node, or by the server: then what it offers is read as a whole, tried, and kept
//! or left for what was good before.

mod agent;
mod configuration;
mod files;
mod metrics;
mod process;
mod remote;
mod section;
mod spool;
mod steward;

pub use agent::{Agent, Parts, Standing, StartError};
pub use configuration::ConfigurationError;
pub use files::{
    Behind, InputReport, Inputs, Preview, PreviewEvent, RegisterError, Report, Scan, Sighting, Survey, Unseen,
};
pub use remote::{RemoteConfiguration, RemoteSection, check, of_any_agent};
pub use section::{
    Access, AgentSection, ConditionSection, FieldsSection, FilesSettings, FormatName, InputKind,
    InputSection, LanguageName, MultilineSection, Node, ParserName, ParserSection, SampleSection, Settings,
    StartAt, TimeSection,
};
pub use spool::{
    Dropped, KeepError, Spool, SpoolError, SpoolMetrics, SpoolParts, SpoolReport, SpoolSection,
    SpoolSettings, WhenFull,
};
pub use weir_uplink::{Condition, Link, OwnLog, is_enrolled};
