use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, HandshakeKind, ServerConnection};
use weir_foundation::clock::ManualClock;

use super::*;
use crate::identity::AgentName;
use crate::pki::{Authority, CheckedRequest, PrivateKey};

const DAY: Duration = Duration::from_hours(24);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// An instance with all that it has issued.
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
        let chain = [certificate].into_iter().chain(self.intermediate.chain().iter().cloned()).collect();
        Identity::new(chain, key).expect("fits")
    }

    fn roots(&self) -> Vec<Certificate> {
        vec![self.root.certificate().clone()]
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(start()))
}

/// Both ends after the handshake, or what the side that refused says.
fn shake(client: ClientConfig, server: ServerConfig) -> Result<(ClientConnection, ServerConnection), String> {
    let name = ServerName::try_from("nobody.example").expect("is a name");
    let mut client = ClientConnection::new(Arc::new(client), name).expect("can begin");
    let mut server = ServerConnection::new(Arc::new(server)).expect("can begin");
    let say = |side: &str, error: rustls::Error| Err(format!("{side}: {error}"));
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("memory takes it");
        server.read_tls(&mut bytes.as_slice()).expect("memory gives it");
        if let Err(error) = server.process_new_packets() {
            return say("server", error);
        }
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).expect("memory takes it");
        client.read_tls(&mut bytes.as_slice()).expect("memory gives it");
        if let Err(error) = client.process_new_packets() {
            return say("client", error);
        }
    }
    Ok((client, server))
}

#[test]
fn members_of_an_instance_meet() {
    let one = Instance::new("one");
    let server = server_mutual(&one.server(), &one.roots(), clock()).expect("is good");
    let client = client(&one.roots(), &one.id, Some(&one.agent()), clock()).expect("is good");
    let (client, server) = shake(client, server).expect("is good");
    assert_eq!(client.alpn_protocol(), Some(HTTP_2));
    assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
    let shown = Certificate::read(&server.peer_certificates().expect("was shown")[0]).expect("is good");
    assert_eq!(shown.subject().to_string(), "spiffe://one/agent/node-7");
}
