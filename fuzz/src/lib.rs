//! What every decoder of foreign bytes keeps, whatever the bytes are: a function `run` for each, that panics where
//! it does not.
//!
//! `scripts/fuzz` runs them with libFuzzer, as programs (`src/bin/`) that the ordinary build leaves out; the test
//! suite runs them over the committed corpus (`corpus/`).

pub mod access_key;
pub mod access_token;
pub mod agent_lines;
pub mod certificate;
pub mod certificate_request;
pub mod client_cert;
pub mod compression;
pub mod consul_services;
pub mod decode_events;
pub mod decode_record;
pub mod elastic_answers;
pub mod filter;
pub mod grpc_message;
pub mod journal_frame;
pub mod lines;
pub mod packed_page;
pub mod pass;
pub mod query;
pub mod redaction_rules;
pub mod rest_json;
pub mod rfc3339;
pub mod scan_batch;
pub mod sealed_payload;
pub mod search_texts;
pub mod settings;
pub mod shape_batch;
pub mod sse;
pub mod strip_secret;
pub mod text_page;

/// Panics if a decoder does not keep its word.
pub type Target = fn(&[u8]);

/// Every target by its name, which is the one of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("access_key", access_key::run),
    ("access_token", access_token::run),
    ("agent_lines", agent_lines::run),
    ("certificate", certificate::run),
    ("certificate_request", certificate_request::run),
    ("client_cert", client_cert::run),
    ("compression", compression::run),
    ("consul_services", consul_services::run),
    ("decode_events", decode_events::run),
    ("decode_record", decode_record::run),
    ("elastic_answers", elastic_answers::run),
    ("filter", filter::run),
    ("grpc_message", grpc_message::run),
    ("journal_frame", journal_frame::run),
    ("lines", lines::run),
    ("packed_page", packed_page::run),
    ("pass", pass::run),
    ("query", query::run),
    ("redaction_rules", redaction_rules::run),
    ("rest_json", rest_json::run),
    ("rfc3339", rfc3339::run),
    ("scan_batch", scan_batch::run),
    ("sealed_payload", sealed_payload::run),
    ("search_texts", search_texts::run),
    ("settings", settings::run),
    ("shape_batch", shape_batch::run),
    ("sse", sse::run),
    ("strip_secret", strip_secret::run),
    ("text_page", text_page::run),
];

#[cfg(test)]
mod tests;
