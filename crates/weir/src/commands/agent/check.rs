//! `weir agent check`: how the agent on this machine is, by its own word, and what inputs would read here.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use weir_foundation::clock::{Clock, SystemClock, timeout};
use weir_foundation::connect::{self, Limits};
use weir_foundation::exit::ExitCode;
use weir_foundation::fetch::Fetcher;

use super::super::{OutputArgs, block_on, zone};
use super::trial;
use crate::compose::CONNECTED;
use crate::console::{self, Advised};
use crate::output::{Column, Format, Row, Zone, json_line, left, print_rows, printable, right};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where the agent shows its health: `listen.ops` of its settings
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8009")]
    ops: SocketAddr,
    /// Ask no agent: show which files the inputs of this file would read here, and their first events as they would be sent
    #[arg(long, value_name = "FILE", conflicts_with = "ops")]
    inputs: Option<PathBuf>,
    /// How many events of each file at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 2, requires = "inputs")]
    events: usize,
    #[command(flatten)]
    output: OutputArgs,
}

const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of what is read at most.
const PAGE: usize = 16 << 20;

/// As much as is read here of what `/status` says.
#[derive(Debug, Deserialize)]
struct Page {
    version: String,
    role: String,
    ready: bool,
    #[serde(default)]
    components: Vec<Component>,
    #[serde(default)]
    sections: Sections,
}

