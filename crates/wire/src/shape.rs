//! A batch as the records that a shared journal takes: barito-flow's, byte by byte, and none larger than its limit.
//!
//! barito-flow writes protobuf with fields in the order of their numbers and unknown ones behind them: context,
//! timestamp, content. Here the same bytes are put together from pieces of the request, without decoding it; what
//! is inside a content stays as it came. A context that a request sends in several parts becomes one field.
//!
//! The same batch becomes the same records, whatever time it gets: where a batch is cut depends on its bytes and
//! on the limit, and every time has the same length.

use bytes::Bytes;
use smallvec::SmallVec;
use weir_model::{RecordFormat, Timestamp};

use crate::context::SECRET_FIELD;
use crate::protobuf::write::{bytes_field_len, put_bytes, put_bytes_header};
use crate::protobuf::{Field, Malformed};
use crate::scan::{ScannedBatch, for_each_field};

/// How a batch is to become records.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub layout: Layout,
    pub times: Times,
    pub secrets: KeptSecrets,
    /// The time that items get, cut to seconds.
    pub now: Timestamp,
    /// Bytes of the largest value of a record.
    pub limit: usize,
}

/// Which of barito-flow's record formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As many items in a record as fit.
    Collection,
    /// Each item in a record of its own, with the context of the batch.
    Timber,
}

/// Which items get a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// All, whatever they had.
    Overwrite,
    /// Those that have none.
    FillIn,
}

/// What becomes of `app_secret`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptSecrets {
    All,
    None,
}

/// The value of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shaped {
    pub format: RecordFormat,
    pub events: u32,
    pub value: Bytes,
}

/// An item that fits into no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("item {index} makes a record of {size} bytes, the largest that is stored has {limit}")]
pub struct ItemTooLarge {
    /// Counted from 0.
    pub index: u32,
    pub size: usize,
    pub limit: usize,
}

/// Cuts a record of weir's own format, which was made here, into such as fit; one that fits stays as it is.
pub fn shape_events(value: &Bytes, events: u32, limit: usize) -> Result<Vec<Shaped>, ItemTooLarge> {
    let format = RecordFormat::Events;
    if value.len() <= limit {
        return Ok(vec![Shaped { format, events, value: value.clone() }]);
    }
    let (mut head, mut items) = (Vec::new(), Vec::new());
    let read = for_each_field(value, |field, raw| {
        match field {
            Field::Bytes(2, item) => items.push(item),
            _ => head.extend_from_slice(raw),
        }
        Ok(())
    });
    read.expect("the record was made by weir");
    let sizes = items.iter().map(|item| bytes_field_len(item.len()));
    pack(format, &head, sizes, limit, |out, index| {
        put_bytes(out, 2, items.get(index).copied().unwrap_or_default());
    })
}

impl ScannedBatch<'_> {
    /// The batch as records; none if it has no items.
    pub fn shape(&self, shape: &Shape) -> Result<Vec<Shaped>, ItemTooLarge> {
        let batch = Batch::of(self).expect("the batch passed the scan");
        let time = time_text(shape.now);
        let stamp = Stamp { shape, time: time.as_bytes() };
        let context = batch.context.as_deref().map(|context| stamp.without_secret(context));
        match shape.layout {
            Layout::Timber => stamp.timbers(&batch, context.as_deref()),
            Layout::Collection => stamp.collections(&batch, context.as_deref()),
        }
    }
}

/// Whole seconds of UTC, as barito-flow writes them.
fn time_text(now: Timestamp) -> String {
    Timestamp::from_micros(now.micros().div_euclid(1_000_000).saturating_mul(1_000_000)).to_string()
}

/// What a request is made of.
#[derive(Default)]
struct Batch<'a> {
    /// The bytes of the context's message; parts in a row are one message.
    context: Option<Vec<u8>>,
    items: Vec<Item<'a>>,
    /// Fields of the outer message that nobody knows.
    unknown: Vec<u8>,
}

/// A `producer.Timber` in parts.
#[derive(Default)]
struct Item<'a> {
    context: Option<Vec<u8>>,
    time: &'a [u8],
    /// The fields of the content, tags included; nearly always one.
    content: SmallVec<[&'a [u8]; 1]>,
    unknown: Vec<&'a [u8]>,
}

impl<'a> Batch<'a> {
    fn of(scanned: &ScannedBatch<'a>) -> Result<Self, Malformed> {
        let mut batch = Self::default();
        if scanned.format() == RecordFormat::Timber {
            let item = Item::of(scanned.bytes())?;
            batch.context.clone_from(&item.context);
            batch.items.push(item);
            return Ok(batch);
        }
        batch.items.reserve(scanned.items() as usize);
        for_each_field(scanned.bytes(), |field, raw| {
            match field {
                Field::Bytes(1, part) => batch.context.get_or_insert_default().extend_from_slice(part),
                Field::Bytes(2, item) => batch.items.push(Item::of(item)?),
                _ => batch.unknown.extend_from_slice(raw),
            }
            Ok(())
        })?;
        Ok(batch)
    }
}

impl<'a> Item<'a> {
    fn of(timber: &'a [u8]) -> Result<Self, Malformed> {
        let mut item = Self::default();
        for_each_field(timber, |field, raw| {
            match field {
                Field::Bytes(1, part) => item.context.get_or_insert_default().extend_from_slice(part),
                Field::Bytes(2, time) => item.time = time,
                Field::Bytes(3, _) => item.content.push(raw),
                _ => item.unknown.push(raw),
            }
            Ok(())
        })?;
        Ok(item)
    }
}

