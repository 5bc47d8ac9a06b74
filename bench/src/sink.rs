//! A store that takes every document: reads bulks as Elasticsearch does and answers for each document.

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use flate2::read::GzDecoder;

use crate::Outcome;

/// Serves for as long as the runtime does.
#[derive(Debug)]
pub(crate) struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    documents: AtomicUsize,
    away: AtomicBool,
    delay: Duration,
}

const PATIENCE: Duration = Duration::from_secs(600);

impl Sink {
    /// Each bulk is answered so long after it came.
    pub(crate) async fn start(delay: Duration) -> Outcome<Self> {
        let shared = Shared { documents: AtomicUsize::new(0), away: AtomicBool::new(false), delay };
        let shared = Arc::new(shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router =
            Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, shared })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Refuses everything with 503, or no longer does.
    pub(crate) fn away(&self, away: bool) {
        self.shared.away.store(away, Ordering::Relaxed);
    }

    /// How many it has taken.
    pub(crate) fn documents(&self) -> usize {
        self.shared.documents.load(Ordering::Relaxed)
    }

    /// Waits until it has taken so many documents.
    pub(crate) async fn has(&self, documents: usize) -> Outcome<()> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.documents() >= documents {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err("not all documents came".into())
    }
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    if shared.away.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "away".to_owned());
    }
    let mut text = String::new();
    let is_gzip = headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
    let read = match is_gzip {
        true => GzDecoder::new(&body[..]).read_to_string(&mut text),
        false => (&body[..]).read_to_string(&mut text),
    };
    if let Err(error) = read {
        return (StatusCode::BAD_REQUEST, error.to_string());
    }
    // As Elasticsearch answers where it is asked for no more than `errors` and `status`.
    let mut items = r#"{"errors":false,"items":["#.to_owned();
    let mut documents = 0;
    let mut lines = text.lines();
    while let (Some(action), Some(_)) = (lines.next(), lines.next()) {
        if !action.starts_with(r#"{"create":{"_index":""#) {
            return (StatusCode::BAD_REQUEST, format!("no action: {action}"));
        }
        items.push_str(if documents == 0 { "" } else { "," });
        items.push_str(r#"{"create":{"status":201}}"#);
        documents += 1;
    }
    items.push_str("]}");
    tokio::time::sleep(shared.delay).await;
    shared.documents.fetch_add(documents, Ordering::Relaxed);
    (StatusCode::OK, items)
}
