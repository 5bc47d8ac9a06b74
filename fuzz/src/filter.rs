//! Filter files as a disk may give them back: refused, or good for a look-up.

use weir_store::segment::pages_with_word;

pub fn run(data: &[u8]) {
    for word in ["", "words", "10"] {
        let found = pages_with_word(data, "message", word);
        // A page takes four bytes at least.
        assert!(found.is_none_or(|pages| pages <= data.len() / 4));
    }
}
