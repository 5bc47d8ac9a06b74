//! Own files of `listen.tls` that are replaced while clients are connected.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use weir_fleet::{AppLimits, NewSecret};
use weir_model::AppName;
use weir_testkit::{Authority, JumpingClock};
use weir_wire::proto::producer::Timber;
use weir_wire::proto::producer::producer_client::ProducerClient;

use super::agents::{SHOP, operator};
use super::log::Log;
use super::*;

/// How often the server looks for other files.
const LOOK: Duration = Duration::from_secs(30);

/// What is said of files that can not be used.
const KEPT: &str = "the new certificate can not be used, the former one stays";

/// A weir with its own certificate, and whom its clients trust.
struct Site {
    world: World,
    clock: JumpingClock,
    authority: Authority,
    log: Log,
}

impl Site {
    async fn new(log: Log) -> Self {
        let authority = Authority::new();
        authority.issue("own", "127.0.0.1");
        // For the life of the test: settings are given as they are written.
        let path = |file: &str| &*authority.path(file).display().to_string().leak();
        let settings = [
            ("listen.allow_public", "true"),
            ("listen.http", "0.0.0.0:0"),
            ("producer.grpc_listen", "0.0.0.0:0"),
            ("listen.tls.cert_file", path("own.pem")),
            ("listen.tls.key_file", path("own.key")),
        ];
        let clock = JumpingClock::new();
        let directory = tempfile::tempdir().expect("there is space");
        let world = World::with(directory, Arc::new(clock.clone()), &settings).await;
        Self { world, clock, authority, log }
    }

    fn connector(&self, protocol: &[u8]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.authority.pem().as_bytes()).expect("it is one");
        roots.add(root).expect("it is one");
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("they are known");
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        TlsConnector::from(Arc::new(config))
    }

    fn near(&self, door: SocketAddr) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], door.port()))
    }

    async fn connect(&self, door: SocketAddr) -> TlsStream<TcpStream> {
        let socket = TcpStream::connect(self.near(door)).await.expect("it listens");
        let name = ServerName::try_from("127.0.0.1").expect("it is an address");
        self.connector(b"http/1.1").connect(name, socket).await.expect("it is trusted")
    }

    /// What a client is shown that comes now, at both doors alike.
    async fn shown(&self) -> CertificateDer<'static> {
        let doors = self.world.running.addresses;
        let of = async |door| {
            let stream = self.connect(door).await;
            let chain = stream.get_ref().1.peer_certificates().expect("it is shown");
            chain.first().expect("it is shown").clone().into_owned()
        };
        let (http, grpc) = (of(doors.http).await, of(doors.grpc).await);
        assert_eq!(http, grpc);
        http
    }

    /// What is in the file.
    fn own(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.authority.path("own.pem")).expect("it is whole")
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.authority.path(file), text).expect("there is space");
    }

    /// The files are not used, and that is said.
    async fn refuses(&self, shown: &CertificateDer<'_>) {
        let told = || self.log.text().matches(KEPT).count();
        let before = told();
        self.clock.jump(LOOK);
        self.world.until(async || (told() > before).then_some(())).await;
        assert_eq!(&self.shown().await, shown);
    }

    /// The files are used.
    async fn takes(&self) -> CertificateDer<'static> {
        let own = self.own();
        self.clock.jump(LOOK);
        self.world.until(async || (self.shown().await == own).then_some(())).await;
        own
    }
}

/// A connection over which one request after another is made.
struct Kept {
    stream: TlsStream<TcpStream>,
    token: String,
}

