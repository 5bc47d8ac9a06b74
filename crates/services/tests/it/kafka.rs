use std::net::{SocketAddr, TcpStream};

use weir_services::{Home, Kafka};

/// Brokers that take connections.
fn listening(kafka: &Kafka) -> usize {
    let addresses = kafka.addresses();
    let is_there = |address: &&str| {
        let address: SocketAddr = address.parse().expect("it is an address");
        TcpStream::connect(address).is_ok()
    };
    addresses.split(',').filter(is_there).count()
}

#[test]
fn a_node_of_three_is_killed_and_comes_back() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut kafka = Kafka::start(&Home::of_the_tree(), directory.path(), 3).expect("it starts");
    assert_eq!(listening(&kafka), 3);
    kafka.kill(0).expect("it can be killed");
    assert_eq!(listening(&kafka), 2);
    kafka.restart(0).expect("it starts again");
    assert_eq!(listening(&kafka), 3);
    kafka.pause(1).expect("it can be paused");
    kafka.resume(1).expect("it goes on");
}
