//! Everything that is logged over the life of an agent, by all that takes part in it, at the level that says most.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use weir_auth::access_key::AccessKey;
use weir_system_tests::cli::Running;
use weir_system_tests::process::{binary, free_address};
use weir_system_tests::wait::{until, until_seldom};

use crate::enrolled::{Instance, PATIENCE};
use crate::writers::count;

/// Where the 32 bytes are that nobody may know of a private key on P-256 as PKCS#8.
const SCALAR: std::ops::Range<usize> = 36..68;

/// What nobody may read who reads a log, in every form in which a log could have it.
#[derive(Debug, Default)]
struct Secrets(BTreeSet<String>);

impl Secrets {
    fn text(&mut self, secret: &str) {
        assert!(secret.len() >= 16, "{secret} is in many texts");
        self.0.insert(secret.to_owned());
        // What is behind the prefix that says what it is.
        self.0.extend(secret.split_once(['_', '.']).map(|(_, rest)| rest.to_owned()));
    }

    fn bytes(&mut self, secret: &[u8]) {
        let listed = format!("{secret:?}");
        self.0.extend([
            BASE64_STANDARD.encode(secret),
            BASE64_URL_SAFE_NO_PAD.encode(secret),
            secret.iter().map(|byte| format!("{byte:02x}")).collect(),
            listed.trim_matches(['[', ']']).to_owned(),
        ]);
    }

    /// A private key in base64.
    fn key(&mut self, encoded: &str) {
        let key = BASE64_STANDARD.decode(encoded).unwrap();
        self.bytes(&key);
        self.bytes(key.get(SCALAR).unwrap_or(&key));
    }

    /// Those of an agent, as its folder has them now.
    fn of_agent(&mut self, folder: &Path) {
        for file in ["identity.json", "joining.json"] {
            let Ok(text) = std::fs::read(folder.join(file)) else { continue };
            let document: Value = serde_json::from_slice(&text).unwrap();
            for name in ["key", "next"] {
                document[name].as_str().into_iter().for_each(|key| self.key(key));
            }
        }
    }

    /// Those that an operator makes, the last of which is an access key.
    fn of_operator(&mut self, operator: &mut Operator<'_>) -> String {
        self.text(&operator.made(&["app", "create", "shop"], "weira1_"));
        self.text(&operator.made(&["app", "secret", "add", "shop"], "weira1_"));
        self.text(&operator.made(&["operator", "create", "ann"], "weiro1_"));
        let create = ["agent", "key", "create", "web", "--app", "shop", "--labels", "role=web", "--seal"];
        let key = operator.made(&create, "weirk1.");
        self.text(&key);
        let access: AccessKey = key.parse().unwrap();
        self.text(access.secret.reveal());
        key
    }

    /// Those of an instance that has ended.
    fn of_instance(&mut self, state: &Path) {
        let state = rusqlite::Connection::open(state.join("state.db")).unwrap();
        let mut rows = state.prepare("SELECT value FROM document WHERE kind = 'instance'").unwrap();
        let values = rows.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        let instance: Value = serde_json::from_slice(&values.last().unwrap().unwrap()).unwrap();
        let before = self.0.len();
        self.key(instance["seal"].as_str().unwrap());
        for root in instance["roots"].as_array().unwrap() {
            self.key(root["key"].as_str().unwrap());
            self.key(root["intermediate"]["key"].as_str().unwrap());
        }
        for signing in instance["signing"].as_array().unwrap() {
            self.key(signing["key"].as_str().unwrap());
        }
        assert!(self.0.len() >= before + 4 * 4, "it has four keys at least");
    }

    /// None of them is there, and no access token, nor a part of one that is good for anything.
    fn are_not_in(&self, whose: &str, log: &str) {
        for secret in &self.0 {
            assert!(!log.contains(secret.as_str()), "{secret} is in the log of {whose}");
        }
        for (at, _) in log.match_indices("eyJ") {
            let is_of_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            let word: String = log[at..].chars().take_while(|c| is_of_token(*c)).collect();
            assert!(word.len() < 60 || !word.contains('.'), "{word} is in the log of {whose}");
        }
    }
}

/// An agent that logs all that it can.
fn agent(folder: &Path, ops: SocketAddr, key: Option<&str>) -> Running {
    let mut command = Command::new(binary());
    command.env_clear().env("TZ", "UTC").env("WEIR_LISTEN__OPS", ops.to_string());
    command.env("WEIR_AGENT__NAME", "web-1").env("WEIR_AGENT__RETRY_LONGEST", "500ms");
    command.env("WEIR_AGENT__PROBATION", "300ms").env("WEIR_LOG__LEVEL", "trace");
    command.envs(key.map(|key| ("WEIR_KEY", key)));
    command.args(["agent", "run", "--data-dir"]).arg(folder);
    Running::start(command, b"")
}

/// What is printed and what is logged by commands of operators.
struct Operator<'a> {
    instance: &'a Instance,
    logged: String,
}

