use std::net::{SocketAddr, TcpStream};

use weir_services::{Home, Service, ServiceError, down, up};

#[test]
fn a_shared_server_is_found_by_its_address_until_it_is_stopped() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let home = Home::at(directory.path().to_owned());
    let missing = home.address(Service::Redis).expect_err("nobody started it");
    assert!(matches!(missing, ServiceError::NotRunning { what: "redis" }), "{missing:?}");
    let address = up(&home, Service::Redis).expect("it starts");
    assert_eq!(home.address(Service::Redis).expect("it runs"), address);
    let socket: SocketAddr = address.parse().expect("it is an address");
    assert!(TcpStream::connect(socket).is_ok());
    down(&home, Service::Redis).expect("it stops");
    assert!(TcpStream::connect(socket).is_err());
    assert!(home.address(Service::Redis).is_err());
    down(&home, Service::Redis).expect("nothing to stop is no error");
}
