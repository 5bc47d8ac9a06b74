//! Apache Kafka in KRaft mode: each node is broker and controller.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use rustix::process::Signal;

use crate::error::{ServiceError, trying};
use crate::home::{Home, free_ports};
use crate::install;
use crate::process::{self, Identity, Server, Spec, tail};

mod guard;

pub use guard::{Guard, Guarded};

const NAME: &str = "kafka";
/// Pinned: the newest release listed is not always there with all of its parts.
const VERSION: &str = "4.3.1";
const ARTIFACTS: [[&str; 3]; 2] =
    [["org.apache.kafka", "kafka_2.13", VERSION], ["org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4"]];

/// What a node says when it comes to lead the controllers; an epoch follows, each greater than the one before.
const CONTROLLER: &str = "Becoming the active controller at epoch ";

const LOGGING: &str = "\
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=out
";

/// A cluster that ends when dropped.
#[derive(Debug)]
pub struct Kafka {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    server: Server,
    port: u16,
}

impl Kafka {
    /// Starts a cluster of one or three nodes with its data under `directory`.
    ///
    /// With three nodes a topic has three copies, of which two must have a record before it is acknowledged.
    pub fn start(home: &Home, directory: &Path, nodes: usize) -> Result<Self, ServiceError> {
        Self::prepare(home, directory, nodes, None)
    }

    /// Starts one node that is also spoken to by TLS, and by those who log in.
    pub fn start_guarded(
        home: &Home,
        directory: &Path,
        guard: &Guard,
    ) -> Result<(Self, Guarded), ServiceError> {
        let guarded = Guarded::free()?;
        let kafka = Self::prepare(home, directory, 1, Some((guard, &guarded)))?;
        Ok((kafka, guarded))
    }

    fn prepare(
        home: &Home,
        directory: &Path,
        nodes: usize,
        guard: Option<(&Guard, &Guarded)>,
    ) -> Result<Self, ServiceError> {
        let libs = libs(home)?;
        let ports = free_ports(2 * nodes)?;
        let (brokers, controllers) = ports.split_at(nodes);
        let cluster = java_tool(&libs, &["random-uuid"])?;
        let mut cluster_nodes = Vec::new();
        for (index, (broker, controller)) in brokers.iter().zip(controllers).enumerate() {
            let number = index + 1;
            let folder = directory.join(format!("{NAME}-{number}"));
            fs::create_dir_all(&folder).map_err(trying(format!("create `{}`", folder.display())))?;
            let mut settings = properties(number, *broker, *controller, controllers, &folder);
            let mut format = vec!["format", "-t", cluster.trim(), "-c"];
            let mut users = Vec::new();
            if let Some((guard, guarded)) = guard {
                settings = guard.added_to(&settings, guarded, &folder)?;
                users = guard.users();
            }
            write(&folder.join("server.properties"), &settings)?;
            write(&folder.join("log4j2.properties"), LOGGING)?;
            let config = folder.join("server.properties").display().to_string();
            format.push(&config);
            format.extend(users.iter().flat_map(|user| ["--add-scram", user]));
            java_tool(&libs, &format)?;
            cluster_nodes.push(Node { server: Server::new(spec(&libs, number, folder)), port: *broker });
        }
        let mut kafka = Self { nodes: cluster_nodes };
        // A controller is ready when most of them are: all are started before any is waited for.
        std::thread::scope(|scope| {
            let starts: Vec<_> =
                kafka.nodes.iter_mut().map(|node| scope.spawn(move || node.start())).collect();
            starts.into_iter().try_for_each(|start| start.join().expect("a start does not panic"))
        })?;
        Ok(kafka)
    }

    /// All brokers, with commas.
    #[must_use]
    pub fn addresses(&self) -> String {
        let addresses: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        addresses.join(",")
    }

    /// Ends a node (from 0) as a crash does.
    pub fn kill(&mut self, node: usize) -> Result<(), ServiceError> {
        self.nodes.get_mut(node).map_or(Ok(()), |node| node.server.kill())
    }

    /// Starts a node that was killed, with its data.
    pub fn restart(&mut self, node: usize) -> Result<(), ServiceError> {
        self.nodes.get_mut(node).map_or(Ok(()), Node::start)
    }

    /// Stops a node in its tracks, as a machine that hangs does.
    pub fn pause(&self, node: usize) -> Result<(), ServiceError> {
        self.signal(node, Signal::STOP)
    }

