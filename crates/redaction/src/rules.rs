//! Rules that are compiled: an immutable snapshot, which the redactor replaces as a whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use regex::Regex;
use weir_foundation::metrics::Counter;

use crate::dialect;
use crate::document::{AppDocument, DEFAULT, Document, RefusedRule, RuleDocument, RuleKind};
use crate::mask::{Mask, ShortMatch};
use crate::metrics::RedactionMetrics;
use crate::paths::Paths;

/// What the rules are made into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    pub defaults: DefaultRules,
    pub short_matches: ShortMatch,
}

/// What the rules of `default` are to an app that has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultRules {
    /// Tried after its own.
    Merge,
    /// Nothing, as in barito-flow.
    Replace,
}

/// The rules of all apps.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// By the name as it is written, and as an index prefix.
    apps: HashMap<Box<str>, Arc<AppRules>, foldhash::fast::RandomState>,
    default: Option<Arc<AppRules>>,
}

/// What applies to one app.
#[derive(Debug, Default)]
pub(crate) struct AppRules {
    pub(crate) paths: Vec<PathRule>,
    pub(crate) texts: Vec<TextRule>,
    /// What was found out about paths, while nobody works with it.
    known: Mutex<Paths>,
}

/// A rule on the strings at a path.
#[derive(Debug, Clone)]
pub(crate) struct PathRule {
    pattern: Regex,
    pub(crate) mask: Mask,
    /// Strings that were redacted.
    pub(crate) redacted: Counter,
}

/// A rule on the whole text.
#[derive(Debug, Clone)]
pub(crate) struct TextRule {
    pub(crate) pattern: Regex,
    pub(crate) mask: Mask,
    /// Matches that were redacted.
    pub(crate) redacted: Counter,
}

/// The compiled rules of an app, without those of others.
#[derive(Default, Clone)]
struct Own {
    paths: Vec<PathRule>,
    texts: Vec<TextRule>,
}

impl Rules {
    /// Compiles what can be compiled, and adds to `refused` what can not.
    pub(crate) fn compile(
        document: &Document,
        manner: Manner,
        metrics: &RedactionMetrics,
        refused: &mut Vec<RefusedRule>,
    ) -> Self {
        let mut compiled: Vec<(&str, Own)> = Vec::with_capacity(document.apps.len());
        for (app, rules) in &document.apps {
            let own = Own::compile(app, rules, manner, metrics, refused);
            metrics.loaded(app, own.paths.len(), own.texts.len());
            compiled.push((app, own));
        }
        let default = compiled.iter().find(|(app, _)| *app == DEFAULT).map(|(_, own)| own.clone());
        let finish = |own: Own| own.with(default.as_ref().filter(|_| manner.defaults == DefaultRules::Merge));
        let mut rules =
            Self { default: default.clone().map(|own| Arc::new(own.with(None))), ..Self::default() };
        let apps = compiled.into_iter().filter(|(app, _)| *app != DEFAULT);
        // Names that are index prefixes are exactly meant; several others may come to the same prefix.
        let (exact, named): (Vec<_>, Vec<_>) = apps.partition(|(app, _)| *app == as_prefix(app));
        let mut by_prefix: BTreeMap<String, Own> = BTreeMap::new();
        for (app, own) in named {
            rules.apps.insert(app.into(), Arc::new(finish(own.clone())));
            by_prefix.entry(as_prefix(app)).or_default().append(own);
        }
        by_prefix.extend(exact.into_iter().map(|(app, own)| (app.to_owned(), own)));
        rules.apps.extend(by_prefix.into_iter().map(|(app, own)| (app.into(), Arc::new(finish(own)))));
        rules
    }

    /// What applies to events with this index prefix; nothing if nothing does.
    pub(crate) fn of(&self, prefix: &str) -> Option<&Arc<AppRules>> {
        self.apps.get(prefix).or(self.default.as_ref()).filter(|rules| !rules.is_empty())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.default.as_ref().is_none_or(|rules| rules.is_empty())
            && self.apps.values().all(|rules| rules.is_empty())
    }
}

/// The index prefix of an application with this name.
fn as_prefix(app: &str) -> String {
    app.to_lowercase().replace(' ', "-")
}

impl Own {
    fn compile(
        app: &str,
        rules: &AppDocument,
        manner: Manner,
        metrics: &RedactionMetrics,
        refused: &mut Vec<RefusedRule>,
    ) -> Self {
        let mut compiled = |kind: RuleKind, rule: &RuleDocument| match dialect::compile(&rule.pattern) {
            Ok(pattern) => {
                let mask = Mask::new(&rule.name, rule.hint_start, rule.hint_end, manner.short_matches);
                Some((pattern, mask, metrics.of_rule(app, &rule.name)))
            }
            Err(error) => {
                let rule = Some((kind, rule.name.clone()));
                refused.push(RefusedRule { app: app.to_owned(), rule, reason: error.to_string() });
                None
            }
        };
        let mut own = Self::default();
        for rule in &rules.paths {
            let compiled = compiled(RuleKind::Path, rule);
            own.paths.extend(compiled.map(|(pattern, mask, redacted)| PathRule { pattern, mask, redacted }));
        }
        for rule in &rules.texts {
            let compiled = compiled(RuleKind::Text, rule);
            own.texts.extend(compiled.map(|(pattern, mask, redacted)| TextRule { pattern, mask, redacted }));
        }
        own
    }

    fn append(&mut self, other: Self) {
        self.paths.extend(other.paths);
        self.texts.extend(other.texts);
    }

    fn with(mut self, defaults: Option<&Self>) -> AppRules {
        if let Some(defaults) = defaults {
            self.append(defaults.clone());
        }
        AppRules { paths: self.paths, texts: self.texts, known: Mutex::default() }
    }
}

impl AppRules {
    fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.texts.is_empty()
    }

    /// What is known of paths. It is the caller's until it is given back; who comes meanwhile begins with nothing.
    pub(crate) fn take_known(&self) -> Paths {
        let mut paths = std::mem::take(&mut *self.known.lock().unwrap_or_else(PoisonError::into_inner));
        if paths.is_full() {
            paths = Paths::default();
        }
        paths.begin(&self.paths);
        paths
    }

    pub(crate) fn give_back(&self, paths: Paths) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if paths.len() > known.len() {
            *known = paths;
        }
    }
}

impl PathRule {
    pub(crate) fn matches(&self, path: &str) -> bool {
        self.pattern.is_match(path)
    }
}
