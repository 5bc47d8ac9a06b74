use std::error::Error;
use std::fmt;

use super::origin::Origin;

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Field path with dots, `journal.roll_at`; empty for the settings as a whole.
    pub path: String,
    /// Where the value came from, if it is known.
    pub origin: Option<Origin>,
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem of the value at `path`, relative to the section that is being validated.
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), origin: None, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    #[must_use]
    pub fn from(self, origin: Origin) -> Self {
        Self { origin: Some(origin), ..self }
    }
}

/// `weir.yaml:3: journal.rol_at: unknown key (did you mean `roll_at`?)`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(Origin::File { file, line }) => write!(f, "{file}:{line}: ")?,
            Some(origin @ (Origin::Environment { .. } | Origin::Flag { .. } | Origin::Implied { .. })) => {
                write!(f, "{origin}: ")?;
            }
            Some(Origin::Default) | None => {}
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with the settings, in the order of discovery. `Display` prints a line for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    pub fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// `value` if there is no problem.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }

    /// Keeps the problems of a part, whose paths are relative to `section`, and returns its value if it has none.
    pub fn take<T>(&mut self, section: &str, outcome: Result<T, Self>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(problems) => {
                self.extend(problems.under(section));
                None
            }
        }
    }

    /// The same problems with `section` put in front of every path.
    #[must_use]
    pub fn under(mut self, section: &str) -> Self {
        for problem in &mut self.0 {
            problem.path = match (section, &*problem.path) {
                ("", path) => path.to_owned(),
                (section, "") => section.to_owned(),
                (section, item) if item.starts_with('[') => format!("{section}{item}"),
                (section, path) => format!("{section}.{path}"),
            };
        }
        self
    }

    /// Those that match, and the others.
    pub(super) fn partition(self, matches: impl Fn(&Problem) -> bool) -> (Self, Self) {
        let (matching, others) = self.0.into_iter().partition(matches);
        (Self(matching), Self(others))
    }

    /// Those of the file first, from its top to its end.
    pub(super) fn in_order(mut self) -> Self {
        self.0.sort_by_key(|problem| match &problem.origin {
            Some(Origin::File { line, .. }) => (0, *line),
            _ => (1, 0),
        });
        self
    }

    pub(super) fn located(mut self, origin: impl Fn(&str) -> Option<Origin>) -> Self {
        for problem in &mut self.0 {
            if problem.origin.is_none() {
                problem.origin = origin(&problem.path);
            }
        }
        self
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|problem| writeln!(f, "{problem}"))
    }
}

impl Error for Problems {}
