use tokio_stream::StreamExt;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use weir_foundation::exit::ExitCode;

use crate::harness::{World, collection, context};
use crate::journal::Mood;

fn ask(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test]
async fn health_is_served() {
    let world = World::new().await;
    let mut client = HealthClient::new(world.channel());
    for service in ["", "producer.Producer"] {
        let answer = client.check(ask(service)).await.expect("is known").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    assert!(client.check(ask("other")).await.is_err());
}

#[tokio::test]
async fn reflection_lists_and_describes_the_services() {
    let world = World::new().await;
    let request = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let requests = tokio_stream::iter([
        request(MessageRequest::ListServices(String::new())),
        request(MessageRequest::FileContainingSymbol("producer.TimberCollection".into())),
    ]);
    let mut client = ServerReflectionClient::new(world.channel());
    let mut answers = client.server_reflection_info(requests).await.expect("is served").into_inner();
    let mut next = async || answers.next().await.expect("an answer").expect("no error").message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = next().await else { panic!("a list") };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"producer.Producer") && names.contains(&"grpc.health.v1.Health"), "{names:?}");
    let Some(MessageResponse::FileDescriptorResponse(file)) = next().await else { panic!("a file") };
    assert!(file.file_descriptor_proto[0].windows(12).any(|window| window == b"ProduceBatch"));
}

#[tokio::test]
async fn the_drain_answers_what_is_in_hand_and_takes_nothing_more() {
    let world = World::new().await;
    world.journal.set(Mood::Slow);
    let mut watcher = HealthClient::new(world.channel());
    let mut health = watcher.watch(ask("producer.Producer")).await.expect("is known").into_inner();
    let first = health.next().await.expect("a state").expect("no error");
    assert_eq!(first.status(), ServingStatus::Serving);

    let mut client = world.client();
    let journal = world.journal.clone();
    let (grpc, http) = (world.grpc, world.http);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let supervisor = world.supervisor;
    let drain = supervisor.run_until(async { stopped.await.expect("the test says so") });
    let in_hand = client.produce_batch(collection(context("shop"), &["one"]));
    let test = async {
        journal.asked(1).await;
        stop.send(()).expect("the supervisor waits");
        let second = health.next().await.expect("a state").expect("no error");
        assert_eq!(second.status(), ServingStatus::NotServing);
        journal.set(Mood::Good);
    };
    let (answer, code, ()) = tokio::join!(in_hand, drain, test);
    answer.expect("what was in hand is answered");
    assert_eq!(code, ExitCode::Good);
    for address in [grpc, http] {
        assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the listener is closed");
    }
}
