use super::problem::{Problem, Problems};
use super::shape::{Kind, Shape};
use super::tree::{Content, Tree, join};

/// Takes keys that no setting has out of the tree and reports each.
pub(super) fn prune(tree: &mut Tree, shape: &Shape, problems: &mut Problems) {
    visit(tree, shape, shape, "", problems);
}

fn visit(tree: &mut Tree, shape: &Shape, root: &Shape, path: &str, problems: &mut Problems) {
    match (&mut tree.content, &shape.kind) {
        (Content::Map(entries), Kind::Section(_) | Kind::Table(_)) => entries.retain_mut(|entry| {
            let path = join(path, &entry.key);
            match shape.child(&entry.key) {
                Some(child) => {
                    visit(&mut entry.tree, child, root, &path, problems);
                    true
                }
                None => {
                    let problem = Problem::at(&*path, "unknown key").from(entry.origin.clone());
                    problems.push(suggested(problem, suggestion(&entry.key, shape, root)));
                    false
                }
            }
        }),
        (Content::List(items), Kind::List(item)) => {
            for (index, tree) in items.iter_mut().enumerate() {
                visit(tree, item, root, &format!("{path}[{index}]"), problems);
            }
        }
        // A value of another kind is reported when it is given its type.
        _ => {}
    }
}

/// Adds what was probably meant.
pub(super) fn suggested(problem: Problem, meant: Option<String>) -> Problem {
    match meant {
        Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
        None => problem,
    }
}

/// A key beside it with a similar name, else a setting elsewhere with this very name.
fn suggestion(key: &str, section: &Shape, root: &Shape) -> Option<String> {
    let Kind::Section(fields) = &section.kind else {
        return None;
    };
    similar(key, fields.keys().map(String::as_str)).or_else(|| {
        let mut paths = Vec::new();
        collect_paths(root, "", key, &mut paths);
        paths.into_iter().next().filter(|_| !key.is_empty())
    })
}

fn collect_paths(shape: &Shape, path: &str, key: &str, found: &mut Vec<String>) {
    if let Kind::Section(fields) = &shape.kind {
        for (name, child) in fields {
            let path = join(path, name);
            collect_paths(child, &path, key, found);
            if name == key {
                found.push(path);
            }
        }
    }
}

/// The candidate that is the fewest typing errors away, if that is at most one in three letters.
pub(super) fn similar<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let word = word.replace('-', "_").to_lowercase();
    let distance = |candidate: &str| strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
    let closest = candidates.map(|candidate| (distance(candidate), candidate)).min()?;
    let (errors, candidate) = closest;
    (errors <= (candidate.chars().count() / 3).max(1)).then(|| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::similar;

    #[test]
    fn suggests_what_is_close() {
        let check = |word: &str, expected: Option<&str>| {
            let meant = similar(word, ["roll_at", "keep", "data_dir"].into_iter());
            assert_eq!(meant.as_deref(), expected, "{word}");
        };
        check("rol_at", Some("roll_at"));
        check("roll-at", Some("roll_at"));
        check("RollAt", Some("roll_at"));
        check("kepe", Some("keep"));
        check("kep", Some("keep"));
        check("datadir", Some("data_dir"));
        check("retention", None);
        check("", None);
    }
}
