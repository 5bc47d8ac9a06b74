//! Takes out of events what must not be stored or shown.
//!
//! [`start`] reads the rules and keeps them up to date; the [`Redactor`] that it returns is applied to each batch
//! right after it is decoded, by whoever stores or shows events. Rules and replacements are those of barito-flow;
//! `docs/redaction.md` describes them for users.

mod apply;
mod dialect;
mod document;
mod mask;
mod metrics;
mod paths;
mod redactor;
mod rules;
mod section;
mod source;
mod start;

pub use dialect::PatternError;
pub use document::{AppDocument, Document, NoRules, RefusedRule, RuleDocument, RuleKind, UnknownFields};
pub use mask::ShortMatch;
pub use metrics::RedactionMetrics;
pub use redactor::Redactor;
pub use rules::{DefaultRules, Manner};
pub use section::{Compat, DefaultRulesText, RedactionSection, RedactionSettings};
pub use source::{ClientError, Endpoint, LoadError, Source};
pub use start::{Parts, StartError, Starting, begin, start};
