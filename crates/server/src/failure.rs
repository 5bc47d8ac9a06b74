//! Errors as answers: the one table from what went wrong to status, code and message.

use std::error::Error;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use weir_foundation::failure::{Audience, Disposition, Failure as Reason, chain};
use weir_foundation::settings::{Origin, Problems};
use weir_foundation::supervise::BlockingError;
use weir_journal::{CommitError, ReadError};
use weir_store::{DeadLetterError, DropError, IllegalCursor, IllegalInterval, InspectError, SearchError};

use crate::admission::Crowded;
use crate::api::{ConfigurationProblem, ConfigurationRefusal, ErrorDetail};
use crate::codes;
use crate::door::AuditFailed;

/// An answer that is no success.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    detail: ErrorDetail,
    retry_after: Option<Duration>,
    problems: Box<[ConfigurationProblem]>,
}

/// How long callers are told to wait when a queue is full.
const RETRY_AFTER_BUSY: Duration = Duration::from_secs(1);

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let detail =
            ErrorDetail { code: code.to_owned(), message: message.into(), column: None, expected: None };
        Self { status, detail, retry_after: None, problems: Box::default() }
    }

    pub(crate) fn bad_parameter(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, codes::BAD_PARAMETER, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, codes::NOT_FOUND, message)
    }

    /// This process can not do it, another can.
    pub(crate) fn not_here(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, codes::NOT_HERE, message)
    }

    /// Nothing is told of what was shown: whoever guesses learns nothing.
    pub(crate) fn unauthorized() -> Self {
        let message = "an operator's token is needed, as `Authorization: Bearer weiro1_…`";
        Self::new(StatusCode::UNAUTHORIZED, codes::UNAUTHORIZED, message)
    }

    /// What the fleet says.
    pub(crate) fn of_fleet<E: Reason + 'static>(error: &E) -> Self {
        let (code, disposition) = (error.code(), error.disposition());
        let status = match (error.audience(), disposition) {
            (_, Disposition::ShuttingDown) => return Self::closing(),
            (Audience::Caller, Disposition::RetryNow | Disposition::RetryAfter(_)) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            (Audience::Caller, Disposition::GiveUp) => status_of(code),
            (Audience::Ours | Audience::Dependency, Disposition::GiveUp) => {
                return Self::internal(code, error);
            }
            (Audience::Ours | Audience::Dependency, _) => {
                tracing::error!(code, error = %chain(error), "request failed");
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        let message = match error.audience() {
            Audience::Caller => chain(error).to_string(),
            Audience::Ours | Audience::Dependency => error.to_string(),
        };
        let mut failure = Self::new(status, code, message);
        failure.retry_after = match disposition {
            Disposition::RetryAfter(delay) => Some(delay),
            Disposition::RetryNow => Some(Duration::ZERO),
            Disposition::GiveUp | Disposition::ShuttingDown => None,
        };
        failure
    }

    /// What is wrong with a configuration.
    pub(crate) fn with_problems(mut self, problems: &Problems) -> Self {
        self.problems = problems.iter().map(problem).collect();
        self
    }

    pub(crate) fn busy(code: &'static str, message: impl Into<String>) -> Self {
        let mut failure = Self::new(StatusCode::TOO_MANY_REQUESTS, code, message);
        failure.retry_after = Some(RETRY_AFTER_BUSY);
        failure
    }

    pub(crate) fn at_column(mut self, column: u32, expected: Option<String>) -> Self {
        self.detail.column = Some(column);
        self.detail.expected = expected;
        self
    }

    /// Something of ours or of the machine failed: the caller is told what was tried, the log why.
    fn internal(code: &'static str, error: &(dyn Error + 'static)) -> Self {
        tracing::error!(code, error = %chain(error), "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, error.to_string())
    }

    fn closing() -> Self {
        let mut failure =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, codes::CLOSING, "the process is shutting down");
        failure.retry_after = Some(RETRY_AFTER_BUSY);
        failure
    }
}

/// Of a refusal of the fleet.
fn status_of(code: &str) -> StatusCode {
    if code.starts_with("unknown-") {
        StatusCode::NOT_FOUND
    } else if code.starts_with("bad-") {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::CONFLICT
    }
}

