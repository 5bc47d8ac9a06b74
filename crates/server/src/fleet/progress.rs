//! How far agents are with what they should run.

use std::collections::BTreeMap;

use weir_fleet::ConfigurationView;

use super::configurations::entry;
use super::standing::{Picture, Progress};
use crate::api;

/// Reasons that are told of each configuration.
const REASONS: usize = 10;

/// What a configuration has come to so far.
#[derive(Debug)]
struct Tally<'a> {
    view: &'a ConfigurationView,
    running: u64,
    trying: u64,
    away: u64,
    /// How many, and the first of them.
    failures: BTreeMap<&'a str, (u64, &'a str)>,
}

/// Of the present configurations, in their order. Agents come in the order of their names.
pub(super) fn status(present: &[ConfigurationView], agents: &[Picture]) -> api::ConfigurationStatus {
    let empty = |view| Tally { view, running: 0, trying: 0, away: 0, failures: BTreeMap::new() };
    let mut tallies: Vec<Tally<'_>> = present.iter().map(empty).collect();
    let positions: BTreeMap<u64, usize> =
        present.iter().enumerate().map(|(position, view)| (view.revision, position)).collect();
    let mut without = 0;
    for agent in agents.iter().filter(|agent| !agent.is_revoked()) {
        let revision = agent.wanted.as_ref().map(|wanted| wanted.revision);
        let tally = revision.and_then(|revision| tallies.get_mut(*positions.get(&revision)?));
        let (Some(tally), Some(progress)) = (tally, agent.progress()) else {
            // One that was decided a moment ago counts the next time.
            without += u64::from(revision.is_none());
            continue;
        };
        match progress {
            Progress::Away => tally.away += 1,
            Progress::Running => tally.running += 1,
            Progress::Trying => tally.trying += 1,
            Progress::Failed { reason } => {
                tally.failures.entry(reason).or_insert((0, agent.name().as_str())).0 += 1;
            }
        }
    }
    api::ConfigurationStatus { configurations: tallies.into_iter().map(Tally::told).collect(), without }
}

impl Tally<'_> {
    fn told(self) -> api::ConfigurationProgress {
        let Self { view, running, trying, away, failures } = self;
        let failed = failures.values().map(|(agents, _)| agents).sum();
        let failure = |(reason, (agents, example)): (&str, (u64, &str))| api::ConfigurationFailure {
            reason: reason.to_owned(),
            agents,
            example: example.to_owned(),
        };
        let mut failures: Vec<_> = failures.into_iter().map(failure).collect();
        failures.sort_by_key(|failure| std::cmp::Reverse(failure.agents));
        failures.truncate(REASONS);
        api::ConfigurationProgress {
            configuration: entry(view),
            agents: running + trying + failed + away,
            running,
            trying,
            failed,
            away,
            failures,
        }
    }
}
