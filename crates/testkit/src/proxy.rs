//! An HTTP proxy in front of a real server, which does to requests what a test wants.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// A proxy that ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// A request, decompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Bytes of the body as they came.
    pub sent: usize,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is answered by the server.
    Forward,
    /// It is answered with this status and does not reach the server.
    Refuse(u16),
    /// Of a bulk every second document reaches the server, the others are answered with this status.
    RefuseHalf(u16),
    /// It reaches the server, but the connection is closed instead of the answer.
    ForwardAndClose,
    /// The connection is closed.
    Close,
    /// There is never an answer.
    Hang,
}

type Rule = Box<dyn Fn(&Request) -> Action + Send + Sync>;

struct Shared {
    server: SocketAddr,
    rule: Mutex<Rule>,
    seen: Mutex<Vec<(Request, Action)>>,
}

impl Proxy {
    /// In front of `server`; everything is forwarded until a rule says otherwise.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        Self::serve(server, None).await
    }

    /// The same, spoken to by TLS.
    pub async fn start_tls(server: SocketAddr, tls: Arc<ServerConfig>) -> io::Result<Self> {
        Self::serve(server, Some(TlsAcceptor::from(tls))).await
    }

    #[expect(clippy::disallowed_methods, reason = "a server of a test needs no supervision")]
    async fn serve(server: SocketAddr, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let rule: Rule = Box::new(|_| Action::Forward);
        let shared = Arc::new(Shared { server, rule: Mutex::new(rule), seen: Mutex::default() });
        let of_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tls) = (Arc::clone(&of_task), tls.clone());
                connections.spawn(async move {
                    // How a connection ends is seen by the client.
                    match tls {
                        None => drop(shared.connection(stream).await),
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                drop(shared.connection(stream).await);
                            }
                        }
                    }
                });
            }
        });
        Ok(Self { address, shared, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What becomes of the requests from now on.
    pub fn rule(&self, rule: impl Fn(&Request) -> Action + Send + Sync + 'static) {
        *lock(&self.shared.rule) = Box::new(rule);
    }

    /// Forwards everything again.
    pub fn heal(&self) {
        self.rule(|_| Action::Forward);
    }

    /// The requests so far whose path begins so, and what became of them.
    #[must_use]
    pub fn seen(&self, path: &str) -> Vec<(Request, Action)> {
        let path = format!("/{path}");
        lock(&self.shared.seen)
            .iter()
            .filter(|(request, _)| request.path.starts_with(&path))
            .cloned()
            .collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Request {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Whether the body has this text in it.
    #[must_use]
    pub fn mentions(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.body).contains(text)
    }
}

impl Shared {
    async fn connection(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        while let Some(request) = read_request(&mut stream).await? {
            let action = lock(&self.rule)(&request);
            lock(&self.seen).push((request.clone(), action));
            let (status, body) = match action {
                Action::Forward => self.forward(&request, &request.body).await?,
                Action::Refuse(status) => (status, format!("the proxy says {status}").into_bytes()),
                Action::RefuseHalf(status) => self.halve(&request, status).await?,
                Action::ForwardAndClose => {
                    self.forward(&request, &request.body).await?;
                    return Ok(());
                }
                Action::Close => return Ok(()),
                Action::Hang => std::future::pending().await,
            };
            let head = format!(
                "HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\nX-Elastic-Product: Elasticsearch\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            if request.method != "HEAD" {
                stream.write_all(&body).await?;
            }
            stream.flush().await?;
        }
        Ok(())
    }

    /// Asks the server: status and body.
    async fn forward(&self, request: &Request, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let mut server = TcpStream::connect(self.server).await?;
        let kind = request.header("content-type").unwrap_or("application/json");
        let head = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            request.method,
            request.path,
            self.server,
            body.len()
        );
        server.write_all(head.as_bytes()).await?;
        server.write_all(body).await?;
        let (head, rest) = read_head(&mut server).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status =
            head.split(' ').nth(1).and_then(|text| text.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        let mut answer = rest;
        server.read_to_end(&mut answer).await?;
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            answer = without_chunks(&answer).ok_or(io::ErrorKind::InvalidData)?;
        }
        Ok((status, answer))
    }

    /// Lets every second document through, and puts refusals between the answers.
    async fn halve(&self, request: &Request, status: u16) -> io::Result<(u16, Vec<u8>)> {
        let lines: Vec<&[u8]> = request.body.split_inclusive(|byte| *byte == b'\n').collect();
        let documents: Vec<&[&[u8]]> = lines.chunks(2).collect();
        let let_through: Vec<u8> =
            documents.iter().step_by(2).flat_map(|document| document.concat()).collect();
        let (answered, body) = self.forward(request, &let_through).await?;
        let Ok(Value::Object(mut answer)) = serde_json::from_slice(&body) else {
            return Ok((answered, body));
        };
        let items = answer.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut items = items.into_iter();
        let refused = json!({ "create": { "status": status, "error": { "type": "refused", "reason": "by the proxy" } } });
        let merged: Vec<Value> = (0..documents.len())
            .map(|place| if place % 2 == 0 { items.next().unwrap_or(Value::Null) } else { refused.clone() })
            .collect();
        answer.insert("items".to_owned(), Value::Array(merged));
        answer.insert("errors".to_owned(), Value::Bool(documents.len() > 1));
        Ok((answered, Value::Object(answer).to_string().into_bytes()))
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Request>> {
    let Some((head, mut body)) = read_head(stream).await? else { return Ok(None) };
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut request = Request { method, path, headers, body: Vec::new(), sent: 0 };
    let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut part = vec![0; 64 << 10];
    while body.len() < length {
        match stream.read(&mut part).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => body.extend_from_slice(&part[..count]),
        }
    }
    request.sent = body.len();
    if request.header("content-encoding") == Some("gzip") {
        let mut plain = Vec::new();
        GzDecoder::new(&body[..]).read_to_end(&mut plain)?;
        body = plain;
    }
    request.body = body;
    Ok(Some(request))
}

/// All before the empty line, and what was read beyond it; nothing if the other side has left.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut read = Vec::new();
    let mut part = vec![0; 16 << 10];
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Ok(Some((String::from_utf8_lossy(&read).into_owned(), rest)));
        }
        match stream.read(&mut part).await? {
            0 if read.is_empty() => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => read.extend_from_slice(&part[..count]),
        }
    }
}

/// The body that came in chunks (RFC 9112 section 7.1).
fn without_chunks(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(str::from_utf8(&bytes[..end]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(bytes.get(end + 2..end + 2 + size)?);
        bytes = bytes.get(end + 4 + size..)?;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("server", &self.server).finish_non_exhaustive()
    }
}
