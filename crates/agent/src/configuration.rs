//! Which configuration of the server runs, which is tried, and which to go back to: `configuration.json` in the folder of
//! the agent.
//!
//! ```json
//! {"format": 1,
//!  "good": {"revision": 3, "hash": "…", "text": "inputs: …"},
//!  "trying": {"offer": {"revision": 4, "hash": "…", "text": "…"}, "starts": 1},
//!  "failed": {"revision": 2, "hash": "…", "error": "…"}}
//! ```
//!
//! A configuration is written down as tried before anything of it runs. So one that ends the process is found out: a
//! process that finds it tried twice goes back to the good one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weir_foundation::failure::chain;
use weir_foundation::file;
use weir_uplink::{Offer, Outcome};

const FORMAT: u32 = 1;
const NAME: &str = "configuration.json";

/// How often a process may begin with a configuration that was not found good yet. Not every end is the fault of what
/// runs: a machine may be switched off.
const STARTS: u32 = 2;

/// The configurations on disk could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    #[error("could not read `{path}`")]
    Read { path: PathBuf, source: io::Error },
    #[error("could not write `{path}`")]
    Write { path: PathBuf, source: io::Error },
    #[error("`{path}` is not what an agent writes; without it the server is asked for the configuration")]
    Malformed { path: PathBuf, source: serde_json::Error },
    #[error("`{path}` has format {found}, this weir knows {FORMAT}: use a newer weir")]
    Newer { path: PathBuf, found: u32 },
}

