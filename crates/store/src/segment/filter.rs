//! Token filters: for each page of a segment, which words occur in which text column.
//!
//! A filter is a binary fuse filter with 16-bit fingerprints over 64-bit keys; a key is the hash of a
//! lower-cased word, salted by the column it stands in. A filter may say "perhaps" for a word that is not
//! there (1 in 65,536), never "no" for one that is. With 8 bits, half as large, a word that is nowhere would
//! cost a look at every hundredth page for each text column.
//!
//! The file `<segment>.filter`, little-endian:
//!
//! ```text
//! magic "weirtf" · version u16 · pages u32 · pages × length u32 · pages × filter · XXH3-64 of all before
//! filter: descriptor (20 bytes) · fingerprints; of length 0 for a page without words
//! descriptor: seed u64 · length of a block u32, a power of two · that less one u32 · places u32
//! ```
//!
//! There are fingerprints for the places, whole blocks of them, and for two blocks more.

use std::io::{self, Write};

use xorf::{BinaryFuse16, BinaryFuse16Ref, DmaSerializable, Filter, FilterRef};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64, xxh3_64_with_seed};

use crate::query;

const MAGIC: &[u8; 6] = b"weirtf";
pub(super) const VERSION: u16 = 2;
const DESCRIPTOR: usize = BinaryFuse16::DESCRIPTOR_LEN;
/// Bytes of a fingerprint.
const FINGERPRINT: u64 = 2;
/// Bytes of the checksum. A fingerprint that is not what it was would hide rows from every search for a word.
const CHECKSUM: usize = 8;
/// Entries of the cache that keeps most repetitions of a word out of the sort; a power of two.
const SEEN_ENTRIES: usize = 1 << 15;

/// The salt of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Salt(u64);

/// A word in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TokenKey(u64);

/// Collects the words of one page after the other.
#[derive(Debug)]
pub(super) struct FilterWriter {
    seen: Vec<u64>,
    keys: Vec<u64>,
    pages: Vec<Vec<u8>>,
}

