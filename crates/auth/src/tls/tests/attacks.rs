//! Certificates in the hands of those whom they are not for.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, SanType};
use rustls::version::TLS12;

use super::*;

/// A server that shows whatever it has.
fn anybody(shown: Arc<SingleCertAndKey>) -> ServerConfig {
    let builder = ServerConfig::builder_with_details(provider(), time(clock()));
    let builder = builder.with_protocol_versions(&[&TLS13]).expect("is known").with_no_client_auth();
    let mut config = builder.with_cert_resolver(shown);
    config.alpn_protocols = vec![HTTP_2.to_vec()];
    config
}

fn showing(identity: &Identity) -> Arc<SingleCertAndKey> {
    Arc::new(shown(identity).expect("is one"))
}

/// The certificates of one with the key of another.
fn stolen(certificates: &Identity, key: &Identity) -> Arc<SingleCertAndKey> {
    let chain = certificates.chain().iter().map(Certificate::to_rustls).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.key().pkcs8()));
    Arc::new(CertifiedKey::new(chain, any_ecdsa_type(&key).expect("is a key")).into())
}

/// A client that shows whatever it has.
fn client_showing(of: &Instance, shown: Arc<SingleCertAndKey>) -> ClientConfig {
    let mut config = client(&of.roots(), &of.id, None, clock()).expect("is good");
    config.client_auth_cert_resolver = shown;
    config
}

/// A certificate that somebody signs with a key he has, whether he may or not.
fn forged(
    by: (&[Certificate], &PrivateKey),
    name: &str,
    usage: ExtendedKeyUsagePurpose,
    ca: IsCa,
) -> Identity {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(name.try_into().expect("is ASCII"))];
    params.extended_key_usages = vec![usage];
    params.is_ca = ca;
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = PrivateKey::generate();
    let (chain, signer) = by;
    let issuer = Issuer::from_ca_cert_der(&chain[0].to_rustls(), signer).expect("can sign");
    let certificate = params.signed_by(&key, &issuer).expect("is signed");
    let certificate = Certificate::read(certificate.der()).expect("can be read");
    Identity::new([&[certificate], chain].concat(), key).expect("fits")
}

fn by(authority: &Authority) -> (&[Certificate], &PrivateKey) {
    (authority.chain(), authority.key())
}

fn with(identity: &Identity) -> (&[Certificate], &PrivateKey) {
    (identity.chain(), identity.key())
}

const SERVER: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ServerAuth;
const CLIENT: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ClientAuth;

/// Nobody with this identity is taken for a server or an agent of `one`.
fn nobody(one: &Instance, identity: &Identity, expected: &str) {
    let pinned = client_pinned(&[one.root.certificate().pin()], clock()).expect("is good");
    refused(one.client_config(clock()), anybody(showing(identity)), &format!("client: {expected}"));
    refused(pinned, anybody(showing(identity)), "client: ");
    let client = client_showing(one, showing(identity));
    refused(client, one.server_config(clock()), &format!("server: {expected}"));
}

const BAD: &str = "invalid peer certificate: ";

#[test]
fn who_shows_nothing_is_no_agent() {
    let one = Instance::new("one");
    let none = client(&one.roots(), &one.id, None, clock()).expect("is good");
    refused(none, one.server_config(clock()), "server: peer sent no certificates");
}

#[test]
fn members_of_another_instance_are_nobody_here() {
    let (one, other) = (Instance::new("one"), Instance::new("other"));
    nobody(&one, &other.agent(), BAD);
    nobody(&one, &other.server(), BAD);
    refused(
        one.client_config(clock()),
        other.server_config(clock()),
        "client: invalid peer certificate: UnknownIssuer",
    );
    let agent = client_showing(&one, showing(&other.agent()));
    refused(agent, one.server_config(clock()), "server: invalid peer certificate: UnknownIssuer");
    // Another one of the same name.
    let same = Instance::new("one");
    nobody(&one, &same.agent(), BAD);
    nobody(&one, &same.server(), BAD);
}

