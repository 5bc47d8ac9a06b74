use super::*;
use crate::tidy::fixture::assert_findings;

const LAYERS: &str = "
[crates.low]
layer = 0
never = ['serde']
[crates.high]
layer = 1
[crates.beside]
layer = 1
[crates.kit]
layer = 2
role = 'tests'
[[fence]]
packages = ['axum']
only = ['high']
dev = ['kit']
reason = 'HTTP stays above'
[[fence]]
packages = ['plots']
only = []
dev = ['high', 'kit']
reason = 'for tests'
";

/// Checks a workspace of `low`, `high`, `beside` and `kit`, where `(crate, dependency lines)` says what each needs.
#[track_caller]
fn check_arrows(dependencies: &[(&str, &str)], expected: &[&str]) {
    let names = ["low", "high", "beside", "kit"];
    let mut files = vec![
        (TABLE.to_owned(), LAYERS.to_owned()),
        ("Cargo.toml".to_owned(), "[workspace]\nresolver = '3'\nmembers = ['crates/*']".to_owned()),
    ];
    for name in names {
        let lines: String =
            dependencies.iter().filter(|(of, _)| *of == name).map(|(_, lines)| *lines).collect();
        let manifest = format!("[package]\nname = '{name}'\nversion = '0.0.0'\nedition = '2024'\n{lines}");
        files.push((format!("crates/{name}/Cargo.toml"), manifest));
        files.push((format!("crates/{name}/src/lib.rs"), String::new()));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    assert_findings(check, &files, expected);
}

#[test]
fn arrows_down_and_tests_pass() {
    check_arrows(
        &[
            (
                "high",
                "[dependencies]\nlow = { path = '../low' }\naxum = '0.8'\n[dev-dependencies]\nkit = { path = '../kit' }\n",
            ),
            ("low", "[dev-dependencies]\nkit = { path = '../kit' }\n"),
            ("kit", "[dependencies]\nhigh = { path = '../high' }\n[dev-dependencies]\naxum = '0.8'\n"),
        ],
        &[],
    );
}

#[test]
fn arrows_up_and_sideways_are_found() {
    check_arrows(
        &[
            ("low", "[dependencies]\nhigh = { path = '../high' }\n"),
            ("high", "[dependencies]\nbeside = { path = '../beside' }\n"),
        ],
        &[
            "xtask/layers.toml: `low` -> `high`: layer 0 may only point below itself, not to layer 1 [layers]",
            "xtask/layers.toml: `high` -> `beside`: layer 1 may only point below itself, not to layer 1 [layers]",
        ],
    );
}

#[test]
fn a_product_does_not_stand_on_tests() {
    check_arrows(
        &[("high", "[dependencies]\nkit = { path = '../kit' }\n")],
        &["xtask/layers.toml: `high` -> `kit`: is for tests only: make it a dev-dependency [layers]"],
    );
}

#[test]
fn fences_and_bans_hold() {
    check_arrows(
        &[
            ("beside", "[dependencies]\naxum = '0.8'\n"),
            ("high", "[dependencies]\nplots = '1'\n"),
            ("kit", "[dependencies]\naxum = '0.8'\nplots = '1'\n"),
            ("low", "[dev-dependencies]\nserde = '1'\n"),
        ],
        &[
            "xtask/layers.toml: `beside` -> `axum`: is fenced: HTTP stays above [layers]",
            "xtask/layers.toml: `high` -> `plots`: is fenced: for tests [layers]",
            "xtask/layers.toml: `low` -> `serde`: is on the list of what this crate must never know [layers]",
        ],
    );
}

#[test]
fn the_table_names_every_crate_and_no_other() {
    let table = "[crates.gone]\nlayer = 0\n";
    assert_findings(
        check,
        &[
            (TABLE, table),
            ("Cargo.toml", "[package]\nname = 'new'\nversion = '0.0.0'\nedition = '2024'\n[workspace]"),
            ("src/lib.rs", ""),
        ],
        &[
            "xtask/layers.toml: `gone` is not in the workspace [layers]",
            "xtask/layers.toml: `new` has no layer [layers]",
        ],
    );
}
