//! An agent that knows nothing but a proxy which ends its TLS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt;
use weir_system_tests::process::{Weir, free_address};
use weir_system_tests::seed;
use weir_system_tests::wait::until_seldom;
use weir_testkit::{Place, TlsProxy};

use crate::enrolled::{Agent, FAR, Instance, PATIENCE, far};
use crate::writers::{Written, check_each, count, write};

/// From where the proxy connects to the server.
const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

async fn in_front_of(server: SocketAddr, folder: &Path) -> TlsProxy {
    let place = Place { near: far(server), from: FROM, server };
    TlsProxy::start(place, folder).await.expect("it listens")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_seals_renews_and_comes_back_through_the_proxy() {
    const FAULTS: usize = 30;
    let mut rng = seed::rng();
    let directory = tempfile::tempdir().unwrap();
    let mut instance = Instance::new(&directory.path().join("data"), FAR);
    instance.setup =
        instance.setup.with("fleet.proxies", &FROM.to_string()).with("fleet.certificate_life", "10s");
    let addresses = instance.setup.addresses;
    let mut server: Weir = instance.setup.start().await;
    let folder = directory.path().join("proxy");
    let out = folder.display().to_string();
    let told =
        instance.run(&["pki", "certificate", "proxy.example", "10.0.0.7", "--ttl", "1h", "--out", &out]);
    assert_eq!(told.lines().count(), 3, "{told}");
    for file in told.lines() {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    let proxy = in_front_of(addresses.ingest, &folder).await;
    let _enrolment = in_front_of(addresses.enrolment, &folder).await;
    instance.run(&["app", "create", "shop"]);
    let key = instance.key("1", &["--seal"]);
    let (logs, state) = (directory.path().join("logs"), directory.path().join("state"));
    std::fs::create_dir(&logs).unwrap();
    instance.configure(&format!(
        "inputs: [{{paths: ['{}/app-*.log*'], scan_interval: 50ms, close_after: 500ms}}]\n",
        logs.display()
    ));
    let ops = free_address();
    let mut agent = Agent::start(&state, ops, Some(&key));
    let enrolled = until_seldom("it is an agent", PATIENCE, async || instance.agents().pop()).await;
    assert_eq!(enrolled["agent"], "web-1");
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let (logs, stop, seed) = (logs.clone(), Arc::clone(&stop), rng.random());
            std::thread::spawn(move || write(&logs, writer, seed, &stop))
        })
        .collect();
    for _ in 0..FAULTS {
        tokio::time::sleep(Duration::from_millis(rng.random_range(10..1_000))).await;
        match rng.random_range(0..4) {
            0 => {
                drop(agent);
                agent = Agent::start(&state, ops, None);
            }
            1 => {
                server.kill();
                server = instance.setup.start().await;
            }
            _ => proxy.snap(),
        }
    }
    stop.store(true, Ordering::Relaxed);
    let written: Vec<Written> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    let expected: u64 = written.iter().flatten().sum();
    eprintln!("{expected} lines, {FAULTS} faults, {} messages through the proxy", proxy.seen().len());
    until_seldom("every line is stored", PATIENCE, async || {
        (count(addresses, "shop").await as u64 >= expected).then_some(())
    })
    .await;
    check_each(addresses, &written).await;
    let agents = instance.agents();
    assert_eq!(agents.len(), 1, "it is one agent all the time: {agents:?}");
    assert!(proxy.seen().len() > FAULTS, "all of it came through the proxy");
    assert!(server.terminate().await.success());
}
