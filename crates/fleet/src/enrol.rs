//! Joining: from an access key and a public key to a certificate.

use std::time::SystemTime;

use weir_auth::AgentName;
use weir_auth::access_key::KeyId;
use weir_auth::pki::{Certificate, CheckedRequest, IssueError, RequestError};
use weir_auth::seal::SealPublic;
use weir_foundation::settings::Secret;
use weir_model::{AppName, IllegalName};
use weir_state::{Entry, Expect};

use crate::authority::{Issued, Keys, renewal};
use crate::codes;
use crate::documents::{
    self, ACCESS_KEY, AccessKey, Agent, App, IssuedCertificate, Joined, RevocationReason, Versioned, create,
    joined_name, replace,
};
use crate::failure::{Nature, StoreError, failures, store_failures};
use crate::fleet::{Decision, Fleet};
use crate::keys::KeyState;
use crate::labels::Labels;
use crate::renew::whole_seconds;
use crate::reports::ReportDocument;

/// What somebody who wants to join says.
#[derive(Debug, Clone, Copy)]
pub struct EnrolRequest<'a> {
    pub key: &'a KeyId,
    pub secret: &'a Secret,
    /// How the agent wants to be called. If the name is taken it gets one that ends in `-2`, `-3`, …
    pub name: &'a str,
    /// PKCS#10, DER. Nothing of it but the public key is used.
    pub csr: &'a [u8],
}

/// What an agent is given when it joins and whenever it renews.
#[derive(Debug, Clone)]
pub struct Membership {
    pub agent: AgentName,
    /// To be said at the next renewal.
    pub generation: u64,
    /// The agent's certificate and the authorities between it and its root.
    pub chain: Vec<Certificate>,
    /// To trust from now on, in place of those before.
    pub roots: Vec<Certificate>,
    /// The number of this set of roots; see [`crate::InstanceView::bundle`].
    pub bundle: u64,
    /// When to renew. Agents add some chance to it.
    pub renew_at: SystemTime,
    pub apps: Vec<AppName>,
    pub labels: Labels,
    /// With what to seal payloads, if they are to be sealed.
    pub seal: Option<SealPublic>,
}

#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error("the agent can not be called so: {0}")]
    Name(#[from] IllegalName),
    #[error("the request for a certificate can not be used: {0}")]
    Request(#[from] RequestError),
    /// Or its secret is another: nobody is told which.
    #[error("there is no such access key")]
    UnknownKey,
    #[error("the access key was revoked")]
    Revoked,
    #[error("the access key has expired")]
    Expired,
    #[error("the access key is used up")]
    UsedUp,
    #[error("there is no app `{0}` any more")]
    UnknownApp(AppName),
    #[error("app `{0}` is disabled")]
    AppDisabled(AppName),
    /// Who joined with this public key was revoked since.
    #[error("the agent that joined with this public key was revoked")]
    AgentRevoked(RevocationReason),
    /// Who joined with this public key has another one since.
    #[error("an agent joined with this public key before and has gone on since")]
    PublicKeyUsed,
    #[error("could not issue a certificate")]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EnrolError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::Name(_) => Nature::Refused(codes::BAD_NAME),
            Self::Request(_) => Nature::Refused(codes::BAD_CSR),
            Self::UnknownKey => Nature::Refused(codes::UNKNOWN_KEY),
            Self::Revoked => Nature::Refused(codes::KEY_REVOKED),
            Self::Expired => Nature::Refused(codes::KEY_EXPIRED),
            Self::UsedUp => Nature::Refused(codes::KEY_USED_UP),
            Self::UnknownApp(_) => Nature::Refused(codes::UNKNOWN_APP),
            Self::AppDisabled(_) => Nature::Refused(codes::APP_DISABLED),
            Self::AgentRevoked(_) => Nature::Refused(codes::AGENT_REVOKED),
            Self::PublicKeyUsed => Nature::Refused(codes::PUBLIC_KEY_USED),
            Self::Issue(_) => Nature::Broken,
            Self::Store(error) => Nature::Store(error),
        }
    }
}
failures!(EnrolError);
store_failures!(EnrolError);

/// Characters that a name may have before a suffix is put to it.
const ROOM: usize = 190;

/// Of so many generations certificates are noted; older ones are told by their time.
const GENERATIONS: u64 = 4;
/// So many certificates of each: if answers get lost there are several.
const OF_EACH: usize = 3;

/// An access key whose secret was shown.
struct Shown {
    key: Versioned<AccessKey>,
    /// Who joined with this access key and public key before.
    joined: Option<Versioned<Joined>>,
}

