//! What is different between two texts, by lines, in the unified format.

use std::time::Duration;

use similar::{Algorithm, TextDiff};

/// Lines around what is different.
const CONTEXT: usize = 3;

/// How long the shortest difference is looked for; after that any will do.
const PATIENCE: Duration = Duration::from_millis(200);

/// Nothing if they are the same. Takes a time that grows with the texts.
pub(super) fn unified(old: &str, new: &str, old_name: &str, new_name: &str) -> String {
    let mut looking = TextDiff::configure();
    let found = looking.algorithm(Algorithm::Myers).timeout(PATIENCE).diff_lines(old, new);
    found.unified_diff().context_radius(CONTEXT).header(old_name, new_name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_read_by_people_and_by_patch() {
        let old = "inputs:\n  - paths: [/a]\n    app: shop\n# one\n# two\n# three\n# four\n";
        let new = old.replace("/a", "/b") + "# five\n";
        insta::assert_snapshot!(unified(old, &new, "revision 3", "new"));
        assert_eq!(unified(old, old, "a", "b"), "");
        insta::assert_snapshot!(unified("", "a", "nothing", "new"));
    }

    #[test]
    fn texts_that_have_nothing_in_common_take_no_longer_than_they_may() {
        let text = |seed: u64| {
            let line = |n: u64| format!("{}\n", n.wrapping_mul(seed) % 1_000_003);
            (0..150_000).map(line).collect::<String>()
        };
        let (old, new) = (text(7_919), text(104_729));
        let found = unified(&old, &new, "old", "new");
        assert!(found.len() > 1 << 20);
    }
}