/// A configuration, as it was offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    revision: u64,
    hash: String,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Trying {
    offer: Kept,
    /// Processes that began with it.
    starts: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Failed {
    revision: u64,
    hash: String,
    error: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Document {
    format: u32,
    #[serde(default)]
    good: Option<Kept>,
    #[serde(default)]
    trying: Option<Trying>,
    #[serde(default)]
    failed: Option<Failed>,
}

/// What is known of configurations: one writer.
#[derive(Debug)]
pub(crate) struct Configurations {
    path: PathBuf,
    document: Document,
}

impl Configurations {
    /// As the last process left them. One that was tried too often is a failure by now.
    pub(crate) fn open(folder: &Path) -> Result<Self, ConfigurationError> {
        let path = folder.join(NAME);
        let document = match fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(Document { format, .. }) if format > FORMAT => {
                    return Err(ConfigurationError::Newer { path, found: format });
                }
                Ok(document) => document,
                Err(source) => return Err(ConfigurationError::Malformed { path, source }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Document { format: FORMAT, good: None, trying: None, failed: None }
            }
            Err(source) => return Err(ConfigurationError::Read { path, source }),
        };
        let mut found = Self { path, document };
        if let Some(trying) = &mut found.document.trying {
            trying.starts += 1;
            if trying.starts > STARTS {
                let error = format!("the agent ended {STARTS} times while it tried this configuration");
                if let Err(error) = found.failed(&error) {
                    tracing::error!(error = %chain(&error), "what became of a configuration could not be written down");
                }
            } else if let Err(error) = found.write() {
                // A start that is not counted could be one of very many: what was good runs until there is space.
                tracing::error!(error = %chain(&error), "what is tried can not be written down, and does not run");
                found.document.trying = None;
            }
        }
        Ok(found)
    }

    /// What is to run: what is tried, or else the good one.
    pub(crate) fn current(&self) -> Option<Offer> {
        let kept = self.document.trying.as_ref().map(|trying| &trying.offer);
        kept.or(self.document.good.as_ref()).map(Kept::offer)
    }

    /// Whether what is to run was not found good yet.
    pub(crate) fn is_tried(&self) -> bool {
        self.document.trying.is_some()
    }

    /// Whether there is one to go back to.
    pub(crate) fn has_good(&self) -> bool {
        self.document.good.is_some()
    }

    /// Whether an offer is one that neither runs nor has failed. What failed is tried again once the server has set it
    /// again, under another revision.
    pub(crate) fn is_new(&self, offer: &Offer) -> bool {
        let runs = self.current().is_some_and(|current| current.hash == offer.hash);
        let failed = self.document.failed.as_ref();
        let has_failed =
            failed.is_some_and(|failed| (&failed.hash, failed.revision) == (&offer.hash, offer.revision));
        !runs && !has_failed
    }

    /// Whether it is what runs, set again after another one had failed: that is no matter any more.
    pub(crate) fn is_back(&self, offer: &Offer) -> bool {
        let good = self.document.good.as_ref().filter(|_| !self.is_tried());
        let is_later = |failed: &Failed| failed.revision < offer.revision;
        good.is_some_and(|good| good.hash == offer.hash)
            && self.document.failed.as_ref().is_some_and(is_later)
    }

    /// Forgets what had failed.
    pub(crate) fn back(&mut self, offer: &Offer) -> Result<(), ConfigurationError> {
        self.document.good = Some(Kept::of(offer));
        self.document.failed = None;
        self.write()
    }

    /// Notes that it is about to run. What can not be noted is not tried.
    pub(crate) fn tries(&mut self, offer: &Offer) -> Result<(), ConfigurationError> {
        let trying = Some(Trying { offer: Kept::of(offer), starts: 1 });
        self.become_written(Document { trying, ..self.document.clone() })
    }

    /// The process ends in good order: that is not the fault of what it tries.
    pub(crate) fn interrupted(&mut self) -> Result<(), ConfigurationError> {
        match &mut self.document.trying {
            Some(trying) => {
                trying.starts = trying.starts.saturating_sub(1);
                self.write()
            }
            None => Ok(()),
        }
    }

    /// What is tried is good. What can not be noted is still tried.
    pub(crate) fn applied(&mut self) -> Result<(), ConfigurationError> {
        match self.document.trying.clone() {
            Some(Trying { offer, .. }) => {
                let format = self.document.format;
                self.become_written(Document { format, good: Some(offer), trying: None, failed: None })
            }
            None => Ok(()),
        }
    }

    /// What is tried is not good: the former one is to run again, whether or not that can be noted. The next process may
    /// try it anew.
    pub(crate) fn failed(&mut self, error: &str) -> Result<(), ConfigurationError> {
        match self.document.trying.take() {
            Some(Trying { offer, .. }) => self.refused(&offer.offer(), error),
            None => Ok(()),
        }
    }

    /// It was not even begun with.
    pub(crate) fn refused(&mut self, offer: &Offer, error: &str) -> Result<(), ConfigurationError> {
        let Offer { revision, hash, .. } = offer.clone();
        self.document.failed = Some(Failed { revision, hash, error: error.to_owned() });
        self.write()
    }

    /// What became of the last one that was offered, once that is known.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        if let Some(Failed { revision, hash, error }) = self.document.failed.clone() {
            return Some(Outcome { hash, revision, error: Some(error) });
        }
        let good = self.document.good.as_ref().filter(|_| !self.is_tried())?;
        Some(Outcome { hash: good.hash.clone(), revision: good.revision, error: None })
    }

    fn become_written(&mut self, document: Document) -> Result<(), ConfigurationError> {
        let before = std::mem::replace(&mut self.document, document);
        let written = self.write();
        if written.is_err() {
            self.document = before;
        }
        written
    }

    fn write(&self) -> Result<(), ConfigurationError> {
        let failed = |source| ConfigurationError::Write { path: self.path.clone(), source };
        let text = serde_json::to_vec(&self.document).map_err(|error| failed(error.into()))?;
        file::replace(&self.path, &text).map_err(failed)
    }
}

impl Kept {
    fn of(offer: &Offer) -> Self {
        let Offer { revision, hash, text } = offer.clone();
        Self { revision, hash, text }
    }