/// What items get.
struct Stamp<'a> {
    shape: &'a Shape,
    time: &'a [u8],
}

impl Stamp<'_> {
    fn time_of<'a>(&'a self, item: &'a Item<'_>) -> &'a [u8] {
        match self.shape.times {
            Times::FillIn if !item.time.is_empty() => item.time,
            Times::FillIn | Times::Overwrite => self.time,
        }
    }

    fn without_secret(&self, context: &[u8]) -> Vec<u8> {
        if self.shape.secrets == KeptSecrets::All {
            return context.to_vec();
        }
        let mut out = Vec::with_capacity(context.len());
        let read = for_each_field(context, |field, raw| {
            if !matches!(field, Field::Bytes(SECRET_FIELD, _)) {
                out.extend_from_slice(raw);
            }
            Ok(())
        });
        read.expect("the context passed the scan");
        out
    }

    fn item_len(&self, item: &Item<'_>, context: Option<&[u8]>) -> usize {
        let raw = |parts: &[&[u8]]| parts.iter().map(|part| part.len()).sum::<usize>();
        context.map_or(0, |context| bytes_field_len(context.len()))
            + bytes_field_len(self.time_of(item).len())
            + raw(&item.content)
            + raw(&item.unknown)
    }

    fn put_item(&self, out: &mut Vec<u8>, item: &Item<'_>, context: Option<&[u8]>) {
        if let Some(context) = context {
            put_bytes(out, 1, context);
        }
        put_bytes(out, 2, self.time_of(item));
        for part in item.content.iter().chain(&item.unknown) {
            out.extend_from_slice(part);
        }
    }

    fn timbers(&self, batch: &Batch<'_>, context: Option<&[u8]>) -> Result<Vec<Shaped>, ItemTooLarge> {
        let limit = self.shape.limit;
        let sizes = batch.items.iter().map(|item| self.item_len(item, context));
        if let Some((index, size)) = (0..).zip(sizes.clone()).find(|(_, size)| *size > limit) {
            return Err(ItemTooLarge { index, size, limit });
        }
        // One piece of memory for all.
        let mut out = Vec::with_capacity(sizes.clone().sum());
        batch.items.iter().for_each(|item| self.put_item(&mut out, item, context));
        let mut rest = Bytes::from(out);
        let timber = |size| Shaped { format: RecordFormat::Timber, events: 1, value: rest.split_to(size) };
        Ok(sizes.map(timber).collect())
    }

    fn collections(&self, batch: &Batch<'_>, context: Option<&[u8]>) -> Result<Vec<Shaped>, ItemTooLarge> {
        let mut head = Vec::new();
        if let Some(context) = context {
            put_bytes(&mut head, 1, context);
        }
        let own: Vec<Option<Vec<u8>>> = batch
            .items
            .iter()
            .map(|item| item.context.as_deref().map(|context| self.without_secret(context)))
            .collect();
        let items = || batch.items.iter().zip(&own);
        let lengths: Vec<usize> = items().map(|(item, own)| self.item_len(item, own.as_deref())).collect();
        // What nobody knows is of the whole request: it goes into each record, as a context does.
        let sizes = lengths.iter().map(|length| bytes_field_len(*length));
        let format = RecordFormat::TimberCollection;
        let tail = &batch.unknown;
        let limit = self.shape.limit.saturating_sub(tail.len());
        let put = |out: &mut Vec<u8>, index: usize| {
            let (Some(item), Some(own)) = (batch.items.get(index), own.get(index)) else { return };
            put_bytes_header(out, 2, lengths.get(index).copied().unwrap_or(0));
            self.put_item(out, item, own.as_deref());
        };
        let with_tail = |error: ItemTooLarge| ItemTooLarge {
            size: error.size + tail.len(),
            limit: self.shape.limit,
            ..error
        };
        let mut shaped = pack(format, &head, sizes, limit, put).map_err(with_tail)?;
        if !tail.is_empty() {
            for record in &mut shaped {
                record.value = [&record.value[..], tail].concat().into();
            }
        }
        Ok(shaped)
    }
}

/// Fills records one after the other with items of these sizes, each behind `head`.
fn pack(
    format: RecordFormat,
    head: &[u8],
    sizes: impl Iterator<Item = usize> + Clone,
    limit: usize,
    put: impl Fn(&mut Vec<u8>, usize),
) -> Result<Vec<Shaped>, ItemTooLarge> {
    let (mut shaped, mut first, mut size) = (Vec::new(), 0, head.len());
    let close = |range: std::ops::Range<usize>, size: usize| {
        let mut out = Vec::with_capacity(size);
        out.extend_from_slice(head);
        let events = u32::try_from(range.len()).unwrap_or(u32::MAX);
        range.for_each(|index| put(&mut out, index));
        Shaped { format, events, value: out.into() }
    };
    let mut count = 0;
    for item in sizes {
        if head.len() + item > limit {
            let index = u32::try_from(count).unwrap_or(u32::MAX);
            return Err(ItemTooLarge { index, size: head.len() + item, limit });
        }
        if size + item > limit {
            shaped.push(close(first..count, size));
            (first, size) = (count, head.len());
        }
        size += item;
        count += 1;
    }
    if first < count {
        shaped.push(close(first..count, size));
    }
    Ok(shaped)
}

#[cfg(test)]
mod tests;
