//! Fetching from the package registries.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::error::{ServiceError, trying};

/// Runs a program that prepares `what`: what it printed, or the end of all that it said if it fails.
pub(crate) fn run(
    what: &'static str,
    package: &'static str,
    command: &mut Command,
) -> Result<String, ServiceError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(ServiceError::Missing { program, package });
        }
        Err(error) => return Err(trying(format!("run `{program}`"))(error)),
    };
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let from = text.char_indices().rev().nth(3000).map_or(0, |(at, _)| at);
    Err(ServiceError::Prepare { program, what, output: text.split_off(from) })
}

/// All jars that the artifacts (group, name, version) need at run time, in `directory/libs`.
pub(crate) fn jars(
    what: &'static str,
    artifacts: &[[&str; 3]],
    directory: &Path,
) -> Result<(), ServiceError> {
    let mut dependencies = String::new();
    for [group, name, version] in artifacts {
        dependencies.push_str(&format!(
            "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        ));
    }
    let project = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>weir</groupId><artifactId>services</artifactId><version>1</version><packaging>pom</packaging>\
         <dependencies>{dependencies}</dependencies></project>"
    );
    let file = directory.join("pom.xml");
    fs::write(&file, project).map_err(trying(format!("write `{}`", file.display())))?;
    let mut command = Command::new("mvn");
    command.args([
        "-q",
        "-B",
        "-ntp",
        "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
    ]);
    command.args(["-DincludeScope=runtime", "-DoutputDirectory=libs"]).current_dir(directory);
    run(what, "maven", &mut command).map(drop)
}

/// Fetches `artifact` (group:name:version:zip) and unpacks it into `directory`.
pub(crate) fn zip(what: &'static str, artifact: &str, directory: &Path) -> Result<(), ServiceError> {
    let mut fetch = Command::new("mvn");
    fetch.args(["-q", "-B", "-ntp", "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"]);
    fetch.arg(format!("-Dartifact={artifact}")).arg("-DoutputDirectory=.").current_dir(directory);
    run(what, "maven", &mut fetch)?;
    let entries = fs::read_dir(directory).map_err(trying("look for the archive"))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "zip") {
            let mut unpack = Command::new("unzip");
            unpack.arg("-q").arg(&path).current_dir(directory);
            run(what, "unzip", &mut unpack)?;
            fs::remove_file(&path).map_err(trying("remove the archive"))?;
        }
    }
    Ok(())
}
