//! Events as lines of a bulk: content copied from the tape as JSON text, without a tree in between.

use std::io::Write as _;

use weir_model::{Content, EventId, Offset, Position, StreamPartition, Timestamp, Value};

/// The member that the store adds to a document.
pub(crate) const WEIR: &str = "weir";
pub(crate) const TIMESTAMP: &str = "@timestamp";

/// Writes the documents of one partition.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Of every id: all before the offset.
    id_start: Vec<u8>,
    order_start: Vec<u8>,
    stream: Vec<u8>,
    dates: Dates,
    record: Record,
}

/// What the documents of one record share.
#[derive(Debug, Default)]
struct Record {
    /// The id without the index.
    id: Vec<u8>,
    /// `,"weir":{…` up to the index in the id.
    weir: Vec<u8>,
    order: Vec<u8>,
    received: Vec<u8>,
}

/// The text of the date that was written last, since most times are of one day.
#[derive(Debug, Default)]
struct Dates {
    day: Option<(i32, String)>,
}

/// What a document says beside its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extras {
    /// `@timestamp` and `weir`.
    Weir,
    /// `@timestamp` in seconds, the time of receipt.
    Barito,
}

/// The content has a member where the store puts its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the content has a field `weir`, which is where the store puts stream, id and time of receipt")]
pub(crate) struct Occupied;

impl Writer {
    pub(crate) fn new(partition: &StreamPartition) -> Self {
        let StreamPartition { stream, incarnation, partition } = partition;
        Self {
            id_start: format!("{stream}-{incarnation}-{partition}-").into_bytes(),
            order_start: order_start(stream.as_str(), incarnation.0, partition.0),
            stream: stream.as_str().as_bytes().to_vec(),
            dates: Dates::default(),
            record: Record::default(),
        }
    }

    /// The documents that follow are of this record.
    pub(crate) fn start_record(&mut self, offset: Offset, received: Timestamp, extras: Extras) {
        let Self { id_start, order_start, stream, dates, record } = self;
        let mut digits = itoa::Buffer::new();
        let offset_text = digits.format(offset.0).as_bytes();
        record.id.clear();
        record.id.extend_from_slice(id_start);
        record.id.extend_from_slice(offset_text);
        record.id.push(b'.');
        record.received.clear();
        match extras {
            Extras::Weir => dates.append(received, &mut record.received),
            Extras::Barito => dates.append_seconds(received, &mut record.received),
        }
        record.weir.clear();
        record.order.clear();
        if extras == Extras::Barito {
            return;
        }
        record.order.extend_from_slice(order_start);
        push_sortable(offset.0, &mut record.order);
        for part in [
            b",\"weir\":{\"stream\":\"".as_slice(),
            stream,
            b"\",\"received\":\"",
            &record.received,
            b"\",\"id\":\"",
            &record.id,
        ] {
            record.weir.extend_from_slice(part);
        }
    }

    /// The id of an event of the record.
    pub(crate) fn append_id(&self, index: u32, line: &mut Vec<u8>) {
        line.extend_from_slice(&self.record.id);
        line.extend_from_slice(itoa::Buffer::new().format(index).as_bytes());
    }

    /// Appends the document of an event of the record, without a line end. After an error the buffer is as it was.
    pub(crate) fn append(
        &mut self,
        index: u32,
        time: Timestamp,
        content: Content<'_>,
        extras: Extras,
        line: &mut Vec<u8>,
    ) -> Result<(), Occupied> {
        let start = line.len();
        let found = append_members(content, line);
        if found.weir && extras == Extras::Weir {
            line.truncate(start);
            return Err(Occupied);
        }
        if extras == Extras::Weir {
            let mut digits = itoa::Buffer::new();
            line.extend_from_slice(&self.record.weir);
            line.extend_from_slice(digits.format(index).as_bytes());
            line.extend_from_slice(b"\",\"time\":");
            line.extend_from_slice(digits.format(time.micros()).as_bytes());
            line.extend_from_slice(b",\"order\":\"");
            line.extend_from_slice(&self.record.order);
            push_sortable(u64::from(index), line);
            line.extend_from_slice(b"\"}");
        }
        // Behind `weir`: this is how a reader tells that it is not of the content.
        if !found.timestamp {
            line.extend_from_slice(b",\"@timestamp\":\"");
            match extras {
                Extras::Weir => self.dates.append(time, line),
                Extras::Barito => line.extend_from_slice(&self.record.received),
            }
            line.push(b'"');
        }
        line.push(b'}');
        Ok(())
    }
}

/// Which of the store's members the content has itself.
struct Found {
    timestamp: bool,
    weir: bool,
}

/// The object but for its last brace.
fn append_members(content: Content<'_>, line: &mut Vec<u8>) -> Found {
    let mut found = Found { timestamp: false, weir: false };
    line.push(b'{');
    for (at, (key, value)) in content.entries().enumerate() {
        if at > 0 {
            line.push(b',');
        }
        found.timestamp |= key == TIMESTAMP;
        found.weir |= key == WEIR;
        append_string(key, line);
        line.push(b':');
        append_value(value, line);
    }
    found
}

