use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use weir_services::Postgres;

/// A connection that the server has a process for, which waits for a password.
fn begin(postgres: &Postgres) -> TcpStream {
    let mut stream = TcpStream::connect(postgres.address()).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out can be set");
    stream.write_all(b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0").expect("it reads");
    let mut kind = [0];
    stream.read_exact(&mut kind).expect("it answers");
    assert_eq!(&kind, b"R", "it asks for a password");
    stream
}

/// The processes that have the folder of the server as theirs.
fn processes(directory: &std::path::Path) -> usize {
    let all = fs::read_dir("/proc").expect("listed").flatten();
    all.filter(|process| {
        fs::read_link(process.path().join("cwd")).is_ok_and(|place| place.starts_with(directory))
    })
    .count()
}

#[test]
fn it_dies_with_its_processes_and_comes_back_with_its_data() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut postgres = Postgres::start(directory.path()).expect("it starts");
    for _ in 0..3 {
        let mut connection = begin(&postgres);
        assert!(processes(directory.path()) > 2);
        postgres.kill().expect("it can be killed");
        assert_eq!(processes(directory.path()), 0);
        let mut rest = Vec::new();
        // How the connection ends is no matter.
        drop(connection.read_to_end(&mut rest));
        postgres.restart().expect("it starts again");
    }
    let address = postgres.address();
    drop(postgres);
    assert_eq!(processes(directory.path()), 0);
    assert!(TcpStream::connect(address).is_err());
}
