use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use super::env::{Alias, VARIABLES, setting_variable};
use super::shape::{Kind, Shape};
use super::tree::join;

/// The JSON schema of the settings file, for editors. Generated, committed, compared in CI.
#[must_use]
pub fn json_schema<Raw: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Raw>()
}

/// The reference of all settings in Markdown. Generated from the doc comments, committed, compared in CI.
#[must_use]
pub fn reference_page<Raw: JsonSchema>(aliases: &[Alias]) -> String {
    let example = setting_variable("section.key");
    let mut page = format!(
        "<!-- Generated from the doc comments of the settings; do not edit. -->\n\n\
         # Settings\n\n\
         A value in the file is overruled by the variable of its name, and that by a flag. The variable of \
         `section.key` is `{example}`; lists are separated by commas there. Texts in the file may hold \
         `${{VAR}}`, `${{VAR:-default}}` and `${{file:/path}}`; `$${{` stands for `${{`. A duration has a unit \
         (`250ms`, `30s`, `15m`, `24h`, `7d`) and so has a size (`500B`, `64KiB`, `64MiB`, `1GiB`, or decimal \
         `KB`, `MB`, `GB`). But for those of an agent, `weir check --explain` shows every value and where it came from.\n"
    );
    write_section(&Shape::of::<Raw>(), "", &mut page);
    page.push_str("\n## Variables\n\n| variable | meaning |\n|---|---|\n");
    for variable in VARIABLES {
        page.push_str(&format!("| `{}` | {} |\n", variable.name, variable.doc));
    }
    for alias in aliases {
        page.push_str(&format!("| `{}` | Sets `{}`, in its own form. |\n", alias.name, alias.path));
    }
    page
}

fn write_section(section: &Shape, path: &str, page: &mut String) {
    let Kind::Section(fields) = &section.kind else {
        return;
    };
    if !path.is_empty() {
        page.push_str(&format!("\n## `{path}`\n"));
        if !section.doc.is_empty() {
            page.push_str(&format!("\n{}\n", section.doc));
        }
    }
    let mut values = fields.iter().filter(|(_, shape)| nested(shape).is_none()).peekable();
    if values.peek().is_some() {
        page.push_str("\n| key | value | default | meaning |\n|---|---|---|---|\n");
    }
    for (key, shape) in values {
        let default = shape.default.as_ref().map_or_else(String::new, |default| format!("`{default}`"));
        page.push_str(&format!("| `{key}` | {} | {default} | {} |\n", shape.noun(), meaning(shape)));
    }
    for (key, shape) in fields {
        if let Some((suffix, inner)) = nested(shape) {
            write_section(inner, &join(path, &format!("{key}{suffix}")), page);
        }
    }
}

/// Sections get a heading of their own, as do the entries of tables and lists of sections.
fn nested(shape: &Shape) -> Option<(&'static str, &Shape)> {
    match &shape.kind {
        Kind::Section(_) => Some(("", shape)),
        Kind::Table(inner) => matches!(inner.kind, Kind::Section(_)).then_some((".<name>", inner)),
        Kind::List(inner) => matches!(inner.kind, Kind::Section(_)).then_some(("[]", inner)),
        Kind::Text | Kind::Integer | Kind::Number | Kind::Boolean | Kind::Any => None,
    }
}

/// The doc comment without the default, which has a column of its own.
fn meaning(shape: &Shape) -> String {
    let doc = match &shape.default {
        Some(default) => shape.doc.replace(&format!("Default: `{default}`."), ""),
        None => shape.doc.clone(),
    };
    doc.trim().replace('|', "\\|")
}
