use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer over HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("the answer is JSON")
    }
}

/// Sends one request with its body's length and reads the answer.
pub(crate) async fn request(
    address: SocketAddr,
    line: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Answer {
    let body = body.as_ref();
    let mut head = format!("{line} HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(address).await.expect("the door is open");
    stream.write_all(head.as_bytes()).await.expect("the door takes the head");
    // A door that refuses may close before it has read everything.
    stream.write_all(body).await.ok();
    read_answer(&mut stream).await
}

pub(crate) async fn post(address: SocketAddr, path: &str, body: impl AsRef<[u8]>) -> Answer {
    request(address, &format!("POST {path}"), &[], body).await
}

/// Posts to the gRPC door over HTTP/1.1, which it serves as well: so a test controls every byte.
pub(crate) async fn grpc(address: SocketAddr, method: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let headers = [&[("content-type", "application/grpc"), ("te", "trailers")], headers].concat();
    request(address, &format!("POST /producer.Producer/{method}"), &headers, body).await
}

/// A gRPC frame: flag, length, message.
pub(crate) fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("tests send less than 4 GiB");
    [&[flag], length.to_be_bytes().as_slice(), message].concat()
}

pub(crate) async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // What was refused early may end in a reset after the answer.
    while let Ok(count @ 1..) = stream.read_buf(&mut bytes).await {
        assert!(count < 1 << 20, "answers are small");
    }
    let text = String::from_utf8(bytes).expect("answers are text");
    let (head, body) = text.split_once("\r\n\r\n").expect("there is an answer");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("there is a status line");
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").expect("a header has a name");
        (name.to_ascii_lowercase(), value.to_owned())
    });
    Answer { status: status.parse().expect("is a number"), headers: headers.collect(), body: body.to_owned() }
}
