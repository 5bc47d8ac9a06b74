//! The codes of errors that users of the API can meet; each has a page in `docs/errors/`.

/// Code and meaning, in the order of codes.
pub const CODES: &[(&str, &str)] = &[
    (AGENT_AWAY, "the agent is not connected, so that it can not be asked"),
    (AGENT_BUSY, "others are asking this agent; try again after `Retry-After` seconds"),
    (AGENT_SILENT, "the agent is connected and did not answer in time"),
    (AUDIT_FAILED, "the audit could not be made"),
    (BAD_CURSOR, "`after` is not what a page before answered as `next`"),
    (BAD_PARAMETER, "a parameter is unknown, missing, or has a value that can not be used"),
    (BAD_QUERY, "the query can not be read; `column` says where and `expected` what could have stood there"),
    (BAD_TIME, "a time can not be read"),
    (CLOSING, "the process is shutting down"),
    (GROUP_IN_USE, "the group still reads the journal"),
    (JOURNAL_FAILED, "the journal could not be read"),
    (METHOD_NOT_ALLOWED, "the path exists, but not with this method"),
    (NOT_FOUND, "there is no such path, stream, index, letter or group"),
    (NOT_HERE, "another process has what is asked for; the message says which"),
    (QUERY_TIMED_OUT, "the search took longer than the operator allows"),
    (QUERY_TOO_LARGE, "the search needs more memory than the operator allows"),
    (STORE_FAILED, "the store could not be read"),
    (TOO_MANY_SEARCHES, "too many searches are waiting; try again after `Retry-After` seconds"),
    (TOO_MANY_TAILS, "too many tails are open; try again after `Retry-After` seconds"),
    (UNAUTHORIZED, "an operator's token is needed, and none was shown that is good"),
    (UNKNOWN_CONFIGURATION, "there is no configuration of this revision, or none before the present one"),
];

pub(crate) const AGENT_AWAY: &str = "agent-away";
pub(crate) const AGENT_BUSY: &str = "agent-busy";
pub(crate) const AGENT_SILENT: &str = "agent-silent";
pub(crate) const AUDIT_FAILED: &str = "audit-failed";
pub(crate) const BAD_CURSOR: &str = "bad-cursor";
pub(crate) const BAD_PARAMETER: &str = "bad-parameter";
pub(crate) const BAD_QUERY: &str = "bad-query";
pub(crate) const BAD_TIME: &str = "bad-time";
pub(crate) const CLOSING: &str = "closing";
pub(crate) const GROUP_IN_USE: &str = "group-in-use";
pub(crate) const JOURNAL_FAILED: &str = "journal-failed";
pub(crate) const METHOD_NOT_ALLOWED: &str = "method-not-allowed";
pub(crate) const NOT_FOUND: &str = "not-found";
pub(crate) const NOT_HERE: &str = "not-here";
pub(crate) const QUERY_TIMED_OUT: &str = "query-timed-out";
pub(crate) const QUERY_TOO_LARGE: &str = "query-too-large";
pub(crate) const STORE_FAILED: &str = "store-failed";
pub(crate) const TOO_MANY_SEARCHES: &str = "too-many-searches";
pub(crate) const TOO_MANY_TAILS: &str = "too-many-tails";
pub(crate) const UNAUTHORIZED: &str = "unauthorized";
pub(crate) const UNKNOWN_CONFIGURATION: &str = "unknown-configuration";
