use weir_services::Redis;

/// The answer to a command.
fn ask(redis: &Redis, command: &str) -> String {
    let answer = crate::ask(redis.address(), &format!("{command}\r\nQUIT\r\n"));
    answer.strip_suffix("+OK\r\n").expect("it says goodbye").to_owned()
}

#[test]
fn it_forgets_everything_at_a_restart_and_keeps_its_address() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut redis = Redis::start(directory.path()).expect("it starts");
    assert_eq!(ask(&redis, "SET word 1"), "+OK\r\n");
    assert_eq!(ask(&redis, "GET word"), "$1\r\n1\r\n");
    redis.kill().expect("it can be killed");
    redis.restart().expect("it starts again");
    assert_eq!(ask(&redis, "GET word"), "$-1\r\n");
}

#[test]
fn it_ends_with_its_owner() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let redis = Redis::start(directory.path()).expect("it starts");
    let address = redis.address();
    drop(redis);
    assert!(std::net::TcpStream::connect(address).is_err());
}
