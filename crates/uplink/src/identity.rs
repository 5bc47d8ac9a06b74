//! Who an agent is, on disk: `identity.json` in its folder, which nobody else may read; and `joining.json`, as long as it
//! is not known.
//!
//! ```json
//! {"format": 1, "joined_with": "20d495aaff56e2fa", "enrolment": ["weir.example:8084"], "key": "…", "identity": {"instance": "…", "agent": "web-3",
//!   "servers": ["weir.example:8083"], "former": ["old.example:8083"], "apps": ["shop"], "seal": "…", "chain": ["…"], "roots": ["…"], "generation": 2,
//!   "since": 1795910400}, "next": "…"}
//! ```
//!
//! Keys are PKCS#8, certificates DER, both in base64. A key is written down before anything is asked for it: where the answer
//! gets lost the same is asked again, and the server sees that it is the same agent.

mod servers;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rand::RngExt as _;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use weir_auth::AgentIdentity;
use weir_auth::access_key::AccessKey;
use weir_auth::pki::{Certificate, CertificateError, Identity, PrivateKey, UnusableKey};
use weir_auth::seal::SealPublic;
use weir_auth::tls::{self, TlsError};
use weir_foundation::clock::Clock;
use weir_foundation::failure;
use weir_foundation::file;
use weir_wire::proto::control::{Credentials, EnrolResponse, RenewResponse};

use self::servers::Servers;
pub(crate) use self::servers::Turn;
use crate::enrol::{EnrolError, Lost};
use crate::patience::Patience;

const FORMAT: u32 = 1;
const NAME: &str = "identity.json";
/// The same, of a node that has asked and has no answer.
const JOINING: &str = "joining.json";

/// A certificate is renewed when this part of its life is over.
const CERTIFICATE_PART: f64 = 0.6;

