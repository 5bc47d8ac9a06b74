//! The keys of the instance: who issues certificates and tokens, and opens payloads.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use weir_auth::access_key::AccessKey;
use weir_auth::pass::PassKey;
use weir_auth::pki::{
    Authority, AuthorityError, BACK, Certificate, CheckedRequest, Identity, IssueError, Pin,
};
use weir_auth::seal::{Opener, SealKey, SealPublic, ServerRandom, WeakKey};
use weir_auth::token::{SigningKey, Verifier, VerifyingKey};
use weir_auth::{AgentIdentity, AgentName, InstanceId};
use weir_state::{Expect, Write};

use crate::codes;
use crate::documents::{
    self, INSTANCE, Instance, Intermediate, IssuedCertificate, KeyBytes, Root, Versioned,
};
use crate::failure::{Nature, failures};
use crate::fleet::Fleet;
use crate::settings::FleetSettings;

/// Six tenths of a life, then there is time left for several attempts.
pub(crate) fn renewal(made: SystemTime, end: SystemTime) -> SystemTime {
    let life = end.duration_since(made).unwrap_or_default();
    made.checked_add(life.mul_f64(0.6)).unwrap_or(end)
}

/// Whether something was made at a time that is still to come: a clock was ahead, and nobody accepts it now. Clocks of
/// processes may be a little apart.
pub(crate) fn is_ahead(made: SystemTime, now: SystemTime) -> bool {
    made.duration_since(now).is_ok_and(|ahead| ahead > BACK)
}

/// The keys of the instance in use.
pub(crate) struct Keys {
    pub(crate) version: u64,
    pub(crate) document: Instance,
    /// As in the document: the root, and the authority below it.
    authorities: Vec<(Certificate, Authority)>,
    /// Certificates of all authorities below the roots that may have issued one that is good, the former ones too.
    between: Vec<Certificate>,
    signing: Vec<SigningKey>,
    pub(crate) verifier: Verifier,
    pub(crate) seal: Arc<SealKey>,
    pub(crate) passes: PassKey,
}

