//! What programs that keep logs of others write around their lines.

use std::borrow::Cow;

use weir_model::Timestamp;
use weir_wire::parse_rfc3339;

use super::docker;

/// What the lines of a file are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// What was logged, and nothing else.
    #[default]
    Plain,
    /// As the runtimes of Kubernetes write, containerd and CRI-O.
    Cri,
    /// As Docker's driver `json-file` writes.
    Docker,
}

/// Which output of a program it came from. Lines of the two come in between each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// A line without what is around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unwrapped<'a> {
    pub(crate) stream: Stream,
    pub(crate) time: Timestamp,
    pub(crate) text: Cow<'a, str>,
    /// Whether the line ends here, or goes on in the next of its stream.
    pub(crate) ends: bool,
    /// What else there is, as JSON.
    pub(crate) attributes: Option<Cow<'a, str>>,
}

impl Stream {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "stdout" => Some(Self::Out),
            "stderr" => Some(Self::Err),
            _ => None,
        }
    }

    /// Its name as JSON.
    pub(crate) fn json(self) -> &'static str {
        match self {
            Self::Out => "\"stdout\"",
            Self::Err => "\"stderr\"",
        }
    }
}

impl Format {
    /// None if the line is not of this format, or if the format puts nothing around lines.
    pub(crate) fn unwrap(self, line: Cow<'_, str>) -> Result<Unwrapped<'_>, Cow<'_, str>> {
        match self {
            Self::Plain => Err(line),
            Self::Cri => cri(line),
            Self::Docker => docker::unwrap(line),
        }
    }
}

/// `2026-11-29T08:15:30.123456789+01:00 stdout F text`, with `P` for a line that goes on, and tags behind a colon.
/// <https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md>
fn cri(line: Cow<'_, str>) -> Result<Unwrapped<'_>, Cow<'_, str>> {
    let Some((time, stream, ends, at)) = cri_head(&line) else { return Err(line) };
    let text = match line {
        Cow::Borrowed(line) => Cow::Borrowed(line.get(at..).unwrap_or_default()),
        Cow::Owned(mut line) => Cow::Owned(line.split_off(at)),
    };
    Ok(Unwrapped { stream, time, text, ends, attributes: None })
}

/// With where the text begins.
fn cri_head(line: &str) -> Option<(Timestamp, Stream, bool, usize)> {
    let (time, rest) = line.split_once(' ')?;
    let (stream, rest) = rest.split_once(' ')?;
    // An empty text has no space before it where somebody has taken spaces off the ends of lines.
    let (tags, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let ends = match tags.split(':').next()? {
        "F" => true,
        "P" => false,
        _ => return None,
    };
    let time = parse_rfc3339(time.as_bytes())?;
    Some((time, Stream::named(stream)?, ends, line.len() - text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: Format, line: &str, expected: Option<(&str, Stream, &str, bool)>) {
        for line in [Cow::Borrowed(line), Cow::Owned(line.to_owned())] {
            let found = format.unwrap(line.clone());
            let found = match &found {
                Ok(found) => Some((found.time.to_string(), found.stream, &*found.text, found.ends)),
                Err(same) => {
                    assert_eq!(*same, line);
                    None
                }
            };
            let expected = expected.map(|(time, stream, text, ends)| (time.to_owned(), stream, text, ends));
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn lines_of_runtimes() {
        use Stream::{Err, Out};
        let cri = |line: &str, expected| check(Format::Cri, line, expected);
        cri(
            "2016-10-06T00:17:09.669794202Z stdout F log content 1",
            Some(("2016-10-06T00:17:09.669794Z", Out, "log content 1", true)),
        );
        cri(
            "2016-10-06T00:17:09+09:00 stderr P:tag one  two ",
            Some(("2016-10-05T15:17:09Z", Err, "one  two ", false)),
        );
        cri("2016-10-06T00:17:09Z stdout F ", Some(("2016-10-06T00:17:09Z", Out, "", true)));
        cri("2016-10-06T00:17:09Z stdout F", Some(("2016-10-06T00:17:09Z", Out, "", true)));
        cri("2016-10-06T00:17:09Z stdout X text", None);
        cri("2016-10-06T00:17:09Z stdin F text", None);
        cri("2016-10-06 stdout F text", None);
        cri("plain text", None);
        cri("", None);
    }

    #[test]
    fn lines_of_docker() {
        use Stream::{Err, Out};
        let docker = |line: &str, expected| check(Format::Docker, line, expected);
        docker(
            r#"{"log":"one \u00fc \"two\"\n","stream":"stdout","time":"2016-10-06T00:17:09.669794202Z"}"#,
            Some(("2016-10-06T00:17:09.669794Z", Out, "one ü \"two\"", true)),
        );
        docker(
            r#"{ "time":"2016-10-06T00:17:09Z", "stream":"stderr", "log":"goes on", "attrs":{"a":"b"}}"#,
            Some(("2016-10-06T00:17:09Z", Err, "goes on", false)),
        );
        docker(
            r#"{"log":"\r\n","stream":"stdout","time":"2016-10-06T00:17:09Z"}"#,
            Some(("2016-10-06T00:17:09Z", Out, "", true)),
        );
        docker(r#"{"log":"a\n","stream":"stdout"}"#, None);
        docker(r#"{"log":1,"stream":"stdout","time":"2016-10-06T00:17:09Z"}"#, None);
        docker(r#"{"log":"a","stream":"stdout","time":"2016-10-06T00:17:09Z","more":1}"#, None);
        docker(r#"{"log":"a","stream":"stdout","time":"2016-10-06T00:17:09Z""#, None);
        docker("plain text", None);
    }
}
