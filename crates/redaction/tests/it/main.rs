//! Redaction as those see it who store and show events.

mod batches;
mod identity;
mod rules;
mod sources;
mod support;
