//! Settings and places that weir can not start with: each is named, with the exit code that says whose affair it
//! is, and nothing is started.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use weir_system_tests::process::Setup;
use weir_system_tests::small_disk::SmallDisk;
use weir_system_tests::wait::until;

const FAILURE: i32 = 1;
const USAGE: i32 = 64;
const CONFIGURATION: i32 = 78;

const NEXT: &str = "`weir check --explain` with the same flags shows every setting and where it came from\n";

/// [`NEXT`] after a role in a process of its own.
fn next_of(role: &str) -> String {
    NEXT.replace("weir check", &format!("weir check --role {role}"))
}

/// Runs a command that can not do what it is asked: it says why, on standard error, and ends with the code.
fn check(setup: &Setup, arguments: &[&str], code: i32, why: &str) {
    let outcome = setup.run(arguments);
    assert_eq!(outcome.status.code(), Some(code), "{arguments:?}: {outcome:?}");
    assert_eq!((&*outcome.err, &*outcome.out), (why, ""), "{arguments:?}");
}

/// Settings that are refused: by `up`, which touches nothing, and by `check` in the same words.
fn refused(setup: &Setup, flags: &[&str], why: &str) {
    check(setup, &[&["up"], flags].concat(), CONFIGURATION, &format!("{why}{NEXT}"));
    check(setup, &[&["check"], flags].concat(), CONFIGURATION, why);
    assert!(!setup.data_dir.exists(), "nothing was started");
}

/// A setup in a directory that `up` would have to make.
fn setup(directory: &Path) -> Setup {
    Setup::new(&directory.join("data"))
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(directory.path());
    let file = directory.path().join("weir.yaml");
    let file = file.to_str().unwrap();
    let of_file = |yaml: &str, why: &str| {
        std::fs::write(file, yaml).unwrap();
        refused(&setup, &["--config", file], &why.replace("FILE", file));
    };
    let size = "expected a size with its unit, such as `500B`, `64KiB`, `64MiB` or `1GiB`";
    of_file("data_dri: /srv\n", "FILE:1: data_dri: unknown key (did you mean `data_dir`?)\n");
    of_file("journal:\n  retention: 3d\n", "FILE:2: journal.retention: unknown key\n");
    of_file("journal:\n  file_size: 5\n", &format!("FILE:2: journal.file_size: `5` has no unit, {size}\n"));
    // All at once, wherever they come from.
    let environment = setup.clone().with("journal.file_size", "5kg");
    std::fs::write(file, "log:\n  leevl: info\n").unwrap();
    let why = format!(
        "{file}:2: log.leevl: unknown key (did you mean `level`?)\n\
         env WEIR_JOURNAL__FILE_SIZE: journal.file_size: `kg` is not a unit, {size}\n"
    );
    refused(&environment, &["--config", file], &why);
}

#[test]
fn addresses_that_others_can_reach_need_a_word() {
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(directory.path());
    let exposed = |address: &str| {
        format!(
            "`{address}` can be reached from other machines: bind a loopback address, or set `listen.allow_public` to \
             allow it\n"
        )
    };
    for (flag, path) in
        [("--http", "listen.http"), ("--grpc", "producer.grpc_listen"), ("--ops", "listen.ops")]
    {
        let why = format!("flag {flag}: {path}: {}", exposed("0.0.0.0:0"));
        refused(&setup, &[flag, "0.0.0.0:0"], &why);
    }
    let environment = setup.clone().with("listen.http", "[::]:0");
    let why = format!("env WEIR_LISTEN__HTTP: listen.http: {}", exposed("[::]:0"));
    refused(&environment, &[], &why);
    let allowed = setup.run(&["check", "--http", "0.0.0.0:0", "--allow-public"]);
    assert_eq!(allowed.good(), "the settings are good\n");
}

#[test]
fn a_port_in_use_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(directory.path());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, what) in [("--http", "HTTP"), ("--grpc", "gRPC"), ("--ops", "operators")] {
        let why = format!(
            "error: open the address for {what}: address in use: `{address}` (does another weir run, or another \
             program listen there?)\n"
        );
        check(&setup, &["up", flag, &address], FAILURE, &why);
    }
    assert!(!setup.data_dir.exists(), "nothing was started");
}

