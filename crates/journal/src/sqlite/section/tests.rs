use std::path::PathBuf;

use weir_foundation::settings::documented_defaults;
use weir_model::ByteSize;

use super::*;

fn directory() -> PathBuf {
    PathBuf::from("/somewhere")
}

#[test]
fn the_documented_defaults_are_the_real_ones() {
    let documented: JournalSection = documented_defaults();
    assert_eq!(Settings::validate(&documented, directory()), Ok(Settings::new(directory())));
    assert_eq!(Settings::validate(&JournalSection::default(), directory()), Ok(Settings::new(directory())));
}

#[test]
fn what_can_not_work_is_refused() {
    let check = |change: fn(&mut JournalSection), path: &str| {
        let mut section = JournalSection::default();
        change(&mut section);
        let problems = Settings::validate(&section, directory()).expect_err(path);
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, [path]);
    };
    check(|section| section.file_size = Some(SizeText::from_bytes(1000)), "file_size");
    check(|section| section.file_age = Some(DurationText::from_secs(0)), "file_age");
    check(|section| section.max_partitions = Some(0), "max_partitions");
    check(|section| section.max_partitions = Some(1025), "max_partitions");
    check(|section| section.max_streams = Some(0), "max_streams");
    check(|section| section.max_record = Some(SizeText::from_bytes(0)), "max_record");
    check(|section| section.queue = Some(SizeText::from_bytes(0)), "queue");
    check(|section| section.read_batch = Some(SizeText::from_bytes(0)), "read_batch");
    check(|section| section.max_size = Some(SizeText::from_bytes(1 << 30)), "max_size");
}

#[test]
fn given_values_are_taken() {
    let section = JournalSection {
        compression: Some(Codec::Zstd),
        max_size: Some(SizeText::from_bytes(4 << 30)),
        when_full: Some(Undelivered::Drop),
        ..JournalSection::default()
    };
    let settings = Settings::validate(&section, directory()).expect("valid");
    assert_eq!(settings.codec, Codec::Zstd);
    assert_eq!(settings.retention.size, Some(ByteSize::gib(4)));
    assert_eq!(settings.retention.undelivered, Undelivered::Drop);
}