fn problem(problem: &weir_foundation::settings::Problem) -> ConfigurationProblem {
    let line = match &problem.origin {
        Some(Origin::File { line, .. }) => Some(*line),
        _ => None,
    };
    ConfigurationProblem {
        line,
        path: problem.path.clone(),
        message: problem.message.clone(),
        hint: problem.hint.clone(),
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = ConfigurationRefusal { error: self.detail, problems: self.problems.into_vec() };
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(wait) = self.retry_after {
            let seconds = HeaderValue::from(wait.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

impl From<SearchError> for Failure {
    fn from(error: SearchError) -> Self {
        let message = error.to_string();
        match error {
            SearchError::TimedOut { .. } => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, codes::QUERY_TIMED_OUT, message)
            }
            SearchError::TooLarge { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, codes::QUERY_TOO_LARGE, message)
            }
            SearchError::Busy => Self::busy(codes::TOO_MANY_SEARCHES, message),
            SearchError::Cancelled | SearchError::Closing => Self::closing(),
            SearchError::Failed(_) => Self::internal(codes::STORE_FAILED, &error),
        }
    }
}

impl From<BlockingError> for Failure {
    fn from(error: BlockingError) -> Self {
        match error {
            BlockingError::ShuttingDown { .. } => Self::closing(),
            BlockingError::Panicked { .. } => Self::internal(codes::STORE_FAILED, &error),
        }
    }
}

impl From<Crowded> for Failure {
    fn from(_: Crowded) -> Self {
        Self::from(SearchError::Busy)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::UnknownPartition(_) => Self::not_found(error.to_string()),
            ReadError::Closing => Self::closing(),
            ReadError::Failed(_) => Self::internal(codes::JOURNAL_FAILED, &error),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Closing => Self::closing(),
            CommitError::Live(group) => Self::new(
                StatusCode::CONFLICT,
                codes::GROUP_IN_USE,
                format!("group `{group}` is reading; only one that is gone can be deleted"),
            ),
            CommitError::Failed { .. } => Self::internal(codes::JOURNAL_FAILED, &error),
        }
    }
}

impl From<InspectError> for Failure {
    fn from(error: InspectError) -> Self {
        Self::internal(codes::STORE_FAILED, &error)
    }
}

impl From<DropError> for Failure {
    fn from(error: DropError) -> Self {
        Self::internal(codes::STORE_FAILED, &error)
    }
}

impl From<DeadLetterError> for Failure {
    fn from(error: DeadLetterError) -> Self {
        Self::internal(codes::STORE_FAILED, &error)
    }
}

impl From<AuditFailed> for Failure {
    fn from(error: AuditFailed) -> Self {
        Self::internal(codes::AUDIT_FAILED, &error)
    }
}

impl From<IllegalCursor> for Failure {
    fn from(error: IllegalCursor) -> Self {
        Self::new(StatusCode::BAD_REQUEST, codes::BAD_CURSOR, error.to_string())
    }
}

impl From<IllegalInterval> for Failure {
    fn from(error: IllegalInterval) -> Self {
        Self::bad_parameter(format!("`histogram`: {error}"))
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_parameter(rejection.body_text())
    }
}

impl From<PathRejection> for Failure {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_parameter(rejection.body_text())
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        Self { status: rejection.status(), ..Self::bad_parameter(rejection.body_text()) }
    }
}

#[cfg(test)]
mod tests {
    use weir_fleet::{ConfigureError, RemoveOperatorError, StoreError};
    use weir_model::AppName;
    use weir_state::{CommitError, StateError};

    use super::*;

    #[track_caller]
    fn check<E: Reason + 'static>(error: &E, status: u16, code: &str, retry_after: Option<u64>) {
        let failure = Failure::of_fleet(error);
        let found = (failure.status.as_u16(), failure.detail.code.as_str(), failure.retry_after);
        assert_eq!(found, (status, code, retry_after.map(Duration::from_secs)));
    }

    #[test]
    fn what_the_fleet_says_has_a_status() {
        let app = || AppName::new("shop").expect("is legal");
        check(&weir_fleet::ChangeAppError::Unknown(app()), 404, "unknown-app", None);
        check(&weir_fleet::CreateAppError::NameTaken(app()), 409, "name-taken", None);
        check(&ConfigureError::TooLarge(7), 400, "bad-configuration", None);
        check(&weir_fleet::RotationError::NotBegun, 409, "rotation-step", None);
        let store = |error: StoreError| RemoveOperatorError::Store(error);
        check(&store(StoreError::Contended), 503, "state-unavailable", Some(1));
        check(&store(StateError::Closing.into()), 503, "closing", Some(1));
        check(&store(CommitError::Closing.into()), 503, "closing", Some(1));
        let failed = CommitError::Failed("no one knows".into());
        check(&store(failed.into()), 503, "state-outcome-unknown", Some(1));
    }

    /// What went wrong inside is for the log.
    #[test]
    fn what_is_ours_is_not_told_to_callers() {
        let error = RemoveOperatorError::Store(StateError::Failed("/var/lib/weir is on fire".into()).into());
        assert_eq!(Failure::of_fleet(&error).detail.message, "could not read the state");
    }
}
