//! The role that collects on a node: reads files and sends what they say to a server, each line once and in the order of
//! its file, as long as the file is there.
//!
//! A file is its own spool: how far it is sent moves with the answers of the server, and nothing is kept beside it but a
//! small register of positions.

mod agent;
mod files;
mod metrics;
mod process;
mod section;

pub use agent::{Agent, Parts, StartError};
pub use files::{Behind, InputReport, Inputs, Preview, PreviewEvent, RegisterError, Report, Scan};
pub use section::{
    AgentSection, ConditionSection, FieldsSection, FilesSettings, FormatName, InputKind, InputSection,
    LanguageName, MultilineSection, ParserName, ParserSection, SampleSection, Settings, StartAt, TimeSection,
};