#[test]
fn an_authority_speaks_for_its_own_instance() {
    let one = Instance::new("one");
    let signer = by(&one.intermediate);
    let server = forged(signer, "spiffe://other/server", SERVER, IsCa::NoCa);
    refused(one.client_config(clock()), anybody(showing(&server)), "OtherInstance");
    let agent = forged(signer, "spiffe://other/agent/node-7", CLIENT, IsCa::NoCa);
    refused(client_showing(&one, showing(&agent)), one.server_config(clock()), "OtherInstance");
    // The forger works: with the right names these are good.
    let server = forged(signer, "spiffe://one/server", SERVER, IsCa::NoCa);
    connected(one.client_config(clock()), anybody(showing(&server)));
    let agent = forged(signer, "spiffe://one/agent/node-7", CLIENT, IsCa::NoCa);
    connected(client_showing(&one, showing(&agent)), one.server_config(clock()));
}

#[test]
fn an_agent_is_no_server_and_a_server_no_agent() {
    let one = Instance::new("one");
    refused(one.client_config(clock()), anybody(showing(&one.agent())), "client: invalid peer certificate");
    let pinned = client_pinned(&[one.root.certificate().pin()], clock()).expect("is good");
    refused(pinned, anybody(showing(&one.agent())), "client: invalid peer certificate");
    let server = client_showing(&one, showing(&one.server()));
    refused(server, one.server_config(clock()), "server: invalid peer certificate");
    // Even if the usage of its key were not told.
    let signer = by(&one.intermediate);
    let agent = forged(signer, "spiffe://one/agent/node-7", SERVER, IsCa::NoCa);
    refused(one.client_config(clock()), anybody(showing(&agent)), "OtherSubject");
    let pinned = client_pinned(&[one.root.certificate().pin()], clock()).expect("is good");
    refused(pinned, anybody(showing(&agent)), "OtherSubject");
    let server = forged(signer, "spiffe://one/server", CLIENT, IsCa::NoCa);
    refused(client_showing(&one, showing(&server)), one.server_config(clock()), "OtherSubject");
}

#[test]
fn agents_and_servers_vouch_for_nobody() {
    let one = Instance::new("one");
    for member in [one.agent(), one.server()] {
        for ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
            let server = forged(with(&member), "spiffe://one/server", SERVER, ca);
            nobody(&one, &server, BAD);
            let pinned = client_pinned(&[member.certificate().pin()], clock()).expect("is good");
            refused(pinned, anybody(showing(&server)), "NoPin");
            nobody(&one, &forged(with(&member), "spiffe://one/agent/node-8", CLIENT, ca), BAD);
        }
    }
}

#[test]
fn an_intermediate_makes_no_authorities() {
    let one = Instance::new("one");
    let ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let below = forged(by(&one.intermediate), "spiffe://one", ExtendedKeyUsagePurpose::Any, ca);
    nobody(&one, &below, BAD);
    nobody(&one, &forged(with(&below), "spiffe://one/server", SERVER, IsCa::NoCa), BAD);
    nobody(&one, &forged(with(&below), "spiffe://one/agent/node-8", CLIENT, IsCa::NoCa), BAD);
}

#[test]
fn authorities_are_no_servers() {
    let one = Instance::new("one");
    for authority in [&one.root, &one.intermediate] {
        let key = PrivateKey::from_pkcs8(authority.key().pkcs8()).expect("is one");
        nobody(&one, &Identity::new(authority.chain().to_vec(), key).expect("fits"), BAD);
    }
}

#[test]
fn a_certificate_without_its_key_is_worth_nothing() {
    let one = Instance::new("one");
    let attacker = one.agent();
    let server = anybody(stolen(&one.server(), &attacker));
    refused(one.client_config(clock()), server, "client: invalid peer certificate: BadSignature");
    let pinned = client_pinned(&[one.root.certificate().pin()], clock()).expect("is good");
    let server = anybody(stolen(&one.server(), &attacker));
    refused(pinned, server, "client: invalid peer certificate: BadSignature");
    let agent = client_showing(&one, stolen(&one.agent(), &attacker));
    refused(agent, one.server_config(clock()), "server: invalid peer certificate: BadSignature");
}

