//! What the process has of its program in memory.

use std::ffi::c_void;
use std::fs;
use std::io;
use std::ops::Range;

use rustix::mm::{Advice, madvise};

/// A mapping as `/proc/<pid>/smaps` describes it (`man 5 proc_pid_smaps`).
#[derive(Debug, PartialEq, Eq)]
struct Mapping<'a> {
    range: Range<usize>,
    permissions: &'a str,
    path: &'a str,
    resident: usize,
    /// Bytes of it that are not as in the file, in memory or swapped out.
    changed: usize,
}

/// Those of a program as the loader maps it: its code, and what is constant right before it.
fn code<'a>(program: &str, mappings: &'a [Mapping<'a>]) -> Vec<&'a Mapping<'a>> {
    let of_program = |mapping: &&Mapping<'_>| mapping.path == program && mapping.changed == 0;
    let is_code = |mapping: &&Mapping<'_>| mapping.permissions == "r-xp";
    let code: Vec<_> = mappings.iter().filter(of_program).filter(is_code).collect();
    let is_before = |mapping: &&Mapping<'_>| {
        mapping.permissions == "r--p" && code.iter().any(|code| code.range.start == mapping.range.end)
    };
    let constant: Vec<_> = mappings.iter().filter(of_program).filter(is_before).collect();
    [constant, code].concat()
}

/// Gives back what is mapped of the program's file, and says how many bytes that was. Most of it was used to start, and
/// the kernel maps whole neighbourhoods of what is used; all of it counts as memory of the process until somebody else
/// needs the space. What is used again is mapped again, out of the page cache as a rule.
///
/// Costs a few hundred page faults. For processes that are many and mostly idle.
#[expect(unsafe_code, reason = "the kernel is told by address")]
pub fn give_back_code() -> io::Result<usize> {
    let program = fs::read_link("/proc/self/exe")?;
    let text = fs::read_to_string("/proc/self/smaps")?;
    // A name that is no text is none that is found.
    let Some(program) = program.to_str() else { return Ok(0) };
    let mut given = 0;
    for mapping in code(program, &mappings(&text)) {
        let start = std::ptr::with_exposed_provenance_mut::<c_void>(mapping.range.start);
        // SAFETY: the range is of the program itself, which is mapped for as long as the process lives: nobody else maps its
        // file to run it, or right before that. It can not be written to, and no page of it differs from the file. So
        // whatever is read there is read as before.
        unsafe { madvise(start, mapping.range.len(), Advice::LinuxDontNeed)? };
        given += mapping.resident;
    }
    Ok(given)
}

fn mappings(text: &str) -> Vec<Mapping<'_>> {
    let mut mappings: Vec<Mapping<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(mapping) = head(line) {
            mappings.push(mapping);
        } else if let Some(mapping) = mappings.last_mut()
            && let Some((name, value)) = line.split_once(':')
        {
            let kib = value.trim().strip_suffix(" kB").and_then(|kib| kib.parse::<usize>().ok());
            match name {
                "Rss" => mapping.resident = kib.unwrap_or(0) << 10,
                // What is not understood is not touched.
                "Anonymous" | "Swap" => {
                    let more = kib.map_or(usize::MAX, |kib| kib << 10);
                    mapping.changed = mapping.changed.saturating_add(more);
                }
                _ => {}
            }
        }
    }
    mappings
}

/// `5649a6945000-5649a69c9000 r-xp 00b7e000 fe:00 1234   /usr/bin/weir`
fn head(line: &str) -> Option<Mapping<'_>> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let at = |text| usize::from_str_radix(text, 16).ok();
    let (permissions, rest) = rest.split_once(' ')?;
    let path = rest.splitn(4, ' ').nth(3).unwrap_or_default().trim_start();
    Some(Mapping { range: at(start)?..at(end)?, permissions, path, resident: 0, changed: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0c0000000-55d0c0001000 r--p 00000000 fe:00 77                         /usr/bin/a weir
Size:                  4 kB
Rss:                   4 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me
7fc3f0000000-7fc3f0002000 rw-p 00000000 00:00 0
Rss:                   8 kB
Anonymous:             8 kB
Swap:                  4 kB
7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0                          [vdso]
";

    #[test]
    fn mappings_are_read_as_the_kernel_writes_them() {
        let mapping = |range, permissions, path, resident, changed| Mapping {
            range,
            permissions,
            path,
            resident,
            changed,
        };
        let expected = [
            mapping(0x55d0_c000_0000..0x55d0_c000_1000, "r--p", "/usr/bin/a weir", 4096, 0),
            mapping(0x7fc3_f000_0000..0x7fc3_f000_2000, "rw-p", "", 8192, 12288),
            mapping(0x7ffd_0000_0000..0x7ffd_0000_1000, "r-xp", "[vdso]", 0, 0),
        ];
        assert_eq!(mappings(SMAPS), expected);
    }

    #[test]
    fn code_is_what_the_loader_maps_and_nobody_changed() {
        let text = "\
1000-2000 r--p 00000000 fe:00 77 /a\nAnonymous: 0 kB\n\
2000-3000 r-xp 00001000 fe:00 77 /a\nAnonymous: 0 kB\n\
3000-4000 r--p 00002000 fe:00 77 /a\nAnonymous: 4 kB\n\
4000-5000 rw-p 00003000 fe:00 77 /a\nAnonymous: 4 kB\n\
6000-7000 r-xp 00000000 fe:00 78 /b\nAnonymous: 0 kB\n\
8000-9000 r--p 00000000 fe:00 77 /a\nAnonymous: 0 kB\n\
9000-a000 r-xp 00001000 fe:00 77 /a\nAnonymous: 0 kB\nSwap: 4 kB\n";
        let mappings = mappings(text);
        let starts: Vec<usize> = code("/a", &mappings).iter().map(|mapping| mapping.range.start).collect();
        assert_eq!(starts, [0x1000, 0x2000]);
    }

    fn resident() -> usize {
        let program = fs::read_link("/proc/self/exe").expect("there is a program");
        let text = fs::read_to_string("/proc/self/smaps").expect("it can be read");
        let of_program = |mapping: &Mapping<'_>| program.to_str() == Some(mapping.path);
        mappings(&text).iter().filter(|mapping| of_program(mapping)).map(|mapping| mapping.resident).sum()
    }

    #[test]
    fn what_was_mapped_is_given_back_and_the_program_goes_on() {
        let before = resident();
        let given = give_back_code().expect("the kernel takes it");
        let after = resident();
        assert!(given > 0 && after < before, "{given} bytes given back, {before} before, {after} after");
    }
}
