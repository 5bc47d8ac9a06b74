//! Pages of texts as a disk may give them back. The first two bytes say how many rows the page is to have.

use weir_store::segment::texts_of_page;

pub fn run(data: &[u8]) {
    let Some((rows, page)) = data.split_first_chunk() else { return };
    let rows = usize::from(u16::from_le_bytes(*rows));
    let Some(texts) = texts_of_page(page, rows) else { return };
    assert_eq!(texts.len(), rows);
    // The texts stand one behind the other at one place of the page.
    let texts: String = texts.into_iter().flatten().collect();
    assert!(memchr::memmem::find(page, texts.as_bytes()).is_some());
}
