//! Operators: who may change anything. Each has a token; only its hash is kept.

use std::time::{Duration, SystemTime};

use weir_auth::secret::{SecretHash, operator_token};
use weir_foundation::settings::Secret;

use crate::codes;
use crate::documents::{OPERATOR, Operator, Versioned, create, key};
use crate::failure::{Nature, StoreError, failures, store_failures};
use crate::fleet::{Decision, Fleet};
use crate::names::OperatorName;
use weir_state::Expect;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorView {
    pub name: OperatorName,
    pub made: SystemTime,
    /// Absent of the first, and of those that were made at the machine itself.
    pub made_by: Option<OperatorName>,
    pub expires: Option<SystemTime>,
}

/// A new operator.
#[derive(Debug, Clone)]
pub struct CreatedOperator {
    /// To be shown once.
    pub token: Secret,
    pub expires: Option<SystemTime>,
}

#[derive(Debug, thiserror::Error)]
pub enum CreateOperatorError {
    #[error("there is an operator `{0}` already")]
    NameTaken(OperatorName),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum RemoveOperatorError {
    #[error("there is no operator `{0}`")]
    Unknown(OperatorName),
    #[error("without `{0}` there would be no operator")]
    Last(OperatorName),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The token is of no operator, or its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not the token of an operator")]
pub struct OperatorRefused;

impl CreateOperatorError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::NameTaken(_) => Nature::Refused(codes::NAME_TAKEN),
            Self::Store(error) => Nature::Store(error),
        }
    }
}

impl RemoveOperatorError {
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::Unknown(_) => Nature::Refused(codes::UNKNOWN_OPERATOR),
            Self::Last(_) => Nature::Refused(codes::LAST_OPERATOR),
            Self::Store(error) => Nature::Store(error),
        }
    }
}

impl OperatorRefused {
    #[expect(clippy::unused_self, reason = "as of the other errors")]
    fn nature(&self) -> Nature<'_> {
        Nature::Refused(codes::UNKNOWN_OPERATOR)
    }
}
failures!(CreateOperatorError, RemoveOperatorError, OperatorRefused);
store_failures!(CreateOperatorError, RemoveOperatorError);

impl Operator {
    fn is_good(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl Fleet {
    /// A new operator. `by` is absent if somebody at the machine itself does it.
    pub async fn create_operator(
        &self,
        name: &OperatorName,
        life: Option<Duration>,
        by: Option<&OperatorName>,
    ) -> Result<CreatedOperator, CreateOperatorError> {
        let token = operator_token();
        let now = self.now();
        let expires = life.and_then(|life| now.checked_add(life));
        let hash = SecretHash::of(token.reveal());
        let operator = Operator { hash, made: now, made_by: by.cloned(), expires };
        let operator = &operator;
        self.change(|| async move {
            match self.find::<Operator>(name.as_str()).await? {
                Some(_) => Err(CreateOperatorError::NameTaken(name.clone())),
                None => Ok(Decision { writes: vec![create(name.as_str(), operator)], outcome: () }),
            }
        })
        .await?;
        tracing::info!(operator = %name, by = by.map(OperatorName::as_str), "created an operator");
        Ok(CreatedOperator { token, expires })
    }

    /// His token is refused from now on. One whose token does not expire always stays.
    pub async fn remove_operator(
        &self,
        name: &OperatorName,
        by: &OperatorName,
    ) -> Result<(), RemoveOperatorError> {
        self.change(|| async move {
            let found = self.find::<Operator>(name.as_str()).await?;
            let found = found.ok_or_else(|| RemoveOperatorError::Unknown(name.clone()))?;
            let mut writes = vec![key::<Operator>(name.as_str()).delete(Expect::Version(found.version))];
            if found.document.expires.is_none() {
                // Whoever removes that one meanwhile is in the way.
                let stays = self.another_operator(name).await?;
                let (stays, version) = stays.ok_or_else(|| RemoveOperatorError::Last(name.clone()))?;
                writes.push(key::<Operator>(stays).keep(Expect::Version(version)));
            }
            Ok::<_, RemoveOperatorError>(Decision { writes, outcome: () })
        })
        .await?;
        tracing::info!(operator = %name, %by, "removed an operator");
        Ok(())
    }

    /// One whose token does not expire.
    async fn another_operator(&self, than: &OperatorName) -> Result<Option<(String, u64)>, StoreError> {
        for entry in self.state().list(OPERATOR).await? {
            let operator = Versioned::<Operator>::of(&entry)?;
            if entry.name != than.as_str() && operator.document.expires.is_none() {
                return Ok(Some((entry.name, operator.version)));
            }
        }
        Ok(None)
    }

    #[must_use]
    pub fn operators(&self) -> Vec<OperatorView> {
        let view = |(name, operator): (&OperatorName, &std::sync::Arc<Operator>)| OperatorView {
            name: name.clone(),
            made: operator.made,
            made_by: operator.made_by.clone(),
            expires: operator.expires,
        };
        self.snapshot().tables.operators.iter().map(view).collect()
    }

    /// Whose token it is. Needs no I/O.
    pub fn check_operator(&self, token: &Secret) -> Result<OperatorName, OperatorRefused> {
        let snapshot = self.snapshot();
        // Whoever finds out how far a hash is right knows nothing of the token.
        let name =
            snapshot.tables.operator_tokens.get(&SecretHash::of(token.reveal())).ok_or(OperatorRefused)?;
        let operator = snapshot.tables.operators.get(name).ok_or(OperatorRefused)?;
        if operator.is_good(self.now()) { Ok(name.clone()) } else { Err(OperatorRefused) }
    }
}
