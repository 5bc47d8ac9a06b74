//! Agents whose TLS ended somewhere else, which says which certificate they showed.

use rustls::pki_types::CertificateDer;

use super::*;

fn ders(certificates: &[Certificate]) -> Vec<CertificateDer<'static>> {
    certificates.iter().map(Certificate::to_rustls).collect()
}

/// Whether `one` takes an agent with this certificate, sent with `sent`, where it knows of `between`.
fn takes(
    one: &Instance,
    shown: &Certificate,
    sent: &[Certificate],
    between: &[Certificate],
    now: SystemTime,
) -> Result<(), String> {
    let verifier = agents(&one.id, &one.roots(), between).expect("is good");
    let now = now.duration_since(SystemTime::UNIX_EPOCH).map(UnixTime::since_unix_epoch);
    let verified = verifier.verify_client_cert(&shown.to_rustls(), &ders(sent), now.expect("is later"));
    verified.map(drop).map_err(|error| error.to_string())
}

#[test]
fn an_agent_is_known_by_what_it_sends_or_by_what_the_instance_knows() {
    let one = Instance::new("one");
    let agent = one.agent();
    let (own, between) = (agent.certificate(), &[one.intermediate.certificate().clone()]);
    let unknown = Err("invalid peer certificate: UnknownIssuer".to_owned());
    assert_eq!(takes(&one, own, &[], &[], start()), unknown);
    assert_eq!(takes(&one, own, between, &[], start()), Ok(()));
    assert_eq!(takes(&one, own, &[], between, start()), Ok(()));
    // The root itself, or whatever else is sent beside it, changes nothing.
    assert_eq!(takes(&one, own, &one.roots(), between, start()), Ok(()));
    let other = Instance::new("other");
    let others = &[other.intermediate.certificate().clone()];
    assert_eq!(takes(&one, own, others, between, start()), Ok(()));
    assert_eq!(takes(&one, own, others, others, start()), unknown);
}

#[test]
fn nobody_is_taken_whom_tls_would_not_take() {
    let one = Instance::new("one");
    let check = |shown: &Certificate, sent: &[Certificate], now, expected: &str| {
        let refused = takes(&one, shown, sent, &[one.intermediate.certificate().clone()], now);
        let told = refused.expect_err("it is nobody");
        assert!(told.contains(expected), "{told}, instead of {expected}");
    };
    // Of a foreign instance, of one of the same name, and with its authorities beside it.
    for name in ["other", "one"] {
        let other = Instance::new(name);
        let agent = other.agent();
        check(agent.certificate(), &[], start(), "UnknownIssuer");
        check(agent.certificate(), &agent.chain()[1..], start(), "UnknownIssuer");
    }
    check(one.server().certificate(), &[], start(), "certificate does not allow extended key usage");
    check(one.intermediate.certificate(), &[], start(), "invalid peer certificate");
    check(one.root.certificate(), &[], start(), "invalid peer certificate");
    let agent = one.agent();
    check(agent.certificate(), &[], start() + 2 * DAY, "certificate expired");
    check(agent.certificate(), &[], start() - DAY, "certificate not valid yet");
    // An authority between that is none of the roots' vouches for nobody, whoever says that it is there.
    let stranger = Instance::new("one");
    let known = [stranger.intermediate.certificate().clone(), stranger.root.certificate().clone()];
    let agent = stranger.agent();
    let refused = takes(&one, agent.certificate(), &[], &known, start());
    assert_eq!(refused, Err("invalid peer certificate: UnknownIssuer".to_owned()));
}

#[test]
fn an_instance_without_roots_knows_nobody() {
    let one = Instance::new("one");
    let none = agents(&one.id, &[], &[one.intermediate.certificate().clone()]).map(drop);
    assert!(matches!(none, Err(TlsError::Roots(_))), "{none:?}");
}
