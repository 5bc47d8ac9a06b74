use serde_json::json;
use weir_discovery::{ConsulSection, InstancesText, Standby};
use weir_foundation::settings::Secret;

use crate::world::{World, addresses, eventually};

#[tokio::test]
async fn a_service_is_followed_from_its_registration_to_its_end() {
    let world = World::new();
    let mut kafka = world.follow("kafka");
    assert_eq!(kafka.known().await.expect("it answers").len(), 0);
    assert_eq!(
        world.state("kafka"),
        "discovery.kafka: degraded: Consul knows no instance of `kafka` that counts"
    );
    assert!(world.health.ready());

    world.register("one", "kafka", "10.0.0.1", 9092).await;
    let changed = kafka.changed().await.expect("it is followed");
    assert_eq!(changed.iter().map(|found| found.url()).collect::<Vec<_>>(), ["https://10.0.0.1:9092"]);
    assert_eq!(world.state("kafka"), "discovery.kafka: idle");

    world.register("two", "kafka", "", 9093).await;
    kafka.changed().await.expect("it is followed");
    assert_eq!(addresses(&kafka), ["10.0.0.1:9092", "127.0.0.1:9093"], "an agent's own is that of its node");

    world.register("one", "kafka", "10.0.0.7", 9092).await;
    eventually("it has moved", || addresses(&kafka) == ["10.0.0.7:9092", "127.0.0.1:9093"]).await;
    world.deregister("two").await;
    world.deregister("one").await;
    eventually("all are gone", || addresses(&kafka).is_empty()).await;
}

#[tokio::test]
async fn what_was_known_stays_while_consul_is_away_and_is_followed_again() {
    let mut world = World::new();
    // So that the next life begins with a lower index.
    for port in 1..20 {
        world.register("es", "elasticsearch", "10.0.0.1", port).await;
    }
    let mut store = world.follow("elasticsearch");
    store.known().await.expect("it answers");
    eventually("it is known", || addresses(&store) == ["10.0.0.1:19"]).await;

    world.consul.kill().expect("it can be killed");
    eventually("it is told", || world.state("elasticsearch").contains("what was known last stays")).await;
    assert_eq!(addresses(&store), ["10.0.0.1:19"]);
    assert!(world.health.ready());

    world.consul.restart().expect("it starts again");
    world.register("es", "elasticsearch", "10.0.0.2", 9200).await;
    eventually("it has moved", || addresses(&store) == ["10.0.0.2:9200"]).await;
    eventually("all is well", || world.state("elasticsearch") == "discovery.elasticsearch: idle").await;
    world.register("es", "elasticsearch", "10.0.0.3", 9200).await;
    eventually("it has moved again", || addresses(&store) == ["10.0.0.3:9200"]).await;
}

#[tokio::test]
async fn a_process_that_starts_without_consul_waits_for_it() {
    let mut world = World::new();
    world.consul.kill().expect("it can be killed");
    let mut redis = world.follow("redis");
    eventually("it is told", || world.state("redis").contains("it is not known yet where it is")).await;
    assert!(!world.health.ready());
    assert!(redis.current().is_none());
    world.consul.restart().expect("it starts");
    assert_eq!(redis.known().await.expect("it answers").len(), 0);
    let World { supervisor, .. } = world;
    supervisor.run_until(async {}).await;
    assert!(redis.changed().await.is_none(), "nobody follows it any more");
}

#[tokio::test]
async fn a_process_that_has_other_addresses_is_ready_without_consul() {
    let mut world = World::new();
    world.consul.kill().expect("it can be killed");
    let redis = world.follow_beside("redis", Standby::Addresses);
    eventually("it is told", || world.state("redis").contains("the addresses of the settings are used"))
        .await;
    assert!(world.health.ready() && redis.current().is_none());
}

#[tokio::test]
async fn only_instances_whose_checks_pass_count_unless_the_settings_say_so() {
    let world = World::new();
    let with_check = |id: &str, port: u16, status: &str| {
        json!({"ID": id, "Name": "es", "Address": "10.0.0.1", "Port": port,
               "Check": {"TTL": "1h", "Status": status}})
    };
    world.put("/v1/agent/service/register", &with_check("sick", 1, "critical").to_string()).await;
    let resolve = async |instances| {
        let section = ConsulSection { instances: Some(instances), ..ConsulSection::default() };
        let found = world.client(section).resolve("es").await.expect("it answers");
        found.iter().map(|endpoint| endpoint.port).collect::<Vec<_>>()
    };
    assert!(resolve(InstancesText::Passing).await.is_empty());
    assert_eq!(resolve(InstancesText::PreferPassing).await, [1]);
    assert_eq!(resolve(InstancesText::All).await, [1]);
    world.put("/v1/agent/service/register", &with_check("well", 2, "passing").to_string()).await;
    assert_eq!(resolve(InstancesText::Passing).await, [2]);
    assert_eq!(resolve(InstancesText::PreferPassing).await, [2]);
    assert_eq!(resolve(InstancesText::All).await, [1, 2]);
}

#[tokio::test]
async fn a_datacenter_that_is_none_and_other_refusals_are_errors() {
    let world = World::new();
    let section = ConsulSection {
        datacenter: Some("nowhere".to_owned()),
        token: Some(Secret::new("any")),
        ..ConsulSection::default()
    };
    let error = world.client(section).resolve("kafka").await.expect_err("there is no such datacenter");
    assert_eq!(error.to_string(), "Consul answered 500 Internal Server Error when asked for `kafka`");
    let odd =
        world.client(ConsulSection::default()).resolve("a/b?c#d").await.expect("is a name like any other");
    assert!(odd.is_empty());
}
