//! A segment's file as pages, unpacked by a context that the thread keeps.
//!
//! The Parquet library makes a context for unpacking and one for packing for every column that it opens. A
//! search opens many columns for one small page each and would spend an eighth of its time on them.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnDescriptor;
use zstd::bulk::Decompressor;

/// Reads at positions, so that several readers share one open file.
#[derive(Debug, Clone)]
pub(super) struct PositionedFile {
    file: Arc<File>,
    length: u64,
}

#[derive(Debug)]
pub(super) struct PositionedReader {
    file: Arc<File>,
    at: u64,
}

/// The pages of all columns of a row group.
pub(super) struct GroupPages<'a, R> {
    file: &'a R,
    metadata: &'a ParquetMetaData,
    group: usize,
}

/// The pages of one column of a row group.
pub(super) struct ColumnPages<R: ChunkReader> {
    packed: SerializedPageReader<R>,
    descriptor: Arc<ColumnDescriptor>,
    has_dictionary: bool,
    packing: Packing,
}

#[derive(Clone, Copy)]
enum Packing {
    /// As the library gives them.
    None,
    /// What all pages have unpacked; a page that claims more is damaged.
    Zstd { limit: usize },
}

/// The one column that is asked for.
struct OneColumn(Option<Box<dyn PageReader>>);

thread_local! {
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

impl PositionedFile {
    pub(super) fn new(file: File) -> std::io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), length })
    }
}