#[derive(Debug, Deserialize)]
struct Component {
    name: String,
    condition: String,
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Sections {
    agent: Option<Section>,
}

/// What the agent says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Section {
    /// Absent before it has joined.
    name: Option<String>,
    /// How it stands with its server, in words.
    link: String,
    /// Hash of the server's configuration that it runs; empty for none.
    #[serde(default)]
    configuration: String,
    /// The one that it could not run since.
    #[serde(default)]
    failed: Option<Failed>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    inputs: Vec<Input>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Failed {
    revision: u64,
    error: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Input {
    kind: String,
    app: String,
    #[serde(default)]
    paths: Vec<String>,
    files: u64,
    lag_bytes: u64,
    lag_seconds: Option<u64>,
    lines: u64,
    stored_bytes: u64,
    errors: u64,
    last_error: Option<String>,
}

/// What a check found.
#[derive(Debug, Serialize)]
struct Finding {
    /// Whether nothing is wrong.
    good: bool,
    version: String,
    #[serde(flatten)]
    agent: Section,
    /// What is wrong beside that.
    problems: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(file) = &arguments.inputs {
        return trial::run(file, arguments.events, arguments.output.output, &zone());
    }
    let page = block_on(ask(arguments.ops))?;
    let finding = Finding::of(page, arguments.ops)?;
    print(&mut console::stdout(), arguments.output.output, &zone(), &finding)?;
    Ok(if finding.good { ExitCode::Good } else { ExitCode::Failure })
}

async fn ask(ops: SocketAddr) -> Result<Page> {
    let absent = || {
        Advised {
        what: format!("no agent answers at {ops}"),
        hint: "start it with `weir agent run`, or name another address with `--ops`: `listen.ops` of its settings"
            .to_owned(),
    }
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let limits = Limits { connect: PATIENCE, silence: None };
    let fetcher = Fetcher::over(connect::plain(limits, Arc::clone(&clock)));
    let url = format!("http://{ops}/status").parse().context("make an address of that")?;
    let answer = timeout(&*clock, PATIENCE, fetcher.get(&url, HeaderMap::new(), PAGE)).await;
    let page = answer.with_context(absent)?.with_context(absent)?.body;
    serde_json::from_slice(&page).context("read what the agent says; is it of the same version?")
}

impl Finding {
    fn of(page: Page, ops: SocketAddr) -> Result<Self> {
        let Some(agent) = page.sections.agent else {
            let what = format!("what answers at {ops} is no agent but `weir {}`", page.role);
            let hint =
                "an agent shows its health at 127.0.0.1:8009 where `listen.ops` says nothing else".to_owned();
            return Err(Advised { what, hint }.into());
        };
        let is_ill =
            |component: &Component| !["idle", "working", "degraded"].contains(&component.condition.as_str());
        let problems: Vec<String> = if page.ready {
            Vec::new()
        } else {
            let ill = page.components.iter().filter(|component| is_ill(component));
            ill.map(Component::text).collect()
        };
        // An error of long ago is none any more, unless something waits.
        let errs = |input: &Input| input.errors > 0 && (input.files == 0 || input.lag_bytes > 0);
        let is_well = agent.link == CONNECTED && !agent.inputs.iter().any(errs);
        let good = page.ready && agent.failed.is_none() && agent.error.is_none() && is_well;
        Ok(Self { good, version: page.version, agent, problems })
    }
}

impl Component {
    fn text(&self) -> String {
        let Self { name, condition, reason } = self;
        match reason {
            Some(reason) => format!("{name}: {condition}: {reason}"),
            None => format!("{name}: {condition}"),
        }
    }
}

/// As CSV the inputs alone.
fn print(out: &mut dyn Write, format: Format, zone: &Zone, finding: &Finding) -> Result<()> {
    match format {
        Format::Text => write_text(out, zone, finding),
        Format::Json => Ok(json_line(out, finding)?),
        Format::Csv => Ok(print_rows(out, format, zone, &finding.agent.inputs)?),
    }
}

fn write_text(out: &mut dyn Write, zone: &Zone, finding: &Finding) -> Result<()> {
    let Section { name, link, configuration, failed, error, inputs } = &finding.agent;
    let runs = match (configuration.as_str(), inputs.is_empty()) {
        ("", true) => "none".to_owned(),
        ("", false) => "of the settings on this machine".to_owned(),
        (hash, _) => format!("of the server, {}", hash.chars().take(12).collect::<String>()),
    };
    let mut lines = vec![
        ("agent", name.clone().unwrap_or_else(|| "has not joined yet".to_owned())),
        ("version", finding.version.clone()),
        ("server", link.clone()),
        ("configuration", runs),
    ];
    lines.extend(
        failed
            .as_ref()
            .map(|failed| ("could not run", format!("revision {}: {}", failed.revision, failed.error))),
    );
    lines.extend(error.clone().map(|error| ("error", error)));
    lines.extend(finding.problems.iter().map(|problem| ("not ready", problem.clone())));
    lines.iter().try_for_each(|(name, value)| writeln!(out, "{name:<15}{}", printable(value)))?;
    if inputs.is_empty() {
        writeln!(out, "{:<15}nothing", "reads")?;
        return Ok(());
    }
    writeln!(out)?;
    print_rows(out, Format::Text, zone, inputs)?;
    for input in inputs {
        if let Some(error) = &input.last_error {
            writeln!(out, "{}: {}", printable(&input.paths.join(", ")), printable(error))?;
        }
    }
    Ok(())
}

impl Row for Input {
    const COLUMNS: &'static [Column] = &[
        left("app"),
        right("files"),
        right("lag_bytes"),
        right("lag_seconds"),
        right("lines"),
        right("stored_bytes"),
        right("errors"),
        left("reads"),
    ];

    fn cells(&self, _: &Zone) -> Vec<String> {
        vec![
            self.app.clone(),
            self.files.to_string(),
            self.lag_bytes.to_string(),
            self.lag_seconds.unwrap_or_default().to_string(),
            self.lines.to_string(),
            self.stored_bytes.to_string(),
            self.errors.to_string(),
            self.paths.join(", "),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn page() -> Value {
        json!({
            "version": "1.2.3", "role": "agent", "durability": "…", "started": "2026-11-29T00:00:00Z",
            "uptime_seconds": 7, "ready": true,
            "components": [{ "name": "uplink", "condition": "idle", "reason": null, "pending": 0 }],
            "sections": { "agent": {
                "name": "web-1", "link": "connected", "configuration": "5".repeat(64), "failed": null, "error": null,
                "inputs": [{
                    "kind": "files", "app": "shop", "paths": ["/var/log/app/*.log", "/var/log/other.log"], "files": 2,
                    "lag_bytes": 100, "lag_seconds": 3, "lines": 170, "stored_bytes": 12000, "errors": 0,
                    "last_error": null,
                }],
            }},
        })
    }

    fn found(page: &Value) -> Finding {
        let page: Page = serde_json::from_value(page.clone()).expect("is a page");
        Finding::of(page, ([127, 0, 0, 1], 8009).into()).expect("it is of an agent")
    }

    fn printed(format: Format, page: &Value) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        print(&mut out, format, &Zone::utc(), &found(page)).expect("memory takes it");
        String::from_utf8(out.into_inner()).expect("is text")
    }

    #[test]
    fn an_agent_that_is_well() {
        assert!(found(&page()).good);
        insta::assert_snapshot!(printed(Format::Text, &page()));
        insta::assert_snapshot!(printed(Format::Json, &page()));
        insta::assert_snapshot!(printed(Format::Csv, &page()));
    }

    #[test]
    fn an_agent_says_everything_that_is_wrong() {
        let mut page = page();
        page["ready"] = json!(false);
        page["components"][0] =
            json!({ "name": "uplink", "condition": "failed", "reason": "refused: agent-revoked" });
        let agent = &mut page["sections"]["agent"];
        agent["link"] = json!("refused: agent-revoked");
        agent["failed"] =
            json!({ "revision": 5, "error": "the input `/b` can not start: permission denied" });
        agent["error"] = json!("could not write `configuration.json`: no space left");
        agent["inputs"][0]["errors"] = json!(4);
        agent["inputs"][0]["last_error"] = json!("`/var/log/app/x.log`: permission denied");
        assert!(!found(&page).good);
        insta::assert_snapshot!(printed(Format::Text, &page));
    }

    #[test]
    fn an_agent_that_has_not_joined() {
        let mut page = page();
        page["ready"] = json!(false);
        page["sections"]["agent"] =
            json!({ "name": null, "link": "not enrolled: the access key was revoked", "inputs": [] });
        insta::assert_snapshot!(printed(Format::Text, &page));
    }

    #[test]
    fn what_is_wrong_decides() {
        let check = |change: &dyn Fn(&mut Value), good: bool| {
            let mut page = page();
            change(&mut page);
            assert_eq!(found(&page).good, good, "{page}");
        };
        check(&|page| page["ready"] = json!(false), false);
        check(&|page| page["sections"]["agent"]["error"] = json!("x"), false);
        check(&|page| page["sections"]["agent"]["failed"] = json!({ "revision": 1, "error": "x" }), false);
        check(&|page| page["sections"]["agent"]["link"] = json!("connected, and throttled: x"), false);
        // A file of several that could not be read once is told, and no more, unless something waits.
        let once = |lag: u64| {
            move |page: &mut Value| {
                page["sections"]["agent"]["inputs"][0]["errors"] = json!(1);
                page["sections"]["agent"]["inputs"][0]["lag_bytes"] = json!(lag);
            }
        };
        check(&once(0), true);
        check(&once(1), false);
        let nothing = |page: &mut Value| {
            page["sections"]["agent"]["inputs"][0]["errors"] = json!(1);
            page["sections"]["agent"]["inputs"][0]["files"] = json!(0);
        };
        check(&nothing, false);
    }

    #[test]
    fn another_role_is_named() {
        let mut page = page();
        page["role"] = json!("up");
        page["sections"] = json!({ "journal": {} });
        let page: Page = serde_json::from_value(page).expect("is a page");
        let error = Finding::of(page, ([127, 0, 0, 1], 8008).into()).expect_err("it is no agent");
        assert_eq!(error.to_string(), "what answers at 127.0.0.1:8008 is no agent but `weir up`");
    }

    #[test]
    fn nobody_is_named_with_what_to_do() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let free = listener.local_addr().expect("it is bound");
        drop(listener);
        let error = block_on(ask(free)).expect_err("nobody is there");
        assert_eq!(error.to_string(), format!("no agent answers at {free}"));
        assert!(error.downcast_ref::<Advised>().is_some_and(|advised| advised.hint.contains("--ops")));
    }
}
