use bytes::Bytes;
use reqwest::StatusCode;
use serde_json::{Value, json};
use weir_model::{IndexPrefix, Offset, Position, RecordFormat, StreamPartition, Timestamp};
use weir_store::{DeadLetter, DeadLetterStore, DeadReason};
use weir_wire::EventsBuilder;

use crate::world::{T0, World};

fn letter(partition: &StreamPartition, offset: u64, code: &str, original: &'static [u8]) -> DeadLetter {
    DeadLetter {
        position: Position { partition: partition.clone(), offset: Offset(offset), index: 0 },
        events: 1,
        received: Timestamp::from_micros(T0),
        died: Timestamp::from_micros(T0 + 1),
        prefix: Some(IndexPrefix::new("shop").expect("is legal")),
        format: RecordFormat::Events,
        reason: DeadReason { code: code.to_owned(), message: "it is too deep".to_owned() },
        original: Bytes::from_static(original),
    }
}

/// Five letters: 0 to 3 are `too-deep`, 4 is a loss without bytes.
async fn cemetery() -> World {
    let world = World::new().await;
    let partition = world.create_stream("shop_logs").await;
    let letters = (0..4).map(|offset| letter(&partition, offset, "too-deep", b"bytes"));
    let letters = letters.chain([letter(&partition, 4, "lost-damaged", b"")]).collect();
    world.store.put(letters).await.expect("memory takes it");
    world
}

async fn ids(world: &World, query: &str) -> Vec<String> {
    let (status, answer) = world.get(&format!("/api/v1/dead?{query}")).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let letters = answer["letters"].as_array().expect("is a list");
    letters.iter().map(|letter| letter["id"].as_str().expect("is text").to_owned()).collect()
}

