//! Why a batch was not taken: the one error of all doors, and what it means to those who sent it.
//!
//! How it looks on the wire is the matter of each door; the gRPC code is the same everywhere, since barito-flow's
//! REST answers are made from it.

use std::num::NonZeroU32;
use std::time::Duration;

use tonic::Code;
use weir_foundation::failure::{Audience, Disposition, Failure, chain};
use weir_foundation::http::Stalled;
use weir_journal::{AppendError, CreateStreamError};
use weir_limits::OverLimit;
use weir_model::StreamName;
use weir_wire::Malformed;
use weir_wire::compression::{DecompressError, UnknownEncoding};
use weir_wire::lines::BodyError;
use weir_wire::rest::RestError;
use weir_wire::shape::ItemTooLarge;

use crate::apps::AppRefused;
use crate::budget::Exhausted;
use crate::codes;
use crate::section::Compat;
use crate::terms::{AppNameError, ContextError};
use crate::window::OtherBytes;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("malformed batch")]
    Malformed(#[from] Malformed),
    #[error("malformed batch")]
    Rest(#[from] RestError),
    #[error("malformed body")]
    Lines(#[source] BodyError),
    #[error("the request is not one gRPC message")]
    Framing,
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error(transparent)]
    AppName(#[from] AppNameError),
    #[error(transparent)]
    App(#[from] AppRefused),
    #[error("the access token has expired")]
    TokenExpired,
    #[error("the payload is for the index `{prefix}`, the batch for the app `{app}`")]
    OtherPrefix { app: String, prefix: String },
    #[error("the payload has {found} events, the batch says {said}")]
    OtherCount { said: u32, found: u32 },
    #[error("a batch id has 1 to {limit} visible ASCII characters")]
    BatchId { limit: usize },
    #[error(transparent)]
    OtherBytes(#[from] OtherBytes),
    #[error(transparent)]
    Encoding(#[from] UnknownEncoding),
    #[error("could not decompress the body")]
    Decompress(#[source] DecompressError),
    #[error("received message larger than max ({size} vs. {limit})")]
    TooLarge { size: u64, limit: u64 },
    #[error("received message after decompression larger than max {limit}")]
    TooLargeDecompressed { limit: u64 },
    #[error("the body would take {memory} bytes of memory to read, more than {limit}")]
    TooComplex { memory: u64, limit: u64 },
    #[error(transparent)]
    ItemTooLarge(#[from] ItemTooLarge),
    #[error("the batch has more than {limit} events")]
    TooManyEvents { limit: u32 },
    #[error("the body came too slowly")]
    Stalled(#[source] Stalled),
    #[error("the body ended too early")]
    Broken,
    /// The text is what clients of barito-flow know.
    #[error("Bandwidth Limit Exceeded")]
    OverLimit(#[from] OverLimit),
    #[error("Memory Budget Exceeded")]
    OverBudget(#[from] Exhausted),
    #[error("the stream could not be created")]
    Stream(#[from] CreateStreamError),
    #[error("stream `{stream}` would be one more than the {limit} that one app may have made")]
    TooManyStreams { stream: StreamName, limit: NonZeroU32 },
    #[error("the batch could not be stored")]
    Append(#[source] AppendError),
    /// The append was cut off, as happens at the end of the process.
    #[error("the process is shutting down")]
    Cut,
}

/// How long those who are refused for want of memory are told to wait.
const BUDGET_DELAY: Duration = Duration::from_secs(1);

/// How soon an agent may send again whose token has ended: it asks for another one meanwhile.
const TOKEN_DELAY: Duration = Duration::from_secs(1);

/// How long to wait where the journal does not say.
const JOURNAL_DELAY: Duration = Duration::from_secs(1);

impl Refusal {
    /// What a client is told: all there is to know about its own mistakes, nothing about our insides.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::OverLimit(_) | Self::OverBudget(_) => self.to_string(),
            Self::Append(error) => error.to_string(),
            Self::Stream(error) => error.to_string(),
            _ => chain(self).to_string(),
        }
    }

    /// When to try again; absent if that is of no use.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self.disposition() {
            Disposition::RetryAfter(delay) => Some(delay),
            Disposition::RetryNow => Some(Duration::ZERO),
            Disposition::ShuttingDown => Some(JOURNAL_DELAY),
            Disposition::GiveUp => None,
        }
    }

    /// Whether any batch would be refused now, of whatever app and stream.
    pub(crate) fn meets_everybody(&self) -> bool {
        match self {
            Self::OverBudget(_) | Self::Append(AppendError::Full(_)) => true,
            Self::Stream(error) => matches!(error, CreateStreamError::Full(_)),
            _ => false,
        }
    }

    pub(crate) fn grpc_code(&self, compat: Compat) -> Code {
        match self {
            Self::Malformed(_)
            | Self::Rest(_)
            | Self::Lines(_)
            | Self::Framing
            | Self::Context(_)
            | Self::AppName(_)
            | Self::BatchId { .. }
            | Self::OtherPrefix { .. }
            | Self::OtherCount { .. }
            | Self::OtherBytes(_)
            | Self::Decompress(_) => Code::InvalidArgument,
            Self::App(AppRefused::WrongSecret(_) | AppRefused::NoSecret(_)) | Self::TokenExpired => {
                Code::Unauthenticated
            }
            Self::App(_) => Code::PermissionDenied,
            Self::Encoding(_) => Code::Unimplemented,
            Self::TooLarge { .. }
            | Self::TooLargeDecompressed { .. }
            | Self::TooComplex { .. }
            | Self::ItemTooLarge(_)
            | Self::TooManyEvents { .. }
            | Self::Append(AppendError::TooLarge { .. })
            | Self::OverLimit(_)
            | Self::OverBudget(_) => Code::ResourceExhausted,
            Self::Stalled(_) => Code::DeadlineExceeded,
            Self::Broken => Code::Cancelled,
            Self::Stream(CreateStreamError::TooMany { .. }) | Self::TooManyStreams { .. } => {
                Code::FailedPrecondition
            }
            Self::Stream(_) | Self::Cut => Code::Unavailable,
            Self::Append(_) => match compat {
                Compat::Weir => Code::Unavailable,
                Compat::Barito => Code::FailedPrecondition,
            },
        }
    }
}

impl From<AppendError> for Refusal {
    /// Which records of a batch are stored is the producer's affair; its clients are told about the others.
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Partial { source, .. } => Self::from(*source),
            other => Self::Append(other),
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooMany { limit } => Self::TooManyEvents { limit },
            _ => Self::Lines(error),
        }
    }
}

impl From<DecompressError> for Refusal {
    fn from(error: DecompressError) -> Self {
        match error {
            DecompressError::TooLarge { limit } => Self::TooLargeDecompressed { limit: limit as u64 },
            DecompressError::Truncated { .. } | DecompressError::Corrupt { .. } => Self::Decompress(error),
        }
    }
}

impl Failure for Refusal {
    fn disposition(&self) -> Disposition {
        match self {
            Self::OverLimit(over) => over.retry_after.map_or(Disposition::GiveUp, Disposition::RetryAfter),
            Self::OverBudget(_) => Disposition::RetryAfter(BUDGET_DELAY),
            Self::Stream(CreateStreamError::TooMany { .. }) => Disposition::GiveUp,
            Self::Append(AppendError::Closing) | Self::Stream(CreateStreamError::Closing) | Self::Cut => {
                Disposition::ShuttingDown
            }
            Self::TokenExpired => Disposition::RetryAfter(TOKEN_DELAY),
            Self::Stream(_) => Disposition::RetryAfter(JOURNAL_DELAY),
            Self::Append(error) => error.retry_after().map_or(Disposition::GiveUp, Disposition::RetryAfter),
            _ => Disposition::GiveUp,
        }
    }

    fn audience(&self) -> Audience {
        match self {
            Self::OverBudget(_) | Self::Stream(_) | Self::Append(_) | Self::Cut => Audience::Ours,
            _ => Audience::Caller,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_)
            | Self::Rest(_)
            | Self::Lines(_)
            | Self::Framing
            | Self::OtherPrefix { .. }
            | Self::OtherCount { .. } => codes::MALFORMED_BATCH,
            Self::Context(_) => codes::BAD_CONTEXT,
            Self::AppName(_) => codes::BAD_APP_NAME,
            Self::App(AppRefused::Unknown(_)) => codes::UNKNOWN_APP,
            Self::App(AppRefused::WrongSecret(_) | AppRefused::NoSecret(_)) => codes::WRONG_SECRET,
            Self::App(AppRefused::Disabled(_)) => codes::APP_DISABLED,
            Self::App(AppRefused::Foreign { .. }) => codes::FOREIGN_APP,
            Self::TokenExpired => codes::TOKEN_EXPIRED,
            Self::BatchId { .. } => codes::BAD_BATCH_ID,
            Self::OtherBytes(_) => codes::BATCH_ID_REUSED,
            Self::Encoding(_) => codes::UNKNOWN_ENCODING,
            Self::Decompress(_) => codes::MALFORMED_COMPRESSION,
            Self::TooLarge { .. }
            | Self::TooLargeDecompressed { .. }
            | Self::TooComplex { .. }
            | Self::ItemTooLarge(_)
            | Self::TooManyEvents { .. }
            | Self::Append(AppendError::TooLarge { .. }) => codes::TOO_LARGE,
            Self::Stalled(_) => codes::STALLED_BODY,
            Self::Broken => codes::BROKEN_BODY,
            Self::OverLimit(_) => codes::RATE_LIMITED,
            Self::OverBudget(_) => codes::BUDGET_EXHAUSTED,
            Self::Stream(CreateStreamError::TooMany { .. }) | Self::TooManyStreams { .. } => {
                codes::TOO_MANY_STREAMS
            }
            Self::Stream(CreateStreamError::Full(_)) | Self::Append(AppendError::Full(_)) => {
                codes::JOURNAL_FULL
            }
            Self::Append(AppendError::Closing) | Self::Stream(CreateStreamError::Closing) | Self::Cut => {
                codes::CLOSING
            }
            Self::Append(AppendError::Failed(_)) => codes::OUTCOME_UNKNOWN,
            Self::Append(
                AppendError::Unavailable(_) | AppendError::UnknownStream(_) | AppendError::Partial { .. },
            )
            | Self::Stream(CreateStreamError::Failed { .. } | CreateStreamError::Missing(_)) => {
                codes::JOURNAL_UNAVAILABLE
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed() {
        let check = |refusal: Refusal, code: Code, delay: Option<u64>| {
            assert!(codes::CODES.iter().any(|(listed, _)| *listed == refusal.code()), "{refusal}");
            assert_eq!(refusal.grpc_code(Compat::Weir), code, "{refusal}");
            assert_eq!(refusal.retry_after(), delay.map(Duration::from_secs), "{refusal}");
        };
        let over = |retry_after| OverLimit { rate: 1, retry_after };
        check(over(None).into(), Code::ResourceExhausted, None);
        check(over(Some(Duration::from_secs(3))).into(), Code::ResourceExhausted, Some(3));
        check(Exhausted { asked: 2, left: 1 }.into(), Code::ResourceExhausted, Some(1));
        check(AppendError::Full(None).into(), Code::Unavailable, Some(5));
        check(AppendError::Closing.into(), Code::Unavailable, Some(1));
        check(AppendError::TooLarge { size: 2, limit: 1 }.into(), Code::ResourceExhausted, None);
        check(AppendError::Failed("disk".into()).into(), Code::Unavailable, Some(1));
        check(CreateStreamError::Full(None).into(), Code::Unavailable, Some(1));
        check(OtherBytes.into(), Code::InvalidArgument, None);
        check(Refusal::Cut, Code::Unavailable, Some(1));
        check(Refusal::Broken, Code::Cancelled, None);
    }

    #[test]
    fn barito_says_failed_precondition() {
        let refusal = Refusal::from(AppendError::Full(None));
        assert_eq!(refusal.grpc_code(Compat::Barito), Code::FailedPrecondition);
    }

    #[test]
    fn our_insides_are_not_told() {
        let refusal = Refusal::from(AppendError::Failed("/var/lib/weir: disk on fire".into()));
        assert_eq!(refusal.message(), "the journal failed while storing the record");
        let refusal = Refusal::from(OverLimit { rate: 5, retry_after: None });
        assert_eq!(refusal.message(), "Bandwidth Limit Exceeded");
    }
}
