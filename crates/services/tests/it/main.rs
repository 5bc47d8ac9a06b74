//! The servers start, survive what tests do to them, and end with their test.

mod consul;
mod kafka;
mod postgres;
mod redis;
mod search;
mod shared;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What comes back for these bytes until the server closes the connection.
fn ask(address: SocketAddr, question: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out can be set");
    stream.write_all(question.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}
