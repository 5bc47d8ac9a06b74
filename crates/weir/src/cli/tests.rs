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

/// Words of a line of a shell, without its comment; what is behind a pipe or a redirection is another matter.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => {
                word.get_or_insert_default();
                quote = Some(character);
            }
            (None, '#') if word.is_none() => break,
            (None, '|' | '>') => break,
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// The commands of weir in the code of a page, with their lines.
fn commands(page: &str) -> Vec<(usize, Vec<String>)> {
    let mut is_code = false;
    let mut found = Vec::new();
    for (number, line) in (1..).zip(page.lines()) {
        if line.starts_with("```") {
            is_code = !is_code;
            continue;
        }
        let command = line.strip_prefix("WEIR_KEY=weirk1.… ").unwrap_or(line);
        if is_code && command.starts_with("weir ") {
            found.push((number, words(command)));
        }
    }
    found
}

#[test]
fn the_commands_of_the_documents_are_commands() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut checked = 0;
    for entry in folder.read_dir().expect("it is there") {
        let path = entry.expect("it can be read").path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let page = std::fs::read_to_string(&path).expect("it can be read");
        for (line, command) in commands(&page) {
            let error = Cli::try_parse_from(&command).err();
            assert!(
                error.is_none(),
                "{}:{line}: {command:?}: {}",
                path.display(),
                error.expect("there is one")
            );
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked}");
}

#[test]
fn the_configurations_of_the_documents_are_some() {
    let page = include_str!("../../../../docs/agents.md");
    let (_, server) = page.split_once("# weir.yaml\n").expect("it is shown");
    let (server, rest) = server.split_once("```").expect("it ends");
    let (_, agents) = rest.split_once("# web.yaml\n").expect("it is shown");
    let (agents, _) = agents.split_once("```").expect("it ends");
    weir_agent::check(agents).expect("agents take it");
    let directory = tempfile::tempdir().expect("there is space");
    let file = directory.path().join("weir.yaml");
    std::fs::write(&file, server).expect("there is space");
    let given = crate::settings::Given { file: Some(file), ..crate::settings::Given::default() };
    given.read().settings.expect("weir takes it");
}