    /// Lets a paused node go on.
    pub fn resume(&self, node: usize) -> Result<(), ServiceError> {
        self.signal(node, Signal::CONT)
    }

    /// The node (from 0) that leads the controllers, as the nodes themselves say; nothing before one does.
    #[must_use]
    pub fn controller(&self) -> Option<usize> {
        let epochs = self.nodes.iter().enumerate().filter_map(|(index, node)| {
            let log = fs::read_to_string(node.server.log()).ok()?;
            let (_, last) = log.rsplit_once(CONTROLLER)?;
            let digits = last.split(|c: char| !c.is_ascii_digit()).next()?;
            Some((digits.parse::<u64>().ok()?, index))
        });
        epochs.max().map(|(_, index)| index)
    }

    /// One broker for all tests of this process, which ends with it, however it ends. The first caller starts it.
    pub fn of_this_process(home: &Home) -> Result<String, ServiceError> {
        static BROKER: Mutex<Option<String>> = Mutex::new(None);
        let mut broker = BROKER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = &*broker {
            return Ok(address.clone());
        }
        let directory = process::lasting_directory()?;
        let kafka = Self::start(home, &directory, 1)?;
        let address = kafka.addresses();
        for node in kafka.nodes {
            node.server.into_leashed(&directory)?;
        }
        Ok(broker.insert(address).clone())
    }

    fn signal(&self, node: usize, signal: Signal) -> Result<(), ServiceError> {
        self.nodes.get(node).map_or(Ok(()), |node| node.server.signal(signal))
    }

    pub(crate) fn detach(self) -> Vec<Identity> {
        self.nodes.into_iter().filter_map(|node| node.server.into_detached()).collect()
    }
}

impl Node {
    fn start(&mut self) -> Result<(), ServiceError> {
        self.server.start(|spec| tail(&spec.log(), 1 << 20).contains("Kafka Server started"))
    }
}

pub(crate) fn libs(home: &Home) -> Result<PathBuf, ServiceError> {
    let folder =
        home.prepared(&format!("{NAME}-{VERSION}"), |draft| install::jars(NAME, &ARTIFACTS, draft))?;
    Ok(folder.join("libs"))
}

fn spec(libs: &Path, number: usize, folder: PathBuf) -> Spec {
    let logging = format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.properties").display());
    let small = ["-Xms128m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
    let mut arguments: Vec<String> = small.iter().map(ToString::to_string).collect();
    arguments.extend([logging, "-cp".to_owned(), class_path(libs), "kafka.Kafka".to_owned()]);
    arguments.push(folder.join("server.properties").display().to_string());
    Spec {
        name: format!("{NAME}-{number}"),
        program: "java".into(),
        arguments,
        environment: Vec::new(),
        directory: folder,
        package: JAVA,
    }
}

const JAVA: &str = "default-jre-headless";

fn class_path(libs: &Path) -> String {
    libs.join("*").display().to_string()
}

/// Runs Kafka's tool for data folders and gives what it printed.
fn java_tool(libs: &Path, arguments: &[&str]) -> Result<String, ServiceError> {
    let mut command = Command::new("java");
    command
        .args(["-XX:TieredStopAtLevel=1", "-cp", &class_path(libs), "kafka.tools.StorageTool"])
        .args(arguments);
    install::run(NAME, JAVA, &mut command)
}

fn properties(number: usize, broker: u16, controller: u16, controllers: &[u16], folder: &Path) -> String {
    let voters: Vec<String> = controllers
        .iter()
        .enumerate()
        .map(|(index, port)| format!("{}@127.0.0.1:{port}", index + 1))
        .collect();
    let copies = controllers.len();
    let needed = if copies > 1 { 2 } else { 1 };
    let mut text = format!(
        "process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
",
        voters = voters.join(","),
        data = folder.join("data").display(),
    );
    for internal in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
        writeln!(text, "{internal}.replication.factor={copies}").expect(ENDLESS);
    }
    write!(
        text,
        "transaction.state.log.min.isr={needed}
share.coordinator.state.topic.min.isr={needed}
offsets.topic.num.partitions=4
default.replication.factor={copies}
min.insync.replicas={needed}
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
"
    )
    .expect(ENDLESS);
    text
}

const ENDLESS: &str = "a string takes everything";

fn write(path: &Path, text: &str) -> Result<(), ServiceError> {
    fs::write(path, text).map_err(trying(format!("write `{}`", path.display())))
}
