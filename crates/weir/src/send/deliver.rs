//! One batch on its way: given to weir until it is answered for good.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;
use weir_foundation::clock::Clock;
use weir_foundation::retry::{Attempts, Backoff};

use super::batch::Batch;
use crate::client::{Client, ClientError};

/// Delivers batches of one app. Clones share what they know of weir.
#[derive(Debug, Clone)]
pub(super) struct Deliverer<'a> {
    client: &'a Client,
    clock: &'a dyn Clock,
    app: Arc<str>,
    media_type: &'static str,
    /// Whether weir has answered at all; until then nobody waits for it.
    reached: Arc<AtomicBool>,
}

/// weir's answer to a batch.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    /// The first of the rejected.
    pub(super) rejections: Vec<Rejection>,
    /// Whether weir had the batch from an earlier time.
    pub(super) duplicate: bool,
}

/// A line that weir did not take.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Rejection {
    /// From 1, in the batch.
    pub(super) line: Option<u64>,
    pub(super) reason: String,
}

impl<'a> Deliverer<'a> {
    pub(super) fn new(client: &'a Client, clock: &'a dyn Clock, app: &str, media_type: &'static str) -> Self {
        Self { client, clock, app: app.into(), media_type, reached: Arc::default() }
    }

    /// Gives the batch to weir, again and again where that can help; always under the same id, so that it is
    /// stored once.
    pub(super) async fn deliver(self, batch: Batch) -> (Batch, Result<Answer, ClientError>) {
        let mut delays = backoff().delays(rand::rng());
        loop {
            let error = match self.attempt(&batch).await {
                Ok(answer) => {
                    self.reached.store(true, Ordering::Relaxed);
                    return (batch, Ok(answer));
                }
                Err(error) => error,
            };
            let asked_for = wait(&error, self.reached.load(Ordering::Relaxed));
            let Some((asked_for, own)) = asked_for.zip(delays.next()) else {
                return (batch, Err(error));
            };
            self.clock.sleep(asked_for.max(own)).await;
        }
    }

    async fn attempt(&self, batch: &Batch) -> Result<Answer, ClientError> {
        let headers = [("content-type", self.media_type), ("weir-batch-id", &*batch.id)];
        let path = ["apps", &self.app, "events"];
        self.client.post_bytes(&path, &headers, batch.body.clone()).await.or_else(nothing_stored)
    }
}

/// That every line of a batch is bad is an answer like any other.
fn nothing_stored(error: ClientError) -> Result<Answer, ClientError> {
    match &error {
        ClientError::Refused(refusal) if refusal.detail.code == "nothing-stored" => {
            serde_json::from_slice(&refusal.body).map_err(|_unreadable| error)
        }
        _ => Err(error),
    }
}

/// How long to wait at least before the same batch has a chance; nothing if it has none.
fn wait(error: &ClientError, reached_before: bool) -> Option<Duration> {
    match error {
        ClientError::Refused(refusal) => match refusal.status.as_u16() {
            429 | 503 => Some(refusal.retry_after.unwrap_or_default()),
            408 | 500 | 502 | 504 => Some(Duration::ZERO),
            _ => None,
        },
        // Nobody is there: an address that never answered is more likely wrong than slow.
        ClientError::Unreachable { .. } => reached_before.then_some(Duration::ZERO),
        ClientError::Broken { .. } => Some(Duration::ZERO),
        ClientError::Unreadable { .. } => None,
    }
}

/// Four minutes at the most, half of that on average.
fn backoff() -> Backoff {
    const ATTEMPTS: NonZeroU32 = NonZeroU32::new(60).expect("is not zero");
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5), Attempts::AtMost(ATTEMPTS))
        .expect("the first delay is above zero and below the longest")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use reqwest::StatusCode;
    use weir_server::api::ErrorDetail;

    use super::*;
    use crate::client::Refusal;

    fn refused(status: u16, code: &str, retry_after: Option<u64>, body: &'static str) -> ClientError {
        let detail =
            ErrorDetail { code: code.to_owned(), message: String::new(), column: None, expected: None };
        ClientError::Refused(Box::new(Refusal {
            status: StatusCode::from_u16(status).expect("is a status"),
            detail,
            retry_after: retry_after.map(Duration::from_secs),
            body: Bytes::from_static(body.as_bytes()),
        }))
    }

    #[test]
    fn only_what_can_succeed_is_sent_again() {
        let check = |status: u16, retry_after: Option<u64>, expected: Option<u64>| {
            let waited = wait(&refused(status, "", retry_after, ""), true);
            assert_eq!(waited, expected.map(Duration::from_secs), "{status}");
        };
        check(429, Some(7), Some(7));
        check(429, None, Some(0));
        check(503, Some(2), Some(2));
        check(500, None, Some(0));
        check(400, None, None);
        check(413, None, None);
        check(409, None, None);
    }

    #[test]
    fn a_batch_of_bad_lines_is_answered() {
        let body =
            r#"{"error":{},"accepted":0,"rejected":1,"rejections":[{"index":0,"line":1,"reason":"x"}]}"#;
        let answer = nothing_stored(refused(400, "nothing-stored", None, body)).expect("it is an answer");
        assert_eq!((answer.rejected, answer.rejections[0].line), (1, Some(1)));
        assert!(nothing_stored(refused(400, "bad-app-name", None, body)).is_err());
    }
}