/// Who the agent is could not be read, kept or used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("could not read `{path}`")]
    Read { path: PathBuf, source: io::Error },
    #[error("could not write `{path}`")]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "`{path}` is not what an agent writes; without it an access key lets this node join anew, and files are read on"
    )]
    Malformed { path: PathBuf, source: serde_json::Error },
    #[error("`{path}` has format {found}, this weir knows {FORMAT}: use a newer weir")]
    Newer { path: PathBuf, found: u32 },
    #[error("the server gave a certificate that can not be read")]
    Certificate(#[from] CertificateError),
    #[error("the server gave certificates that are not for this agent")]
    Foreign,
    #[error(
        "the server gave another key to seal payloads with than the access key: something is between it and this agent"
    )]
    OtherSeal,
    #[error("the key of this agent can not be used")]
    Key(#[from] UnusableKey),
    #[error("could not prepare a connection")]
    Tls(#[from] TlsError),
    #[error("the certificate of this agent has ended, and could not be made good")]
    Recover(#[source] Box<EnrolError>),
}

impl IdentityError {
    /// Whether the server knows the agent and does not want it.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Recover(error) if error.is_refusal())
    }
}

/// Bytes that are text in a file.
#[derive(Clone, PartialEq, Eq)]
struct Base64(Vec<u8>);

#[derive(Clone, Serialize, Deserialize)]
struct Document {
    format: u32,
    /// Id of the access key.
    joined_with: String,
    /// Where keys are taken, and where an ended certificate is made good.
    enrolment: Vec<String>,
    /// Of the certificate, or of the one that was asked for when there is none yet.
    key: Base64,
    #[serde(default)]
    identity: Option<Enrolled>,
    /// The key that the next certificate was asked for with.
    #[serde(default)]
    next: Option<Base64>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Enrolled {
    instance: String,
    agent: String,
    #[serde(flatten)]
    servers: Servers,
    apps: Vec<String>,
    #[serde(default)]
    seal: Option<Base64>,
    chain: Vec<Base64>,
    roots: Vec<Base64>,
    generation: u64,
    /// When the certificate was given, in seconds since 1970, by the clock of this machine.
    since: u64,
}

/// The file, held by one process. Clones are the same.
#[derive(Clone)]
pub struct IdentityFile(Arc<Shared>);

struct Shared {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    /// How soon an answer of the server has to come.
    patience: Duration,
    kept: Mutex<Kept>,
}

/// What the file says, read.
struct Kept {
    document: Document,
    who: Who,
}

/// An agent that is enrolled.
#[derive(Clone)]
struct Who {
    agent: AgentIdentity,
    shown: Arc<Identity>,
    roots: Arc<[Certificate]>,
    seal: Option<SealPublic>,
}

/// A node that may not be an agent yet.
pub(crate) struct Candidate {
    path: PathBuf,
    document: Document,
}

impl Candidate {
    /// Who the folder belongs to, if that is known and joined with this access key; or who is about to join with it, whose
    /// own key is kept from then on.
    pub(crate) fn open(folder: &Path, access: Option<&AccessKey>) -> Result<Option<Self>, IdentityError> {
        let path = folder.join(NAME);
        let known = read(&path)?;
        let Some(access) = access else { return Ok(known.map(|document| Self { path, document })) };
        // Who comes with another key than before joins anew: the former agent may be none any more.
        if let Some(document) = known.filter(|known| known.is_of(access)) {
            return Ok(Some(Self { path, document }));
        }
        let joining = folder.join(JOINING);
        let begun = read(&joining)?.filter(|begun| begun.is_of(access)).map(|begun| begun.key);
        let document = Document {
            format: FORMAT,
            joined_with: access.id.to_string(),
            enrolment: access.enrol.clone(),
            key: begun.unwrap_or_else(|| Base64(PrivateKey::generate().pkcs8().to_vec())),
            identity: None,
            next: None,
        };
        write(&joining, &document)?;
        Ok(Some(Self { path, document }))
    }

    pub(crate) fn is_enrolled(&self) -> bool {
        self.document.identity.is_some()
    }

    /// What a certificate is asked for with.
    pub(crate) fn request(&self) -> Result<Vec<u8>, IdentityError> {
        Ok(PrivateKey::from_pkcs8(&self.document.key.0)?.request())
    }

    /// Keeps who the server says that this is. With whom to seal is not for it to say: who answers may be a proxy.
    pub(crate) fn enrolled(
        &mut self,
        answer: EnrolResponse,
        access: &AccessKey,
        now: SystemTime,
    ) -> Result<(), IdentityError> {
        let EnrolResponse { instance, agent, credentials, servers, apps, seal } = answer;
        if seal != access.seal.as_ref().map_or(&[][..], |key| key.as_bytes()) {
            return Err(IdentityError::OtherSeal);
        }
        let Credentials { chain, roots, generation, .. } = credentials.unwrap_or_default();
        self.document.identity = Some(Enrolled {
            instance,
            agent,
            servers: Servers::new(servers),
            apps,
            seal: (!seal.is_empty()).then_some(Base64(seal)),
            chain: chain.into_iter().map(Base64).collect(),
            roots: roots.into_iter().map(Base64).collect(),
            generation,
            since: seconds(now),
        });
        self.document.who()?;
        write(&self.path, &self.document)?;
        // What is left there does no harm.
        fs::remove_file(self.path.with_file_name(JOINING)).ok();
        Ok(())
    }

    /// Fails if it is not enrolled.
    pub(crate) fn file(
        self,
        clock: Arc<dyn Clock>,
        patience: Duration,
    ) -> Result<IdentityFile, IdentityError> {
        let Self { path, document } = self;
        let who = document.who()?;
        let kept = Mutex::new(Kept { document, who });
        Ok(IdentityFile(Arc::new(Shared { path, clock, patience, kept })))
    }
}

/// Whether the folder is that of an agent.
#[must_use]
pub fn is_enrolled(folder: &Path) -> bool {
    // What can not be looked at is there: reading it says what is wrong with it.
    !matches!(folder.join(NAME).symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

impl Document {
    /// Whether it was written for this access key.
    fn is_of(&self, access: &AccessKey) -> bool {
        self.joined_with == access.id.as_str()
    }

    /// Fails for what is nobody's.
    fn who(&self) -> Result<Who, IdentityError> {
        let enrolled = self.identity.as_ref().ok_or(IdentityError::Foreign)?;
        let read =
            |ders: &[Base64]| ders.iter().map(|der| Certificate::read(&der.0)).collect::<Result<Vec<_>, _>>();
        let key = PrivateKey::from_pkcs8(&self.key.0)?;
        let shown = Identity::new(read(&enrolled.chain)?, key).map_err(|_not_ours| IdentityError::Foreign)?;
        let roots = read(&enrolled.roots)?;
        let agent = shown.certificate().agent()?.clone();
        let is_ours = agent.agent.as_str() == enrolled.agent && agent.instance.as_str() == enrolled.instance;
        if !is_ours || roots.is_empty() {
            return Err(IdentityError::Foreign);
        }
        let seal = match &enrolled.seal {
            Some(Base64(bytes)) => {
                Some(bytes.as_slice().try_into().map_err(|_illegal| IdentityError::Foreign)?)
            }
            None => None,
        };
        Ok(Who { agent, shown: Arc::new(shown), roots: roots.into(), seal })
    }
}

impl IdentityFile {
    /// What the agent is called.
    #[must_use]
    pub fn agent(&self) -> String {
        self.kept().who.agent.agent.as_str().to_owned()
    }

    /// The apps that it sends events of.
    #[must_use]
    pub fn apps(&self) -> Vec<String> {
        self.kept().document.identity.as_ref().map_or_else(Vec::new, |enrolled| enrolled.apps.clone())
    }

    /// Where agents are taken.
    #[must_use]
    pub fn servers(&self) -> Vec<String> {
        let kept = self.kept();
        kept.document.identity.as_ref().map_or_else(Vec::new, |enrolled| enrolled.servers.present().to_vec())
    }

    /// When its certificate ends.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.kept().who.shown.not_after()
    }

    /// With whom payloads are sealed, if they are.
    pub(crate) fn seal(&self) -> Option<(SealPublic, AgentIdentity)> {
        let who = self.kept().who.clone();
        Some((who.seal?, who.agent))
    }

    /// The address of a server, and how to connect to it.
    pub(crate) fn way(&self, turn: Turn) -> Result<(String, ClientConfig), IdentityError> {
        let (address, who) = {
            let kept = self.kept();
            let enrolled = kept.document.identity.as_ref().ok_or(IdentityError::Foreign)?;
            (enrolled.servers.at(turn).ok_or(IdentityError::Foreign)?.to_owned(), kept.who.clone())
        };
        Ok((
            address,
            tls::client(&who.roots, &who.agent.instance, Some(&who.shown), Arc::clone(&self.0.clock))?,
        ))
    }

    /// Notes that the server at this address has taken the agent.
    pub(crate) fn reached(&self, address: &str) {
        let mut kept = self.kept();
        if kept.document.identity.as_mut().is_some_and(|enrolled| enrolled.servers.reached(address))
            && let Err(error) = write(&self.0.path, &kept.document)
        {
            tracing::warn!(error = %failure::chain(&error), "it can not be written down which server was reached");
        }
    }

    /// When the certificate is to be renewed: a part of a fleet at a time.
    pub(crate) fn renew_at(&self, now: Instant, today: SystemTime) -> Instant {
        let kept = self.kept();
        let since = kept.document.identity.as_ref().map_or(0, |enrolled| enrolled.since);
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(since);
        let life = kept.who.shown.not_after().duration_since(since).unwrap_or_default();
        let part = CERTIFICATE_PART * rand::rng().random_range(0.9..1.1);
        let left = (since + life.mul_f64(part)).duration_since(today).unwrap_or_default();
        now + left
    }

    /// A request for the next certificate, and the generation of the present one.
    pub(crate) fn request(&self) -> Result<(u64, Vec<u8>), IdentityError> {
        let mut kept = self.kept();
        let next = match &kept.document.next {
            Some(next) => PrivateKey::from_pkcs8(&next.0)?,
            None => {
                let next = PrivateKey::generate();
                let noted = Some(Base64(next.pkcs8().to_vec()));
                let document = Document { next: noted, ..kept.document.clone() };
                // Who asks with a key that a restart forgets is taken for a copy.
                write(&self.0.path, &document)?;
                kept.document = document;
                next
            }
        };
        let generation = kept.document.identity.as_ref().map_or(0, |enrolled| enrolled.generation);
        Ok((generation, next.request()))
    }

    /// Keeps the certificate that was asked for. Where it can not be written down, the next process asks for it again, with
    /// the key that is.
    pub(crate) fn renewed(&self, answer: RenewResponse, now: SystemTime) -> Result<(), IdentityError> {
        let RenewResponse { credentials, servers } = answer;
        let Credentials { chain, roots, generation, .. } = credentials.ok_or(IdentityError::Foreign)?;
        let mut kept = self.kept();
        let former = kept.document.identity.clone().ok_or(IdentityError::Foreign)?;
        let key = kept.document.next.clone().ok_or(IdentityError::Foreign)?;
        let enrolled = Enrolled {
            servers: former.servers.clone().told(servers),
            chain: chain.into_iter().map(Base64).collect(),
            roots: roots.into_iter().map(Base64).collect(),
            generation,
            since: seconds(now),
            ..former
        };
        let document = Document {
            format: FORMAT,
            joined_with: kept.document.joined_with.clone(),
            enrolment: kept.document.enrolment.clone(),
            key,
            identity: Some(enrolled),
            next: None,
        };
        let who = document.who()?;
        if let Err(error) = write(&self.0.path, &document) {
            tracing::error!(error = %failure::chain(&error), "a new certificate can not be written down");
        }
        *kept = Kept { document, who };
        Ok(())
    }

    /// Whether the certificate is good by the clock of this machine: another one is needed where it is not any more, or
    /// not yet, as after a time at which the server's clock was ahead.
    pub(crate) fn is_timely(&self) -> bool {
        let (kept, now) = (self.kept(), self.0.clock.now());
        let shown = kept.who.shown.certificate();
        shown.not_before() <= now && now < kept.who.shown.not_after()
    }

    /// Asks for a new certificate in the place of one that has ended.
    pub(crate) async fn recover(&self, attempt: usize) -> Result<(), IdentityError> {
        let (generation, request) = self.request()?;
        let (who, enrolment) = {
            let kept = self.kept();
            (kept.who.clone(), kept.document.enrolment.clone())
        };
        let tls = tls::client(&who.roots, &who.agent.instance, None, Arc::clone(&self.0.clock))?;
        let (certificate, signature) =
            (who.shown.certificate().der().to_vec(), who.shown.key().sign(&request));
        let asked = Lost { certificate, generation, request, signature };
        let address = enrolment.get(attempt % enrolment.len().max(1)).cloned().unwrap_or_default();
        let patience = Patience::new(&*self.0.clock, self.0.patience);
        let answer = asked.ask(&address, tls, patience).await;
        let answer = answer.map_err(|error| IdentityError::Recover(Box::new(error)))?;
        self.renewed(answer, self.0.clock.now())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for IdentityFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdentityFile")
            .field("path", &self.0.path)
            .field("agent", &self.agent())
            .finish_non_exhaustive()
    }
}

impl Serialize for Base64 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // What is wrong with it is not said: it may be a key.
        BASE64_STANDARD.decode(text).map(Self).map_err(|_illegal| serde::de::Error::custom("no base64"))
    }
}

fn read(path: &Path) -> Result<Option<Document>, IdentityError> {
    let path = path.to_owned();
    match fs::read(&path) {
        Ok(text) => match serde_json::from_slice(&text) {
            Ok(Document { format, .. }) if format > FORMAT => {
                Err(IdentityError::Newer { path, found: format })
            }
            Ok(document) => {
                complain_if_exposed(&path);
                Ok(Some(document))
            }
            Err(source) => Err(IdentityError::Malformed { path, source }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(IdentityError::Read { path, source }),
    }
}

/// Nobody's logs stop for that: it is too late to keep the key from those who wanted it.
fn complain_if_exposed(path: &Path) {
    let mode = fs::metadata(path).map_or(0, |found| found.mode() & 0o777);
    if mode & 0o077 != 0 {
        let mode = format_args!("{mode:04o}");
        tracing::warn!(path = %path.display(), %mode, "the key of this agent can be read by more than its user; make it 0600");
    }
}

fn write(path: &Path, document: &Document) -> Result<(), IdentityError> {
    let failed = |source| IdentityError::Write { path: path.to_owned(), source };
    let text = serde_json::to_vec(document).map_err(|error| failed(error.into()))?;
    file::replace(path, &text).map_err(failed)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