#[test]
fn a_pinned_root_that_is_merely_shown_vouches_for_nobody() {
    let (one, attacker) = (Instance::new("one"), Instance::new("one"));
    let pinned = || client_pinned(&[one.root.certificate().pin()], clock()).expect("is good");
    let root = one.root.certificate().clone();
    let show = |chain: Vec<Certificate>, key: &PrivateKey| {
        let key = PrivateKey::from_pkcs8(key.pkcs8()).expect("is one");
        anybody(showing(&Identity::new(chain, key).expect("fits")))
    };
    // The whole chain of an attacker, with the pinned root behind it or in its middle.
    let own = attacker.server();
    let behind = [own.chain(), std::slice::from_ref(&root)].concat();
    refused(pinned(), show(behind, own.key()), "client: invalid peer certificate: UnknownIssuer");
    let middle = vec![own.chain()[0].clone(), root.clone(), own.chain()[1].clone(), own.chain()[2].clone()];
    refused(pinned(), show(middle, own.key()), "client: invalid peer certificate: UnknownIssuer");
    // Signed by the attacker in the name of the root.
    let by_name =
        forged((std::slice::from_ref(&root), attacker.root.key()), "spiffe://one/server", SERVER, IsCa::NoCa);
    refused(pinned(), anybody(showing(&by_name)), "client: invalid peer certificate: BadSignature");
    // A certificate by the attacker for the public key of the root, with a name that he vouches for.
    let params = {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI("spiffe://one".try_into().expect("is ASCII"))];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let issuer = Issuer::from_params(&params, attacker.root.key());
    let twin = params.signed_by(one.root.key(), &issuer).expect("is signed");
    let twin = Certificate::read(twin.der()).expect("can be read");
    assert_eq!(twin.pin(), root.pin());
    let below =
        forged((std::slice::from_ref(&twin), attacker.root.key()), "spiffe://one/server", SERVER, IsCa::NoCa);
    refused(pinned(), anybody(showing(&below)), "client: invalid peer certificate: BadSignature");
}

#[test]
fn a_pin_needs_the_root_to_be_sent() {
    let one = Instance::new("one");
    let own = one.server();
    let key = PrivateKey::from_pkcs8(own.key().pkcs8()).expect("is one");
    let without = Identity::new(own.chain()[..2].to_vec(), key).expect("fits");
    let pinned = client_pinned(&[one.root.certificate().pin()], clock()).expect("is good");
    refused(pinned, anybody(showing(&without)), "NoPin");
    connected(one.client_config(clock()), anybody(showing(&without)));
}

#[test]
fn a_client_of_one_instance_wants_no_other() {
    let one = Instance::new("one");
    let other = InstanceId::new("other").expect("is legal");
    let client = client(&one.roots(), &other, None, clock()).expect("is good");
    let server = server(&one.server(), clock()).expect("is good");
    refused(client, server, "OtherInstance");
}

#[test]
fn older_protocols_are_not_spoken() {
    let one = Instance::new("one");
    let verifier = || {
        let trust = Trust::Roots { roots: store(&one.roots()).expect("is good"), instance: one.id.clone() };
        Arc::new(ServerVerifier::new(trust, provider().signature_verification_algorithms))
    };
    let old = ClientConfig::builder_with_details(provider(), time(clock()))
        .with_protocol_versions(&[&TLS12])
        .expect("is known")
        .dangerous()
        .with_custom_certificate_verifier(verifier())
        .with_client_cert_resolver(showing(&one.agent()));
    refused(old, one.server_config(clock()), "server: peer is incompatible: Tls12NotOffered");
    let mut http_1 = one.client_config(clock());
    http_1.alpn_protocols = vec![b"http/1.1".to_vec()];
    refused(http_1, one.server_config(clock()), "peer doesn't support any known protocol");
}
