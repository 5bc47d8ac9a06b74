//! From the bytes of a file to events.
//!
//! ```text
//! bytes ─lines─▶ text ─format─▶ whole lines ─multiline─▶ groups ─parser, drop, sample, fields─▶ events
//! ```
//!
//! What becomes of bytes depends on nothing but them and where in the file they are. Groups begin anew wherever nothing is
//! open, and a part of a file is sent up to such places only: whoever reads on from there finds the same events.

mod condition;
mod docker;
mod encoding;
mod expression;
mod fields;
mod formats;
mod groups;
mod kubernetes;
mod lines;
mod logfmt;
mod multiline;
mod parser;
mod record;
mod render;
mod time;
mod traces;

pub(crate) use groups::{Bound, Group, Groups};
pub(crate) use lines::{Rest, first};
pub(crate) use render::{Around, Fits, Outcome, Process, Scene};

/// What settings are made of.
pub(crate) mod settings {
    pub(crate) use super::condition::{Condition, Scalar, Test};
    pub(crate) use super::encoding::Encoding;
    pub(crate) use super::expression::Expression;
    pub(crate) use super::fields::Fields;
    pub(crate) use super::formats::Format;
    pub(crate) use super::multiline::{Multiline, Rule};
    pub(crate) use super::parser::{Kind as ParserKind, Original, Parser, TimeOf};
    pub(crate) use super::render::{About, Process, Sample, Told};
    pub(crate) use super::time::{TimeField, TimeFormat};
    pub(crate) use super::traces::Language;
}
