use weir_services::{Engine, Home, Search};

use crate::ask;

fn put(node: &Search, path: &str, body: &str) -> String {
    let head =
        format!("PUT {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Type: application/json");
    ask(node.address(), &format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

fn get(node: &Search, path: &str) -> String {
    ask(node.address(), &format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"))
}

#[test]
fn documents_survive_a_crash() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let home = Home::of_the_tree();
    let mut node = Search::start(&home, Engine::OpenSearch2, directory.path()).expect("it starts");
    let answer = put(&node, "/shop/_doc/1", r#"{"n":17}"#);
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    node.kill().expect("it can be killed");
    node.restart().expect("it starts again");
    let answer = get(&node, "/shop/_doc/1");
    assert!(answer.contains(r#""_source":{"n":17}"#), "{answer}");
}
