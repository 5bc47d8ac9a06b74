//! Taking `app_secret` out of a batch: one copy, with the lengths around it put right.

use weir_model::RecordFormat;

use crate::context::SECRET_FIELD;
use crate::protobuf::write::{bytes_field_len, put_bytes_header};
use crate::protobuf::{Cursor, Field, Malformed};

/// `bytes` must have passed the scan as `format`.
pub(super) fn rewrite(bytes: &[u8], format: RecordFormat) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let written = match format {
        RecordFormat::Timber => put_timber(&mut out, bytes),
        RecordFormat::TimberCollection => put_collection(&mut out, bytes),
        RecordFormat::Events => {
            out.extend_from_slice(bytes);
            Ok(())
        }
    };
    written.expect("the batch passed the scan");
    out
}

fn put_collection(out: &mut Vec<u8>, collection: &[u8]) -> Result<(), Malformed> {
    for_each_field(collection, |field, raw| {
        match field {
            Field::Bytes(1, context) => put_context(out, context)?,
            Field::Bytes(2, timber) => {
                let length = timber_len(timber)?;
                put_bytes_header(out, 2, length);
                put_timber(out, timber)?;
            }
            _ => out.extend_from_slice(raw),
        }
        Ok(())
    })
}

fn put_timber(out: &mut Vec<u8>, timber: &[u8]) -> Result<(), Malformed> {
    for_each_field(timber, |field, raw| {
        match field {
            Field::Bytes(1, context) => put_context(out, context)?,
            _ => out.extend_from_slice(raw),
        }
        Ok(())
    })
}

fn put_context(out: &mut Vec<u8>, context: &[u8]) -> Result<(), Malformed> {
    put_bytes_header(out, 1, context_len(context)?);
    for_each_field(context, |field, raw| {
        if !is_secret(field) {
            out.extend_from_slice(raw);
        }
        Ok(())
    })
}

fn timber_len(timber: &[u8]) -> Result<usize, Malformed> {
    let mut length = 0;
    for_each_field(timber, |field, raw| {
        length += match field {
            Field::Bytes(1, context) => bytes_field_len(context_len(context)?),
            _ => raw.len(),
        };
        Ok(())
    })?;
    Ok(length)
}

fn context_len(context: &[u8]) -> Result<usize, Malformed> {
    let mut length = 0;
    for_each_field(context, |field, raw| {
        if !is_secret(field) {
            length += raw.len();
        }
        Ok(())
    })?;
    Ok(length)
}

fn is_secret(field: Field<'_>) -> bool {
    matches!(field, Field::Bytes(SECRET_FIELD, _))
}

/// Gives each field with its raw bytes, tag included.
pub(crate) fn for_each_field<'a>(
    message: &'a [u8],
    mut visit: impl FnMut(Field<'a>, &'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(message);
    loop {
        let rest = cursor.rest();
        let Some(field) = cursor.next_field()? else { return Ok(()) };
        let length = rest.len() - cursor.rest().len();
        visit(field, rest.get(..length).unwrap_or_default())?;
    }
}