impl Kept {
    async fn ask(&mut self, path: &str) {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {}\r\naccept: */*\r\n\r\n",
            self.token
        );
        self.stream.write_all(request.as_bytes()).await.expect("it is open");
    }

    /// Reads until that has come.
    async fn hears(&mut self, text: &str) {
        let reading = async {
            let mut heard = Vec::new();
            while !String::from_utf8_lossy(&heard).contains(text) {
                let count = self.stream.read_buf(&mut heard).await.expect("it is open");
                assert_ne!(count, 0, "it ends: {}", String::from_utf8_lossy(&heard));
            }
        };
        let patience = Duration::from_secs(60);
        weir_foundation::clock::timeout(&SystemClock, patience, reading).await.expect("it comes in time");
    }
}

/// gRPC over one connection, which is counted.
async fn grpc(site: &Site) -> (Channel, Arc<AtomicUsize>) {
    let (connector, door) = (site.connector(b"h2"), site.near(site.world.running.addresses.grpc));
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let connect = move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        let connector = connector.clone();
        async move {
            let name = ServerName::try_from("127.0.0.1").expect("it is an address");
            connector.connect(name, TcpStream::connect(door).await?).await.map(TokioIo::new)
        }
    };
    let endpoint = Endpoint::from_shared(format!("http://{door}")).expect("is a URL");
    let channel = endpoint.connect_with_connector(tower::service_fn(connect)).await.expect("it is trusted");
    (channel, connections)
}

/// The runtime of the test has one thread, so that all of the log is seen here.
#[tokio::test]
async fn files_are_replaced_and_no_connection_is_dropped() {
    let (log, _logging) = Log::begin(tracing::Level::INFO);
    let site = Site::new(log).await;
    let world = &site.world;
    let app = AppName::new(SHOP).expect("a name");
    let (limits, random) = (AppLimits::default(), Some(&NewSecret::Random));
    let made = world.fleet().create_app(&app, &limits, random, &operator()).await;
    let secret = made.expect("it is new").expect("it is random");
    let send = async |line: &'static str| {
        let url = format!("http://{}/api/v1/apps/shop/events", site.near(world.running.addresses.http));
        let request = reqwest::Client::new().post(url).bearer_auth(secret.reveal()).body(line);
        let answer = request.header("content-type", "text/plain").send().await.expect("it answers");
        assert!(answer.status().is_success(), "{answer:?}");
    };
    send("first").await;
    let token = std::fs::read_to_string(world.directory.path().join("data/operator.token"));
    let token = token.expect("it is there").trim().to_owned();
    let http = world.running.addresses.http;
    let mut tail = Kept { stream: site.connect(http).await, token: token.clone() };
    tail.ask("/api/v1/tail/shop?since=1h").await;
    tail.hears("first").await;
    let mut kept = Kept { stream: site.connect(http).await, token };
    kept.ask("/api/v1/streams").await;
    kept.hears("shop_logs").await;
    let (channel, connections) = grpc(&site).await;
    // What is sent is nothing: a refusal is an answer, too.
    let asks = async || {
        let answer = ProducerClient::new(channel.clone()).produce(Timber::default()).await;
        answer.expect_err("it is nothing").code()
    };
    let refused = asks().await;
    assert_eq!(refused, Code::PermissionDenied, "it names no app");

    let first = site.shown().await;
    assert_eq!(first, site.own());
    // The key is replaced before its certificate, and that is written bit by bit.
    let (certificate, key) = site.authority.sign("127.0.0.1");
    site.write("own.key", &key);
    site.refuses(&first).await;
    site.write("own.pem", &certificate[..certificate.len() / 2]);
    site.refuses(&first).await;
    site.write("own.pem", "");
    site.refuses(&first).await;
    site.write("own.pem", &certificate);
    let second = site.takes().await;
    assert_ne!(second, first);
    // The other way round; and what is gone.
    let (certificate, key) = site.authority.sign("127.0.0.1");
    site.write("own.pem", &certificate);
    site.refuses(&second).await;
    site.write("own.key", &key[..key.len() / 2]);
    site.refuses(&second).await;
    std::fs::remove_file(site.authority.path("own.key")).expect("it is there");
    site.refuses(&second).await;
    site.write("own.key", &key);
    let third = site.takes().await;
    assert!(third != second && third != first);

    send("later").await;
    tail.hears("later").await;
    kept.ask("/api/v1/nowhere").await;
    kept.hears("HTTP/1.1 404").await;
    assert_eq!(asks().await, refused);
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    assert_eq!(site.log.text().matches("another certificate is shown from now on").count(), 2);
    drop((tail, kept, channel));
    assert_eq!(site.world.drain().await.1, ExitCode::Good);
}