#[test]
fn a_data_directory_that_can_not_be_written_to_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (file, read_only, full) =
        (directory.path().join("file"), directory.path().join("read-only"), directory.path().join("full"));
    std::fs::write(&file, "").unwrap();
    let _read_only = SmallDisk::mount(&read_only, "ro");
    let full_disk = SmallDisk::mount(&full, "size=1m");
    full_disk.fill();
    let refused = |path: &Path, what: &str, why: &str| {
        let why = format!("error: {what} the data directory `{}`: {why}\n", path.display());
        check(&Setup::new(path), &["up"], FAILURE, &why);
    };
    refused(&file, "make", "File exists (os error 17)");
    refused(&file.join("data"), "make", "Not a directory (os error 20)");
    refused(&read_only, "write to", "Read-only file system (os error 30)");
    refused(&read_only.join("data"), "make", "Read-only file system (os error 30)");
    refused(&full, "write to", "No space left on device (os error 28)");
    let left: Vec<_> = full.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["ballast"], "nothing was started");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_with_too_little_space_takes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let _disk = SmallDisk::mount(directory.path(), "size=8m");
    let setup = Setup::new(directory.path());
    let weir = setup.spawn();
    // The search goes on, so that what is there can be looked at, and retention can make space.
    let page = until("the readiness page names the journal", Duration::from_secs(60), async || {
        let (status, page) = weir.readiness().await?;
        (status == 503 && page.contains("journal: failed: no space")).then_some(page)
    })
    .await;
    let reason = format!("`{}` has ", directory.path().join("journal").display());
    assert!(page.contains(&reason) && page.contains("67108864 are reserved"), "{page}");
    setup.run(&["streams"]).good();
    assert!(weir.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_has_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let first = setup(directory.path());
    let weir = first.start().await;
    let journal = first.data_dir.join("journal");
    let in_use =
        format!("the journal in `{}` is in use by another process (pid {})", journal.display(), weir.pid());
    check(&setup(directory.path()), &["up"], FAILURE, &format!("error: open the journal: {in_use}\n"));
    let why = format!(
        "error: the journal can only be looked at through the weir that runs: {in_use}\n\
         next: leave out --data-dir, or name its address with --server\n"
    );
    let data_dir = first.data_dir.to_str().unwrap();
    check(&first, &["journal", "check", "--data-dir", data_dir], FAILURE, &why);
    check(&first, &["journal", "dump", "shop", "--data-dir", data_dir], FAILURE, &why);
    // It was not disturbed.
    first.run(&["streams"]).good();
    assert!(weir.terminate().await.success());
}

#[test]
fn roles_that_are_gone_say_what_to_use_instead() {
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(directory.path());
    let why = "error: there is no delivery to Google Cloud Storage\n\
               next: `weir consumer` delivers to Elasticsearch or OpenSearch; both can keep snapshots in buckets\n";
    check(&setup, &["consumer-gcs"], CONFIGURATION, why);
    check(&setup, &["consumer-gcs", "-V"], CONFIGURATION, why);
    let mut limits = setup.clone();
    limits.settings.push(("BARITO_RATE_LIMITER_OPT".to_owned(), "GUBERNATOR".to_owned()));
    let why = "BARITO_RATE_LIMITER_OPT: `GUBERNATOR` is not supported (limits are shared through Redis instead: `REDIS` \
               with `BARITO_REDIS_URL`)\n";
    check(&limits, &["p"], CONFIGURATION, &format!("{why}{}", next_of("producer")));
}

#[test]
fn split_roles_need_a_journal_to_share() {
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(directory.path());
    for name in ["producer", "p"] {
        let why = "kafka.brokers: must be set: a role in a process of its own needs a journal that processes share \
                   (`weir up` runs all roles in one process over an embedded journal)\n";
        check(&setup, &[name], CONFIGURATION, &format!("{why}{}", next_of("producer")));
    }
    for name in ["consumer", "c", "server"] {
        let why = "kafka.brokers: must be set: a role in a process of its own needs a journal that processes share \
                   (`weir up` runs all roles in one process over an embedded journal)\n\
                   elasticsearch.urls: must be set: roles in processes of their own share a store, which has to be told\n";
        check(
            &setup,
            &[name],
            CONFIGURATION,
            &format!("{why}{}", next_of(if name == "server" { name } else { "consumer" })),
        );
    }
    for name in ["producer", "consumer"] {
        let unknown = setup.run(&[name, "--brokers", "kafka:9092"]);
        assert_eq!(unknown.status.code(), Some(USAGE), "{unknown:?}");
        assert!(unknown.err.starts_with("error: unexpected argument '--brokers' found\n"), "{unknown:?}");
    }
    assert!(!setup.data_dir.exists(), "nothing was started");
}
