//! Retention on a full disk: it makes the space that everything else waits for.

use std::time::Duration;

use weir_store::IndexStore as _;
use weir_store::conformance::Subject as _;
use weir_store::conformance::fixture::{numbered, partition, write};
use weir_store::segment::StoreSection;

use crate::segment::{Segments, start_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_goes_on_where_nothing_can_be_written() {
    let subject = Segments::new();
    for n in 0..3 {
        write(&*subject.index(), &partition(0), vec![numbered("shop", n)]).await;
        subject.index().flush().await.expect("flushes");
    }
    let directory = subject.close().await;
    // No disk has that much left, so that every write is refused.
    let section = StoreSection {
        free_space_reserve: "1000000TiB".parse().ok(),
        keep_bytes: "1B".parse().ok(),
        ..StoreSection::default()
    };
    let (store, supervisor) = start_with(directory.path(), &section).expect("nobody else has the directory");
    write(&store, &partition(0), vec![numbered("shop", 3)]).await;
    store.flush().await.expect_err("there is no space");
    let gone = async {
        while store.stats().dropped_rows < 3 {
            store.flush().await.expect_err("there is no space");
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("the old segments go");
    supervisor.run_until(async {}).await;
}
