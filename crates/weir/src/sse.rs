//! Server-sent events (WHATWG HTML, section 9.2.6): bytes in, events out.

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Empty for a plain message.
    pub(crate) name: String,
    pub(crate) data: String,
}

/// Puts events together from pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    event: Event,
}

impl Parser {
    /// The events that are complete with these bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut complete = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            complete.extend(self.line(&String::from_utf8_lossy(&line)));
        }
        complete
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return (!event.data.is_empty()).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.to_owned(),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // Comments keep the connection alive; ids are part of the data here.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str =
        ": hello\n\nid: 7\ndata: {\"a\":1}\n\nevent: gap\r\ndata: x\r\ndata:y\r\n\r\ndata: half";

    fn events(piece: usize) -> Vec<(String, String)> {
        let mut parser = Parser::default();
        let pieces = STREAM.as_bytes().chunks(piece);
        pieces.flat_map(|piece| parser.push(piece)).map(|event| (event.name, event.data)).collect()
    }

    #[test]
    fn events_do_not_depend_on_how_bytes_are_cut() {
        let expected = [("", "{\"a\":1}"), ("gap", "x\ny")];
        let expected = expected.map(|(name, data)| (name.to_owned(), data.to_owned()));
        for piece in 1..=STREAM.len() {
            assert_eq!(events(piece), expected, "pieces of {piece}");
        }
    }
}
