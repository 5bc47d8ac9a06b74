use std::time::SystemTime;

use tokio::net::TcpListener;

use super::*;
use crate::clock::{Elapsed, ManualClock};
use crate::tls::TlsSettings;

const LIMITS: Limits = Limits { connect: Duration::from_secs(5), silence: Some(Duration::from_secs(30)) };

fn clock() -> ManualClock {
    ManualClock::new(SystemTime::UNIX_EPOCH)
}

fn url(scheme: &str, listener: &TcpListener) -> Uri {
    let address = listener.local_addr().expect("is bound");
    format!("{scheme}://{address}/").parse().expect("is a URL")
}

fn secure_to(clock: &ManualClock) -> Connector {
    let tls = TlsSettings::default().client().expect("needs no file");
    secure(tls, Versions::Http1Or2, LIMITS, Arc::new(clock.clone()))
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_given_up() {
    let clock = clock();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("some port is free");
    let connect = secure_to(&clock).oneshot(url("https", &listener));
    let silent = async {
        let accepted = listener.accept().await.expect("somebody comes");
        clock.sleepers(1).await;
        clock.advance(LIMITS.connect);
        accepted
    };
    let (connected, _held) = tokio::join!(connect, silent);
    let error = connected.expect_err("nobody answers");
    assert_eq!(error.downcast_ref(), Some(&Elapsed(LIMITS.connect)));
}

#[tokio::test]
async fn a_connection_is_as_the_url_says() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("some port is free");
    for connector in [plain(LIMITS, Arc::new(clock())), secure_to(&clock())] {
        let connected = connector.oneshot(url("http", &listener)).await.expect("it listens");
        assert!(matches!(connected, MaybeHttpsStream::Http(_)));
    }
    let refused = plain(LIMITS, Arc::new(clock())).oneshot(url("https", &listener)).await;
    assert_eq!(refused.expect_err("it knows no TLS").to_string(), "invalid URL, scheme is not http");
}
