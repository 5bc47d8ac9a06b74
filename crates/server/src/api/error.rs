use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

/// What went wrong, for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorDetail {
    /// Stable, `kebab-case`; each has a page in `docs/errors/`.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// Where in the query, counted in characters from 1; only for errors of a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// What could have stood there; only for errors of a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
}