impl Fleet {
    /// Joins an agent and uses the access key once. Who asks again with the same public key, since the answer was
    /// lost, is the same agent and uses nothing.
    pub async fn enrol(&self, request: EnrolRequest<'_>) -> Result<Membership, EnrolError> {
        // Whoever does not know the secret is told nothing else.
        self.key_of(&request).await?;
        let csr = CheckedRequest::read(request.csr)?;
        let name = AgentName::new(request.name)?;
        let membership = self.change(|| self.decide_enrol(&request, &name, &csr)).await?;
        tracing::info!(agent = %membership.agent, key = %request.key, "an agent joined");
        Ok(membership)
    }

    async fn decide_enrol(
        &self,
        request: &EnrolRequest<'_>,
        name: &AgentName,
        csr: &CheckedRequest,
    ) -> Result<Decision<Membership>, EnrolError> {
        let now = self.now();
        let key = self.key_of(request).await?;
        let state = key.document.state(now);
        match state {
            KeyState::Revoked => return Err(EnrolError::Revoked),
            KeyState::Expired => return Err(EnrolError::Expired),
            // Who was the last may ask again.
            KeyState::UsedUp | KeyState::Usable => {}
        }
        let joined = self.find::<Joined>(&joined_name(request.key, &csr.pin())).await?;
        let shown = Shown { key, joined };
        if let Some(decision) = self.decide_again(&shown, csr, now).await? {
            return Ok(decision);
        }
        if state == KeyState::UsedUp {
            return Err(EnrolError::UsedUp);
        }
        for app in &shown.key.document.apps {
            match self.find::<App>(app.as_str()).await? {
                None => return Err(EnrolError::UnknownApp(app.clone())),
                Some(found) if !found.document.enabled => return Err(EnrolError::AppDisabled(app.clone())),
                Some(_) => {}
            }
        }
        self.decide_new(request, name, shown, csr, now).await
    }

    /// The access key, if its secret was shown. One that is not there takes the same work.
    async fn key_of(&self, request: &EnrolRequest<'_>) -> Result<Versioned<AccessKey>, EnrolError> {
        let entry = self.state().get(ACCESS_KEY, request.key.as_str()).await?;
        let (entry, exists) = entry.map_or_else(|| (nobody(), false), |entry| (entry, true));
        let key = Versioned::<AccessKey>::of(&entry)?;
        let fits = key.document.hash.fits(request.secret.reveal());
        if fits && exists { Ok(key) } else { Err(EnrolError::UnknownKey) }
    }

    /// The answer for one that joined before with the same public key; nothing if nobody did.
    async fn decide_again(
        &self,
        shown: &Shown,
        csr: &CheckedRequest,
        now: SystemTime,
    ) -> Result<Option<Decision<Membership>>, EnrolError> {
        let Some(joined) = &shown.joined else { return Ok(None) };
        let Joined { agent: name, joined } = &joined.document;
        let agent = self.find::<Agent>(name.as_str()).await?;
        let Some(mut agent) =
            agent.filter(|agent| agent.document.joined == *joined && !agent.document.forgotten)
        else {
            return Ok(None);
        };
        if let Some(revoked) = agent.document.revoked {
            return Err(EnrolError::AgentRevoked(revoked.reason));
        }
        if agent.document.generation > 1 {
            return Err(EnrolError::PublicKeyUsed);
        }
        let keys = self.snapshot().keys.clone();
        let issued = keys.issue(name, 1, csr, now, self.settings().certificate_life)?;
        agent.document.take(&keys, issued.note.clone(), now);
        let writes = vec![replace(name.as_str(), agent.version, &agent.document), keys.unchanged()];
        let outcome = membership(name, &agent.document, &keys, issued);
        Ok(Some(Decision { writes, outcome }))
    }

    async fn decide_new(
        &self,
        request: &EnrolRequest<'_>,
        wanted: &AgentName,
        shown: Shown,
        csr: &CheckedRequest,
        now: SystemTime,
    ) -> Result<Decision<Membership>, EnrolError> {
        let Shown { mut key, joined } = shown;
        let (name, before) = self.free_name(wanted, now).await?;
        let keys = self.snapshot().keys.clone();
        let issued = keys.issue(&name, 1, csr, now, self.settings().certificate_life)?;
        let mut agent = Agent {
            apps: key.document.apps.clone(),
            labels: key.document.labels.clone(),
            access_key: request.key.clone(),
            seal: key.document.seal,
            joined: now,
            first_pin: csr.pin(),
            generation: 1,
            certificates: Vec::new(),
            bundle: 0,
            revoked: None,
            forgotten: false,
        };
        agent.take(&keys, issued.note.clone(), now);
        key.document.used = key.document.used.saturating_add(1);
        key.document.last_used = Some(now);
        let note = Joined { agent: name.clone(), joined: now };
        let note_name = joined_name(request.key, &csr.pin());
        let mut writes = vec![replace(request.key.as_str(), key.version, &key.document), keys.unchanged()];
        match before {
            None => writes.push(create(name.as_str(), &agent)),
            Some(before) => {
                writes.push(replace(name.as_str(), before.version, &agent));
                writes.push(documents::key::<ReportDocument>(name.as_str()).delete(Expect::Any));
                let of_before = joined_name(&before.document.access_key, &before.document.first_pin);
                if of_before != note_name {
                    writes.push(documents::key::<Joined>(of_before).delete(Expect::Any));
                }
            }
        }
        writes.push(match joined {
            None => create(note_name, &note),
            Some(joined) => replace(note_name, joined.version, &note),
        });
        let outcome = membership(&name, &agent, &keys, issued);
        Ok(Decision { writes, outcome })
    }

