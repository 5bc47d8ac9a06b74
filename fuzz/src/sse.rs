//! Streams of events as a server may send them to `weir tail`: what they say does not depend on how they are cut.
//! The first byte says where.

/// The binary's own, which has no library to take it from.
#[path = "../../crates/weir/src/sse.rs"]
mod parser;

use parser::{Event, Parser};

pub fn run(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else { return };
    let mut parser = Parser::default();
    let pieces = stream.chunks(usize::from(*size).max(1));
    let events: Vec<Event> = pieces.flat_map(|piece| parser.push(piece)).collect();
    assert_eq!(events, Parser::default().push(stream));
    assert!(events.iter().all(|event| !event.data.is_empty() && !event.name.contains('\n')));
}
