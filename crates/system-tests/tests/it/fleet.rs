//! Roles of a fleet that are told where servers are by Consul, share limits through Redis, and tell others how much
//! they stored: with all of that stopped, started again and moved in mid-flow.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tonic::{Code, Status};
use weir_services::{Consul, Engine, Home, Kafka, Redis, Search};
use weir_system_tests::process::{Setup, Weir, binary};
use weir_system_tests::raw::RawClient;
use weir_system_tests::wait::until;
use weir_testkit::{Action, Proxy};
use weir_wire::proto::producer::{Timber, TimberCollection, TimberContext};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const LOCAL_BATCHES: &str = "weir_limits_local_batches_total";

struct World {
    directory: TempDir,
    kafka: Kafka,
    search: SocketAddr,
    /// Stands before the names of all topics of the test, so that the others' documents are not looked at.
    app: String,
}

/// A role of the fleet, which can be started.
struct Role {
    setup: Setup,
    name: &'static str,
    variables: Vec<(String, String)>,
}

impl World {
    fn start(app: &str) -> Self {
        let directory = tempfile::tempdir().expect("there is space");
        let home = Home::of_the_tree();
        let kafka = Kafka::start(&home, &made(directory.path(), "kafka"), 1).expect("it starts");
        let search = Search::of_this_process(&home, Engine::OpenSearch2).expect("it starts");
        Self { directory, kafka, search, app: app.to_owned() }
    }

    fn consul(&self) -> Consul {
        Consul::start(&Home::of_the_tree(), &made(self.directory.path(), "consul")).expect("it starts")
    }

    /// A role with barito-flow's variables, and these.
    fn role(&self, name: &'static str, place: &str, variables: &[(&str, String)]) -> Role {
        let setup = Setup::new(&made(self.directory.path(), place));
        let own = [
            ("BARITO_PRODUCER_GRPC", setup.addresses.grpc.to_string()),
            ("BARITO_PRODUCER_REST_API", "false".to_owned()),
            ("EXPORTER_PORT", setup.addresses.ops.to_string()),
            ("BARITO_KAFKA_RETRY_INTERVAL", "1".to_owned()),
        ];
        let variables = own.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), value.clone()));
        Role { setup, name, variables: variables.collect() }
    }

    /// So many events, from an app that may send `rate` a second.
    fn batch(&self, events: u32, rate: i32) -> Bytes {
        let value = Value { kind: Some(Kind::StringValue("hello".to_owned())) };
        let content = Struct { fields: [("message".to_owned(), value)].into() };
        let item = Timber { content: Some(content), ..Timber::default() };
        let context = TimberContext {
            kafka_topic: self.app.clone(),
            kafka_partition: 2,
            kafka_replication_factor: 1,
            es_index_prefix: self.app.clone(),
            app_max_tps: rate,
            app_secret: format!("secret of {}", self.app),
            ..TimberContext::default()
        };
        let items = vec![item; events as usize];
        TimberCollection { context: Some(context), items }.encode_to_vec().into()
    }

    /// Waits until there are so many documents.
    async fn has(&self, documents: u64) {
        let url = format!("http://{}/{}-*/_count?ignore_unavailable=true", self.search, self.app);
        let refresh = format!("http://{}/{}-*/_refresh", self.search, self.app);
        until(&format!("there are {documents} documents"), PATIENCE, async || {
            reqwest::Client::new().post(&refresh).send().await.ok()?;
            let answer: Json = reqwest::get(&url).await.ok()?.json().await.ok()?;
            let count = answer["count"].as_u64()?;
            assert!(count <= documents, "{count} documents where {documents} were sent");
            (count == documents).then_some(())
        })
        .await;
    }
}

fn made(directory: &Path, name: &str) -> PathBuf {
    let made = directory.join(name);
    fs::create_dir_all(&made).expect("there is space");
    made
}

impl Role {
    fn command(&self) -> Command {
        let mut command = Command::new(binary());
        self.prepare(command.arg(self.name));
        command
    }

