//! Disks that are damaged or full.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::RngExt as _;
use weir_agent::WhenFull;
use weir_journal::sqlite::Disk;
use weir_model::ByteSize;
use weir_testkit::CableState;

use super::{Node, Source, files, is_stuck};

/// What the journal leaves alone.
const RESERVE: u64 = 64 << 20;

/// A file system of a size, which others use too.
#[derive(Debug)]
struct SmallDisk {
    size: u64,
    others: AtomicU64,
}

impl Disk for SmallDisk {
    fn free(&self, directory: &Path) -> std::io::Result<u64> {
        let length = |path: PathBuf| path.metadata().map_or(0, |metadata| metadata.len());
        let used: u64 = files(directory).into_iter().map(length).sum();
        Ok((RESERVE + self.size).saturating_sub(used + self.others.load(Ordering::Relaxed)))
    }
}

fn journals(node: &Node) -> Vec<PathBuf> {
    let is_journal = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "db");
    let named = |path: &PathBuf| path.to_string_lossy().contains("journal-");
    files(&node.folder()).into_iter().filter(is_journal).filter(named).collect()
}

/// Damage costs what it hit; all of it is counted, and what is behind it arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_is_counted_and_passed() {
    for round in 0..6 {
        let node = Node::new().await;
        node.cable.becomes(CableState::Cut);
        let mut source = Source::new(1_000);
        let life = node.open().await;
        source.keep(&life.spool, 3_000, 20).await;
        life.drains().await;
        let journals = journals(&node);
        assert!(journals.len() > 2);
        let mut bytes = std::fs::read(&journals[round % 2]).expect("it is there");
        let flips = source.rng.random_range(1..200);
        for _ in 0..flips {
            let at = source.rng.random_range(8_192..bytes.len());
            bytes[at] ^= 1 << source.rng.random_range(0..8);
        }
        std::fs::write(&journals[round % 2], bytes).expect("there is space");
        node.cable.becomes(CableState::Whole);
        let life = node.open().await;
        source.keep(&life.spool, 100, 20).await;
        life.is_empty().await;
        let (report, numbers) = (life.report(), node.numbers());
        assert!(numbers.is_sorted_by(|one, other| one < other), "{flips} flips");
        assert_eq!(report.dropped.damaged, report.dropped.total(), "{flips} flips");
        assert_eq!(report.sent, numbers.len() as u64, "{flips} flips");
        assert_eq!(report.sent + report.dropped.damaged, 3_100, "{flips} flips: {report:?}");
        assert_eq!(numbers.last(), Some(&3_099), "{flips} flips");
        life.drains().await;
    }
}

/// A whole file may be gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_gone_is_counted_and_passed() {
    for gone in [0, 1] {
        let node = Node::new().await;
        node.cable.becomes(CableState::Cut);
        let mut source = Source::new(1_000);
        let life = node.open().await;
        source.keep(&life.spool, 3_000, 20).await;
        life.drains().await;
        std::fs::remove_file(&journals(&node)[gone]).expect("it is there");
        node.cable.becomes(CableState::Whole);
        let life = node.open().await;
        source.keep(&life.spool, 100, 20).await;
        life.is_empty().await;
        let (report, numbers) = (life.report(), node.numbers());
        assert_eq!(report.sent, numbers.len() as u64);
        assert!(numbers.is_sorted_by(|one, other| one < other));
        assert!(report.dropped.total() > 500, "{report:?}");
        assert_eq!(report.sent + report.dropped.total(), 3_100, "{report:?}");
        life.drains().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_waited_for() {
    let mut node = Node::new().await;
    let disk = Arc::new(SmallDisk { size: 40 << 20, others: AtomicU64::new(0) });
    node.disk = Arc::clone(&disk) as Arc<dyn Disk>;
    let life = node.open().await;
    let mut source = Source::new(1_000);
    source.keep(&life.spool, 500, 100).await;
    disk.others.store(40 << 20, Ordering::Relaxed);
    let others = async {
        is_stuck(&life).await;
        assert_eq!((life.report().kept, life.report().dropped.total()), (500, 0));
        disk.others.store(0, Ordering::Relaxed);
    };
    tokio::join!(source.keep(&life.spool, 2_000, 100), others);
    life.is_empty().await;
    assert!(node.numbers().into_iter().eq(0..2_500));
    life.drains().await;
}

/// What others take of the disk is not there for the spool, which drops no more than it has to: the journal wants four
/// mebibytes before it goes on, and a file has eight.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_oldest_goes_from_a_full_disk() {
    let mut node = Node::new().await;
    node.settings.when_full = WhenFull::DropOldest;
    node.settings.max_size = ByteSize::mib(64);
    let disk = Arc::new(SmallDisk { size: 100 << 20, others: AtomicU64::new(0) });
    node.disk = Arc::clone(&disk) as Arc<dyn Disk>;
    node.cable.becomes(CableState::Cut);
    let life = node.open().await;
    let mut source = Source::new(1_000);
    source.keep(&life.spool, 20_000, 500).await;
    assert_eq!(life.report().dropped.total(), 0);
    disk.others.store((100 << 20) - node.used(), Ordering::Relaxed);
    source.keep(&life.spool, 1_000, 100).await;
    let report = life.report();
    assert!(report.dropped.full > 4_000 && report.dropped.full < 10_000, "{report:?}");
    assert_eq!(report.dropped.full + report.waiting, 21_000);
    node.cable.becomes(CableState::Whole);
    life.is_empty().await;
    assert!(node.numbers().into_iter().eq(report.dropped.full..21_000), "the newest, in order");
    life.drains().await;
}
