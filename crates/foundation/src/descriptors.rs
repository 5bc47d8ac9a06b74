//! How many files and connections the process may have open.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as the system allows, and answers with it; `None` is no limit.
///
/// Shells and systemd start processes with a soft limit of 1024, for the sake of programs that use `select`: idle
/// clients would soon take what the journal and the index need. The hard limit is what the operator meant.
pub fn raise_limit() -> io::Result<Option<u64>> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum)
}

/// How many connections one listener may hold at the most: a third of what may be open, since there are two
/// busy ones, and the journal and the index need the rest.
#[must_use]
pub fn most_connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
    (limit.unwrap_or(usize::MAX) / 3).max(1)
}

/// How many files may be kept open for reading at the most: half of what may be open.
#[must_use]
pub fn most_files() -> usize {
    let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
    (limit.unwrap_or(usize::MAX) / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let before = getrlimit(Resource::Nofile);
        assert_eq!(raise_limit().expect("up to the hard limit"), before.maximum);
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
    }
}