    fn prepare(&self, command: &mut Command) {
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("WEIR_DATA_DIR", &self.setup.data_dir);
    }

    async fn start(&self) -> Weir {
        self.setup.start_as(self.command()).await
    }

    /// Sends a batch, whether it is taken or refused.
    async fn send(&self, batch: Bytes) -> Result<String, Status> {
        RawClient::connect(self.setup.addresses.grpc).await.produce_batch(batch).await
    }

    /// Sends events until it was Redis that decided on one.
    async fn asks_redis(&self, world: &World) {
        until("limits are shared", PATIENCE, async || {
            let before = self.metric(LOCAL_BATCHES).await?;
            self.send(world.batch(1, 1)).await.ok()?;
            (self.metric(LOCAL_BATCHES).await? <= before).then_some(())
        })
        .await;
    }

    /// A line of the metrics of a running process, by its beginning.
    async fn metric(&self, line: &str) -> Option<f64> {
        let url = format!("http://{}/metrics", self.setup.addresses.ops);
        let text = reqwest::get(url).await.ok()?.text().await.ok()?;
        text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
    }
}

/// Waits until `/readyz?verbose` says this of a component.
async fn says(weir: &Weir, line: &str) {
    until(&format!("`{line}` is said"), PATIENCE, async || {
        let (_, text) = weir.readiness().await?;
        text.lines().any(|found| found.starts_with(line)).then_some(())
    })
    .await;
}

async fn register(consul: &Consul, service: &str, address: SocketAddr) {
    let url = format!("http://{}/v1/agent/service/register", consul.address());
    let body = json!({ "ID": service, "Name": service, "Address": address.ip(), "Port": address.port() });
    let client = reqwest::Client::new();
    let answer = client.put(url).body(body.to_string()).send().await.expect("it answers");
    assert!(answer.status().is_success(), "{answer:?}");
}

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("has a port");
    listener.local_addr().expect("has an address")
}

