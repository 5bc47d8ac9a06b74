//! Who may read what the process writes.

use rustix::fs::Mode;
use rustix::process::umask;

/// From now on files and directories that the process makes are its user's alone, also where a library asks for
/// more: SQLite makes files that everybody may read.
pub fn keep_files_private() {
    let others = Mode::RWXG | Mode::RWXO;
    let before = umask(others);
    umask(before | others);
}
