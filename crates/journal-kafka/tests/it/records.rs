use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use weir_journal::{AppendError, Journal, Origin, ReadBudget};
use weir_model::{BatchTag, ByteSize, Offset as At, Record, RecordFormat, Timestamp};

use crate::broker::{PATIENCE, World, append, create, name, partition, record};

/// The messages of the first partition of a topic, as anybody reads them: key, headers and value.
type Raw = (Option<Vec<u8>>, Vec<(String, String)>, Vec<u8>);

pub(crate) fn raw(world: &World, topic: &str, count: usize) -> Vec<Raw> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", world.kafka.addresses()).set("group.id", "raw");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).expect("legal");
    consumer.assign(&list).expect("it can be read");
    let mut found = Vec::new();
    while found.len() < count {
        let message = consumer.poll(PATIENCE).expect("in time").expect("a message");
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        let headers = headers.map(|header| (header.key.to_owned(), text(header.value))).collect();
        let key = message.key().map(<[u8]>::to_vec);
        found.push((key, headers, message.payload().unwrap_or_default().to_vec()));
    }
    found
}

pub(crate) async fn what_is_written_is_what_barito_flow_writes(world: &mut World) {
    let opened = world.open().await;
    create(&opened.journal, "written_logs", 1).await;
    let tag = BatchTag { id: 1, digest: 2 };
    let timber = Record { format: RecordFormat::Timber, ..record("timber") };
    let collection =
        Record { format: RecordFormat::TimberCollection, events: Some(7), batch: Some(tag), ..record("c") };
    for record in [&timber, &collection] {
        let appended = opened.journal.append(&name("written_logs"), Origin::Any, vec![record.clone()]).await;
        appended.expect("it can be appended");
    }
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let received = header("weir-received", "1700000000000000");
    let id = format!("{:032x}{:032x}", 1, 2);
    let found = raw(world, "written_logs", 2);
    assert_eq!(found[0], (None, vec![], b"timber".to_vec()), "what barito-flow writes has no headers");
    let headers = vec![
        header("message_format", "TimberCollection"),
        header("weir-events", "7"),
        received,
        header("weir-batch-id", &id),
    ];
    assert_eq!(found[1], (None, headers, b"c".to_vec()));
}

pub(crate) async fn what_others_write_is_read(world: &mut World) {
    let opened = world.open().await;
    let info = create(&opened.journal, "foreign_logs", 1).await;
    let format = |text| OwnedHeaders::new().insert(Header { key: "message_format", value: Some(text) });
    for (headers, value) in [
        (None, "timber"),
        (Some(format("TimberCollection")), "collection"),
        (Some(format("Sonnet")), "timber again"),
    ] {
        let mut message =
            BaseRecord::<[u8], str>::to("foreign_logs").payload(value).timestamp(1_600_000_000_123);
        message.headers = headers;
        world.outsider.send(message).expect("it is queued");
    }
    world.outsider.flush(PATIENCE).expect("it is sent");
    let budget = ReadBudget { bytes: usize::MAX, records: usize::MAX };
    let read = opened.journal.read(&partition(&info, 0), At::ZERO, budget).await.expect("it can be read");
    let received = Timestamp::from_micros(1_600_000_000_123_000);
    let expected = |format, events, value: &'static str| Record {
        format,
        events,
        received,
        batch: None,
        value: Bytes::from_static(value.as_bytes()),
    };
    let records: Vec<_> = read.records.into_iter().map(|stored| stored.record).collect();
    assert_eq!(
        records,
        [
            expected(RecordFormat::Timber, Some(1), "timber"),
            expected(RecordFormat::TimberCollection, None, "collection"),
            expected(RecordFormat::Timber, Some(1), "timber again"),
        ]
    );
}

pub(crate) async fn records_beyond_the_limit_are_refused_by_name(world: &mut World) {
    let opened = world.open().await;
    let info = create(&opened.journal, "large_logs", 1).await;
    // What can not be compressed, as large as it may be.
    let noise = |length: u32| -> Bytes {
        (0..length).map(|index| index.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
    };
    let of = |length| Record { value: noise(length), ..record("") };
    let largest = opened.journal.append(&name("large_logs"), Origin::Any, vec![of(1_000_000)]).await;
    largest.expect("the largest is taken");
    let both = vec![of(10), of(1_000_001)];
    let refused = opened.journal.append(&name("large_logs"), Origin::Any, both).await;
    assert!(
        matches!(refused, Err(AppendError::TooLarge { size: 1_000_001, limit: 1_000_000 })),
        "{refused:?}"
    );
    let streams = opened.journal.streams().await.expect("they can be listed");
    let ends: Vec<_> = streams
        .iter()
        .filter(|info| info.name == name("large_logs"))
        .map(|info| info.partitions[0].end)
        .collect();
    assert_eq!(ends, [At(1)], "of a call that is refused nothing is stored");
    assert_eq!(info.partitions.len(), 1);
}

pub(crate) async fn callers_wait_while_the_queue_is_full(world: &mut World) {
    let mut settings = world.settings();
    settings.queue = ByteSize(1_000_000);
    settings.linger = Duration::from_millis(50);
    let opened = world.open_with(settings).await;
    create(&opened.journal, "crowded_logs", 1).await;
    let text = "x".repeat(100_000);
    join_all((0..100).map(|_| append(&opened.journal, "crowded_logs", &text))).await;
    assert!(opened.metric("weir_kafka_appends_waiting_total") > 0, "ten megabytes do not fit into one");
}