    fn offer(&self) -> Offer {
        let Self { revision, hash, text } = self.clone();
        Offer { revision, hash, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(revision: u64) -> Offer {
        Offer { revision, hash: format!("hash {revision}"), text: format!("inputs: [] # {revision}") }
    }

    fn open(folder: &tempfile::TempDir) -> Configurations {
        Configurations::open(folder.path()).expect("it can be read")
    }

    #[track_caller]
    fn check(found: &Configurations, current: u64, tried: bool, outcome: Option<(u64, bool)>) {
        assert_eq!(found.current(), Some(offer(current)));
        assert_eq!(found.is_tried(), tried);
        assert_eq!(found.outcome().map(|outcome| (outcome.revision, outcome.error.is_none())), outcome);
    }

    #[test]
    fn what_is_tried_becomes_good_or_is_left() {
        let folder = tempfile::tempdir().expect("there is space");
        let mut found = open(&folder);
        assert_eq!((found.current(), found.outcome()), (None, None));
        assert!(found.is_new(&offer(1)));
        found.tries(&offer(1)).expect("there is space");
        assert!(!found.is_new(&offer(1)));
        check(&found, 1, true, None);
        found.applied().expect("there is space");
        check(&open(&folder), 1, false, Some((1, true)));

        found.tries(&offer(2)).expect("there is space");
        check(&found, 2, true, None);
        found.failed("no such folder").expect("there is space");
        check(&open(&folder), 1, false, Some((2, false)));
        assert!(!found.is_new(&offer(2)) && !found.is_new(&offer(1)));
        assert!(found.is_new(&Offer { revision: 3, ..offer(2) }), "somebody has set it again");

        let again = Offer { revision: 3, ..offer(1) };
        assert!(found.is_back(&again) && !found.is_back(&offer(1)));
        found.back(&again).expect("there is space");
        assert_eq!(open(&folder).outcome().map(|outcome| (outcome.revision, outcome.error)), Some((3, None)));

        found.refused(&offer(4), "unknown key").expect("there is space");
        assert_eq!(open(&folder).outcome().map(|outcome| outcome.revision), Some(4));
        found.tries(&offer(5)).expect("there is space");
        found.applied().expect("there is space");
        check(&open(&folder), 5, false, Some((5, true)));
    }

    #[test]
    fn one_that_ends_the_process_is_found_out() {
        let folder = tempfile::tempdir().expect("there is space");
        let mut found = open(&folder);
        found.tries(&offer(1)).expect("there is space");
        found.applied().expect("there is space");
        found.tries(&offer(2)).expect("there is space");
        // An orderly end does not count.
        for _ in 0..5 {
            found.interrupted().expect("there is space");
            found = open(&folder);
            check(&found, 2, true, None);
        }
        check(&open(&folder), 2, true, None);
        let found = open(&folder);
        check(&found, 1, false, Some((2, false)));
        let error = found.outcome().and_then(|outcome| outcome.error).expect("it failed");
        assert_eq!(error, "the agent ended 2 times while it tried this configuration");
        check(&open(&folder), 1, false, Some((2, false)));
    }

    /// A start that can not be counted is none with it.
    #[test]
    fn without_space_a_process_begins_with_what_is_good() {
        let folder = tempfile::tempdir().expect("there is space");
        let mut found = open(&folder);
        found.tries(&offer(1)).expect("there is space");
        found.applied().expect("there is space");
        found.tries(&offer(2)).expect("there is space");
        let draft = folder.path().join(NAME).with_extension("json.new");
        fs::create_dir_all(draft.join("in-the-way")).expect("there is space");
        let mut full = open(&folder);
        check(&full, 1, false, Some((1, true)));
        full.tries(&offer(3)).expect_err("it can not be written down");
        check(&full, 1, false, Some((1, true)));
        assert!(full.is_new(&offer(3)));
        fs::remove_dir_all(draft).expect("it is there");
        check(&open(&folder), 2, true, None);
    }

    #[test]
    fn what_no_agent_wrote_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("there is space");
        let check = |text: &str, expected: &str| {
            fs::write(folder.path().join(NAME), text).expect("there is space");
            let error = Configurations::open(folder.path()).expect_err("it is refused").to_string();
            assert!(error.contains(expected) && error.contains(NAME), "{error}");
        };
        check("", "not what an agent writes");
        check("{\"format\":1,\"good\":{}}", "not what an agent writes");
        check("{\"format\":2}", "has format 2, this weir knows 1");
    }
}
