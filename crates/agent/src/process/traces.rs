//! Stack traces, as the runtimes of languages write them: which line begins one, and which goes on with it.

use std::sync::LazyLock;

use regex::Regex;

/// Whose traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Java,
    Go,
    Python,
}

/// Where in a trace the last line was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Java,
    Go(Go),
    Python(Python),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Go {
    /// What was said before the first goroutine.
    Panic,
    /// The next line names a function, or is the head of another goroutine.
    Function,
    /// The next line says where the function is.
    Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Python {
    Frames,
    /// All of the trace is indented, its end as well.
    Indented,
    /// The exception was told; another one may have followed from it.
    Exception,
    /// The next line is the head of another trace.
    Link,
}

impl Language {
    /// What the line begins, if it begins something.
    pub(crate) fn begins(self, line: &str) -> Option<Step> {
        match self {
            Self::Java => begins_java(line).then_some(Step::Java),
            Self::Go => begins_go(line).map(Step::Go),
            Self::Python if is_head_of_traceback(line) => {
                Some(Step::Python(if is_indented(line) { Python::Indented } else { Python::Frames }))
            }
            Self::Python => None,
        }
    }
}

impl Step {
    /// Where it is after a line that goes on with it; none if the line does not. Empty lines are passed over.
    pub(crate) fn next(self, line: &str) -> Option<Self> {
        match self {
            Self::Java => goes_on_java(line).then_some(Self::Java),
            Self::Go(step) => step.next(line).map(Self::Go),
            Self::Python(step) => step.next(line).map(Self::Python),
        }
    }
}

fn is_indented(line: &str) -> bool {
    line.starts_with([' ', '\t'])
}

/// The head of a trace ends with the name of a class, or has one before a colon.
static JAVA: LazyLock<Regex> = LazyLock::new(|| expression("(?:Exception|Error|Throwable)(?::|$)"));

static GO: LazyLock<Regex> =
    LazyLock::new(|| expression("panic: |fatal error: |http: panic serving |unexpected fault address "));

fn expression(pattern: &str) -> Regex {
    Regex::new(pattern).expect("it is written here")
}

/// Without its head a trace begins with a frame.
fn begins_java(line: &str) -> bool {
    is_java_frame(line) || JAVA.is_match(line)
}

fn is_java_frame(line: &str) -> bool {
    is_indented(line) && line.trim_start().starts_with("at ")
}

fn goes_on_java(line: &str) -> bool {
    const LINKS: [&str; 4] = ["Caused by: ", "Suppressed: ", "Wrapped by: ", "nested exception is:"];
    is_indented(line)
        || LINKS.iter().any(|link| line.starts_with(link))
        || (line.starts_with("... ") && line.ends_with(" more"))
        || line.starts_with("--- End of ")
}

fn begins_go(line: &str) -> Option<Go> {
    if is_goroutine(line) {
        return Some(Go::Function);
    }
    let is_signal = matches!(line, "SIGQUIT: quit" | "SIGABRT: abort");
    (is_signal || GO.is_match(line)).then_some(Go::Panic)
}

/// `goroutine 1 [running]:`
fn is_goroutine(line: &str) -> bool {
    line.strip_prefix("goroutine ").is_some_and(|rest| {
        rest.starts_with(|digit: char| digit.is_ascii_digit()) && rest.contains(" [") && rest.ends_with("]:")
    })
}

/// `main.(*T).f(0x1, 0x2)` or `created by main.main in goroutine 1`.
fn is_go_function(line: &str) -> bool {
    if line.starts_with("created by ") {
        return true;
    }
    let name = line.split('(').next().unwrap_or_default();
    line.ends_with(')') && !name.is_empty() && !name.contains([' ', '\t', ':', '"'])
}

impl Go {
    fn next(self, line: &str) -> Option<Self> {
        if is_goroutine(line) || line == "runtime stack:" {
            return (self != Self::Place).then_some(Self::Function);
        }
        match self {
            Self::Panic => {
                const SAID: [&str; 4] = ["[signal ", "panic: ", "fatal error: ", "PC="];
                let is_said = is_indented(line) || SAID.iter().any(|said| line.starts_with(said));
                is_said.then_some(Self::Panic)
            }
            Self::Function if is_go_function(line) => Some(Self::Place),
            Self::Function => {
                const REST: [&str; 3] = ["...", "exit status ", "[originating from "];
                REST.iter().any(|rest| line.starts_with(rest)).then_some(Self::Function)
            }
            Self::Place => is_indented(line).then_some(Self::Function),
        }
    }
}

fn is_head_of_traceback(line: &str) -> bool {
    line.ends_with("Traceback (most recent call last):")
}

/// `package.module.SomeError: text` or `KeyboardInterrupt`.
fn is_python_exception(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or_default();
    !name.is_empty() && !name.contains([' ', '\t', '(', ')', '"'])
}

impl Python {
    fn next(self, line: &str) -> Option<Self> {
        const LINKS: [&str; 2] = [
            "During handling of the above exception, another exception occurred:",
            "The above exception was the direct cause of the following exception:",
        ];
        match self {
            Self::Frames if is_indented(line) => Some(Self::Frames),
            Self::Frames => is_python_exception(line).then_some(Self::Exception),
            Self::Indented => is_indented(line).then_some(Self::Indented),
            // Notes, and texts of several lines.
            Self::Exception if is_indented(line) => Some(Self::Exception),
            Self::Exception => LINKS.contains(&line).then_some(Self::Link),
            Self::Link => is_head_of_traceback(line).then_some(Self::Frames),
        }
    }
}

#[cfg(test)]
mod tests;
