//! The codes of errors that clients of the doors can meet; each has a page in `docs/errors/`.

/// Code and meaning, in the order of codes.
pub const CODES: &[(&str, &str)] = &[
    (APP_DISABLED, "the app is disabled; nobody may send in its name"),
    (BAD_APP_NAME, "the name of the app in the path can not be a stream and an index"),
    (BAD_BATCH_ID, "the batch id is empty, too long, or has characters that a header can not carry"),
    (BAD_CONTEXT, "a field of the batch's context is missing or illegal; the message names it"),
    (BAD_SEAL, "the payload is not sealed as it has to be, or was changed on its way"),
    (BATCH_ID_REUSED, "the batch id was used before for a batch with other bytes; nothing was stored"),
    (BROKEN_BODY, "the body ended before its announced end; nothing of the last batch was stored"),
    (BUDGET_EXHAUSTED, "too many bytes of other batches are in hand; try again after the given delay"),
    (CLOSING, "the process is shutting down"),
    (FOREIGN_APP, "the agent does not send in the name of this app"),
    (JOURNAL_FULL, "the journal has no space left; nothing was stored, try again later"),
    (JOURNAL_UNAVAILABLE, "the journal can not store now; nothing was stored, try again later"),
    (MALFORMED_BATCH, "the batch is no valid protobuf, JSON or UTF-8; the message says where"),
    (MALFORMED_COMPRESSION, "the compressed body is cut off or corrupt"),
    (METHOD_NOT_ALLOWED, "the path exists, but not with this method"),
    (NO_CERTIFICATE, "agents show a certificate of the instance here"),
    (NO_TOKEN, "agents show an access token"),
    (NOTHING_STORED, "every event of the body was rejected; `rejections` names the first of them"),
    (OTHER_AGENT, "the token is that of another agent"),
    (OUT_OF_ORDER, "an agent's batch came before the one that it follows; both come again"),
    (OUTCOME_UNKNOWN, "the journal failed while storing; whether the batch is stored is not known"),
    (RATE_LIMITED, "the app is over its limit of events per second; try again after the given delay"),
    (STALLED_BODY, "the body came too slowly"),
    (TOKEN_EXPIRED, "the access token has expired, or is of a time to come"),
    (TOO_LARGE, "the batch is larger than the largest that is taken; send it in parts"),
    (TOO_MANY_STREAMS, "the journal may hold no more streams; the operator has to raise the limit"),
    (UNKNOWN_APP, "there is no app of this name"),
    (UNKNOWN_ENCODING, "the body is compressed in a way that is not known; gzip and zstd are"),
    (WRONG_SECRET, "there is no such app, or its secret is another"),
];

pub(crate) const APP_DISABLED: &str = "app-disabled";
pub(crate) const BAD_APP_NAME: &str = "bad-app-name";
pub(crate) const BAD_BATCH_ID: &str = "bad-batch-id";
pub(crate) const BAD_CONTEXT: &str = "bad-context";
pub(crate) const BAD_SEAL: &str = "bad-seal";
pub(crate) const BATCH_ID_REUSED: &str = "batch-id-reused";
pub(crate) const BROKEN_BODY: &str = "broken-body";
pub(crate) const BUDGET_EXHAUSTED: &str = "budget-exhausted";
pub(crate) const CLOSING: &str = "closing";
pub(crate) const FOREIGN_APP: &str = "foreign-app";
pub(crate) const JOURNAL_FULL: &str = "journal-full";
pub(crate) const JOURNAL_UNAVAILABLE: &str = "journal-unavailable";
pub(crate) const MALFORMED_BATCH: &str = "malformed-batch";
pub(crate) const MALFORMED_COMPRESSION: &str = "malformed-compression";
pub(crate) const METHOD_NOT_ALLOWED: &str = "method-not-allowed";
pub(crate) const NO_CERTIFICATE: &str = "no-certificate";
pub(crate) const NO_TOKEN: &str = "no-token";
pub(crate) const NOTHING_STORED: &str = "nothing-stored";
pub(crate) const OTHER_AGENT: &str = "other-agent";
pub(crate) const OUT_OF_ORDER: &str = "out-of-order";
pub(crate) const OUTCOME_UNKNOWN: &str = "outcome-unknown";
pub(crate) const RATE_LIMITED: &str = "rate-limited";
pub(crate) const STALLED_BODY: &str = "stalled-body";
pub(crate) const TOKEN_EXPIRED: &str = "token-expired";
pub(crate) const TOO_LARGE: &str = "too-large";
pub(crate) const TOO_MANY_STREAMS: &str = "too-many-streams";
pub(crate) const UNKNOWN_APP: &str = "unknown-app";
pub(crate) const UNKNOWN_ENCODING: &str = "unknown-encoding";
pub(crate) const WRONG_SECRET: &str = "wrong-secret";
