use weir_services::{Consul, Home};

use crate::ask;

fn services(consul: &Consul) -> String {
    let head = "GET /v1/catalog/services HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
    let answer = ask(consul.address(), head);
    answer.rsplit("\r\n\r\n").next().expect("it has a body").to_owned()
}

#[test]
fn it_forgets_everything_at_a_restart_and_keeps_its_address() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut consul = Consul::start(&Home::of_the_tree(), directory.path()).expect("it starts");
    let body = r#"{"Name":"shop","Port":80}"#;
    let head = "PUT /v1/agent/service/register HTTP/1.1\r\nHost: here\r\nConnection: close";
    let answer = ask(consul.address(), &format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(services(&consul).contains("\"shop\""));
    consul.kill().expect("it can be killed");
    consul.restart().expect("it starts again");
    assert!(!services(&consul).contains("\"shop\""));
}
