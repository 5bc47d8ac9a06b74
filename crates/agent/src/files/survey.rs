//! Which files inputs would read.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::inputs::Input;
use super::scan::{Match, find};
use crate::section::FilesSettings;

/// What inputs would find on this machine now, without an agent.
#[derive(Debug, Default)]
pub struct Survey {
    /// By input and path. A file that several want is of the first.
    pub files: Vec<Sighting>,
    pub errors: Vec<Unseen>,
}

/// A file that would be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Place of the input in the list.
    pub input: usize,
    pub path: PathBuf,
}

/// What could not be looked at.
#[derive(Debug)]
pub struct Unseen {
    /// Place of the input in the list.
    pub input: usize,
    pub path: PathBuf,
    pub error: io::Error,
}

impl Survey {
    /// Looks at the disk.
    #[must_use]
    pub fn of(inputs: &[FilesSettings]) -> Self {
        let inputs: Vec<Arc<Input>> =
            inputs.iter().filter_map(|settings| Some(Arc::new(Input::new(settings)?))).collect();
        let place = |input: &Arc<Input>| inputs.iter().position(|other| Arc::ptr_eq(other, input));
        let found = find(inputs.iter());
        let mut survey = Self::default();
        for Match { input, path, .. } in found.files.into_values() {
            survey.files.extend(place(&input).map(|input| Sighting { input, path }));
        }
        for (input, path, error) in found.errors {
            survey.errors.extend(place(&input).map(|input| Unseen { input, path, error }));
        }
        survey.files.sort_unstable_by(|one, other| (one.input, &one.path).cmp(&(other.input, &other.path)));
        survey
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, write};

    use super::*;
    use crate::section::InputSection;

    #[test]
    fn a_file_is_of_the_first_that_wants_it() {
        let root = tempfile::tempdir().expect("there is space");
        let path = |name: &str| root.path().join(name);
        for name in ["b.log", "a.log", "a.txt", "old.log"] {
            write(path(name), "x\n").expect("there is space");
        }
        create_dir(path("folder.log")).expect("there is space");
        std::os::unix::fs::symlink("loop", path("loop")).expect("there is space");
        let input = |names: &[&str]| InputSection {
            app: Some("shop".to_owned()),
            paths: names.iter().map(|name| path(name).display().to_string()).collect(),
            exclude: Some(vec!["**/old*".to_owned()]),
            ..InputSection::default()
        };
        let raw = [input(&["a.*"]), input(&["*.log", "none/*", "loop"])];
        let inputs = FilesSettings::validate_all(&raw).expect("they are good");
        let Survey { files, errors } = Survey::of(&inputs);
        let found: Vec<_> = files.iter().map(|file| (file.input, file.path.clone())).collect();
        assert_eq!(found, [(0, path("a.log")), (0, path("a.txt")), (1, path("b.log"))]);
        let unseen: Vec<_> = errors.iter().map(|unseen| (unseen.input, unseen.path.clone())).collect();
        assert_eq!(unseen, [(1, path("loop"))]);
    }
}