impl Length for PositionedFile {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for PositionedFile {
    type T = std::io::BufReader<PositionedReader>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(std::io::BufReader::new(PositionedReader { file: Arc::clone(&self.file), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

impl std::io::Read for PositionedReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl<'a, R: ChunkReader + Clone + 'static> GroupPages<'a, R> {
    pub(super) fn new(file: &'a R, metadata: &'a ParquetMetaData, group: usize) -> Self {
        Self { file, metadata, group }
    }
}

impl<R: ChunkReader + Clone + 'static> RowGroups for GroupPages<'_, R> {
    fn num_rows(&self) -> usize {
        usize::try_from(self.metadata.row_group(self.group).num_rows()).unwrap_or_default()
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>, ParquetError> {
        let pages = ColumnPages::open(self.file, self.metadata, self.group, column)?;
        Ok(Box::new(OneColumn(Some(Box::new(pages)))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.metadata.row_group(self.group)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.metadata
    }
}

impl Iterator for OneColumn {
    type Item = Result<Box<dyn PageReader>, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for OneColumn {}

impl<R: ChunkReader + Clone> ColumnPages<R> {
    pub(super) fn open(
        file: &R,
        metadata: &ParquetMetaData,
        group: usize,
        column: usize,
    ) -> Result<Self, ParquetError> {
        let rows = usize::try_from(metadata.row_group(group).num_rows())?;
        let locations = metadata.page_index_for_row_group(group).page_locations(column).cloned();
        let chunk = metadata.row_group(group).column(column);
        let descriptor = chunk.column_descr_ptr();
        let has_dictionary = chunk.dictionary_page_offset().is_some();
        let file = Arc::new(file.clone());
        let (packed, packing) = if let Compression::ZSTD(_) = chunk.compression() {
            let limit = usize::try_from(chunk.uncompressed_size())?;
            // Then the library hands the pages out as they are.
            let chunk = chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
            (SerializedPageReader::new(file, &chunk, rows, locations)?, Packing::Zstd { limit })
        } else {
            (SerializedPageReader::new(file, chunk, rows, locations)?, Packing::None)
        };
        Ok(Self { packed, descriptor, has_dictionary, packing })
    }
}

impl<R: ChunkReader> ColumnPages<R> {
    pub(super) fn descriptor(&self) -> &ColumnDescriptor {
        &self.descriptor
    }

    pub(super) fn has_dictionary(&self) -> bool {
        self.has_dictionary
    }

    fn unpack(&self, mut page: Page) -> Result<Page, ParquetError> {
        if let Packing::Zstd { limit } = self.packing {
            match &mut page {
                Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => *buf = unpack(buf, limit)?,
                Page::DataPageV2 { .. } => {
                    return Err(ParquetError::General("segments have no data pages of version 2".to_owned()));
                }
            }
        }
        Ok(page)
    }
}

impl<R: ChunkReader> PageReader for ColumnPages<R> {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        self.packed.get_next_page()?.map(|page| self.unpack(page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        self.packed.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.packed.skip_next_page()
    }

    fn supports_deferred_dictionary(&self) -> bool {
        self.packed.supports_deferred_dictionary()
    }

    fn take_deferred_dictionary(&mut self) -> Result<Option<Page>, ParquetError> {
        self.packed.take_deferred_dictionary()?.map(|page| self.unpack(page)).transpose()
    }

    fn at_record_boundary(&mut self) -> Result<bool, ParquetError> {
        self.packed.at_record_boundary()
    }
}

impl<R: ChunkReader> Iterator for ColumnPages<R> {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// How long a page is that was packed; none if it is refused. For the fuzz target.
#[doc(hidden)]
#[must_use]
pub fn unpacked_page(packed: &[u8], limit: usize) -> Option<usize> {
    unpack(packed, limit).ok().map(|page| page.len())
}

fn unpack(packed: &[u8], limit: usize) -> Result<Bytes, ParquetError> {
    // A page without values may be nothing at all.
    if packed.is_empty() {
        return Ok(Bytes::new());
    }
    let length = Decompressor::upper_bound(packed)
        .filter(|length| *length <= limit)
        .ok_or_else(|| ParquetError::General("a page does not say how long it is, or lies".to_owned()))?;
    UNPACKER.with_borrow_mut(|unpacker| {
        let unpacker = match unpacker {
            Some(unpacker) => unpacker,
            None => unpacker.insert(Decompressor::new()?),
        };
        Ok(unpacker.decompress(packed, length)?.into())
    })
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
    use parquet::basic::ZstdLevel;
    use parquet::file::metadata::PageIndexPolicy;
    use parquet::file::properties::WriterProperties;

    use super::*;

    const ROWS: i64 = 1000;

    fn written(compression: Compression) -> Bytes {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter((0..ROWS).map(|n| (n % 7 > 0).then_some(n))));
        let words = ["error", "warning", "info"];
        let texts: ArrayRef =
            Arc::new(StringArray::from_iter_values((0..ROWS).map(|n| words[n as usize % words.len()])));
        let batch = RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("t", texts, true)])
            .expect("two columns");
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_data_page_row_count_limit(100)
            .set_write_batch_size(100)
            .build();
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).expect("made");
        writer.write(&batch).expect("written");
        writer.close().expect("closed");
        file.into()
    }

    fn pages_of(file: &Bytes, column: usize) -> Vec<(Bytes, u32)> {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let metadata = ArrowReaderMetadata::load(file, options).expect("a footer");
        let pages = ColumnPages::open(file, metadata.metadata(), 0, column).expect("a column");
        pages
            .map(|page| page.map(|page| (page.buffer().clone(), page.num_values())))
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn packed_pages_come_out_as_those_that_never_were() {
        let packed = written(Compression::ZSTD(ZstdLevel::default()));
        let plain = written(Compression::UNCOMPRESSED);
        assert!(packed.len() < plain.len());
        for column in 0..2 {
            let pages = pages_of(&packed, column);
            assert_eq!(pages, pages_of(&plain, column));
            let values: u32 = pages.iter().map(|(_, values)| values).sum();
            assert!(i64::from(values) >= ROWS, "{values} values");
        }
    }

    #[test]
    fn a_page_longer_than_its_column_is_refused_before_there_is_memory_for_it() {
        let packed = zstd::bulk::compress(&[7; 5000], 1).expect("packed");
        assert_eq!(unpack(&packed, 5000).expect("it fits"), vec![7; 5000]);
        assert!(unpack(&packed, 4999).is_err());
    }

    #[test]
    fn noise_is_no_page() {
        assert!(unpack(b"this is no frame of zstd", 1 << 20).is_err());
        assert!(unpack(&[], 10).expect("nothing").is_empty());
    }
}