/// The filters of a segment, in memory.
#[derive(Debug)]
pub(super) struct Filters {
    bytes: Vec<u8>,
    /// Ends of the pages' filters in `bytes`; they start at the end of the one before.
    pages: Vec<std::ops::Range<usize>>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FilterError {
    #[error("the filter file is damaged: {0}")]
    Damaged(&'static str),
    #[error("the filter file has version {found}, this weir reads {VERSION}")]
    OtherVersion { found: u16 },
    #[error("the filter file could not be read")]
    Io(#[from] io::Error),
}

impl Salt {
    pub(super) fn of(path: &str) -> Self {
        Self(xxh3_64(path.as_bytes()))
    }

    pub(super) fn key(self, token: &[u8]) -> TokenKey {
        TokenKey(xxh3_64_with_seed(token, self.0))
    }
}

impl FilterWriter {
    pub(super) fn new() -> Self {
        Self { seen: vec![0; SEEN_ENTRIES], keys: Vec::new(), pages: Vec::new() }
    }

    /// Adds the words of a text of the current page.
    pub(super) fn add(&mut self, salt: Salt, text: &str) {
        query::tokens(text, |token| {
            let key = salt.key(token.as_bytes()).0;
            let entry = &mut self.seen[key as usize & (SEEN_ENTRIES - 1)];
            if *entry != key {
                *entry = key;
                self.keys.push(key);
            }
        });
    }

    pub(super) fn end_page(&mut self) {
        self.seen.fill(0);
        self.keys.sort_unstable();
        self.keys.dedup();
        self.pages.push(encode(&self.keys));
        self.keys.clear();
    }

    pub(super) fn finish(self) -> Vec<u8> {
        assemble(&self.pages)
    }
}

/// Construction fails with a probability that its authors give as negligible for distinct keys; a page
/// whose filter can not be built has one that says "perhaps" to everything.
fn encode(keys: &[u64]) -> Vec<u8> {
    if keys.is_empty() {
        return Vec::new();
    }
    let Ok(filter) = BinaryFuse16::try_from(keys) else {
        return vec![ALWAYS];
    };
    let fingerprints = filter.dma_fingerprints();
    let mut bytes = vec![0; DESCRIPTOR + fingerprints.len()];
    filter.dma_copy_descriptor_to(&mut bytes[..DESCRIPTOR]);
    bytes[DESCRIPTOR..].copy_from_slice(fingerprints);
    bytes
}

/// A filter of this one byte says "perhaps" to everything.
const ALWAYS: u8 = 1;

/// Writes a filter file piece by piece.
pub(super) struct FileWriter<W> {
    to: W,
    sum: Xxh3Default,
    written: u64,
}

impl<W: Write> FileWriter<W> {
    /// `lengths` are those of all filters that follow.
    pub(super) fn begin(to: W, lengths: &[usize]) -> io::Result<Self> {
        let count = |n: usize| u32::try_from(n).expect("a segment has fewer pages and bytes than u32::MAX");
        let mut head = Vec::with_capacity(12 + 4 * lengths.len());
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        for number in [lengths.len()].iter().chain(lengths) {
            head.extend_from_slice(&count(*number).to_le_bytes());
        }
        let mut file = Self { to, sum: Xxh3Default::new(), written: 0 };
        file.put(&head)?;
        Ok(file)
    }

    /// The filter of the next page, as [`Filters::page`] gives it.
    pub(super) fn page(&mut self, filter: &[u8]) -> io::Result<()> {
        self.put(filter)
    }

    /// Gives back what was written to, and how many bytes that were.
    pub(super) fn finish(mut self) -> io::Result<(W, u64)> {
        let sum = self.sum.digest();
        self.put(&sum.to_le_bytes())?;
        Ok((self.to, self.written))
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.written += bytes.len() as u64;
        self.to.write_all(bytes)
    }
}

fn assemble(pages: &[Vec<u8>]) -> Vec<u8> {
    let lengths: Vec<usize> = pages.iter().map(Vec::len).collect();
    let written = FileWriter::begin(Vec::new(), &lengths).and_then(|mut file| {
        pages.iter().try_for_each(|page| file.page(page))?;
        file.finish()
    });
    written.expect("a vector takes everything").0
}

fn summed(mut file: Vec<u8>) -> Vec<u8> {
    let sum = xxh3_64(&file);
    file.extend_from_slice(&sum.to_le_bytes());
    file
}

/// Whether a page's filter is one, and its descriptor fits its fingerprints, so that no word is looked for
/// outside of them.
fn is_sound(filter: &[u8]) -> bool {
    if matches!(filter, [] | [ALWAYS]) {
        return true;
    }
    let Some((descriptor, fingerprints)) = filter.split_at_checked(DESCRIPTOR) else { return false };
    let (_seed, lengths) = descriptor.split_at(8);
    let (lengths, _) = lengths.as_chunks::<4>();
    let [block, mask, places] = *lengths else { return false };
    let [block, mask, places] = [block, mask, places].map(|length| u64::from(u32::from_le_bytes(length)));
    block.is_power_of_two()
        && mask == block - 1
        && places >= block
        && places % block == 0
        && fingerprints.len() as u64 == FINGERPRINT * (places + 2 * block)
}

/// How many pages of a filter file, given without its checksum, may hold a word of the column `path`; none if
/// the file is refused. For the fuzz target, which would never guess a checksum.
#[doc(hidden)]
#[must_use]
pub fn pages_with_word(file: &[u8], path: &str, word: &str) -> Option<usize> {
    let filters = Filters::decode(summed(file.to_vec())).ok()?;
    let key = Salt::of(path).key(word.as_bytes());
    Some((0..filters.pages()).filter(|page| filters.may_contain(*page, key)).count())
}

impl Filters {
    pub(super) fn decode(mut bytes: Vec<u8>) -> Result<Self, FilterError> {
        let short = FilterError::Damaged("it ends too early");
        if bytes.get(..6) != Some(MAGIC) {
            return Err(FilterError::Damaged("it does not start as one"));
        }
        let found = bytes.get(6..8).and_then(|b| b.try_into().ok()).map(u16::from_le_bytes);
        match found {
            Some(VERSION) => {}
            Some(found) => return Err(FilterError::OtherVersion { found }),
            None => return Err(short),
        }
        let Some((before, sum)) = bytes.split_last_chunk::<CHECKSUM>() else { return Err(short) };
        if xxh3_64(before) != u64::from_le_bytes(*sum) {
            return Err(FilterError::Damaged("its checksum does not match"));
        }
        bytes.truncate(bytes.len() - CHECKSUM);
        let number = |at: usize| {
            let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(bytes) as usize)
        };
        let count = number(8).ok_or(FilterError::Damaged("it ends too early"))?;
        let mut start = 12 + 4 * count;
        let mut pages = Vec::with_capacity(count.min(bytes.len()));
        for index in 0..count {
            let Some(length) = number(12 + 4 * index) else { return Err(short) };
            if start + length > bytes.len() {
                return Err(short);
            }
            let page = start..start + length;
            if !is_sound(&bytes[page.clone()]) {
                return Err(FilterError::Damaged("a page's filter contradicts itself"));
            }
            pages.push(page);
            start += length;
        }
        Ok(Self { bytes, pages })
    }

    /// In memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn pages(&self) -> usize {
        self.pages.len()
    }

    pub(super) fn page(&self, page: usize) -> &[u8] {
        &self.bytes[self.pages[page].clone()]
    }

    /// Whether the page may hold the word; false only if it does not.
    pub(super) fn may_contain(&self, page: usize, key: TokenKey) -> bool {
        match self.page(page) {
            [] => false,
            [ALWAYS] => true,
            filter => {
                let (descriptor, fingerprints) = filter.split_at(DESCRIPTOR);
                BinaryFuse16Ref::from_dma(descriptor, fingerprints).contains(&key.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(pages: &[&[(&str, &str)]]) -> Filters {
        let mut writer = FilterWriter::new();
        for page in pages {
            for (path, text) in *page {
                writer.add(Salt::of(path), text);
            }
            writer.end_page();
        }
        Filters::decode(writer.finish()).expect("just written")
    }

    #[test]
    fn a_word_is_found_in_its_page_and_column() {
        let filters = filters(&[
            &[("message", "Connection timed-out after 30 s"), ("host", "web1")],
            &[],
            &[("message", "connection ok")],
        ]);
        let may =
            |page, path: &str, token: &str| filters.may_contain(page, Salt::of(path).key(token.as_bytes()));
        for word in ["connection", "timed", "out", "after", "30", "s"] {
            assert!(may(0, "message", word), "{word}");
        }
        assert!(may(0, "host", "web1"));
        assert!(may(2, "message", "ok"));
        assert!(!may(1, "message", "connection"));
        let wrong = (0..1000).filter(|n| may(0, "message", &format!("absent{n}"))).count();
        assert!(wrong < 5, "{wrong} of 1000 absent words found");
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let mut writer = FilterWriter::new();
        writer.add(Salt::of("a"), "some words here");
        writer.end_page();
        let file = writer.finish();
        for length in 0..file.len() {
            assert!(Filters::decode(file[..length].to_vec()).is_err(), "{length} bytes");
        }
        let mut newer = file.clone();
        newer[6] = 3;
        assert!(matches!(Filters::decode(newer), Err(FilterError::OtherVersion { found: 3 })));
    }

    #[test]
    fn no_damage_makes_a_look_up_panic() {
        let mut writer = FilterWriter::new();
        writer.add(Salt::of("a"), "some words here");
        writer.end_page();
        writer.add(Salt::of("a"), &(0..500).map(|n| format!("w{n} ")).collect::<String>());
        writer.end_page();
        writer.pages.push(vec![ALWAYS]);
        let file = writer.finish();
        let (body, _) = file.split_last_chunk::<CHECKSUM>().expect("it has a checksum");
        assert_eq!(pages_with_word(body, "a", "words"), Some(2));
        for at in (0..100).chain([body.len() - 1]) {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[at] ^= 1 << bit;
                let refused = Filters::decode(damaged.clone());
                assert!(refused.is_err(), "byte {at}, bit {bit}");
                damaged.truncate(body.len());
                for word in ["words", "w7", "absent"] {
                    let found = pages_with_word(&damaged, "a", word);
                    assert!(found.is_none_or(|found| found <= 3), "byte {at}, bit {bit}");
                }
            }
        }
    }
}
