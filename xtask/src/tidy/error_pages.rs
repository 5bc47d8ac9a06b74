//! The codes that users meet and the pages that explain them are the same list.
//!
//! A crate that answers with codes lists them in a file `codes.rs` as
//! `pub const CODES: &[(&str, &str)]`: the code, as a literal or a constant of the same file, and one line that
//! says when it is met. Codes are in order, of lower-case letters and `-`, and each has a page `docs/errors/<code>.md` that
//! starts with `# <code>`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Finding, Tree};

const PAGES: &str = "docs/errors";

pub(crate) fn check(tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let codes = codes(tree, &mut findings)?;
    for (code, path) in &codes {
        let page = Path::new(PAGES).join(format!("{code}.md"));
        if !tree.contains(&page) {
            let message = format!("`{code}` has no page `{}`", page.display());
            findings.push(Finding::of_file("error-pages", path, message).about(code));
        }
    }
    for page in tree.with_extension("md").filter(|path| path.parent() == Some(Path::new(PAGES))) {
        findings.extend(page_finding(tree, page, &codes)?);
    }
    Ok(findings)
}

fn page_finding(
    tree: &Tree,
    page: &Path,
    codes: &BTreeMap<String, PathBuf>,
) -> anyhow::Result<Option<Finding>> {
    let name = page.file_stem().unwrap_or_default().to_string_lossy();
    if name == "README" {
        return Ok(None);
    }
    if !codes.contains_key(name.as_ref()) {
        return Ok(Some(Finding::of_file("error-pages", page, "no `CODES` table lists this code")));
    }
    let title = format!("# {name}");
    let titled = tree.read(page)?.lines().next() == Some(title.as_str());
    Ok((!titled).then(|| Finding::of_file("error-pages", page, format!("does not start with `{title}`"))))
}

/// Every code of every `codes.rs`, with the file that lists it.
fn codes(tree: &Tree, findings: &mut Vec<Finding>) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut codes = BTreeMap::new();
    for path in tree.rust_files().filter(|path| path.starts_with("crates") && path.ends_with("codes.rs")) {
        let file = tree.parse(path)?;
        let constants: BTreeMap<String, &syn::Expr> = file.items.iter().filter_map(constant).collect();
        let table = constants.get("CODES").with_context(|| format!("`{}` has no `CODES`", path.display()))?;
        let listed = table_codes(table, &constants)
            .with_context(|| format!("`CODES` in `{}` is no table of string literals", path.display()))?;
        let is_plain = |code: &String| code.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        for code in listed.iter().filter(|code| !is_plain(code)) {
            let message = format!("`{code}` has more than lower-case letters and `-`");
            findings.push(Finding::of_file("error-pages", path, message).about(code));
        }
        if let Some(pair) = listed.windows(2).find(|pair| pair[0] >= pair[1]) {
            let message = format!("`{}` does not come after `{}`", pair[1], pair[0]);
            findings.push(Finding::of_file("error-pages", path, message).about(&pair[1]));
        }
        codes.extend(listed.into_iter().map(|code| (code, path.to_path_buf())));
    }
    Ok(codes)
}

fn constant(item: &syn::Item) -> Option<(String, &syn::Expr)> {
    match item {
        syn::Item::Const(constant) => Some((constant.ident.to_string(), constant.expr.as_ref())),
        _ => None,
    }
}

/// The first cell of every row of `&[("code", "when"), (NAMED, "when")]`; nothing if the table is of another form.
fn table_codes(table: &syn::Expr, constants: &BTreeMap<String, &syn::Expr>) -> Option<Vec<String>> {
    let syn::Expr::Reference(reference) = table else { return None };
    let syn::Expr::Array(array) = reference.expr.as_ref() else { return None };
    array.elems.iter().map(|row| row_code(row, constants)).collect()
}

fn row_code(row: &syn::Expr, constants: &BTreeMap<String, &syn::Expr>) -> Option<String> {
    let syn::Expr::Tuple(row) = row else { return None };
    match row.elems.first()? {
        syn::Expr::Path(name) => literal(constants.get(&name.path.get_ident()?.to_string())?),
        cell => literal(cell),
    }
}

fn literal(expression: &syn::Expr) -> Option<String> {
    match expression {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(code), .. }) => Some(code.value()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::{Fixture, assert_findings};

    const TABLE: &str = "pub const CODES: &[(&str, &str)] = &[(GONE, \"x\"), (\"too-large\", \"a body\")];\nconst GONE: &str = \"gone\";";

    #[test]
    fn codes_and_pages_are_equal() {
        assert_findings(
            check,
            &[
                ("crates/x/src/answer/codes.rs", TABLE),
                ("docs/errors/README.md", ""),
                ("docs/errors/too-large.md", "# too-large\n"),
                ("docs/errors/gone.md", "# gone\n"),
            ],
            &[],
        );
    }

    #[test]
    fn a_code_without_page_and_a_page_without_code_are_found() {
        assert_findings(
            check,
            &[
                ("crates/x/src/codes.rs", TABLE),
                ("docs/errors/too-large.md", "# Too large\n"),
                ("docs/errors/old.md", "# old\n"),
            ],
            &[
                "crates/x/src/codes.rs: `gone` has no page `docs/errors/gone.md` [error-pages]",
                "docs/errors/old.md: no `CODES` table lists this code [error-pages]",
                "docs/errors/too-large.md: does not start with `# too-large` [error-pages]",
            ],
        );
    }

    #[test]
    fn codes_are_in_order_and_of_plain_signs() {
        let table = "pub const CODES: &[(&str, &str)] = &[(\"b\", \"x\"), (\"a\", \"x\"), (\"C_1\", \"x\")];";
        assert_findings(
            check,
            &[
                ("crates/x/src/codes.rs", table),
                ("docs/errors/C_1.md", "# C_1\n"),
                ("docs/errors/a.md", "# a\n"),
                ("docs/errors/b.md", "# b\n"),
            ],
            &[
                "crates/x/src/codes.rs: `C_1` has more than lower-case letters and `-` [error-pages]",
                "crates/x/src/codes.rs: `a` does not come after `b` [error-pages]",
            ],
        );
    }

    #[test]
    fn a_table_that_can_not_be_read_is_an_error() {
        for table in ["pub const OTHER: u8 = 1;", "pub const CODES: &[(&str, &str)] = &[(gone(), \"x\")];"] {
            let fixture = Fixture::new(&[("crates/x/src/codes.rs", table)]);
            assert!(check(&fixture.tree()).is_err(), "{table}");
        }
    }
}
