//! Who says that he is a proxy, and whom proxies may not bring.

use futures_util::{StreamExt as _, stream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use weir_auth::access_key::AccessKey;
use weir_auth::pki::{Authority, CheckedRequest, Identity};
use weir_auth::{AgentName, tls};
use weir_fleet::EnrolRequest;
use weir_foundation::settings::Secret;
use weir_testkit::escaped_pem;
use weir_wire::proto::control::TokenRequest;
use weir_wire::proto::control::control_client::ControlClient;
use weir_wire::proto::ingest::Hello;
use weir_wire::proto::ingest::ingest_client::IngestClient;

use super::*;

const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What an agent has.
pub(in crate::compose::tests) struct Credentials {
    pub(in crate::compose::tests) name: String,
    pub(in crate::compose::tests) identity: Identity,
    pub(in crate::compose::tests) token: Secret,
}

impl World {
    pub(in crate::compose::tests) async fn enrolled(&self, name: &str) -> Credentials {
        let key = self.key(false).await;
        let key: AccessKey = key.reveal().parse().expect("it was just made");
        let own = PrivateKey::generate();
        let csr = own.request();
        let request = EnrolRequest { key: &key.id, secret: &key.secret, name, csr: &csr };
        let member = self.fleet().enrol(request).await.expect("the key is good");
        let (token, _) = self.fleet().token(&member.chain[0]).await.expect("it is an agent");
        let identity = Identity::new(member.chain, own).expect("it is for this key");
        Credentials { name: member.agent.to_string(), identity, token }
    }

    /// Plaintext to the door of agents, from an address.
    async fn from(&self, address: IpAddr) -> Result<Channel, tonic::transport::Error> {
        let mut connector = HttpConnector::new();
        connector.set_local_address(Some(address));
        self.endpoint().connect_with_connector(connector).await
    }

    fn endpoint(&self) -> Endpoint {
        let door = self.running.addresses.ingest;
        Endpoint::from_shared(format!("http://{door}")).expect("is a URL")
    }

    /// TLS to the door of agents, from an address.
    pub(in crate::compose::tests) async fn by_tls(&self, address: IpAddr, shown: &Identity) -> Channel {
        let view = self.fleet().instance();
        let clock = Arc::clone(&self.process.clock);
        let config = tls::client(&view.roots, &view.id, Some(shown), clock).expect("it is a client");
        let (connector, door) = (TlsConnector::from(Arc::new(config)), self.running.addresses.ingest);
        let connect = move |_| {
            let connector = connector.clone();
            async move {
                let socket = tokio::net::TcpSocket::new_v4()?;
                socket.bind((address, 0).into())?;
                let stream = socket.connect(door).await?;
                let name = ServerName::try_from("weir").expect("it is a name");
                connector.connect(name, stream).await.map(TokioIo::new)
            }
        };
        let service = tower::service_fn(connect);
        self.endpoint().connect_with_connector(service).await.expect("it is one of the instance")
    }
}

/// As RFC 9440 has it.
fn sequence(certificate: &Certificate) -> String {
    let lines = certificate.pem();
    let encoded: String = lines.lines().filter(|line| !line.starts_with('-')).collect();
    format!(":{encoded}:")
}

type Headers<'a> = &'a [(&'static str, String)];

fn request<T>(message: T, headers: Headers<'_>) -> Request<T> {
    let mut request = Request::new(message);
    let metadata: &mut MetadataMap = request.metadata_mut();
    for (name, value) in headers {
        metadata.append(*name, MetadataValue::try_from(value).expect("a header carries it"));
    }
    request
}

fn code(refused: &Status) -> String {
    let code = refused.metadata().get("weir-code").and_then(|code| code.to_str().ok());
    code.map_or_else(|| format!("{refused:?}"), str::to_owned)
}

/// Asks for a token with these headers.
async fn token(channel: &Channel, headers: Headers<'_>) -> Result<(), String> {
    let answer = ControlClient::new(channel.clone()).token(request(TokenRequest {}, headers)).await;
    answer.map(drop).map_err(|refused| code(&refused))
}

/// Begins a stream with these headers.
async fn stream(channel: &Channel, name: &str, headers: Headers<'_>) -> Result<(), String> {
    let hello = Hello { agent: name.to_owned(), version: "1.2.3".to_owned(), seal_public: Vec::new() };
    let hello = AgentMessage { kind: Some(Kind::Hello(hello)) };
    let messages = stream::iter([hello]).chain(stream::pending());
    let mut client = IngestClient::new(channel.clone());
    let begun = client.stream(request(messages, headers)).await;
    let told = match begun {
        Ok(answers) => answers.into_inner().message().await,
        Err(refused) => Err(refused),
    };
    told.map(|first| assert!(first.is_some(), "it is welcomed")).map_err(|refused| code(&refused))
}

fn bearer(token: &Secret) -> (&'static str, String) {
    ("authorization", format!("Bearer {}", token.reveal()))
}

fn shown(certificate: &Certificate) -> (&'static str, String) {
    ("client-cert", sequence(certificate))
}

async fn world(local_agents: &'static str) -> World {
    let settings = [("fleet.proxies", "127.0.0.3"), ("fleet.local_agents", local_agents)];
    World::with(tempfile::tempdir().expect("there is space"), Arc::new(SystemClock), &settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_brought_by_a_proxy_has_to_be_an_agent() {
    let world = world("true").await;
    let (one, other) = (world.enrolled("one").await, world.enrolled("other").await);
    // All of them come by one connection, as with proxies that have many clients.
    let proxy = world.from(FROM).await.expect("it is a proxy");
    let check = async |headers: Headers<'_>, expected: Result<(), &str>| {
        let expected = expected.map_err(str::to_owned);
        assert_eq!(token(&proxy, headers).await, expected, "{headers:?}");
        let headers = [headers, &[bearer(&one.token)]].concat();
        assert_eq!(stream(&proxy, &one.name, &headers).await, expected, "{headers:?}");
    };
    let own = one.identity.certificate();
    check(&[shown(own)], Ok(())).await;
    check(&[("client-cert", escaped_pem(own.der()))], Ok(())).await;
    let between = ("client-cert-chain", sequence(&one.identity.chain()[1]));
    check(&[shown(own), between.clone()], Ok(())).await;
    // Whoever is on this machine is taken without a certificate, and nobody whom a proxy brings.
    check(&[], Err("no-certificate")).await;
    check(&[("client-cert", String::new())], Err("no-certificate")).await;
    check(&[shown(own), shown(own)], Err("malformed-certificate")).await;
    check(&[shown(own), shown(other.identity.certificate())], Err("malformed-certificate")).await;
    check(&[("client-cert", "garbage".to_owned())], Err("malformed-certificate")).await;
    check(&[("client-cert", own.pem().replace('\n', " "))], Err("malformed-certificate")).await;
    check(&[shown(own), ("client-cert-chain", "garbage".to_owned())], Err("malformed-certificate")).await;
    check(&[("client-cert", ":AAAA:".to_owned())], Err("distrusted-certificate")).await;
    // Of an instance of the same name, with the same names in it, and all that vouches for it there.
    let (id, now) = (world.fleet().instance().id, world.process.clock.now());
    let day = Duration::from_secs(86_400);
    let root = Authority::root(&id, now, day).expect("it is issued");
    let foreign = root.intermediate(now, day).expect("it is issued");
    let asked = CheckedRequest::read(&one.identity.key().request()).expect("it is good");
    let name = AgentName::new(&one.name).expect("it is one");
    let forged = foreign.issue_agent(&asked, &name, now, day).expect("it is issued");
    let chain = foreign.chain().iter().map(sequence).collect::<Vec<_>>().join(", ");
    check(&[shown(&forged), ("client-cert-chain", chain)], Err("distrusted-certificate")).await;
    // Of the instance, and about no agent.
    let server = world.fleet().server_identity(&[]).expect("it is issued").identity;
    check(&[shown(server.certificate())], Err("distrusted-certificate")).await;
    check(&[shown(&server.chain()[1])], Err("distrusted-certificate")).await;
    check(&[shown(&server.chain()[2])], Err("distrusted-certificate")).await;
    // A token is for the certificate that it was given for, and certificates are for those who were not sent away.
    let headers = [shown(other.identity.certificate()), bearer(&one.token)];
    assert_eq!(stream(&proxy, &one.name, &headers).await, Err("bad-token".to_owned()));
    assert_eq!(stream(&proxy, &other.name, &headers).await, Err("bad-token".to_owned()));
    let headers = [shown(other.identity.certificate()), bearer(&other.token)];
    assert_eq!(stream(&proxy, &other.name, &headers).await, Ok(()));
    assert_eq!(stream(&proxy, &one.name, &headers).await, Err("other-agent".to_owned()));
    world.fleet().revoke_agent(&name, "", &operator()).await.expect("it is one");
    check(&[shown(own)], Err("agent-revoked")).await;
    assert_eq!(world.drain().await.1, ExitCode::Good);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_believed() {
    let world = world("true").await;
    let one = world.enrolled("one").await;
    let headers = [shown(one.identity.certificate()), bearer(&one.token)];
    let near = world.from(NEAR).await.expect("those of this machine are taken");
    // Somebody of this machine, whatever he says of certificates: he may send as nobody who is an agent.
    assert!(token(&near, &headers).await.is_err_and(|refused| refused.contains("show a certificate")));
    assert_eq!(stream(&near, "me", &headers).await, Ok(()));
    assert_eq!(stream(&near, "me", &[("client-cert", "garbage".to_owned())]).await, Ok(()));
    // By TLS one is who he shows to be, from the address of a proxy as well.
    let other = world.enrolled("other").await;
    for address in [NEAR, FROM] {
        let channel = world.by_tls(address, &other.identity).await;
        let refused = stream(&channel, &one.name, &headers).await;
        assert_eq!(refused, Err("bad-token".to_owned()), "{address}");
        let own = [shown(one.identity.certificate()), bearer(&other.token)];
        assert_eq!(stream(&channel, &other.name, &own).await, Ok(()), "{address}");
    }
    assert_eq!(world.drain().await.1, ExitCode::Good);

    let world = self::world("false").await;
    let one = world.enrolled("one").await;
    let headers = [shown(one.identity.certificate()), bearer(&one.token)];
    let taken = match world.from(NEAR).await {
        Ok(channel) => stream(&channel, &one.name, &headers).await,
        Err(error) => Err(error.to_string()),
    };
    assert!(taken.is_err(), "without TLS there is nobody to talk to");
    assert_eq!(stream(&world.from(FROM).await.expect("a proxy"), &one.name, &headers).await, Ok(()));
    assert_eq!(world.drain().await.1, ExitCode::Good);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_has_ended_is_none() {
    let settings = [("fleet.proxies", "127.0.0.3"), ("fleet.certificate_life", "1m")];
    let directory = tempfile::tempdir().expect("there is space");
    let world = World::with(directory, Arc::new(FastClock::new(30)), &settings).await;
    let one = world.enrolled("one").await;
    let proxy = world.from(FROM).await.expect("it is a proxy");
    let headers = [shown(one.identity.certificate()), bearer(&one.token)];
    assert_eq!(token(&proxy, &headers).await, Ok(()));
    world.process.clock.sleep(Duration::from_secs(61)).await;
    // The connection is the one of before.
    assert_eq!(token(&proxy, &headers).await, Err("certificate-expired".to_owned()));
    assert_eq!(stream(&proxy, &one.name, &headers).await, Err("certificate-expired".to_owned()));
    world.drain().await;
}
