use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::DnsName;
use time::OffsetDateTime;

use super::certificate::{Certificate, CertificateError, parse};
use super::identity::Identity;
use super::key::{PrivateKey, UnusableKey};
use super::request::CheckedRequest;
use crate::identity::{AgentIdentity, AgentName, InstanceId, Subject};
use crate::{random, text};

/// Who vouches for others: a root or an intermediate authority of an instance, with its key.
#[derive(Debug)]
pub struct Authority {
    /// Its own first, its root last.
    chain: Vec<Certificate>,
    key: PrivateKey,
    instance: InstanceId,
}

/// Certificates and a key that are no authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    #[error("there is no certificate")]
    Empty,
    #[error("could not read a certificate of the authority")]
    Certificate(#[from] CertificateError),
    #[error("could not read the key of the authority")]
    Key(#[from] UnusableKey),
    #[error("the certificate of the authority is for another key")]
    OtherKey,
    #[error("a certificate of the authority must not vouch for others")]
    NoAuthority,
    #[error("a certificate of the authority is not vouched for by the next one")]
    Unlinked,
}

/// No certificate was issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    #[error("the certificate of the authority is not valid at this time")]
    OutOfTime,
    #[error("`{0}` is neither a DNS name nor an IP address")]
    Name(String),
    #[error("only a root vouches for other authorities")]
    NoRoot,
    #[error("could not sign the certificate")]
    Sign(#[from] rcgen::Error),
    #[error("could not read the certificate again")]
    Unreadable(#[from] CertificateError),
}

/// How far back a certificate is valid, for those whose clocks are behind.
pub const BACK: Duration = Duration::from_mins(5);

/// The last second that a certificate can name: the end of the year 9999.
const LAST: u64 = 253_402_300_799;

/// How far down an authority may vouch for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Root,
    Intermediate,
}

impl Authority {
    /// A new root, which vouches for itself.
    pub fn root(instance: &InstanceId, now: SystemTime, life: Duration) -> Result<Self, IssueError> {
        let key = PrivateKey::generate();
        let params = authority(instance, Depth::Root, now, end(now, life));
        let certificate = Certificate::read(params.self_signed(&key)?.der())?;
        Ok(Self { chain: vec![certificate], key, instance: instance.clone() })
    }

    /// A new authority that this one, a root, vouches for, and that vouches for servers and agents only.
    pub fn intermediate(&self, now: SystemTime, life: Duration) -> Result<Self, IssueError> {
        if self.chain.len() > 1 {
            return Err(IssueError::NoRoot);
        }
        let key = PrivateKey::generate();
        let until = self.until(now, life)?;
        let certificate = self.sign(&authority(&self.instance, Depth::Intermediate, now, until), &key)?;
        Ok(Self { chain: self.followed_by(certificate), key, instance: self.instance.clone() })
    }

    /// An authority that was kept: its certificates, its own first, and its key in PKCS#8 form.
    pub fn open(chain: &[Vec<u8>], pkcs8: &[u8]) -> Result<Self, AuthorityError> {
        let key = PrivateKey::from_pkcs8(pkcs8)?;
        let chain = chain.iter().map(|der| Certificate::read(der)).collect::<Result<Vec<_>, _>>()?;
        let first = chain.first().ok_or(AuthorityError::Empty)?;
        if first.pin() != key.pin() {
            return Err(AuthorityError::OtherKey);
        }
        let instance = first.authority()?.clone();
        let issuers = chain.iter().skip(1).chain(chain.last());
        for (certificate, issuer) in chain.iter().zip(issuers) {
            linked(certificate, issuer)?;
        }
        Ok(Self { chain, key, instance })
    }

    #[must_use]
    pub fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// Its own certificate first, its root's last: with what the chains of those that it vouches for go on.
    #[must_use]
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.chain[0]
    }

    /// For whoever keeps it.
    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// A new key and certificate for a server, which ends when this authority's does at the latest. `names` are DNS
    /// names and IP addresses, for clients that look at them.
    pub fn issue_server(
        &self,
        names: &[String],
        now: SystemTime,
        life: Duration,
    ) -> Result<Identity, IssueError> {
        let key = PrivateKey::generate();
        let certificate = self.of_server(&key, names, now, life)?;
        Ok(Identity::new(self.followed_by(certificate), key).expect("it was issued for this key"))
    }

    /// The same for somebody who has a key already, such as a proxy in front of a server. Of what he asked for it has the
    /// public key and nothing else.
    pub fn certify_server(
        &self,
        request: &CheckedRequest,
        names: &[String],
        now: SystemTime,
        life: Duration,
    ) -> Result<Certificate, IssueError> {
        self.of_server(request, names, now, life)
    }

    /// A certificate for an agent, which ends when this authority's does at the latest. Of what the agent asked for it
    /// has the public key and nothing else.
    pub fn issue_agent(
        &self,
        request: &CheckedRequest,
        agent: &AgentName,
        now: SystemTime,
        life: Duration,
    ) -> Result<Certificate, IssueError> {
        let agent = AgentIdentity { instance: self.instance.clone(), agent: agent.clone() };
        let alternatives = vec![uri(&Subject::Agent(agent))];
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        self.sign(&member(alternatives, usage, now, self.until(now, life)?), request)
    }

    fn of_server(
        &self,
        key: &impl PublicKeyData,
        names: &[String],
        now: SystemTime,
        life: Duration,
    ) -> Result<Certificate, IssueError> {
        let mut alternatives = names.iter().map(|name| alternative(name)).collect::<Result<Vec<_>, _>>()?;
        alternatives.push(uri(&Subject::Server(self.instance.clone())));
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        self.sign(&member(alternatives, usage, now, self.until(now, life)?), key)
    }

    fn until(&self, now: SystemTime, life: Duration) -> Result<SystemTime, IssueError> {
        let own = self.certificate();
        if now < own.not_before() || now > own.not_after() {
            return Err(IssueError::OutOfTime);
        }
        Ok(end(now, life).min(own.not_after()))
    }

    fn sign(&self, params: &CertificateParams, key: &impl PublicKeyData) -> Result<Certificate, IssueError> {
        let issuer = Issuer::from_ca_cert_der(&self.certificate().to_rustls(), &self.key)?;
        Ok(Certificate::read(params.signed_by(key, &issuer)?.der())?)
    }

    fn followed_by(&self, certificate: Certificate) -> Vec<Certificate> {
        [certificate].into_iter().chain(self.chain.iter().cloned()).collect()
    }
}