async fn proxy(server: SocketAddr) -> Proxy {
    Proxy::start(server).await.expect("it starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_that_know_only_consul_follow_what_moves_and_go_on_without_it() {
    const RATE: i32 = i32::MAX;
    let world = World::start("moving");
    let mut consul = world.consul();
    let broker: SocketAddr = world.kafka.addresses().parse().expect("is one address");
    let url = [("BARITO_CONSUL_URL", format!("http://{}", consul.address()))];
    let (producer, consumer) = (world.role("p", "producer", &url), world.role("c", "consumer", &url));

    // At first Consul is away, then it knows no broker, then a wrong one.
    let stranger = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("has a port");
    consul.kill().expect("it runs");
    let starting = producer.setup.start_as(producer.command());
    let consulted = async {
        consul.restart().expect("it starts");
        register(&consul, "kafka", stranger.local_addr().expect("has an address")).await;
        let asked = tokio::time::timeout(PATIENCE, stranger.accept()).await;
        drop(asked.expect("it is asked in time").expect("it is asked"));
        register(&consul, "kafka", broker).await;
    };
    let (running_producer, ()) = tokio::join!(starting, consulted);
    producer.send(world.batch(10, RATE)).await.expect("it is taken");

    let node = proxy(world.search).await;
    register(&consul, "elasticsearch", node.address()).await;
    let running_consumer = consumer.start().await;
    world.has(10).await;
    assert!(!node.seen("_bulk").is_empty(), "documents went where Consul says");

    // The node moves; where it was, nobody is.
    let moved = proxy(world.search).await;
    register(&consul, "elasticsearch", moved.address()).await;
    drop(node);
    let last = consul_away(&world, &mut consul, &producer, &consumer, &running_consumer).await;
    assert!(!moved.seen("_bulk").is_empty() && !last.seen("_bulk").is_empty(), "and where they moved");
    assert!(running_consumer.terminate().await.success());
    assert!(running_producer.terminate().await.success());
}

/// Events flow while Consul is away and when it is back with nothing, and then go where it says.
async fn consul_away(
    world: &World,
    consul: &mut Consul,
    producer: &Role,
    consumer: &Role,
    running: &Weir,
) -> Proxy {
    producer.send(world.batch(10, i32::MAX)).await.expect("it is taken");
    world.has(20).await;
    consul.kill().expect("it runs");
    says(running, "discovery.elasticsearch: degraded: what was known last stays").await;
    assert_eq!(running.readiness().await.map(|(status, _)| status), Some(200));
    let away = r#"weir_discovery_away{service="elasticsearch"}"#;
    assert_eq!(consumer.metric(away).await, Some(1.0));
    producer.send(world.batch(10, i32::MAX)).await.expect("it is taken");
    world.has(30).await;

    consul.restart().expect("it starts");
    says(running, "discovery.elasticsearch: degraded: Consul knows no instance").await;
    producer.send(world.batch(10, i32::MAX)).await.expect("it is taken");
    world.has(40).await;
    let node = proxy(world.search).await;
    register(consul, "elasticsearch", node.address()).await;
    says(running, "discovery.elasticsearch: idle").await;
    assert_eq!(consumer.metric(away).await, Some(0.0));
    until("documents go to the node", PATIENCE, async || {
        producer.send(world.batch(1, i32::MAX)).await.expect("it is taken");
        (!node.seen("_bulk").is_empty()).then_some(())
    })
    .await;
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_of_the_settings_do_until_consul_answers() {
    let world = World::start("standby");
    let brokers = [
        ("WEIR_CONSUL__URL", format!("http://{}", nobody())),
        ("WEIR_CONSUL__TIMEOUT", "1s".to_owned()),
        ("WEIR_KAFKA__CONSUL_SERVICE", "kafka".to_owned()),
        ("WEIR_KAFKA__BROKERS", world.kafka.addresses().to_owned()),
    ];
    let producer = world.role("p", "producer", &brokers);
    let running = producer.start().await;
    says(&running, "discovery.kafka: degraded: the addresses of the settings are used").await;
    producer.send(world.batch(1, i32::MAX)).await.expect("it is taken");
    assert!(running.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_shared_while_redis_is_there_and_each_ones_own_while_it_is_away() {
    let world = World::start("limited");
    let mut redis = Redis::start(&made(world.directory.path(), "redis")).expect("it starts");
    let variables = [
        ("BARITO_KAFKA_BROKERS", world.kafka.addresses().to_owned()),
        ("BARITO_RATE_LIMITER_OPT", "REDIS".to_owned()),
        ("BARITO_REDIS_URL", redis.address().to_string()),
        ("BARITO_REDIS_KEY_PREFIX", "fleet-1".to_owned()),
        // A bucket holds what may be sent in this time, and is not filled again while the test runs.
        ("BARITO_PRODUCER_RATE_LIMIT_RESET_INTERVAL", "3600".to_owned()),
    ];
    let (one, other) = (world.role("p", "one", &variables), world.role("p", "other", &variables));
    let (running_one, running_other) = tokio::join!(one.start(), other.start());
    one.asks_redis(&world).await;
    other.asks_redis(&world).await;

    // Nearly all of a bucket of 3,600.
    let bucket = 3500;
    let refused = |outcome: Result<String, Status>| {
        outcome.is_err_and(|status| status.code() == Code::ResourceExhausted)
    };
    one.send(world.batch(bucket, 1)).await.expect("the bucket is full");
    assert!(refused(other.send(world.batch(bucket, 1)).await), "it is empty for the whole fleet");

    redis.kill().expect("it runs");
    other.send(world.batch(bucket, 1)).await.expect("its own bucket is full");
    says(&running_other, "limits: degraded").await;
    assert!(other.metric(LOCAL_BATCHES).await.is_some_and(|batches| batches > 0.0));
    assert!(refused(other.send(world.batch(bucket, 1)).await), "and is empty now");

    // It has forgotten everything.
    redis.restart().expect("it starts");
    other.asks_redis(&world).await;
    says(&running_other, "limits: idle").await;
    other.send(world.batch(bucket, 1)).await.expect("the bucket of the fleet is full");
    one.asks_redis(&world).await;
    assert!(refused(one.send(world.batch(bucket, 1)).await), "it is empty for the whole fleet again");
    assert!(running_one.terminate().await.success());
    assert!(running_other.terminate().await.success());
}

/// How many events the bodies tell of the app; panics if one is not as barito-flow's.
fn told(bodies: &[String], app: &str) -> u64 {
    let count = |body: &String| {
        let groups = body.strip_prefix(r#"{"application_groups":["#).and_then(|rest| rest.strip_suffix("]}"));
        let group = groups.unwrap_or_else(|| panic!("{body}"));
        let number = group.strip_prefix(&format!(r#"{{"token":"secret of {app}","new_log_count":"#));
        let number = number.and_then(|rest| rest.strip_suffix('}'));
        assert!(group.is_empty() || number.is_some(), "{body}");
        number.map_or(0, |number| number.parse::<u64>().expect("is a number"))
    };
    bodies.iter().map(count).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_is_printed_and_told_also_to_one_who_did_not_hear() {
    let world = World::start("counted");
    let market = proxy(nobody()).await;
    market.rule(|_| Action::Close);
    let output = world.directory.path().join("output");
    let brokers = ("BARITO_KAFKA_BROKERS", world.kafka.addresses().to_owned());
    let producer = world.role("p", "producer", std::slice::from_ref(&brokers));
    let consumer = world.role(
        "c",
        "consumer",
        &[
            brokers,
            ("BARITO_ELASTICSEARCH_URLS", format!("http://{}", world.search)),
            ("BARITO_PUSH_METRIC_URL", format!("http://{}/api/increase_log_count", market.address())),
            ("BARITO_PUSH_METRIC_INTERVAL", "300ms".to_owned()),
            ("BARITO_PRINT_TPS", "true".to_owned()),
        ],
    );
    let running_producer = producer.start().await;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "exec \"$0\" c > \"$1\""]).arg(binary()).arg(&output);
    consumer.prepare(&mut shell);
    let running_consumer = consumer.setup.start_as(shell).await;

    producer.send(world.batch(70, i32::MAX)).await.expect("it is taken");
    world.has(70).await;
    until("it is tried to tell", PATIENCE, async || {
        let tried = market.seen("api/increase_log_count");
        tried.iter().any(|(request, _)| request.mentions("new_log_count")).then_some(())
    })
    .await;
    market.rule(|_| Action::Refuse(200));
    let heard = || -> Vec<String> {
        let heard = market.seen("api/increase_log_count").into_iter();
        let heard = heard.filter(|(_, action)| *action == Action::Refuse(200));
        heard.map(|(request, _)| String::from_utf8(request.body).expect("is text")).collect()
    };
    until("all is told", PATIENCE, async || (told(&heard(), &world.app) == 70).then_some(())).await;
    let (request, _) = market.seen("api/increase_log_count").pop().expect("there is one");
    assert_eq!((request.method.as_str(), request.header("content-type")), ("POST", Some("application/json")));

    // What is delivered at the end is told as well.
    producer.send(world.batch(5, i32::MAX)).await.expect("it is taken");
    world.has(75).await;
    assert!(running_consumer.terminate().await.success());
    assert_eq!(told(&heard(), &world.app), 75);
    assert!(running_producer.terminate().await.success());
    let printed = fs::read_to_string(output).expect("it is there");
    let counts = printed.lines().map(|line| line.strip_suffix(" events/s").expect("is a rate"));
    let sum: u64 = counts.map(|count| count.parse::<u64>().expect("is a number")).sum();
    assert!((70..=75).contains(&sum), "{printed}");
}