    /// The wanted name or one like it that is free, with who had it before.
    async fn free_name(
        &self,
        wanted: &AgentName,
        now: SystemTime,
    ) -> Result<(AgentName, Option<Versioned<Agent>>), EnrolError> {
        let snapshot = self.snapshot();
        for number in 1_u64.. {
            let name = with_suffix(wanted, number)?;
            // Who joined long ago is known here, without a look into the state for each.
            if snapshot.tables.agents.get(&name).is_some_and(|agent| agent.has_name(now)) {
                continue;
            }
            match self.find::<Agent>(name.as_str()).await? {
                None => return Ok((name, None)),
                Some(agent) if !agent.document.has_name(now) => return Ok((name, Some(agent))),
                Some(_) => {}
            }
        }
        Err(EnrolError::UsedUp)
    }
}

impl Agent {
    /// Whether nobody else may have its name: as long as it can come back, and as long as somebody should see why it
    /// was revoked. In any case the next life begins in a later second than its last certificate, so that certificates
    /// of two lives are told apart by their times.
    fn has_name(&self, now: SystemTime) -> bool {
        let last = self.certificates.iter().map(|certificate| certificate.issued).max();
        if last.is_some_and(|last| whole_seconds(now) <= last) {
            return true;
        }
        !self.forgotten && (self.revoked.is_some() || now <= self.ends())
    }

    /// Notes a certificate, and that the roots of today go with it.
    pub(crate) fn take(&mut self, keys: &Keys, note: IssuedCertificate, now: SystemTime) {
        self.generation = note.generation;
        self.bundle = keys.document.bundle;
        let certificates = &mut self.certificates;
        certificates.retain(|old| old.not_after >= now && old.generation + GENERATIONS > note.generation);
        let same = certificates.iter().filter(|old| old.generation == note.generation).count();
        if same >= OF_EACH
            && let Some(oldest) = certificates.iter().position(|old| old.generation == note.generation)
        {
            certificates.remove(oldest);
        }
        self.certificates.push(note);
    }
}

pub(crate) fn membership(name: &AgentName, agent: &Agent, keys: &Keys, issued: Issued) -> Membership {
    Membership {
        agent: name.clone(),
        generation: issued.note.generation,
        renew_at: renewal(issued.note.issued, issued.note.not_after),
        chain: issued.chain,
        roots: keys.roots(),
        bundle: keys.document.bundle,
        apps: agent.apps.clone(),
        labels: agent.labels.clone(),
        seal: agent.seal.then(|| keys.seal.public()),
    }
}

fn with_suffix(wanted: &AgentName, number: u64) -> Result<AgentName, IllegalName> {
    if number == 1 {
        return Ok(wanted.clone());
    }
    // Names are of ASCII.
    let room = wanted.as_str().len().min(ROOM);
    AgentName::new(&format!("{}-{number}", &wanted.as_str()[..room]))
}

/// An access key whose secret nobody has.
fn nobody() -> Entry {
    let value = format!(
        r#"{{"title":"nobody","hash":"{}","apps":["nobody"],"labels":"","made":0,"made_by":"nobody","uses":1,"used":0,
            "seal":false,"roots":[1]}}"#,
        "0".repeat(64)
    );
    Entry { name: String::new(), version: 0, value: value.into_bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_fit() {
        let check = |wanted: &str, number: u64, expected: &str| {
            let wanted = AgentName::new(wanted).expect("legal");
            assert_eq!(with_suffix(&wanted, number).expect("legal").as_str(), expected);
        };
        check("node", 1, "node");
        check("node", 2, "node-2");
        check("node", 41, "node-41");
        check("node-2", 2, "node-2-2");
        let long = "n".repeat(200);
        check(&long, 1, &long);
        check(&long, 12, &format!("{}-12", "n".repeat(190)));
        check(&long, 123_456_789, &format!("{}-123456789", "n".repeat(190)));
    }
}
