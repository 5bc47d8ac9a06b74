use weir_foundation::settings::Environment;

use super::*;
use crate::client::access::server_url;
use crate::console;

const SECRET: &str = "weiro1_secret";

/// A directory with these files; a name that ends with `/` is a folder.
fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("there is space");
    for (name, content) in files {
        let path = directory.path().join(name);
        let folder = if name.ends_with('/') { &path } else { path.parent().expect("has one") };
        std::fs::create_dir_all(folder).expect("there is space");
        if !name.ends_with('/') {
            std::fs::write(path, content).expect("there is space");
        }
    }
    directory
}

fn token_in<const N: usize>(
    directory: &Path,
    flag: Option<&str>,
    variables: [(&str, &str); N],
    server: &str,
) -> Result<Option<Token>> {
    token_by(directory, flag, Environment::from(variables), server)
}

fn token_by(
    directory: &Path,
    flag: Option<&str>,
    environment: Environment,
    server: &str,
) -> Result<Option<Token>> {
    let args = TokenArgs { token_file: flag.map(|file| directory.join(file)) };
    let around = Surroundings { environment, directory: directory.to_owned() };
    Token::of(&args, &around, &server_url(server).expect("is a URL"))
}

fn shown(token: Option<&Token>, url: &str) -> Option<String> {
    let header = token?.header_for(&server_url(url).expect("is a URL")).expect("is safe")?;
    Some(header.to_str().expect("is text").to_owned())
}

#[test]
fn a_token_comes_from_the_first_who_names_one() {
    let files: [(&str, &[u8]); 3] =
        [("flag", b"of-flag\n"), ("variable", b" of-file \r\n"), ("weir-data/operator.token", b"beside")];
    let directory = directory(&files);
    let file = directory.path().join("variable");
    let file = file.to_str().expect("is text");
    let check = |flag: Option<&str>, environment: &Environment, server: &str, expected: Option<&str>| {
        let token = token_by(directory.path(), flag, environment.clone(), server).expect("is good");
        let expected = expected.map(|expected| format!("Bearer {expected}"));
        assert_eq!(shown(token.as_ref(), server), expected, "{flag:?} {environment:?} {server}");
    };
    let both = Environment::from([(TOKEN, SECRET), (TOKEN_FILE, file)]);
    check(Some("flag"), &both, "https://weir", Some("of-flag"));
    let by_variable = Environment::from([(TOKEN, SECRET), (TOKEN_FILE, "")]);
    check(None, &by_variable, "https://weir", Some(SECRET));
    check(None, &by_variable, "localhost:8080", Some(SECRET));
    let by_file = Environment::from([(TOKEN, ""), (TOKEN_FILE, file)]);
    check(None, &by_file, "https://weir", Some("of-file"));
    let none = Environment::default();
    check(None, &none, "127.0.0.1:8080", Some("beside"));
    check(None, &none, "https://localhost", Some("beside"));
    check(None, &none, "https://weir", None);
    check(None, &none, "weir:8080", None);
    let refused = token_by(directory.path(), None, both, "https://weir").expect_err("which one is meant?");
    assert_eq!(refused.to_string(), "`WEIR_TOKEN` and `WEIR_TOKEN_FILE` are both set");
}

#[test]
fn the_file_beside_is_not_missed() {
    let check = |files: &[(&str, &[u8])]| {
        let directory = directory(files);
        let token = token_in(directory.path(), None, [], "127.0.0.1:8080").expect("needs none");
        assert!(token.is_none(), "{files:?}");
    };
    check(&[]);
    check(&[("weir-data/", b"")]);
    check(&[("weir-data/operator.token/", b"")]);
    check(&[("weir-data", b"is no folder")]);
}

#[test]
fn the_file_beside_is_for_this_machine_alone() {
    let directory = directory(&[("weir-data/operator.token", SECRET.as_bytes())]);
    let token = token_in(directory.path(), None, [], "127.0.0.1:8080").expect("is good");
    for door in ["http://127.0.0.1:8082", "https://[::1]:8082"] {
        assert_eq!(shown(token.as_ref(), door), Some(format!("Bearer {SECRET}")), "{door}");
    }
    for door in ["http://weir:8082", "https://weir:8082"] {
        assert_eq!(shown(token.as_ref(), door), None, "{door}");
    }
}

