//! Files and functions that one person can read in one sitting.

use std::path::Path;

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::tree::has_component;
use super::{Finding, Tree};

/// Lines of a file, comments and blank lines included.
const FILE_LINES: usize = 500;
/// Tests are read one at a time, so a file of them may be longer.
const TEST_FILE_LINES: usize = 800;
/// Lines of a function's body that hold code. Clippy's `too_many_lines` counts the same way; this check also
/// sees the functions where the lint is silenced and the programs that the ordinary build leaves out.
const FUNCTION_LINES: usize = 80;

pub(crate) fn check(tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for path in tree.rust_files() {
        let text = tree.read(path)?;
        findings.extend(file_lines(path, &text));
        findings.extend(function_lines(path, &text, &tree.parse(path)?));
    }
    Ok(findings)
}

fn file_lines(path: &Path, text: &str) -> Option<Finding> {
    let limit = if is_test(path) { TEST_FILE_LINES } else { FILE_LINES };
    let lines = text.lines().count();
    (lines > limit).then(|| {
        Finding::of_file(
            "file-lines",
            path,
            format!("{lines} lines, at most {limit}: is it still one thing?"),
        )
    })
}

fn is_test(path: &Path) -> bool {
    has_component(path, "tests") || path.ends_with("tests.rs")
}

fn function_lines(path: &Path, text: &str, file: &syn::File) -> Vec<Finding> {
    let mut functions = Functions { found: Vec::new() };
    functions.visit_file(file);
    let lines: Vec<&str> = text.lines().collect();
    let mut findings = Vec::new();
    for (name, body) in functions.found {
        let (first, last) = (body.start().line, body.end().line.saturating_sub(1));
        let count = code_lines(lines.get(first..last).unwrap_or_default());
        if count > FUNCTION_LINES {
            let message = format!("`{name}` has {count} lines of code, at most {FUNCTION_LINES}");
            findings.push(Finding::of_file("function-lines", path, message).at(first).about(name));
        }
    }
    findings
}

fn code_lines(lines: &[&str]) -> usize {
    lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

/// Names and bodies of all functions of a file, those inside others included.
struct Functions {
    found: Vec<(String, Span)>,
}

impl Visit<'_> for Functions {
    fn visit_item_fn(&mut self, function: &syn::ItemFn) {
        self.found.push((function.sig.ident.to_string(), function.block.span()));
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &syn::ImplItemFn) {
        self.found.push((function.sig.ident.to_string(), function.block.span()));
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.found.push((function.sig.ident.to_string(), body.span()));
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::assert_findings;

    fn function(statements: usize) -> String {
        format!("fn long() {{\n    // a comment\n\n{}}}\n", "    step();\n".repeat(statements))
    }

    #[test]
    fn a_function_counts_code_and_not_comments() {
        assert_findings(check, &[("src/a.rs", &function(80))], &[]);
        assert_findings(check, &[("src/a.rs", "fn short() {}")], &[]);
        assert_findings(
            check,
            &[("src/a.rs", &function(81))],
            &["src/a.rs:1: `long` has 81 lines of code, at most 80 [function-lines]"],
        );
    }

    #[test]
    fn methods_and_default_bodies_count() {
        let source = format!("impl T {{\n{}}}\ntrait S {{\n{}}}\n", function(81), function(81));
        assert_findings(
            check,
            &[("src/a.rs", &source)],
            &[
                "src/a.rs:2: `long` has 81 lines of code, at most 80 [function-lines]",
                "src/a.rs:89: `long` has 81 lines of code, at most 80 [function-lines]",
            ],
        );
    }

    #[test]
    fn files_of_tests_may_be_longer_and_generated_files_have_no_limit() {
        let text = "// line\n".repeat(501);
        assert_findings(
            check,
            &[
                ("crates/x/src/a.rs", &text),
                ("crates/x/src/a/tests.rs", &text),
                ("crates/x/tests/it/main.rs", &text),
                ("crates/x/src/generated/p.rs", &text),
            ],
            &["crates/x/src/a.rs: 501 lines, at most 500: is it still one thing? [file-lines]"],
        );
        assert_findings(
            check,
            &[("crates/x/tests/it/main.rs", &"// line\n".repeat(801))],
            &["crates/x/tests/it/main.rs: 801 lines, at most 800: is it still one thing? [file-lines]"],
        );
    }
}
