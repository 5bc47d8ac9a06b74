//! The files that patterns stand for, and the folders on the way to them.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use glob::Pattern;

use super::identity::FileId;

/// A pattern by the parts of its path.
#[derive(Debug)]
pub(super) struct Walk {
    /// Up to the first part that is a pattern, or the last part.
    base: PathBuf,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Named(String),
    Like(Pattern),
    /// `**`: any number of folders.
    Folders,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Whatever has a name that fits and is no folder, by its name.
    pub(super) names: Vec<PathBuf>,
    /// Folders in which something may come to be that fits.
    pub(super) folders: Vec<PathBuf>,
    /// What could not be looked at.
    pub(super) errors: Vec<(PathBuf, io::Error)>,
}

/// A folder, and which part of the pattern its entries have to fit.
type Place = (PathBuf, usize);

impl Walk {
    /// None for what is no pattern.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        let mut base = PathBuf::new();
        let mut parts = Vec::new();
        for component in Path::new(pattern).components() {
            let text = component.as_os_str().to_str()?;
            if parts.is_empty() && !text.contains(['*', '?', '[']) {
                base.push(component);
            } else if text == "**" {
                parts.push(Part::Folders);
            } else if text.contains(['*', '?', '[']) {
                parts.push(Part::Like(Pattern::new(text).ok()?));
            } else if component == Component::CurDir {
            } else {
                parts.push(Part::Named(text.to_owned()));
            }
        }
        if parts.is_empty() {
            parts.push(Part::Named(base.file_name()?.to_str()?.to_owned()));
            base.pop();
        }
        Some(Self { base, parts })
    }

    /// Looks at the disk.
    pub(super) fn find(&self, walked: &mut Walked) {
        if let Err(error) = fs::metadata(&self.base)
            && !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        {
            walked.errors.push((self.base.clone(), error));
        }
        let base = self.base.ancestors().find(|folder| folder.is_dir());
        let Some(base) = base.filter(|base| *base == self.base) else {
            // It may come.
            walked.folders.extend(base.map(Path::to_owned));
            return;
        };
        let mut places = vec![(base.to_owned(), 0)];
        // Links may lead back to where they are.
        let mut seen = HashSet::new();
        while let Some((folder, index)) = places.pop() {
            if matches!(self.parts.get(index), Some(Part::Folders)) {
                let id = fs::metadata(&folder).ok().map(|metadata| FileId::of(&metadata));
                if !id.is_some_and(|id| seen.insert((id, index))) {
                    continue;
                }
            }
            self.look(folder, index, walked, &mut places);
        }
    }

    /// At one folder; further ones are put before those that are still to come.
    fn look(&self, folder: PathBuf, index: usize, walked: &mut Walked, places: &mut Vec<Place>) {
        let is_last = index + 1 == self.parts.len();
        match self.parts.get(index) {
            None => return,
            Some(Part::Named(name)) => {
                let path = folder.join(name);
                if !is_last {
                    places.extend(path.is_dir().then_some((path, index + 1)));
                } else if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_dir()) {
                    walked.names.push(path);
                }
            }
            Some(Part::Like(pattern)) => {
                let like = |name: &str| pattern.matches(name);
                for (path, kind) in entries(&folder, like, walked) {
                    match kind {
                        Kind::Folder if !is_last => places.push((path, index + 1)),
                        Kind::Folder => {}
                        Kind::Other if is_last => walked.names.push(path),
                        Kind::Other => {}
                    }
                }
            }
            Some(Part::Folders) => {
                for (path, kind) in entries(&folder, |_| true, walked) {
                    places.extend((kind == Kind::Folder).then_some((path, index)));
                }
                // The folder itself is the first that the next part is looked for in.
                places.push((folder.clone(), index + 1));
            }
        }
        walked.folders.push(folder);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    Other,
}

