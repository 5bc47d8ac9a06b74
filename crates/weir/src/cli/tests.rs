use clap::CommandFactory;

use super::*;

/// The help of a command and of all below it.
fn helps(command: &mut clap::Command, name: &str, found: &mut Vec<(String, String)>) {
    found.push((name.replace(' ', "_"), command.render_long_help().to_string()));
    let names: Vec<String> =
        command.get_subcommands().map(|sub| sub.get_name().to_owned()).filter(|sub| sub != "help").collect();
    for sub in names {
        let below = command.find_subcommand_mut(&sub).expect("it was just listed");
        helps(below, &format!("{name} {sub}"), found);
    }
}

#[test]
fn the_help_of_every_command() {
    let mut command = Cli::command();
    command.build();
    let mut found = Vec::new();
    helps(&mut command, "weir", &mut found);
    for (name, help) in found {
        insta::assert_snapshot!(format!("help_{name}"), help);
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn bad_usage_has_its_own_exit_code() {
    let check = |arguments: &[&str], exit: ExitCode| {
        let arguments = arguments.iter().map(OsString::from);
        let error = Cli::try_parse_from(arguments).expect_err("is no command");
        assert_eq!(no_command(&error), exit);
    };
    check(&["weir", "--version"], ExitCode::Good);
    check(&["weir", "query", "--help"], ExitCode::Good);
    check(&["weir", "quarry"], ExitCode::Usage);
    check(&["weir", "query", "shop", "--limit", "many"], ExitCode::Usage);
    check(&["weir"], ExitCode::Usage);
    let pin = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    check(&["weir", "streams", "--ca-file", "ca.pem", "--ca-pin", pin], ExitCode::Usage);
    check(&["weir", "streams", "--ca-pin", "sha256:00"], ExitCode::Usage);
    check(&["weir", "streams", "--server", "https://jo:secret@weir"], ExitCode::Usage);
    check(&["weir", "journal", "check", "--data-dir", "d", "--token-file", "t"], ExitCode::Usage);
}

#[test]
fn a_negated_word_among_options_is_not_taken_for_options() {
    let check = |arguments: &str, word: Option<&str>| {
        let arguments: Vec<OsString> = arguments.split(' ').map(OsString::from).collect();
        let found = negated_word(&arguments).map(|advised| advised.what);
        assert_eq!(found, word.map(|word| format!("`{word}` would be read as options")), "{arguments:?}");
    };
    check("weir query shop -healthz", Some("-healthz"));
    check("weir tail shop level:error -error --limit 1", Some("-error"));
    check("weir query shop --limit 1 -- -healthz", None);
    check("weir query shop error --limit 1 -o json -h", None);
    check("weir query shop -ojson", None);
    check("weir send -healthz", None);
    check("weir", None);
    let refused = main(["weir", "query", "shop", "-healthz"].map(OsString::from));
    assert_eq!(refused, ExitCode::Usage, "not the help");
}

#[test]
fn a_query_may_stand_before_and_behind_flags() {
    let check = |arguments: &[&str]| {
        let arguments = arguments.iter().map(OsString::from);
        let cli = Cli::try_parse_from(arguments).expect("is a command");
        format!("{:?}", cli.command)
    };
    let command = check(&["weir", "query", "shop", "level:error \"timed out\" -healthz", "--since", "1h"]);
    assert!(
        command.contains(r#"query: ["level:error \"timed out\" -healthz"], since: Some("1h")"#),
        "{command}"
    );
    let command = check(&["weir", "query", "shop", "--histogram", "1m", "--top", "service"]);
    assert!(command.contains("query: [], "), "{command}");
    let command = check(&["weir", "tail", "shop", "--limit", "3", "--", "-healthz"]);
    assert!(command.contains(r#"query: ["-healthz"]"#), "{command}");
}
