//! Bytes that nobody meant: nothing panics, and what the door lets in the consumer can take apart.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message as _;
use weir_model::{RecordFormat, Timestamp};
use weir_wire::{RecordFault, decode_record, scan_collection, scan_timber};

use crate::{random, strict};

proptest! {
    #[test]
    fn damaged_batches(
        batch in random::collection(),
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
        end in any::<Index>(),
    ) {
        let mut bytes = batch.encode_to_vec();
        for (index, byte) in damage {
            if !bytes.is_empty() {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
        }
        check(&bytes)?;
        bytes.truncate(end.index(bytes.len() + 1));
        check(&bytes)?;
    }

    #[test]
    fn noise(bytes in vec(any::<u8>(), 0..60)) {
        check(&bytes)?;
    }
}

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let value = Bytes::copy_from_slice(bytes);
    // What prost takes the scan takes, too; the scan also takes what Go does and prost does not.
    let scanned = scan_collection(bytes);
    prop_assert!(scanned.is_ok() || strict::Collection::decode(bytes).is_err());
    prop_assert!(scan_timber(bytes).is_ok() || strict::Timber::decode(bytes).is_err());
    for format in [RecordFormat::Timber, RecordFormat::TimberCollection, RecordFormat::Events] {
        let decoded = decode_record(format, &value, Timestamp::default());
        let scanned = match format {
            RecordFormat::Timber => scan_timber(bytes).ok(),
            RecordFormat::TimberCollection => scan_collection(bytes).ok(),
            RecordFormat::Events => None,
        };
        let Some(scanned) = scanned else { continue };
        match decoded {
            Ok(batch) => prop_assert_eq!(batch.len(), scanned.items() as usize),
            Err(error) => {
                let is_prefix = matches!(error.fault, RecordFault::IndexPrefix { .. });
                prop_assert!(is_prefix, "{}", error.fault);
                prop_assert_eq!(error.originals.len(), scanned.items() as usize);
            }
        }
        if let Some(stripped) = scanned.without_app_secret() {
            let again = match format {
                RecordFormat::Timber => scan_timber(&stripped),
                _ => scan_collection(&stripped),
            };
            let again = again.expect("still whole");
            prop_assert_eq!(again.items(), scanned.items());
            prop_assert!(again.without_app_secret().is_none());
        }
    }
    Ok(())
}