fn append_value(value: Value<'_>, line: &mut Vec<u8>) {
    match value {
        Value::Null => line.extend_from_slice(b"null"),
        Value::Bool(true) => line.extend_from_slice(b"true"),
        Value::Bool(false) => line.extend_from_slice(b"false"),
        Value::Int(value) => line.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        Value::Float(value) => append_float(value, line),
        Value::Number(text) => line.extend_from_slice(text.as_bytes()),
        Value::Str(text) => append_string(text, line),
        Value::Array(array) => {
            line.push(b'[');
            for (at, element) in array.elements().enumerate() {
                if at > 0 {
                    line.push(b',');
                }
                append_value(element, line);
            }
            line.push(b']');
        }
        Value::Object(object) => {
            append_members(object, line);
            line.push(b'}');
        }
    }
}

/// Integers beyond this came from doubles of protobuf, where nothing says that they are none.
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// As Go's `encoding/json` writes doubles, in plain notation between 1e-6 and 1e21; a whole number that was
/// written with a fraction keeps one.
fn append_float(value: f64, line: &mut Vec<u8>) {
    let size = value.abs();
    let result = if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => write!(line, "{digits}e+{exponent}"),
            _ => write!(line, "{text}"),
        }
    } else if value.fract() == 0.0 && size <= EXACT_INTEGERS {
        write!(line, "{value:.1}")
    } else {
        write!(line, "{value}")
    };
    result.expect("a vector takes everything");
}

/// Bytes that a JSON string can not hold as they are.
const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn append_string(text: &str, line: &mut Vec<u8>) {
    line.push(b'"');
    let bytes = text.as_bytes();
    // Most texts have nothing to escape: a look at all bytes without a branch, then one copy.
    if !bytes.iter().fold(false, |found, byte| found | is_special(*byte)) {
        line.extend_from_slice(bytes);
        line.push(b'"');
        return;
    }
    let mut plain_from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if !is_special(*byte) {
            continue;
        }
        line.extend_from_slice(&bytes[plain_from..at]);
        plain_from = at + 1;
        match byte {
            b'"' => line.extend_from_slice(b"\\\""),
            b'\\' => line.extend_from_slice(b"\\\\"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            _ => write!(line, "\\u{byte:04x}").expect("a vector takes everything"),
        }
    }
    line.extend_from_slice(&bytes[plain_from..]);
    line.push(b'"');
}

impl Dates {
    /// RFC 3339 in UTC, with as many digits as needed.
    fn append(&mut self, time: Timestamp, text: &mut Vec<u8>) {
        self.append_seconds(time, text);
        let micros = time.micros().rem_euclid(1_000_000);
        if micros == 0 {
            return;
        }
        text.pop();
        let written = match micros % 1_000 {
            0 => write!(text, ".{:03}Z", micros / 1_000),
            _ => write!(text, ".{micros:06}Z"),
        };
        written.expect("a vector takes everything");
    }

    fn append_seconds(&mut self, time: Timestamp, text: &mut Vec<u8>) {
        let day = time.day();
        let date = match &mut self.day {
            Some((number, date)) if *number == day.number() => date,
            known => {
                let (year, month, of_month) = day.civil();
                &mut known.insert((day.number(), format!("{year:04}-{month:02}-{of_month:02}T"))).1
            }
        };
        text.extend_from_slice(date.as_bytes());
        let seconds = time.micros().rem_euclid(86_400_000_000) / 1_000_000;
        for (part, end) in [(seconds / 3_600, b':'), (seconds / 60 % 60, b':'), (seconds % 60, b'Z')] {
            // Below 60, so two digits.
            text.extend_from_slice(&[b'0' + (part / 10) as u8, b'0' + (part % 10) as u8, end]);
        }
    }
}

/// The text by which documents of one time are sorted as their ids are.
pub(crate) fn order(id: &EventId) -> String {
    let Position { partition, offset, index } = &id.0;
    let mut text = order_start(partition.stream.as_str(), partition.incarnation.0, partition.partition.0);
    push_sortable(offset.0, &mut text);
    push_sortable(u64::from(*index), &mut text);
    String::from_utf8(text).expect("names and digits are ASCII")
}

/// `!` is before every character of a stream's name, so that a name comes before those that it begins.
fn order_start(stream: &str, incarnation: u64, partition: u32) -> Vec<u8> {
    let mut text = format!("{stream}!{incarnation:016x}").into_bytes();
    push_sortable(u64::from(partition), &mut text);
    text
}

/// A number whose texts sort as the numbers do: a letter for how many digits there are, then the digits.
fn push_sortable(number: u64, text: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number).as_bytes();
    // At most twenty digits.
    text.push(b'a' + (digits.len() - 1) as u8);
    text.extend_from_slice(digits);
}

#[cfg(test)]
mod tests;