/// The keys that were read are none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokenKeys {
    #[error("an authority of the instance can not be used")]
    Authority(#[from] AuthorityError),
    #[error("a key of the instance that signs tokens can not be used")]
    Signing(#[from] weir_auth::token::UnusableKey),
    #[error("the instance has no {0}")]
    Missing(&'static str),
}

/// A certificate for an agent with what is noted of it.
pub(crate) struct Issued {
    /// The agent's first, without the root.
    pub(crate) chain: Vec<Certificate>,
    pub(crate) note: IssuedCertificate,
}

/// What everybody may know of the instance.
#[derive(Debug, Clone)]
pub struct InstanceView {
    pub id: InstanceId,
    pub made: SystemTime,
    /// Grows with every change of the roots.
    pub bundle: u64,
    /// Those to trust.
    pub roots: Vec<Certificate>,
    /// Of the roots, in the same order.
    pub pins: Vec<Pin>,
    /// Authorities below the roots, one of which vouches for each agent whose certificate is good.
    pub between: Vec<Certificate>,
    /// When the authority ends that issues certificates of agents; it is renewed long before.
    pub issuing_until: SystemTime,
    pub signing_keys: Vec<SigningKeyView>,
    pub seal: SealPublic,
}

/// A key that signs tokens, or did, or will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKeyView {
    pub id: String,
    pub made: SystemTime,
    pub used_from: SystemTime,
}

/// What a server shows to agents.
#[derive(Debug)]
pub struct ServerIdentity {
    /// With the root at the end of its chain, for those who know nothing but its pin.
    pub identity: Identity,
    /// When another one should be issued. See also [`Fleet::is_current`].
    pub renew_at: SystemTime,
    root: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("could not issue a certificate for a server")]
pub struct ServerIdentityError(#[from] IssueError);

impl ServerIdentityError {
    fn nature(&self) -> Nature<'_> {
        match self.0 {
            IssueError::Name(_) => Nature::Refused(codes::BAD_CSR),
            IssueError::OutOfTime | IssueError::NoRoot | IssueError::Unreadable(_) | IssueError::Sign(_) => {
                Nature::Broken
            }
        }
    }
}
failures!(ServerIdentityError);

impl Keys {
    pub(crate) fn open(read: Versioned<Instance>) -> Result<Self, BrokenKeys> {
        let Versioned { version, document } = read;
        let authorities = document.roots.iter().map(open_root).collect::<Result<Vec<_>, _>>()?;
        let between = document.roots.iter().map(between).collect::<Result<Vec<_>, _>>()?.concat();
        let signing = document
            .signing
            .iter()
            .map(|signing| SigningKey::from_pkcs8(&signing.key.0))
            .collect::<Result<Vec<_>, _>>()?;
        let public: Vec<VerifyingKey> = signing.iter().map(|key| key.public().clone()).collect();
        let seal =
            document.seal.0.as_slice().try_into().map_err(|_other_length| BrokenKeys::Missing("seal key"))?;
        if authorities.len() <= document.issuing() {
            return Err(BrokenKeys::Missing("root"));
        }
        if signing.is_empty() {
            return Err(BrokenKeys::Missing("key that signs tokens"));
        }
        Ok(Self {
            version,
            authorities,
            between,
            signing,
            verifier: Verifier::new(&public),
            seal: Arc::new(SealKey::from_bytes(seal)),
            passes: PassKey::of(&document.seal.0),
            document,
        })
    }

    pub(crate) fn instance(&self) -> &InstanceId {
        &self.document.id
    }

    /// Keeps a change from happening if the keys are others by now.
    pub(crate) fn unchanged(&self) -> Write {
        documents::key::<Instance>(INSTANCE.as_str()).keep(Expect::Version(self.version))
    }

    /// Below the root that everybody knows.
    pub(crate) fn oldest(&self) -> &Authority {
        &self.authorities[0].1
    }

    /// Below the root that follows it; the same if none does.
    pub(crate) fn newest(&self) -> &Authority {
        &self.authorities[self.authorities.len() - 1].1
    }

    pub(crate) fn roots(&self) -> Vec<Certificate> {
        self.authorities.iter().map(|(root, _)| root.clone()).collect()
    }

    pub(crate) fn pins(&self) -> Vec<Pin> {
        self.authorities.iter().map(|(root, _)| root.pin()).collect()
    }

    /// The newest key whose time to sign has come.
    pub(crate) fn signing(&self, now: SystemTime) -> &SigningKey {
        let in_use = self.document.signing.iter().rposition(|key| key.used_from <= now);
        &self.signing[in_use.unwrap_or(0)]
    }

    pub(crate) fn issue(
        &self,
        agent: &AgentName,
        generation: u64,
        request: &CheckedRequest,
        now: SystemTime,
        life: Duration,
    ) -> Result<Issued, IssueError> {
        let issuing = self.document.issuing();
        let (_, authority) = &self.authorities[issuing];
        let certificate = authority.issue_agent(request, agent, now, life)?;
        let note = IssuedCertificate {
            generation,
            pin: certificate.pin(),
            thumbprint: certificate.thumbprint(),
            serial: certificate.serial().to_string(),
            issued: now,
            not_after: certificate.not_after(),
            root: self.document.roots[issuing].number,
        };
        let below_root = authority.chain().split_last().map_or(&[][..], |(_, below)| below);
        let chain = [certificate].into_iter().chain(below_root.iter().cloned()).collect();
        Ok(Issued { chain, note })
    }
}

fn open_root(root: &Root) -> Result<(Certificate, Authority), BrokenKeys> {
    // It is not needed for a long time: then it is too late to find out that it can not be used.
    Authority::open(std::slice::from_ref(&root.certificate.0), &root.key.0)?;
    let chain = [root.intermediate.certificate.0.clone(), root.certificate.0.clone()];
    let authority = Authority::open(&chain, &root.intermediate.key.0)?;
    let certificate = authority.chain().last().ok_or(BrokenKeys::Missing("root"))?.clone();
    Ok((certificate, authority))
}

fn between(root: &Root) -> Result<Vec<Certificate>, BrokenKeys> {
    let ders = [&root.intermediate.certificate].into_iter().chain(&root.former);
    let read = |der: &documents::Der| Certificate::read(&der.0).map_err(AuthorityError::from);
    Ok(ders.map(read).collect::<Result<_, _>>()?)
}

/// A new instance.
pub(crate) fn make(now: SystemTime, settings: &FleetSettings) -> Result<Instance, IssueError> {
    let id = InstanceId::random();
    Ok(Instance {
        roots: vec![make_root(&id, 1, now, settings)?],
        id,
        made: now,
        bundle: 1,
        rotation: None,
        signing: vec![make_signing(now, now)],
        seal: KeyBytes::new(&*SealKey::generate().to_bytes()),
    })
}

pub(crate) fn make_root(
    instance: &InstanceId,
    number: u64,
    now: SystemTime,
    settings: &FleetSettings,
) -> Result<Root, IssueError> {
    let root = Authority::root(instance, now, settings.root_life)?;
    Ok(Root {
        number,
        certificate: documents::Der(root.certificate().der().to_vec()),
        key: KeyBytes::new(root.key().pkcs8()),
        intermediate: make_intermediate(&root, now, settings)?,
        former: Vec::new(),
    })
}

pub(crate) fn make_intermediate(
    root: &Authority,
    now: SystemTime,
    settings: &FleetSettings,
) -> Result<Intermediate, IssueError> {
    let authority = root.intermediate(now, settings.intermediate_life)?;
    Ok(Intermediate {
        certificate: documents::Der(authority.certificate().der().to_vec()),
        key: KeyBytes::new(authority.key().pkcs8()),
        made: now,
        not_after: authority.certificate().not_after(),
    })
}

pub(crate) fn make_signing(now: SystemTime, used_from: SystemTime) -> documents::SigningKey {
    documents::SigningKey { key: KeyBytes::new(SigningKey::generate().pkcs8()), made: now, used_from }
}

impl Fleet {
    #[must_use]
    pub fn instance(&self) -> InstanceView {
        let keys = self.snapshot().keys.clone();
        let document = &keys.document;
        let signing = document.signing.iter().zip(&keys.signing);
        InstanceView {
            id: document.id.clone(),
            made: document.made,
            bundle: document.bundle,
            roots: keys.roots(),
            pins: keys.pins(),
            between: keys.between.clone(),
            issuing_until: document.roots[document.issuing()].intermediate.not_after,
            signing_keys: signing
                .map(|(kept, key)| SigningKeyView {
                    id: key.public().id().to_owned(),
                    made: kept.made,
                    used_from: kept.used_from,
                })
                .collect(),
            seal: keys.seal.public(),
        }
    }

    /// A new certificate and key for a server of the instance, below the root that every agent knows. `names` are DNS
    /// names and addresses, for clients that look at them.
    pub fn server_identity(&self, names: &[String]) -> Result<ServerIdentity, ServerIdentityError> {
        let keys = self.snapshot().keys.clone();
        let now = self.now();
        let identity = keys.oldest().issue_server(names, now, self.settings().server_life)?;
        let renew_at = renewal(now, identity.not_after());
        Ok(ServerIdentity { identity, renew_at, root: keys.document.roots[0].number })
    }

    /// Whether a server may go on with what it shows: not when it ends soon or has not begun, nor when its root is to be given
    /// up.
    #[must_use]
    pub fn is_current(&self, server: &ServerIdentity) -> bool {
        let (now, shown) = (self.now(), server.identity.certificate());
        (shown.not_before()..server.renew_at).contains(&now)
            && self.snapshot().keys.document.roots[0].number == server.root
    }

    /// What opens the payloads of one stream of an agent, which sent `offer` and is answered `random`.
    pub fn opener(
        &self,
        offer: &SealPublic,
        random: &ServerRandom,
        agent: &AgentName,
    ) -> Result<Opener, WeakKey> {
        let keys = self.snapshot().keys.clone();
        let identity = AgentIdentity { instance: keys.instance().clone(), agent: agent.clone() };
        Opener::new(&keys.seal, offer, random, &identity)
    }
}

/// What every access key says beside its secret.
impl Keys {
    pub(crate) fn access_key(
        &self,
        settings: &FleetSettings,
        id: weir_auth::access_key::KeyId,
        secret: weir_foundation::settings::Secret,
        seal: bool,
    ) -> AccessKey {
        let seal = seal.then(|| self.seal.public());
        AccessKey { enrol: settings.enrol.clone(), id, secret, pins: self.pins(), seal }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("version", &self.version)
            .field("document", &self.document)
            .finish_non_exhaustive()
    }
}