/// What is in a folder and has such a name; by name, the last first.
fn entries(folder: &Path, like: impl Fn(&str) -> bool, walked: &mut Walked) -> Vec<(PathBuf, Kind)> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        // It was there a moment ago.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Vec::new();
        }
        Err(error) => {
            walked.errors.push((folder.to_owned(), error));
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for entry in listed {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                walked.errors.push((folder.to_owned(), error));
                break;
            }
        };
        let name = entry.file_name();
        if !like(&name.to_string_lossy()) {
            continue;
        }
        if name.to_str().is_none() {
            let error = io::Error::new(io::ErrorKind::InvalidFilename, "its name is no UTF-8");
            walked.errors.push((entry.path(), error));
            continue;
        }
        let path = entry.path();
        let kind = entry.file_type().ok().filter(|kind| !kind.is_symlink());
        let is_folder = kind.map_or_else(|| path.is_dir(), |kind| kind.is_dir());
        found.push((path, if is_folder { Kind::Folder } else { Kind::Other }));
    }
    found.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::ffi::OsStrExt as _;

    use proptest::prelude::*;

    use super::*;

    fn walked(pattern: &str) -> Walked {
        let mut walked = Walked::default();
        Walk::new(pattern).expect("it is a pattern").find(&mut walked);
        walked
    }

    /// Files and folders below a new folder.
    fn tree(paths: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("there is space");
        for path in paths {
            let full = root.path().join(path);
            if path.ends_with('/') {
                fs::create_dir_all(full).expect("there is space");
            } else {
                fs::create_dir_all(full.parent().expect("it has one")).expect("there is space");
                fs::write(full, "").expect("there is space");
            }
        }
        root
    }

    #[track_caller]
    fn check(root: &Path, pattern: &str, names: &[&str], folders: &[&str]) {
        let found = walked(&format!("{}/{pattern}", root.display()));
        assert!(found.errors.is_empty(), "{:?}", found.errors);
        let below = |paths: &[PathBuf]| -> Vec<String> {
            let below = |path: &PathBuf| {
                path.strip_prefix(root).map_or("..".into(), |path| path.display().to_string())
            };
            paths.iter().map(below).collect::<BTreeSet<_>>().into_iter().collect()
        };
        assert_eq!(
            (below(&found.names), below(&found.folders)),
            (
                names.iter().map(|name| (*name).to_owned()).collect(),
                folders.iter().map(|name| (*name).to_owned()).collect()
            ),
            "{pattern}"
        );
    }

    #[test]
    fn names_are_found_and_the_folders_in_which_they_may_come_to_be() {
        let root =
            tree(&["a.log", "b.log", "b.txt", "c/a.log", "c/d/a.log", "c/e/x.log", "f.log/", ".g.log"]);
        let root = root.path();
        check(root, "*.log", &[".g.log", "a.log", "b.log"], &[""]);
        check(root, "a.log", &["a.log"], &[""]);
        check(root, "?.txt", &["b.txt"], &[""]);
        check(root, "none.log", &[], &[""]);
        check(root, "none/*.log", &[], &[""]);
        check(root, "c/none/deep/*.log", &[], &["c"]);
        check(root, "*/*.log", &["c/a.log"], &["", "c", "f.log"]);
        check(root, "c/*/a.log", &["c/d/a.log"], &["c", "c/d", "c/e"]);
        check(root, "**/a.log", &["a.log", "c/a.log", "c/d/a.log"], &["", "c", "c/d", "c/e", "f.log"]);
        check(root, "c/**/[ax].log", &["c/a.log", "c/d/a.log", "c/e/x.log"], &["c", "c/d", "c/e"]);
        check(root, "**/d/*", &["c/d/a.log"], &["", "c", "c/d", "c/e", "f.log"]);
        check(root, "*/d/../*.log", &["c/d/../a.log"], &["", "c", "c/d", "c/d/..", "f.log"]);
    }

    #[test]
    fn links_that_lead_back_are_followed_once() {
        let root = tree(&["a/b/x.log"]);
        std::os::unix::fs::symlink(root.path(), root.path().join("a/loop")).expect("there is space");
        std::os::unix::fs::symlink("self", root.path().join("self")).expect("there is space");
        std::os::unix::fs::symlink("x.log", root.path().join("a/b/link.log")).expect("there is space");
        std::os::unix::fs::symlink("nowhere", root.path().join("a/b/none.log")).expect("there is space");
        let names = ["a/b/link.log", "a/b/none.log", "a/b/x.log"];
        check(root.path(), "**/*.log", &names, &["", "a", "a/b"]);
        check(root.path(), "*/b/*.log", &names, &["", "a", "a/b"]);
        check(root.path(), "a/loop/a/b/x.log", &["a/loop/a/b/x.log"], &["a/loop/a/b"]);
    }

    #[test]
    fn a_folder_that_can_not_be_looked_at_is_told() {
        let root = tree(&["a.log"]);
        std::os::unix::fs::symlink("self", root.path().join("self")).expect("there is space");
        for (pattern, errors) in
            [("self/*.log", 1), ("self/deep/*.log", 1), ("none/*.log", 0), ("a.log/*.log", 0)]
        {
            let found = walked(&format!("{}/{pattern}", root.path().display()));
            assert_eq!((found.names.len(), found.errors.len()), (0, errors), "{pattern}");
        }
    }

    #[test]
    fn a_name_that_is_no_text_is_told() {
        let root = tree(&[]);
        fs::write(root.path().join(std::ffi::OsStr::from_bytes(b"\xff.log")), "").expect("there is space");
        let found = walked(&format!("{}/*.log", root.path().display()));
        assert_eq!((found.names.len(), found.errors.len()), (0, 1));
        assert_eq!(walked(&format!("{}/*.txt", root.path().display())).errors.len(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// As the library has it whose patterns they are.
        #[test]
        fn the_same_is_found_as_by_the_library(
            paths in prop::collection::vec("[ab]{1,2}(/[ab]{1,2}){0,3}/?", 0..12),
            pattern in "(\\*\\*/)?([ab?*]{1,2}|\\[ab\\])(/(\\*\\*/)?([ab?*]{1,2}|\\[!a\\]|\\*\\*/a)){0,2}",
        ) {
            prop_assume!(!pattern.split('/').any(|part| part.contains("**") && part != "**"));
            prop_assume!(!pattern.ends_with("**"));
            let root = tempfile::tempdir().expect("there is space");
            for path in &paths {
                let full = root.path().join(path);
                let folder = if path.ends_with('/') { Some(full.as_path()) } else { full.parent() };
                // A file may be in the way.
                if folder.is_some_and(|folder| fs::create_dir_all(folder).is_ok()) && !path.ends_with('/') && !full.exists() {
                    fs::write(&full, "").expect("there is space");
                }
            }
            let pattern = format!("{}/{pattern}", root.path().display());
            let expected = glob::glob(&pattern).expect("it is a pattern").filter_map(Result::ok);
            let expected: BTreeSet<PathBuf> = expected.filter(|path| path.is_file()).collect();
            let found: BTreeSet<PathBuf> = walked(&pattern).names.into_iter().collect();
            prop_assert_eq!(found, expected);
        }
    }
}
