//! Lines that belong together.

use std::time::Duration;

use super::expression::Expression;
use super::traces::{Language, Step};

/// How lines are put together, and how long the last of them waits for more.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Multiline {
    pub(crate) rule: Rule,
    pub(crate) timeout: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Rule {
    /// Traces are put together, other lines stay alone.
    Traces(Vec<Language>),
    /// A line that matches begins an event, and the others go on with it.
    Start(Expression),
    /// A line that matches goes on with the event of the line before it.
    Continue(Expression),
}

/// What a group is waiting for. It is known from its first line and those behind it, whatever was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Trace(Step),
    ByExpression,
}

impl Rule {
    /// What the first line of a group waits for; none if nothing can belong to it.
    pub(crate) fn begins(&self, line: &str) -> Option<State> {
        match self {
            Self::Traces(languages) => {
                languages.iter().find_map(|language| language.begins(line)).map(State::Trace)
            }
            Self::Start(_) | Self::Continue(_) => Some(State::ByExpression),
        }
    }

    /// What a group waits for behind a line that belongs to it; none if it does not.
    pub(crate) fn goes_on(&self, state: State, line: &str) -> Option<State> {
        match (self, state) {
            (_, State::Trace(step)) => step.next(line).map(State::Trace),
            (Self::Start(start), State::ByExpression) => (!start.is_match(line)).then_some(state),
            (Self::Continue(goes_on), State::ByExpression) => goes_on.is_match(line).then_some(state),
            (Self::Traces(_), State::ByExpression) => None,
        }
    }
}
