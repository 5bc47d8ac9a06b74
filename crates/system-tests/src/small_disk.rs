//! A small file system in memory, mounted for one test.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Mounted as long as this lives.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it at the path, with options of tmpfs such as `size=1m`.
    pub fn mount(path: &Path, options: &str) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("mode=0700,{options}"), "tmpfs"])
            .arg(path)
            .status();
        let mounted = mount.expect("there is `mount`").success();
        assert!(mounted, "a file system could not be mounted: run it as root, or by `scripts/with-mounts`");
        Self(path.to_owned())
    }

    /// Fills the disk with a file that can be removed again, while others go on writing.
    pub fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        // What does not fit as a large piece may as a small one.
        for piece in [1 << 16, 1 << 12, 1] {
            let piece = vec![1u8; piece];
            let failure = std::iter::repeat_with(|| ballast.write_all(&piece)).find_map(Result::err);
            let kind = failure.expect("it ends only then").kind();
            assert_eq!(kind, ErrorKind::StorageFull);
        }
    }

    /// Removes what filled it.
    pub fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A process that a failed test left behind may still use it.
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}