impl Operator<'_> {
    fn run(&mut self, arguments: &[&str]) -> String {
        let outcome = self.instance.setup.run(arguments);
        assert!(outcome.status.success(), "{arguments:?}: {}", outcome.err);
        self.logged += &outcome.err;
        outcome.out
    }

    /// The word that begins so in what a command prints.
    fn made(&mut self, arguments: &[&str], prefix: &str) -> String {
        let told = self.run(arguments);
        let mut words = told.split(|c: char| c.is_whitespace() || matches!(c, '=' | '`' | '\'' | '"'));
        words.find(|word| word.starts_with(prefix)).expect("it is printed").to_owned()
    }
}

fn generation(folder: &Path) -> Option<u64> {
    let text = std::fs::read(folder.join("identity.json")).ok()?;
    serde_json::from_slice::<Value>(&text).ok()?["identity"]["generation"].as_u64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_any_log_of_an_agents_life() {
    let directory = tempfile::tempdir().unwrap();
    let mut instance = Instance::new(&directory.path().join("data"), Ipv4Addr::LOCALHOST);
    for (path, value) in
        [("log.level", "trace"), ("fleet.certificate_life", "10s"), ("fleet.token_life", "3s")]
    {
        instance.setup = instance.setup.with(path, value);
    }
    let addresses = instance.setup.addresses;
    let (mut server, of_server) = instance.setup.spawn_logged();
    server.ready().await;
    let mut secrets = Secrets::default();
    let token = std::fs::read_to_string(directory.path().join("data/operator.token")).unwrap();
    secrets.text(token.trim());
    let mut operator = Operator { instance: &instance, logged: String::new() };
    let key = secrets.of_operator(&mut operator);

    let (logs, state) = (directory.path().join("logs"), directory.path().join("state"));
    std::fs::create_dir(&logs).unwrap();
    let text = format!("inputs: [{{paths: ['{}/*.log'], scan_interval: 50ms}}]\n", logs.display());
    let file = directory.path().join("agent.yaml");
    std::fs::write(&file, text).unwrap();
    operator.run(&["config", "set", "--labels", "role=web", &file.display().to_string()]);
    let (mut of_agents, mut served) = (String::new(), String::new());
    // It joins, renews, is away for longer than its certificate lives, and is made good again.
    let ops = free_address();
    for life in 0..2_u64 {
        let running = agent(&state, ops, (life == 0).then_some(key.as_str()));
        std::fs::write(logs.join(format!("{life}.log")), "a line\n").unwrap();
        until("its line is stored", PATIENCE, async || {
            secrets.of_agent(&state);
            (count(addresses, "shop").await as u64 > life).then_some(())
        })
        .await;
        let before = generation(&state).unwrap();
        until("it has renewed", PATIENCE, async || {
            secrets.of_agent(&state);
            (generation(&state)? >= before + 2).then_some(())
        })
        .await;
        // It may just come again with its new certificate.
        served += &until_seldom("its log is served", PATIENCE, async || {
            let outcome = instance.setup.run(&["agent", "logs", "web-1", "--lines", "1000"]);
            operator.logged += &outcome.err;
            outcome.status.success().then_some(outcome.out)
        })
        .await;
        of_agents += &running.err();
        drop(running);
        secrets.of_agent(&state);
        until_seldom("its certificate has ended", PATIENCE, async || {
            let agents = instance.agents();
            agents[0]["why"].as_str()?.contains("its certificate ended").then_some(())
        })
        .await;
    }
    // The key is used up; and then its agent is sent away.
    let late = agent(&directory.path().join("late"), free_address(), Some(&key));
    until("it is refused", PATIENCE, async || late.err().contains("not taken as an agent").then_some(()))
        .await;
    secrets.of_agent(&directory.path().join("late"));
    operator.run(&["agent", "revoke", "web-1"]);
    let revoked = agent(&state, ops, None);
    until("it is out", PATIENCE, async || revoked.err().contains("revoked").then_some(())).await;
    of_agents += &(late.err() + &revoked.err());
    drop((late, revoked));
    let of_commands = operator.logged;
    assert!(server.terminate().await.success());
    secrets.of_instance(&directory.path().join("data/state"));
    let of_server = of_server.join().unwrap();

    let said = |log: &str, what: &str| assert!(log.contains(what), "the log is read: {what}");
    said(&of_server, "a node is an agent now");
    said(&of_server, "an agent whose certificate had ended has a new one");
    said(&of_server, "\"level\":\"TRACE\"");
    said(&of_agents, "the certificate is renewed");
    said(&of_agents, "\"level\":\"TRACE\"");
    said(&served, "TRACE");
    secrets.are_not_in("the server", &of_server);
    secrets.are_not_in("the agent", &of_agents);
    secrets.are_not_in("the agent, as the server has it", &served);
    secrets.are_not_in("the commands", &of_commands);
}
