use weir_foundation::settings::env::{CA_FILE, CA_PIN};

use super::*;
use crate::console;

const PIN: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn access<const N: usize>(args: &ClientArgs, variables: [(&str, &str); N]) -> Result<Access> {
    let environment = Environment::from(variables);
    Access::of(args, &Surroundings { environment, directory: "directory-that-is-not-there".into() })
}

#[test]
fn the_environment_names_the_server_where_no_flag_does() {
    let check = |environment: Environment, expected: &str| {
        let server = from_environment(&environment).map_err(|error| error.to_string());
        assert_eq!(server.map_or_else(|error| error, String::from), expected);
    };
    check(Environment::default(), "http://127.0.0.1:8080/");
    check(Environment::from([(VARIABLE, "")]), "http://127.0.0.1:8080/");
    check(Environment::from([(VARIABLE, "http://weir:81")]), "http://weir:81/");
    check(
        Environment::from([(VARIABLE, "ftp://weir")]),
        "`WEIR_SERVER` is `ftp://weir`: weir is not reached by `ftp`; write it like http://127.0.0.1:8080",
    );
    check(
        Environment::from([(VARIABLE, "https://jo:secret@weir")]),
        "`WEIR_SERVER` is `weir`: weir knows no users and passwords; it may ask for a token, see `--token-file`",
    );
}

#[test]
fn an_address_needs_no_scheme_and_has_no_other() {
    let check = |text: &str, expected: Result<&str, &str>| {
        let found = server_url(text).map(String::from);
        let expected = expected.map(str::to_owned);
        assert_eq!(
            found,
            expected.map_err(|what| format!("{what}; write it like {DEFAULT_SERVER}")),
            "{text}"
        );
    };
    check("localhost:8080", Ok("http://localhost:8080/"));
    check("127.0.0.1:8080", Ok("http://127.0.0.1:8080/"));
    check("[::1]:8080", Ok("http://[::1]:8080/"));
    check("http://weir/base", Ok("http://weir/base"));
    check("https://weir", Ok("https://weir/"));
    check("ftp://weir", Err("weir is not reached by `ftp`"));
    check("localhost:http", Err("invalid port number"));
    for user in ["http://jo:secret@weir", "jo@weir:8080", "http://:secret@weir"] {
        let refused = server_url(user).expect_err("has a user");
        assert!(refused.starts_with("weir knows no users and passwords"), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
    }
}

#[test]
fn loopback_is_where_nobody_else_can_listen() {
    let check = |host: &str, expected: bool| {
        let url = server_url(host).expect("is a URL");
        assert_eq!(is_loopback(&url), expected, "{host}");
    };
    check("localhost", true);
    check("LOCALHOST:80", true);
    check("127.8.9.1", true);
    check("127.1", true);
    check("[::1]", true);
    check("[::ffff:127.0.0.1]", true);
    check("0.0.0.0", false);
    check("[::]", false);
    check("10.0.0.1", false);
    check("[::ffff:10.0.0.1]", false);
    check("localhost.example", false);
    check("127.0.0.1.example", false);
    check("weir", false);
}

#[test]
fn flags_overrule_the_environment_and_two_wishes_are_refused() {
    let pin: weir_auth::pki::Pin = PIN.parse().expect("is a pin");
    let check = |args: TrustArgs, environment: Environment, expected: Result<Trust, &str>| {
        let found = Trust::of(&args, &environment).map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned));
    };
    let file = |name: &str| Trust::File(name.into());
    let none = TrustArgs::default;
    let by_file = || TrustArgs { ca_file: Some("a.pem".into()), ca_pin: None };
    let by_pin = || TrustArgs { ca_file: None, ca_pin: Some(pin) };
    check(none(), Environment::default(), Ok(Trust::System));
    check(none(), Environment::from([(CA_FILE, ""), (CA_PIN, "")]), Ok(Trust::System));
    check(none(), Environment::from([(CA_FILE, "b.pem")]), Ok(file("b.pem")));
    check(none(), Environment::from([(CA_PIN, PIN)]), Ok(Trust::Pin(pin)));
    check(by_file(), Environment::from([(CA_FILE, "b.pem"), (CA_PIN, PIN)]), Ok(file("a.pem")));
    check(by_pin(), Environment::from([(CA_FILE, "b.pem"), (CA_PIN, "x")]), Ok(Trust::Pin(pin)));
    let both = Environment::from([(CA_FILE, "b.pem"), (CA_PIN, PIN)]);
    check(none(), both, Err("`WEIR_CA_FILE` and `WEIR_CA_PIN` are both set"));
    check(
        none(),
        Environment::from([(CA_PIN, "sha256:00")]),
        Err("`WEIR_CA_PIN` is `sha256:00`: a pin is `sha256:` and 64 hexadecimal digits"),
    );
}

#[test]
fn what_is_to_be_trusted_has_to_be_asked_by_tls() {
    let check = |server: &str, expected: bool| {
        let args = ServerArgs { server: Some(server_url(server).expect("is a URL")) };
        let args = ClientArgs { server: args, ..ClientArgs::default() };
        for (variable, value) in [(CA_PIN, PIN), (CA_FILE, "ca.pem")] {
            assert_eq!(access(&args, [(variable, value)]).is_ok(), expected, "{server} {variable}");
        }
    };
    check("https://weir", true);
    check("127.0.0.1:8080", true);
    check("weir:8080", false);
    check("http://10.0.0.1", false);
    let refused = access(&ClientArgs::default(), [(VARIABLE, "weir:8080"), (CA_PIN, PIN)]);
    let refused = refused.expect_err("is no TLS");
    assert_eq!(console::exit(&refused), weir_foundation::exit::ExitCode::Usage);
    insta::assert_snapshot!(console::printed(&refused), @r"
    error: http://weir:8080/ is not reached by TLS: there is nothing that a CA or a pin could be compared with
    next: write `https://weir:8080`
    ");
}

#[test]
fn a_file_without_certificates_is_refused_before_anybody_is_asked() {
    let directory = tempfile::tempdir().expect("there is space");
    let file = directory.path().join("ca.pem");
    let path = file.to_str().expect("is text");
    let tried = || {
        let access = access(&ClientArgs::default(), [(VARIABLE, "https://weir"), (CA_FILE, path)]);
        let refused = crate::client::Client::with(access.expect("is good")).map(drop);
        console::printed(&refused.expect_err("is no certificate")).replace(path, "FILE")
    };
    insta::assert_snapshot!(tried(), @r"
    error: it is not known whom to trust: could not read `FILE`: I/O error: No such file or directory (os error 2)
    next: `--ca-file` takes certificates as PEM: they begin with `-----BEGIN CERTIFICATE-----`
    ");
    std::fs::write(&file, "no certificate\n").expect("there is space");
    insta::assert_snapshot!(tried(), @r"
    error: it is not known whom to trust: `FILE` has no certificate
    next: `--ca-file` takes certificates as PEM: they begin with `-----BEGIN CERTIFICATE-----`
    ");
}
