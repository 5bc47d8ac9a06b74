use std::io::Write;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use weir_foundation::exit::ExitCode;
use weir_foundation::settings::{Environment, Explained, Problem, Problems};

use super::{OutputArgs, SettingsArgs, zone};
use crate::console;
use crate::output::{Column, Format, Row, Zone, left, print_rows};
use crate::settings::{Outcome, Role};

/// Ends with exit code 78 if anything is wrong.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: SettingsArgs,
    /// What the settings are for
    #[arg(long, value_enum, default_value_t)]
    role: Role,
    /// Print every setting with its value and where it came from
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// What is wrong with a setting.
#[derive(Debug, Serialize)]
struct Wrong {
    path: String,
    origin: Option<String>,
    message: String,
    hint: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let outcome = arguments.settings.given(arguments.role, &Environment::of_process()).read();
    print(&mut console::stdout(), arguments, &outcome)?;
    Ok(if outcome.settings.is_ok() { ExitCode::Good } else { ExitCode::Configuration })
}

/// The explanation if it was asked for, else the problems.
fn print(out: &mut dyn Write, arguments: &Arguments, outcome: &Outcome) -> Result<()> {
    let format = arguments.output.output;
    for notice in &outcome.notices {
        console::note(notice);
    }
    let problems = outcome.settings.as_ref().err();
    if arguments.explain {
        print_rows(out, format, &zone(), &outcome.explanation)?;
    } else if format != Format::Text {
        let wrong: Vec<Wrong> = problems.into_iter().flat_map(Problems::iter).map(Wrong::of).collect();
        return Ok(print_rows(out, format, &zone(), &wrong)?);
    } else if problems.is_none() {
        writeln!(out, "the settings are good")?;
    }
    if let Some(problems) = problems {
        console::note(problems.to_string().trim_end());
    }
    Ok(())
}

impl Wrong {
    fn of(problem: &Problem) -> Self {
        let Problem { path, origin, message, hint } = problem.clone();
        Self { path, origin: origin.map(|origin| origin.to_string()), message, hint }
    }
}

impl Row for Explained {
    const COLUMNS: &'static [Column] = &[left("path"), left("value"), left("origin")];

    fn cells(&self, _: &Zone) -> Vec<String> {
        vec![self.path.clone(), self.value.clone().unwrap_or_default(), self.origin.clone()]
    }
}

impl Row for Wrong {
    const COLUMNS: &'static [Column] = &[left("path"), left("origin"), left("message"), left("hint")];

    fn cells(&self, _: &Zone) -> Vec<String> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        vec![self.path.clone(), text(&self.origin), self.message.clone(), text(&self.hint)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Given;

    fn printed(explain: bool, output: Format, environment: Environment) -> String {
        let outcome = Given { environment, ..Given::default() }.read();
        let arguments = Arguments {
            settings: SettingsArgs::default(),
            role: Role::Up,
            explain,
            output: OutputArgs { output },
        };
        let mut out = anstream::StripStream::new(Vec::new());
        print(&mut out, &arguments, &outcome).expect("memory takes it");
        String::from_utf8(out.into_inner()).expect("is text")
    }

    #[test]
    fn programs_read_problems_and_explanations_like_any_list() {
        let wrong = Environment::from([("WEIR_LISTEN__HTTP", "nowhere")]);
        let good = Environment::default();
        let set = Environment::from([("WEIR_DATA_DIR", "/srv")]);
        insta::assert_snapshot!(printed(false, Format::Json, wrong.clone()), @r#"{"path":"listen.http","origin":"env WEIR_LISTEN__HTTP","message":"`nowhere` is not an address, expected an IP address with its port, such as `127.0.0.1:8080`","hint":null}"#);
        insta::assert_snapshot!(printed(false, Format::Csv, wrong), @r#"
        path,origin,message,hint
        listen.http,env WEIR_LISTEN__HTTP,"`nowhere` is not an address, expected an IP address with its port, such as `127.0.0.1:8080`",
        "#);
        assert_eq!(printed(false, Format::Json, good.clone()), "");
        assert_eq!(printed(false, Format::Csv, good.clone()), "path,origin,message,hint\n");
        assert_eq!(printed(false, Format::Text, good), "the settings are good\n");
        let explained = printed(true, Format::Json, set.clone());
        let line = r#"{"path":"data_dir","value":"/srv","origin":"env WEIR_DATA_DIR"}"#;
        assert!(explained.lines().any(|found| found == line), "{explained}");
        let explained = printed(true, Format::Csv, set);
        assert!(explained.starts_with("path,value,origin\n"), "{explained}");
        assert!(explained.contains("\ndata_dir,/srv,env WEIR_DATA_DIR\n"), "{explained}");
    }
}
