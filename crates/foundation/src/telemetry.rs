//! The log of the process itself, on stderr.
//!
//! Text for people on a terminal, a JSON object a line otherwise. Levels: error = someone must act, warn =
//! unexpected but handled, info = events in the life of the process. Fields come before the message.

mod last_lines;

use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;
use tracing::{Level, Subscriber, error};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use tracing_subscriber::{EnvFilter, Registry, fmt};

pub use self::last_lines::LastLines;
use crate::settings::{Environment, Problem, Problems};

/// What is logged, and how.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`, also by module: `info,weir_journal=debug`. Default: `info`.
    pub level: Option<String>,
    /// How lines look; `auto` is text on a terminal and JSON otherwise. Default: `auto`.
    pub format: Option<LogFormat>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    #[default]
    Auto,
    Text,
    Json,
}

/// The validated [`LogSection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    filter: String,
    format: LogFormat,
}

#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("start logging a second time")]
    Twice(#[source] TryInitError),
}

/// How lines are written in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Colored,
    Plain,
    Json,
}

impl LogSettings {
    pub fn validate(raw: &LogSection) -> Result<Self, Problems> {
        let filter = raw.level.clone().unwrap_or_else(|| "info".to_owned());
        match check_filter(&filter) {
            Ok(()) => Ok(Self { filter, format: raw.format.unwrap_or_default() }),
            Err(message) => Err(Problem::at("level", message).into()),
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Auto }
    }
}

/// `EnvFilter` alone would take `infoo` for the name of a module.
fn check_filter(filter: &str) -> Result<(), String> {
    for part in filter.split(',') {
        let known = match part.rsplit_once('=') {
            Some((_, level)) => level,
            None => part,
        };
        if tracing_subscriber::filter::LevelFilter::from_str(known).is_err() || known.is_empty() {
            return Err(format!(
                "`{known}` is not a level, expected `error`, `warn`, `info`, `debug`, `trace` or `off`"
            ));
        }
    }
    EnvFilter::try_new(filter).map(drop).map_err(|error| error.to_string())
}

/// Starts logging and has panics logged. Once per process, by `main`. Gives what is logged last.
pub fn init(settings: &LogSettings, environment: &Environment) -> Result<LastLines, InitError> {
    let style = style(settings.format, io::stderr().is_terminal(), environment);
    let last = LastLines::default();
    subscriber(settings, style, io::stderr, &last).try_init().map_err(InitError::Twice)?;
    log_panics();
    Ok(last)
}

fn subscriber<W>(
    settings: &LogSettings,
    style: Style,
    writer: W,
    last: &LastLines,
) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Validated, see `check_filter`.
    let filter = EnvFilter::new(&settings.filter);
    let shown = fmt::layer().with_writer(writer);
    let shown = match style {
        Style::Colored => shown.with_ansi(true).boxed(),
        Style::Plain => shown.with_ansi(false).boxed(),
        Style::Json => shown.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let kept = fmt::layer().with_writer(last.clone()).with_ansi(false);
    Registry::default().with(shown).with(kept).with(filter)
}

fn style(format: LogFormat, terminal: bool, environment: &Environment) -> Style {
    match (format, terminal) {
        (LogFormat::Json, _) | (LogFormat::Auto, false) => Style::Json,
        (LogFormat::Text, false) => Style::Plain,
        (LogFormat::Text | LogFormat::Auto, true) if environment.declines_color() => Style::Plain,
        (LogFormat::Text | LogFormat::Auto, true) => Style::Colored,
    }
}

/// A panic becomes an error in the log; where errors are not logged, the former hook tells stderr.
fn log_panics() {
    let former = panic::take_hook();
    panic::set_hook(Box::new(
        move |info| {
            if tracing::enabled!(Level::ERROR) { log_panic(info) } else { former(info) }
        },
    ));
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no message");
    let location = info.location().map(ToString::to_string);
    let backtrace = std::backtrace::Backtrace::capture();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    match backtrace.status() {
        std::backtrace::BacktraceStatus::Captured => {
            error!(panic = message, location, thread, %backtrace, "panic");
        }
        _ => error!(panic = message, location, thread, "panic"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn levels() {
        let check = |level: &str, expected: Result<(), &str>| {
            let section = LogSection { level: Some(level.to_owned()), format: None };
            let outcome = LogSettings::validate(&section).map(drop).map_err(|problems| problems.to_string());
            assert_eq!(outcome, expected.map_err(str::to_owned), "{level}");
        };
        let expected = "expected `error`, `warn`, `info`, `debug`, `trace` or `off`";
        check("info", Ok(()));
        check("off", Ok(()));
        check("info,weir_journal=debug", Ok(()));
        check("infoo", Err(&format!("level: `infoo` is not a level, {expected}\n")));
        check("info,weir=loud", Err(&format!("level: `loud` is not a level, {expected}\n")));
        check("", Err(&format!("level: `` is not a level, {expected}\n")));
    }

    #[test]
    fn looks_as_where_it_is_shown_needs() {
        let colors = Environment::default();
        let plain = Environment::from([("NO_COLOR", "1")]);
        assert_eq!(style(LogFormat::Auto, true, &colors), Style::Colored);
        assert_eq!(style(LogFormat::Auto, true, &plain), Style::Plain);
        assert_eq!(style(LogFormat::Auto, false, &colors), Style::Json);
        assert_eq!(style(LogFormat::Text, false, &colors), Style::Plain);
        assert_eq!(style(LogFormat::Text, true, &colors), Style::Colored);
        assert_eq!(style(LogFormat::Json, true, &colors), Style::Json);
    }

    /// What is logged in `style` by the work of a task.
    fn logged(style: Style) -> String {
        let buffer = Arc::new(Mutex::new(Vec::new()));
        let settings = LogSettings { filter: "warn".to_owned(), format: LogFormat::Auto };
        let subscriber = subscriber(&settings, style, Shared(Arc::clone(&buffer)), &LastLines::default());
        tracing::subscriber::with_default(subscriber, || {
            let _task = tracing::error_span!("task", task = "journal.writer").entered();
            tracing::info!("not heard");
            tracing::warn!(stream = "shop_logs", left = 3, "slow");
        });
        let bytes = buffer.lock().expect("no writer panics").clone();
        String::from_utf8(bytes).expect("is text")
    }

    #[derive(Clone)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no writer panics").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Shared {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn machines_read_an_object_a_line() {
        let text = logged(Style::Json);
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
        let field = |name: &str| line[name].as_str().unwrap_or_default();
        assert_eq!([field("level"), field("message"), field("stream")], ["WARN", "slow", "shop_logs"]);
        assert_eq!(line["left"], 3);
        assert_eq!(line["span"]["task"], "journal.writer");
        assert!(field("timestamp").ends_with('Z'), "{text}");
    }

    #[test]
    fn people_read_text() {
        let text = logged(Style::Plain);
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in ["WARN", "journal.writer", "slow", "stream=\"shop_logs\"", "left=3"] {
            assert!(text.contains(part), "no `{part}` in {text}");
        }
        assert!(!text.contains('\u{1b}') && logged(Style::Colored).contains('\u{1b}'));
    }

    #[test]
    fn documented_defaults_are_the_real_ones() {
        let documented: LogSection = crate::settings::documented_defaults();
        assert_eq!(LogSettings::validate(&documented).expect("are valid"), LogSettings::default());
    }
}