#[test]
fn a_token_does_not_go_where_others_can_read_it() {
    let directory = directory(&[("token", SECRET.as_bytes())]);
    let tokens = [
        token_in(directory.path(), None, [(TOKEN, SECRET)], "https://weir"),
        token_in(directory.path(), Some("token"), [], "https://weir"),
    ];
    for token in tokens {
        let token = token.expect("is good").expect("there is one");
        for url in ["http://weir", "http://10.0.0.1:8080", "http://0.0.0.0", "http://localhost.example"] {
            let url = server_url(url).expect("is a URL");
            let refused = token.header_for(&url).expect_err("is no TLS");
            assert_eq!(console::exit(&refused), weir_foundation::exit::ExitCode::Usage);
            assert!(!format!("{refused:?} {}", console::printed(&refused)).contains(SECRET));
        }
    }
    let token = token_in(directory.path(), None, [(TOKEN, SECRET)], "https://weir");
    let url = server_url("weir.example:8080").expect("is a URL");
    let refused = token.expect("is good").expect("there is one").header_for(&url).map(drop);
    insta::assert_snapshot!(console::printed(&refused.expect_err("is no TLS")), @r"
    error: the token of `WEIR_TOKEN` is not sent to http://weir.example:8080/: without TLS everybody on the way could read it
    next: write `https://weir.example:8080`, or ask through a tunnel such as `ssh -L 8080:127.0.0.1:8080 weir.example`
    ");
}

#[test]
fn a_text_that_is_no_token_is_not_shown() {
    let long = vec![b'x'; TOO_LONG];
    let longer = [SECRET.as_bytes(), &long].concat();
    let check = |content: &[u8], expected: &str| {
        let directory = directory(&[("token", content), ("weir-data/operator.token", content)]);
        let file = directory.path().join("token");
        for (flag, server) in [(Some("token"), "https://weir"), (None, "localhost")] {
            let refused = match token_in(directory.path(), flag, [], server) {
                Err(refused) => refused,
                // What can not be read is as good as absent there.
                Ok(None) if flag.is_none() => continue,
                Ok(token) => panic!("{token:?}"),
            };
            let printed = console::printed(&refused);
            assert!(!format!("{refused:?}{printed}").contains("secret"), "{printed}");
            if flag.is_some() {
                assert_eq!(refused.to_string(), expected.replace("FILE", file.to_str().expect("is text")));
            }
        }
    };
    check(b"", "there is no token in `FILE`");
    check(b" \n", "there is no token in `FILE`");
    check(b"two secret", "there is no token in `FILE`");
    check(b"secret\r\nx-other: 1", "there is no token in `FILE`");
    check("secret\u{fc}".as_bytes(), "there is no token in `FILE`");
    check(&longer, "there is no token in `FILE`");
    check(b"secret\xff", "could not read the token in `FILE`");
    let refused = token_in(Path::new(""), None, [(TOKEN, "two secret")], "https://weir");
    insta::assert_snapshot!(console::printed(&refused.expect_err("is no token")), @r"
    error: there is no token in `WEIR_TOKEN`
    next: a token is one word, such as `weiro1_…`
    ");
}

#[test]
fn a_file_that_can_not_be_read_is_named() {
    let directory = directory(&[("folder/", b"")]);
    let refused = token_in(directory.path(), Some("missing"), [], "https://weir");
    let path = directory.path().join("missing");
    let printed = console::printed(&refused.expect_err("is absent"));
    insta::assert_snapshot!(printed.replace(path.to_str().expect("is text"), "FILE"), @r"
    error: could not read the token in `FILE`: No such file or directory (os error 2)
    next: name a file that you may read and that holds the token, or set `WEIR_TOKEN`
    ");
    let refused = token_in(directory.path(), Some("folder"), [], "127.0.0.1");
    let printed = console::printed(&refused.expect_err("is a folder"));
    assert!(printed.contains("Is a directory"), "{printed}");
}

#[test]
fn a_token_is_never_printed() {
    let token = token_in(Path::new(""), None, [(TOKEN, SECRET)], "https://weir");
    let token = token.expect("is good").expect("there is one");
    let printed = format!("{token:?} {token:#?}");
    assert!(!printed.contains(SECRET) && printed.contains("Sensitive"), "{printed}");
}
