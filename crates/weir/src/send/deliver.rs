//! One batch on its way: given to weir until it is answered for good.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;
use weir_foundation::clock::Clock;
use weir_foundation::retry::Attempts;

use super::batch::Batch;
use super::progress::Progress;
use crate::client::{Client, ClientError, backoff};

/// Delivers batches of one app. Clones share what they know of weir.
#[derive(Debug, Clone)]
pub(super) struct Deliverer<'a> {
    client: &'a Client,
    clock: &'a dyn Clock,
    app: Arc<str>,
    media_type: &'static str,
    /// Whether weir has answered at all; until then nobody waits for it.
    reached: Arc<AtomicBool>,
    /// Whether it was told that weir gives no answers; until the next one it is not told again.
    told: Arc<AtomicBool>,
}

/// A batch that weir did not take.
#[derive(Debug)]
pub(super) struct Undelivered {
    pub(super) error: ClientError,
    /// Whether it may be stored all the same: one of the attempts had an unknown end.
    pub(super) open: bool,
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
        Self { client, clock, app: app.into(), media_type, reached: Arc::default(), told: Arc::default() }
    }

    /// Gives the batch to weir, again and again where that can help; always under the same id, so that it is
    /// stored once.
    pub(super) async fn deliver(
        self,
        batch: Batch,
        progress: Progress,
    ) -> (Batch, Result<Answer, Undelivered>) {
        let mut delays = backoff(ATTEMPTS).delays(rand::rng());
        let mut open = false;
        loop {
            let error = match self.attempt(&batch).await {
                Ok(answer) => {
                    self.reached.store(true, Ordering::Relaxed);
                    self.told.store(false, Ordering::Relaxed);
                    return (batch, Ok(answer));
                }
                Err(error) => error,
            };
            open |= error.leaves_open();
            let asked_for = error.retry_after(self.reached.load(Ordering::Relaxed));
            let Some((asked_for, own)) = asked_for.zip(delays.next()) else {
                return (batch, Err(Undelivered { error, open }));
            };
            if let Some(outage) = outage(&error)
                && !self.told.swap(true, Ordering::Relaxed)
            {
                progress.note(&format!("-- {outage}; trying again --"));
            }
            self.clock.sleep(asked_for.max(own)).await;
        }
    }

    async fn attempt(&self, batch: &Batch) -> Result<Answer, ClientError> {
        let headers = [("content-type", self.media_type), ("weir-batch-id", &*batch.id)];
        let path = ["apps", &self.app, "events"];
        self.client.post_bytes(&path, &headers, batch.body.clone()).await.or_else(nothing_stored)
    }
}

/// What there is to say about an error that is waited out; being slowed down is nothing special.
fn outage(error: &ClientError) -> Option<String> {
    match error {
        ClientError::Refused(refusal) if refusal.status.is_server_error() => {
            Some(format!("weir takes nothing: {error}"))
        }
        ClientError::Refused(_) => None,
        _ => Some("the connection to weir is lost".to_owned()),
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

/// Four minutes at the most, half of that on average.
const ATTEMPTS: Attempts = Attempts::AtMost(NonZeroU32::new(60).expect("is not zero"));

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;
    use weir_server::api::ErrorDetail;

    use super::*;
    use crate::client::Refusal;

    fn refused(status: u16, code: &str, body: &'static str) -> ClientError {
        let detail =
            ErrorDetail { code: code.to_owned(), message: String::new(), column: None, expected: None };
        ClientError::Refused(Box::new(Refusal {
            status: StatusCode::from_u16(status).expect("is a status"),
            detail,
            retry_after: None,
            body: Bytes::from_static(body.as_bytes()),
            token: None,
        }))
    }

    #[test]
    fn a_batch_of_bad_lines_is_answered() {
        let body =
            r#"{"error":{},"accepted":0,"rejected":1,"rejections":[{"index":0,"line":1,"reason":"x"}]}"#;
        let answer = nothing_stored(refused(400, "nothing-stored", body)).expect("it is an answer");
        assert_eq!((answer.rejected, answer.rejections[0].line), (1, Some(1)));
        assert!(nothing_stored(refused(400, "bad-app-name", body)).is_err());
    }
}
