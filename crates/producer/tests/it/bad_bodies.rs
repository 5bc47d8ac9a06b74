use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{World, eventually};
use crate::raw::read_answer;

/// Sends the start of a request and leaves.
async fn leave(address: std::net::SocketAddr, text: &str) {
    let mut stream = TcpStream::connect(address).await.expect("the door is open");
    stream.write_all(text.as_bytes()).await.expect("is taken");
    stream.shutdown().await.expect("the client may leave");
    read_to_end(&mut stream).await;
}

async fn read_to_end(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    while let Ok(1..) = tokio::io::AsyncReadExt::read_buf(stream, &mut bytes).await {}
}

#[tokio::test]
async fn nothing_of_a_body_that_ends_early_is_stored() {
    let world = World::new().await;
    let json = r#"{"context":{"kafka_topic":"shop","es_index_prefix":"shop"},"content":{"a":1}}"#;
    for path in ["/produce", "/produce_batch", "/api/v1/apps/shop/events"] {
        leave(
            world.http,
            &format!("POST {path} HTTP/1.1\r\nhost: weir\r\ncontent-length: 500\r\n\r\n{json}\n"),
        )
        .await;
        let chunk = format!("{:x}\r\n{json}\n\r\n", json.len() + 1);
        leave(
            world.http,
            &format!("POST {path} HTTP/1.1\r\nhost: weir\r\ntransfer-encoding: chunked\r\n\r\n{chunk}"),
        )
        .await;
    }
    eventually("the requests are gone", || world.metric("weir_producer_budget_used_bytes") == Some(0.0))
        .await;
    assert!(world.journal.stored().is_empty());
}

#[tokio::test]
async fn a_chunked_body_is_taken() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.http).await.expect("the door is open");
    let head = "POST /api/v1/apps/shop/events HTTP/1.1\r\nhost: weir\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("is taken");
    for chunk in ["3\r\none\r\n", "5\r\n\ntwo\n\r\n", "0\r\n\r\n"] {
        stream.write_all(chunk.as_bytes()).await.expect("is taken");
    }
    let answer = read_answer(&mut stream).await;
    assert_eq!((answer.status, answer.json()["accepted"].as_u64()), (200, Some(2)));
}
