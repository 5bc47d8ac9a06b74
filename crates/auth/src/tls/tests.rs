mod attacks;
mod behind_proxy;

use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use rustls::{ClientConnection, HandshakeKind, ServerConnection};
use weir_foundation::clock::ManualClock;

use super::*;
use crate::identity::AgentName;
use crate::pki::{Authority, CheckedRequest, PrivateKey};

const DAY: Duration = Duration::from_hours(24);
const MINUTE: Duration = Duration::from_mins(1);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// An instance that issues certificates.
struct Instance {
    id: InstanceId,
    root: Authority,
    intermediate: Authority,
}

impl Instance {
    fn new(name: &str) -> Self {
        let id = InstanceId::new(name).expect("is legal");
        let root = Authority::root(&id, start(), 3650 * DAY).expect("is issued");
        let intermediate = root.intermediate(start(), 90 * DAY).expect("is issued");
        Self { id, root, intermediate }
    }

    fn server(&self) -> Identity {
        self.intermediate.issue_server(&["localhost".to_owned()], start(), 30 * DAY).expect("is issued")
    }

    fn agent(&self) -> Identity {
        let key = PrivateKey::generate();
        let request = CheckedRequest::read(&key.request()).expect("is good");
        let name = AgentName::new("node-7").expect("is legal");
        let certificate = self.intermediate.issue_agent(&request, &name, start(), DAY).expect("is issued");
        Identity::new([&[certificate], self.intermediate.chain()].concat(), key).expect("fits")
    }

    fn roots(&self) -> Vec<Certificate> {
        vec![self.root.certificate().clone()]
    }

    fn server_config(&self, clock: Arc<dyn Clock>) -> ServerConfig {
        server_mutual(&self.server(), &self.roots(), clock).expect("is good")
    }

    fn client_config(&self, clock: Arc<dyn Clock>) -> ClientConfig {
        client(&self.roots(), &self.id, Some(&self.agent()), clock).expect("is good")
    }
}

fn clock() -> Arc<dyn Clock> {
    at(start())
}

fn at(time: SystemTime) -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(time))
}

/// Both ends after the handshake, or what the side that refused says.
fn shake(
    client: impl Into<Arc<ClientConfig>>,
    server: impl Into<Arc<ServerConfig>>,
) -> Result<(ClientConnection, ServerConnection), String> {
    let name = ServerName::try_from("nobody.example").expect("is a name");
    let mut client = ClientConnection::new(client.into(), name).expect("can begin");
    let mut server = ServerConnection::new(server.into()).expect("can begin");
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("memory takes it");
        server.read_tls(&mut bytes.as_slice()).expect("memory gives it");
        server.process_new_packets().map_err(|error| format!("server: {error}"))?;
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).expect("memory takes it");
        client.read_tls(&mut bytes.as_slice()).expect("memory gives it");
        client.process_new_packets().map_err(|error| format!("client: {error}"))?;
    }
    Ok((client, server))
}

/// Nobody connects, and this is why.
fn refused(client: ClientConfig, server: ServerConfig, expected: &str) {
    match shake(client, server) {
        Ok(_) => panic!("connected, instead of {expected}"),
        Err(reason) => assert!(reason.contains(expected), "{reason}, instead of {expected}"),
    }
}

fn connected(client: ClientConfig, server: ServerConfig) {
    if let Err(reason) = shake(client, server) {
        panic!("{reason}");
    }
}

