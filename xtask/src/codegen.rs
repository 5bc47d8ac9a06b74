//! Rust code and descriptors from `proto/`, in pure Rust: no protoc, no build script.
//!
//! The output is committed under `crates/wire/src/generated/`; `--check` compares instead of writing.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use prost_types::FileDescriptorSet;
use prost_types::source_code_info::Location;

/// What to do with generated files that differ from the committed ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    /// Fail and name them.
    Check,
}

const SOURCES: [&str; 4] = [
    "producer.proto",
    "weir/v1/events.proto",
    "weir/ingest/v1/ingest.proto",
    "weir/control/v1/control.proto",
];
/// The packages of services that are served as generated. The producer serves the raw bytes of a request and has a
/// service of its own.
const SERVED: [&str; 2] = ["weir.ingest.v1", "weir.control.v1"];
/// Messages with secrets.
const SECRETIVE: [&str; 5] = [
    ".producer.TimberContext",
    ".weir.ingest.v1.Token",
    ".weir.control.v1.EnrolRequest",
    ".weir.control.v1.Token",
    ".weir.control.v1.TokenResponse",
];
const OUTPUT: &str = "crates/wire/src/generated";
const DESCRIPTORS: &str = "descriptors.binpb";

pub(crate) fn run(mode: Mode) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("`xtask` lies in a folder of the workspace")?;
    let generated = generate(&root.join("proto"))?;
    let output = root.join(OUTPUT);
    let stale = stale_files(&output, &generated)?;
    match mode {
        Mode::Write => write(&output, &generated),
        Mode::Check if stale.is_empty() => Ok(()),
        Mode::Check => {
            bail!("generated code is not up to date; run `cargo xtask codegen`: {}", stale.join(", "))
        }
    }
}

/// File name to content.
fn generate(sources: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let descriptors = protox::compile(SOURCES, [sources]).context("could not compile the .proto files")?;
    let mut files = rust_code(descriptors.clone())?;
    files.insert(DESCRIPTORS.to_owned(), encode(descriptors));
    Ok(files)
}

fn rust_code(descriptors: FileDescriptorSet) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let folder = Scratch::new()?;
    let (served, others): (Vec<_>, Vec<_>) =
        descriptors.file.into_iter().partition(|file| SERVED.contains(&file.package()));
    for (files, serve) in [(served, true), (others, false)] {
        tonic_prost_build::configure()
            .out_dir(&folder.0)
            .build_client(true)
            .build_server(serve)
            .build_transport(false)
            .emit_rerun_if_changed(false)
            .bytes(".weir.v1.Event")
            .bytes(".weir.ingest.v1.Batch.payload")
            // They hold secrets; `proto.rs` says how they are printed.
            .skip_debug(SECRETIVE)
            .compile_fds(FileDescriptorSet { file: files })
            .context("could not generate code")?;
    }
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(&folder.0)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).context("a file name is not UTF-8")?;
        files.insert(name.to_owned(), fs::read(&path)?);
    }
    Ok(files)
}

/// The bytes of a `FileDescriptorSet`, as reflection serves it; comments stay, places in the source go.
fn encode(mut descriptors: FileDescriptorSet) -> Vec<u8> {
    let has_comment =
        |location: &Location| location.leading_comments.is_some() || location.trailing_comments.is_some();
    for file in &mut descriptors.file {
        if let Some(info) = &mut file.source_code_info {
            info.location.retain(has_comment);
        }
    }
    prost::Message::encode_to_vec(&descriptors)
}

fn stale_files(output: &Path, generated: &BTreeMap<String, Vec<u8>>) -> anyhow::Result<Vec<String>> {
    let mut stale = Vec::new();
    for (name, content) in generated {
        match fs::read(output.join(name)) {
            Ok(committed) if committed == *content => {}
            Ok(_) => stale.push(format!("`{name}` differs")),
            Err(error) if error.kind() == ErrorKind::NotFound => stale.push(format!("`{name}` is missing")),
            Err(error) => return Err(error).with_context(|| format!("could not read `{name}`")),
        }
    }
    for name in committed_files(output)? {
        if !generated.contains_key(&name) {
            stale.push(format!("`{name}` has no source"));
        }
    }
    Ok(stale)
}

fn committed_files(output: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(output).with_context(|| format!("could not list `{}`", output.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

fn write(output: &Path, generated: &BTreeMap<String, Vec<u8>>) -> anyhow::Result<()> {
    fs::create_dir_all(output)?;
    for name in committed_files(output)? {
        if !generated.contains_key(&name) {
            fs::remove_file(output.join(&name)).with_context(|| format!("could not remove `{name}`"))?;
        }
    }
    for (name, content) in generated {
        fs::write(output.join(name), content).with_context(|| format!("could not write `{name}`"))?;
    }
    Ok(())
}

/// A folder that is gone when this value is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("weir-codegen-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("could not make `{}`", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder left behind in the temporary directory harms nobody.
        drop(fs::remove_dir_all(&self.0));
    }
}