fn end(now: SystemTime, life: Duration) -> SystemTime {
    now.checked_add(life).unwrap_or_else(|| SystemTime::UNIX_EPOCH + Duration::from_secs(LAST))
}

fn authority(instance: &InstanceId, depth: Depth, now: SystemTime, until: SystemTime) -> CertificateParams {
    let serial = serial();
    let (name, constraints) = match depth {
        Depth::Root => ("root", BasicConstraints::Constrained(1)),
        Depth::Intermediate => ("intermediate", BasicConstraints::Constrained(0)),
    };
    let mut params = CertificateParams::default();
    // A name of its own for each, so that those who build chains by names never take one for another.
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, instance.as_str());
    let name = format!("weir {name} {}", text::hex(&serial[..4]));
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = vec![uri(&Subject::Authority(instance.clone()))];
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.use_authority_key_identifier_extension = depth == Depth::Intermediate;
    valid(&mut params, &serial, now, until);
    params
}

fn member(
    alternatives: Vec<SanType>,
    usage: ExtendedKeyUsagePurpose,
    now: SystemTime,
    until: SystemTime,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = alternatives;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    valid(&mut params, &serial(), now, until);
    params
}

fn valid(params: &mut CertificateParams, serial: &[u8], now: SystemTime, until: SystemTime) {
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params.not_before = date(now.checked_sub(BACK).unwrap_or(SystemTime::UNIX_EPOCH));
    params.not_after = date(until);
}

/// 126 random bits behind two that make it a positive number of this length.
fn serial() -> [u8; 16] {
    let mut serial = *random::bytes::<16>();
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

/// To the second, or the next one that a certificate can name.
fn date(time: SystemTime) -> OffsetDateTime {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let date = i64::try_from(seconds.min(LAST)).map(OffsetDateTime::from_unix_timestamp);
    date.ok().and_then(Result::ok).expect("years up to 9999 have a date")
}

fn uri(subject: &Subject) -> SanType {
    SanType::URI(subject.to_string().try_into().expect("names have letters, digits and signs of ASCII"))
}

fn alternative(name: &str) -> Result<SanType, IssueError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let illegal = || IssueError::Name(name.to_owned());
    let host = name.strip_prefix("*.").unwrap_or(name);
    DnsName::try_from(host).map_err(|_invalid| illegal())?;
    Ok(SanType::DnsName(name.try_into().map_err(|_invalid| illegal())?))
}

fn linked(certificate: &Certificate, issuer: &Certificate) -> Result<(), AuthorityError> {
    if certificate.authority()? != issuer.authority()? {
        return Err(AuthorityError::Unlinked);
    }
    let (certificate, issuer) = (parse(certificate.der())?, parse(issuer.der())?);
    if !certificate.is_ca() || !issuer.is_ca() {
        return Err(AuthorityError::NoAuthority);
    }
    let signed = certificate.verify_signature(Some(issuer.public_key())).is_ok();
    if certificate.issuer() != issuer.subject() || !signed {
        return Err(AuthorityError::Unlinked);
    }
    Ok(())
}