#[test]
fn members_of_an_instance_meet() {
    let one = Instance::new("one");
    let (client, server) = shake(one.client_config(clock()), one.server_config(clock())).expect("is good");
    assert_eq!(client.alpn_protocol(), Some(HTTP_2));
    assert_eq!(server.alpn_protocol(), Some(HTTP_2));
    assert_eq!(server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let shown = |certificates: Option<&[rustls::pki_types::CertificateDer<'_>]>| {
        let first = &certificates.expect("were shown")[0];
        Certificate::read(first).expect("is one").subject().to_string()
    };
    assert_eq!(shown(server.peer_certificates()), "spiffe://one/agent/node-7");
    assert_eq!(shown(client.peer_certificates()), "spiffe://one/server");
}

#[test]
fn a_server_for_anybody_asks_for_no_certificate() {
    let one = Instance::new("one");
    let for_anybody = || server(&one.server(), clock()).expect("is good");
    connected(one.client_config(clock()), for_anybody());
    let nobody = client(&one.roots(), &one.id, None, clock()).expect("is good");
    let (_, server) = shake(nobody, for_anybody()).expect("is good");
    assert_eq!(server.peer_certificates(), None);
}

#[test]
fn no_session_is_resumed() {
    let one = Instance::new("one");
    let client = |resumption: Option<Resumption>| {
        let mut config = one.client_config(clock());
        config.resumption = resumption.unwrap_or(config.resumption);
        Arc::new(config)
    };
    let server = |sessions: Option<Arc<dyn StoresServerSessions>>, tickets: Option<usize>| {
        let mut config = one.server_config(clock());
        config.session_storage = sessions.unwrap_or(config.session_storage);
        config.send_tls13_tickets = tickets.unwrap_or(config.send_tls13_tickets);
        Arc::new(config)
    };
    let check = |client: Arc<ClientConfig>, server: Arc<ServerConfig>, expected: HandshakeKind| {
        assert!(shake(Arc::clone(&client), Arc::clone(&server)).is_ok());
        let (client, server) = shake(client, server).expect("is good");
        assert_eq!(client.handshake_kind(), Some(expected));
        assert_eq!(server.handshake_kind(), Some(expected));
    };
    let willing = || Some(Resumption::in_memory_sessions(10));
    let remembers = || Some(ServerSessionMemoryCache::new(10) as Arc<dyn StoresServerSessions>);
    check(client(None), server(None, None), HandshakeKind::Full);
    check(client(willing()), server(None, None), HandshakeKind::Full);
    check(client(willing()), server(remembers(), None), HandshakeKind::Full);
    check(client(willing()), server(None, Some(2)), HandshakeKind::Full);
    check(client(None), server(remembers(), Some(2)), HandshakeKind::Full);
    check(client(willing()), server(remembers(), Some(2)), HandshakeKind::Resumed);
}

#[test]
fn certificates_are_good_for_their_time() {
    let one = Instance::new("one");
    let check = |client: SystemTime, server: SystemTime, expected: Result<(), &str>| {
        let (client, server) = (one.client_config(at(client)), one.server_config(at(server)));
        match expected {
            Ok(()) => connected(client, server),
            Err(expected) => refused(client, server, expected),
        }
    };
    let now = start();
    let second = MINUTE / 60;
    check(now, now, Ok(()));
    check(now + DAY, now + DAY, Ok(()));
    check(now, now + DAY + second, Err("server: invalid peer certificate: certificate expired"));
    check(now, now - 5 * MINUTE, Ok(()));
    check(now, now - 5 * MINUTE - second, Err("server: invalid peer certificate: certificate not valid yet"));
    check(now + 30 * DAY, now, Ok(()));
    check(now + 30 * DAY + second, now, Err("client: invalid peer certificate: certificate expired"));
    check(now - 5 * MINUTE - second, now, Err("client: invalid peer certificate: certificate not valid yet"));
    check(SystemTime::UNIX_EPOCH, now, Err("client: invalid peer certificate: certificate not valid yet"));
}

#[test]
fn clocks_go_on_while_a_configuration_is_used() {
    let one = Instance::new("one");
    let clock = ManualClock::new(start());
    let server = Arc::new(one.server_config(Arc::new(clock.clone())));
    let client = Arc::new(one.client_config(self::clock()));
    assert!(shake(Arc::clone(&client), Arc::clone(&server)).is_ok());
    clock.advance(2 * DAY);
    let reason = shake(client, server).map(|_| ()).expect_err("is too late");
    assert!(reason.contains("certificate expired"), "{reason}");
}

#[test]
fn a_pin_stands_for_a_root() {
    let (one, other) = (Instance::new("one"), Instance::new("other"));
    let server = || server(&one.server(), clock()).expect("is good");
    let pinned = |pins: &[Pin]| client_pinned(pins, clock()).expect("is good");
    let pin = one.root.certificate().pin();
    connected(pinned(&[pin]), server());
    connected(pinned(&[other.root.certificate().pin(), pin]), server());
    connected(pinned(&[one.intermediate.certificate().pin()]), server());
    refused(pinned(&[other.root.certificate().pin()]), server(), "NoPin");
    refused(pinned(&[]), server(), "NoPin");
    // Of an agent's own or a server's own key: only authorities are pinned.
    let own = one.server();
    let of_own = self::server(&own, clock()).expect("is good");
    refused(pinned(&[own.certificate().pin()]), of_own, "NoPin");
    let late = client_pinned(&[pin], at(start() + 31 * DAY)).expect("is good");
    refused(late, server(), "certificate expired");
}

#[test]
fn old_and_new_roots_are_trusted_while_they_change() {
    let old = Instance::new("one");
    let new = Instance::new("one");
    let both = [old.roots(), new.roots()].concat();
    for server_of in [&old, &new] {
        for client_of in [&old, &new] {
            let server = server_mutual(&server_of.server(), &both, clock()).expect("is good");
            let client = client(&both, &old.id, Some(&client_of.agent()), clock()).expect("is good");
            connected(client, server);
        }
    }
    refused(
        old.client_config(clock()),
        new.server_config(clock()),
        "client: invalid peer certificate: UnknownIssuer",
    );
    // The old root is dropped, and an agent still shows a certificate of it.
    let behind = client(&both, &old.id, Some(&old.agent()), clock()).expect("is good");
    refused(behind, new.server_config(clock()), "server: invalid peer certificate: UnknownIssuer");
    let pins = [old.root.certificate().pin(), new.root.certificate().pin()];
    for server_of in [&old, &new] {
        let server = server(&server_of.server(), clock()).expect("is good");
        connected(client_pinned(&pins, clock()).expect("is good"), server);
    }
}

#[test]
fn each_side_shows_what_it_is() {
    let one = Instance::new("one");
    let own = |who| TlsError::Own(CertificateError::OtherSubject(who)).to_string();
    let check = |result: Result<(), TlsError>, expected: String| {
        let error = result.expect_err("is refused");
        assert_eq!(error.to_string(), expected);
    };
    check(server(&one.agent(), clock()).map(|_| ()), own("a server"));
    check(server_mutual(&one.agent(), &one.roots(), clock()).map(|_| ()), own("a server"));
    check(client(&one.roots(), &one.id, Some(&one.server()), clock()).map(|_| ()), own("an agent"));
    let leaf = [one.server().certificate().clone()];
    check(client(&leaf, &one.id, None, clock()).map(|_| ()), own("an authority"));
    let none = server_mutual(&one.server(), &[], clock()).map(|_| ());
    check(none, "could not use the roots to trust".to_owned());
}
