use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use weir_journal::{Journal, Origin};

use crate::broker::{World, create, eventually, name, only, receive, record};

/// Callers that go on appending, each telling what was acknowledged.
#[expect(clippy::disallowed_methods, reason = "the callers run beside the test")]
pub(crate) async fn a_broker_dies_and_comes_back(world: &mut World) {
    let mut settings = world.settings();
    settings.append_timeout = Duration::from_secs(60);
    let opened = world.open_with(settings).await;
    create(&opened.journal, "surviving_logs", 3).await;
    let mut member = opened.journal.subscribe("surviving", only("surviving")).await.expect("a group");
    let (ended, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let (journal, ended, acknowledged) =
                (Arc::clone(&opened.journal), Arc::clone(&ended), Arc::clone(&acknowledged));
            async move {
                let mut stored = Vec::new();
                for number in 0.. {
                    if ended.load(Ordering::Relaxed) {
                        break;
                    }
                    let text = format!("{caller}/{number}");
                    let records = vec![record(&text), record(&format!("{text}+"))];
                    if journal.append(&name("surviving_logs"), Origin::Any, records).await.is_ok() {
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                        stored.extend([text.clone(), format!("{text}+")]);
                    }
                }
                stored
            }
        })
        .collect();
    let at_least = |count| {
        let acknowledged = Arc::clone(&acknowledged);
        eventually("appends are acknowledged", move || {
            let enough = acknowledged.load(Ordering::Relaxed) >= count;
            async move { enough }
        })
    };
    let breaking = async {
        at_least(50).await;
        world.kafka.kill(0).expect("it can be killed");
        // Blocks this thread: the callers have the others.
        tokio::task::block_in_place(|| world.kafka.restart(0)).expect("it starts again");
        let before = acknowledged.load(Ordering::Relaxed);
        at_least(before + 50).await;
        ended.store(true, Ordering::Relaxed);
    };
    let callers = tokio::spawn(join_all(callers));
    breaking.await;
    let stored: Vec<String> = callers.await.expect("no caller panics").concat();
    assert!(stored.len() >= 200);
    let mut missing: BTreeSet<String> = stored.into_iter().collect();
    let mut seen = BTreeSet::new();
    while !missing.is_empty() {
        for (_, text) in receive(&mut *member, 1).await {
            missing.remove(&text);
            assert!(seen.insert(text.clone()), "{text} came twice");
        }
    }
}
