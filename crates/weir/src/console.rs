//! What people see beside the output of a command.

use std::io::{self, Write};

use anstyle::{AnsiColor, Effects, Style};
use anyhow::Result;
use weir_foundation::exit::ExitCode;
use weir_server::api::ErrorDetail;
use weir_store::query::QueryParseError;

use crate::client::ClientError;
use crate::commands::fleet;

const ERROR: Style = AnsiColor::Red.on_default().effects(Effects::BOLD);
const HINT: Style = AnsiColor::Cyan.on_default().effects(Effects::BOLD);

/// A failure that says what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Advised {
    pub(crate) what: String,
    pub(crate) hint: String,
}

/// What was asked makes no sense, whatever the state of weir: exit code 64.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misused(pub(crate) String);

/// Standard output; colours only on a terminal, and not if `NO_COLOR` is set.
pub(crate) fn stdout() -> impl Write {
    Output(anstream::stdout().lock())
}

/// Says with every error that it was the output that could not be written.
struct Output<W>(W);

#[derive(Debug, thiserror::Error)]
#[error("write to standard output")]
struct Unwritten(#[source] io::Error);

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(unwritten)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).map_err(unwritten)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(unwritten)
    }
}

fn unwritten(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), Unwritten(error))
}

/// A line on standard error.
pub(crate) fn note(text: &str) {
    // Nobody to tell if the terminal is gone.
    writeln!(anstream::stderr().lock(), "{text}").ok();
}

/// Prints an error with all its causes, and what to do next.
pub(crate) fn report(error: &anyhow::Error) {
    // Nobody to tell if the terminal is gone.
    write_report(&mut anstream::stderr().lock(), error).ok();
}

fn write_report(out: &mut dyn Write, error: &anyhow::Error) -> io::Result<()> {
    writeln!(out, "{ERROR}error{ERROR:#}: {error:#}")?;
    let asked = error.chain().find_map(|cause| cause.downcast_ref::<Misread>());
    if let Some(Misread { query, detail: ErrorDetail { column: Some(column), expected, .. }, .. }) = asked {
        let error = QueryParseError {
            column: *column as usize,
            expected: expected.clone().unwrap_or_default(),
            found: String::new(),
        };
        error.point(query).lines().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    if let Some(hint) = hint(error) {
        writeln!(out, "{HINT}next{HINT:#}: {hint}")?;
    }
    Ok(())
}

/// How a command ends that failed.
pub(crate) fn exit(error: &anyhow::Error) -> ExitCode {
    let misused = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref::<ClientError>() {
        Some(ClientError::Refused(refusal)) => refusal.detail.code.starts_with("bad-"),
        Some(_) => false,
        None => cause.is::<Misused>(),
    };
    if error.chain().any(misused) { ExitCode::Usage } else { ExitCode::Failure }
}

fn hint(error: &anyhow::Error) -> Option<String> {
    if let Some(advised) = error.downcast_ref::<Advised>() {
        return Some(advised.hint.clone());
    }
    let of_client = error.chain().find_map(|cause| cause.downcast_ref::<ClientError>())?;
    of_client.hint().or_else(|| match of_client {
        ClientError::Refused(refusal) => fleet::hint(&refusal.detail.code).map(str::to_owned),
        _ => None,
    })
}

/// A query that weir could not read, with the text to point into.
#[derive(Debug, thiserror::Error)]
#[error("the query can not be read")]
pub(crate) struct Misread {
    query: String,
    detail: ErrorDetail,
    #[source]
    source: ClientError,
}

/// Keeps the text of the query with an error that points into it.
pub(crate) fn of_query<T>(outcome: Result<T, ClientError>, query: Option<&str>) -> Result<T> {
    outcome.map_err(|error| match (&error, query) {
        (ClientError::Refused(refusal), Some(query)) if refusal.detail.column.is_some() => {
            let (query, detail) = (query.to_owned(), refusal.detail.clone());
            Misread { query, detail, source: error }.into()
        }
        _ => error.into(),
    })
}

/// What [`report`] prints, without colours.
#[cfg(test)]
pub(crate) fn printed(error: &anyhow::Error) -> String {
    let mut out = anstream::StripStream::new(Vec::new());
    write_report(&mut out, error).expect("memory takes it");
    String::from_utf8(out.into_inner()).expect("is text")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::client::Refusal;

    #[test]
    fn output_that_can_not_be_written_is_named() {
        let mut room = [0; 2];
        let error = writeln!(Output(&mut room[..]), "four").expect_err("there is no room");
        assert_eq!(error.kind(), io::ErrorKind::WriteZero, "what a broken pipe is known by");
        let text = format!("{:#}", anyhow::Error::from(error));
        assert_eq!(text, "write to standard output: failed to write whole buffer");
    }

    #[test]
    fn an_error_points_into_the_query() {
        let detail = ErrorDetail {
            code: "bad-query".to_owned(),
            message: "a phrase does not end".to_owned(),
            column: Some(13),
            expected: Some("`\"`".to_owned()),
        };
        let status = http::StatusCode::BAD_REQUEST;
        let refusal = Refusal { status, detail, retry_after: None, body: Bytes::new(), token: None };
        let refused = ClientError::Refused(Box::new(refusal));
        let error = of_query::<()>(Err(refused), Some("level:error \"timed")).expect_err("it is an error");
        insta::assert_snapshot!(printed(&error), @r#"
        error: the query can not be read: a phrase does not end
          level:error "timed
                      ^
        next: docs/query.md has the whole query language
        "#);
        assert_eq!(exit(&error), ExitCode::Usage);
    }
}