#[tokio::test]
async fn letters_are_listed_page_by_page_and_shown() {
    let world = cemetery().await;
    assert_eq!(ids(&world, "").await.len(), 5);
    assert_eq!(ids(&world, "code=too-deep&stream=shop").await.len(), 4);
    assert_eq!(ids(&world, "stream=other").await.len(), 0);
    let (_, page) = world.get("/api/v1/dead?limit=3").await;
    let rest = ids(&world, &format!("after={}", page["next"])).await;
    assert_eq!(rest.len(), 2);
    let listed = &page["letters"][0];
    assert_eq!((&listed["bytes"], &listed["original"]), (&json!(5), &Value::Null), "no list carries bytes");

    let (status, letter) = world.get(&format!("/api/v1/dead/{}", rest[0])).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&letter["id"], &letter["code"]), (&json!(rest[0]), &json!("too-deep")));
    assert_eq!((&letter["original"], &letter["prefix"]), (&json!("Ynl0ZXM="), &json!("shop")));
    let missing = rest[0].replace("-0-3.0", "-0-99.0");
    assert_eq!(world.get(&format!("/api/v1/dead/{missing}")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.get("/api/v1/dead/what").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_the_door_takes_again_is_no_longer_dead() {
    let world = cemetery().await;
    let (status, answer) = world.post("/api/v1/dead/replay", json!({"all": true})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&answer["accepted"], &answer["refused_total"]), (&json!(4), &json!(1)));
    assert_eq!(answer["refused"][0]["reason"], "there is nothing to send");
    assert_eq!(ids(&world, "").await.len(), 1);
    let taken = world.door.taken.lock().expect("no test panics with it");
    assert_eq!(taken.iter().map(|letter| letter.position.offset.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

/// Two letters of one event each, and one whose bytes are none.
async fn readable() -> (World, Vec<String>) {
    let world = World::new().await;
    let partition = world.create_stream("shop_logs").await;
    let event = |text: &str| {
        let mut events = EventsBuilder::new(&IndexPrefix::new("shop").expect("is legal"));
        events.push_json(text, Some(Timestamp::from_micros(T0)));
        let (value, _) = events.finish();
        let batch = weir_wire::decode_record(RecordFormat::Events, &value, Timestamp::from_micros(0));
        let batch = batch.expect("was just made");
        let original = batch.get(0).and_then(|event| event.original.map(Bytes::copy_from_slice));
        original.expect("has one event")
    };
    let contents = [r#"{"level":{"name":"x"},"n":9007199254740993}"#, r#"{"level":"y"}"#];
    let letters = (0..).zip(contents).map(|(offset, content)| DeadLetter {
        original: event(content),
        ..letter(&partition, offset, "rejected", b"")
    });
    let broken = letter(&partition, 2, "undecodable", b"\xff\xff");
    world.store.put(letters.chain([broken]).collect()).await.expect("memory takes it");
    let ids = ids(&world, "").await;
    (world, ids)
}

/// What the door was given, as it decodes.
fn taken(world: &World) -> Vec<String> {
    let taken = world.door.taken.lock().expect("no test panics with it");
    let content = |letter: &DeadLetter| {
        let context = weir_wire::Context { index_prefix: "shop", ..weir_wire::Context::default() };
        let (format, value) = weir_wire::single_event_record(letter.format, &letter.original, &context);
        let batch = weir_wire::decode_record(format, &value, letter.received).expect("is a record");
        let event = batch.get(0).expect("has an event");
        assert_eq!(event.time.micros(), T0, "its time stays");
        event.content.expect("is whole").to_string()
    };
    taken.iter().map(content).collect()
}

#[tokio::test]
async fn a_letter_is_shown_as_it_can_be_read() {
    let (world, ids) = readable().await;
    let (_, shown) = world.get(&format!("/api/v1/dead/{}", ids[1])).await;
    assert_eq!(shown["content"], json!({"level": "y"}));
    let (_, shown) = world.get(&format!("/api/v1/dead/{}", ids[2])).await;
    assert_eq!(shown["content"], Value::Null);
}

#[tokio::test]
async fn an_event_is_changed_before_the_door_gets_it() {
    let (world, ids) = readable().await;
    let replay = async |body: Value| world.post("/api/v1/dead/replay", body).await;
    let (status, answer) = replay(json!({"all": true, "set": {"level": 3, "by.whom": "me"}})).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!((&answer["accepted"], &answer["refused_total"]), (&json!(2), &json!(1)));
    assert_eq!(answer["refused"][0]["id"], ids[2]);
    let expected =
        [r#"{"by":{"whom":"me"},"level":3,"n":9007199254740993}"#, r#"{"by":{"whom":"me"},"level":3}"#];
    assert_eq!(taken(&world), expected);
    for body in [
        json!({"all": true, "content": {"n": 1}}),
        json!({"ids": [ids[2]], "set": {"a..b": 1}}),
        json!({"ids": [ids[2]], "set": {"": 1}}),
    ] {
        assert_eq!(replay(body.clone()).await.0, StatusCode::BAD_REQUEST, "{body}");
    }
    // What is no event is refused, and stays.
    let (_, answer) = replay(json!({"ids": [ids[2]], "content": {}})).await;
    assert_eq!((&answer["accepted"], &answer["refused_total"]), (&json!(0), &json!(1)));
    assert_eq!(self::ids(&world, "").await, [ids[2].clone()]);
}

#[tokio::test]
async fn letters_are_purged_by_name_and_by_reason() {
    let world = cemetery().await;
    let first = ids(&world, "").await[0].clone();
    assert_eq!(world.post("/api/v1/dead/purge", json!({"ids": [first]})).await.1, json!({"purged": 1}));
    assert_eq!(world.post("/api/v1/dead/purge", json!({"code": "too-deep"})).await.1, json!({"purged": 3}));
    assert_eq!(ids(&world, "").await.len(), 1);
}

#[tokio::test]
async fn a_selection_that_says_nothing_or_too_much_touches_nothing() {
    let world = cemetery().await;
    let check = async |selection: Value| {
        for path in ["/api/v1/dead/purge", "/api/v1/dead/replay"] {
            let (status, answer) = world.post(path, selection.clone()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {selection}: {answer}");
        }
    };
    check(json!({})).await;
    check(json!({"ids": []})).await;
    check(json!({"ids": ["x"]})).await;
    check(json!({"all": true, "code": "too-deep"})).await;
    check(json!({"ids": ["shop_logs-000000000000001f-0-0.0"], "all": true})).await;
    assert_eq!(ids(&world, "").await.len(), 5);
}
