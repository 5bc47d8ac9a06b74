//! Everything that is decided without I/O, as the state was at one revision.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use weir_auth::AgentName;
use weir_auth::access_key::KeyId;
use weir_auth::secret::SecretHash;
use weir_foundation::failure::chain;
use weir_model::AppName;
use weir_state::{Change, Changes, Kind};

use crate::authority::Keys;
use crate::documents::{
    ACCESS_KEY, AGENT, APP, ASSIGNMENT, AccessKey, Agent, App, Assignment, CONFIGURATION, Configuration,
    Document, INSTANCE, Instance, LOG_REQUEST, OPERATOR, Operator, Versioned, decode,
};
use crate::failure::Damaged;
use crate::logs::LogRequestDocument;
use crate::names::OperatorName;
use crate::reports::{REPORT, ReportDocument};

/// What the snapshot is made of.
pub(crate) const KINDS: &[Kind] =
    &[INSTANCE, OPERATOR, APP, ACCESS_KEY, AGENT, CONFIGURATION, ASSIGNMENT, REPORT, LOG_REQUEST];

/// Documents of one kind by their names.
type Table<N, D> = Arc<BTreeMap<N, Arc<D>>>;

#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) revision: u64,
    pub(crate) keys: Arc<Keys>,
    pub(crate) tables: Tables,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Tables {
    pub(crate) operators: Table<OperatorName, Operator>,
    pub(crate) operator_tokens: Arc<HashMap<SecretHash, OperatorName>>,
    pub(crate) apps: Table<AppName, App>,
    pub(crate) app_secrets: Arc<HashMap<SecretHash, AppName>>,
    pub(crate) access_keys: Table<KeyId, AccessKey>,
    pub(crate) agents: Table<AgentName, Agent>,
    pub(crate) configurations: Table<u64, Configuration>,
    /// By the names of their documents.
    pub(crate) assignments: Table<String, Assignment>,
    pub(crate) reports: Table<AgentName, ReportDocument>,
    pub(crate) log_requests: Table<String, LogRequestDocument>,
}

/// What is not in the tables.
pub(crate) type FoundInstance = Option<Result<Versioned<Instance>, Damaged>>;

impl Snapshot {
    /// The snapshot with these changes. Keys that can not be used are named in the log, and those of before stay.
    pub(crate) fn with(&self, changes: &Changes) -> Self {
        let (tables, found) = self.tables.with(changes);
        let keys = match found {
            None => Arc::clone(&self.keys),
            Some(found) => match found.map(Keys::open) {
                Ok(Ok(keys)) => Arc::new(keys),
                Ok(Err(error)) => {
                    tracing::error!(error = %chain(&error), "the keys of the instance can not be used, those of before stay");
                    Arc::clone(&self.keys)
                }
                Err(error) => {
                    tracing::error!(%error, "the keys of the instance can not be read, those of before stay");
                    Arc::clone(&self.keys)
                }
            },
        };
        Self { revision: changes.revision, keys, tables }
    }
}

impl Tables {
    pub(crate) fn with(&self, changes: &Changes) -> (Self, FoundInstance) {
        let mut tables = if changes.whole { Self::default() } else { self.clone() };
        let mut instance = None;
        let touched = |kind: Kind| changes.whole || changes.changes.iter().any(|change| change.kind == kind);
        for change in &changes.changes {
            match change.kind {
                INSTANCE => instance = found(change),
                OPERATOR => set(&mut tables.operators, change, |name| OperatorName::new(name).ok()),
                APP => set(&mut tables.apps, change, |name| AppName::new(name).ok()),
                ACCESS_KEY => set(&mut tables.access_keys, change, |name| KeyId::new(name).ok()),
                AGENT => set(&mut tables.agents, change, |name| AgentName::new(name).ok()),
                CONFIGURATION => set(&mut tables.configurations, change, |name| u64::from_str(name).ok()),
                ASSIGNMENT => set(&mut tables.assignments, change, |name| Some(name.to_owned())),
                REPORT => set(&mut tables.reports, change, |name| AgentName::new(name).ok()),
                LOG_REQUEST => set(&mut tables.log_requests, change, |name| Some(name.to_owned())),
                _ => {}
            }
        }
        if touched(OPERATOR) {
            let tokens = tables.operators.iter().map(|(name, operator)| (operator.hash, name.clone()));
            tables.operator_tokens = Arc::new(tokens.collect());
        }
        if touched(APP) {
            let secrets = tables
                .apps
                .iter()
                .flat_map(|(name, app)| app.secrets.iter().map(|hash| (*hash, name.clone())));
            tables.app_secrets = Arc::new(secrets.collect());
        }
        (tables, instance)
    }
}

fn set<N: Ord + Clone, D: Document + Clone>(
    table: &mut Table<N, D>,
    change: &Change,
    name: impl Fn(&str) -> Option<N>,
) {
    let Some(name) = name(&change.name) else {
        tracing::error!(kind = %change.kind, name = change.name.escape_debug().to_string(), "a document has a name that it can not have");
        return;
    };
    let table = Arc::make_mut(table);
    match read(change) {
        Some(document) => drop(table.insert(name, Arc::new(document))),
        None => drop(table.remove(&name)),
    }
}

/// Nothing if it was deleted or can not be read: who is not known is refused.
fn read<D: Document>(change: &Change) -> Option<D> {
    let value = change.value.as_ref()?;
    match decode(&change.name, value) {
        Ok(document) => Some(document),
        Err(error) => {
            tracing::error!(%error, "a document is left out");
            None
        }
    }
}

fn found(change: &Change) -> FoundInstance {
    let value = change.value.as_ref()?;
    let read = decode(&change.name, value);
    Some(read.map(|document| Versioned { version: change.version, document }))
}
