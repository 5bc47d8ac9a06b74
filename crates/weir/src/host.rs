//! The machine.

use std::io;

/// What it is called, as the kernel knows it.
pub(crate) fn name() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned())
}
