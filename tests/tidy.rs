//! House rules as tests: import order, file sizes, first lines, names, forgotten test files.

use sockel::sys::fs;
use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

/// Files that may be longer than 600 lines, each with the reason.
const LONG: &[(&str, &str)] = &[];
const MOST_LINES: usize = 600;
/// Libraries know only the ground, with these exceptions.
const LIBRARIES_MAY: &[(&str, &str)] =
    &[("scripts", "apt"), ("tree", "store"), ("oci", "store"), ("oci", "tree"), ("harbor", "oci"), ("harbor", "gate")];
const BANNED_NAMES: &[&str] = &["util", "utils", "common", "core", "misc", "helper", "helpers", "manager"];
/// Only these may write to the terminal.
const WRITERS: &[&str] = &["src/cli/printer.rs"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every Rust file below a folder with its text, by path relative to the project.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for name in fs::list(&root().join(&folder)).expect("listed") {
            let path = folder.join(name);
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_text(&root().join(&path), 1 << 20).expect("read");
                files.insert(path.to_str().expect("UTF-8").to_owned(), text);
            }
        }
    }
    files
}

/// Returns the modules of `src/lib.rs` in order, each with its part: GROUND, LIBRARIES, STAGES, EDGE.
fn order(library: &str) -> Vec<(String, String)> {
    let (mut part, mut modules) = (String::new(), Vec::new());
    for line in library.lines() {
        if let Some(name) = line.strip_prefix("// ").filter(|name| name.chars().all(|c| c.is_ascii_uppercase())) {
            part = name.to_owned();
        } else if let Some(name) = line.strip_prefix("pub mod ").and_then(|line| line.strip_suffix(';')) {
            modules.push((name.to_owned(), part.clone()));
        }
    }
    modules
}

/// Tells whether module `from` may import module `to`.
fn may_import(modules: &[(String, String)], from: &str, to: &str) -> bool {
    let part = |name: &str| modules.iter().find(|(module, _)| module == name).map(|(_, part)| part.as_str());
    let place = |name: &str| modules.iter().position(|(module, _)| module == name);
    if from == to {
        return true;
    }
    let is_above = place(to) < place(from);
    match (part(from), part(to)) {
        (Some("LIBRARIES"), Some("LIBRARIES")) => is_above && LIBRARIES_MAY.contains(&(from, to)),
        _ => is_above,
    }
}

/// Returns what is wrong with the imports and paths of one file; tests within it may say `super::*`.
fn import_problems(path: &str, text: &str, modules: &[(String, String)]) -> Vec<String> {
    let own = path.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default();
    let mut problems = Vec::new();
    let mut say = |number: usize, what: String| problems.push(format!("{path}:{}: {what}", number + 1));
    let mut in_tests = path.ends_with("tests.rs");
    for (number, line) in text.lines().enumerate() {
        in_tests |= line.trim() == "#[cfg(test)]";
        let code = line.split("//").next().unwrap_or_default();
        let import = code.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ").starts_with("use ");
        if import && code.contains('{') {
            say(number, "grouped import".to_owned());
        }
        if code.contains("super::") && !in_tests {
            say(number, "path through `super::`".to_owned());
        }
        // documentation may point down the list: a reader follows the flow
        for rest in code.split("crate::").skip(1) {
            let target: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let known = modules.iter().any(|(module, _)| *module == target);
            if known && !may_import(modules, own, &target) && !matches!(own, "lib" | "main") && !in_tests {
                say(number, format!("`{own}` may not know `{target}`"));
            }
        }
    }
    problems
}

/// Returns what else is wrong with one file.
fn file_problems(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if lines > MOST_LINES && !LONG.iter().any(|(long, _)| *long == path) {
        problems.push(format!("{path}: {lines} lines, {MOST_LINES} at most"));
    }
    if !text.starts_with("//! ") {
        problems.push(format!("{path}: the first line does not say what the file owns (`//! …`)"));
    }
    if path.split(['/', '.']).any(|name| BANNED_NAMES.contains(&name)) {
        problems.push(format!("{path}: a name that says nothing"));
    }
    let mut in_tests = path.ends_with("tests.rs");
    for (number, line) in text.lines().enumerate() {
        in_tests |= line.trim() == "#[cfg(test)]";
        // spelled apart, so that this file does not find itself
        if line.contains(concat!("TO", "DO")) && !line.contains(concat!("TO", "DO(#")) {
            problems.push(format!("{path}:{}: TO-DO without an issue number", number + 1));
        }
        let writes =
            ["println!", "print!(", "eprint!(", "io::stdout()", "io::stderr()"].iter().any(|word| line.contains(word));
        if path.starts_with("src/") && !WRITERS.contains(&path) && !in_tests && writes {
            problems.push(format!("{path}:{}: writes to the terminal past the printer", number + 1));
        }
    }
    problems
}

#[test]
fn imports_point_up() {
    let sources = sources("src");
    let modules = order(&sources["src/lib.rs"]);
    assert!(modules.len() > 10 && modules.iter().all(|(_, part)| !part.is_empty()), "{modules:?}");
    let problems: Vec<String> = sources.iter().flat_map(|(path, text)| import_problems(path, text, &modules)).collect();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn files_are_in_order() {
    let all = sources("src").into_iter().chain(sources("tests"));
    let problems: Vec<String> = all.flat_map(|(path, text)| file_problems(&path, &text)).collect();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Names that every module may use: each stage has its error, each command its arguments.
const SHARED_NAMES: &[&str] = &["Error", "Args"];

/// Returns the names of the types that a file defines outside its tests.
fn types_of(text: &str) -> Vec<String> {
    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    let mut names = Vec::new();
    for line in code.lines().map(str::trim_start) {
        let line =
            ["pub(crate) ", "pub(super) ", "pub "].iter().find_map(|word| line.strip_prefix(word)).unwrap_or(line);
        let rest = ["struct ", "enum ", "trait "].iter().find_map(|word| line.strip_prefix(word));
        names.extend(rest.map(|rest| rest.chars().take_while(char::is_ascii_alphanumeric).collect()));
    }
    names
}

/// Returns the types whose name has another definition, with the files.
fn reused_names(sources: &BTreeMap<String, String>) -> Vec<String> {
    let mut places: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (path, text) in sources.iter().filter(|(path, _)| !path.ends_with("tests.rs")) {
        for name in types_of(text) {
            places.entry(name).or_default().push(path);
        }
    }
    places.retain(|name, files| files.len() > 1 && !SHARED_NAMES.contains(&name.as_str()));
    places.iter().map(|(name, files)| format!("{name}: {}", files.join(", "))).collect()
}

/// A type's name explains it without its path, so it is used once.
#[test]
fn types_have_names_of_their_own() {
    let reused = reused_names(&sources("src"));
    assert!(reused.is_empty(), "\n{}", reused.join("\n"));
}

#[test]
fn no_test_file_is_forgotten() {
    let main = fs::read_text(&root().join("tests/it/main.rs"), 1 << 20).expect("read");
    for name in fs::list(&root().join("tests/it")).expect("listed") {
        let module = name.trim_end_matches(".rs");
        let listed = name == "main.rs" || main.lines().any(|line| line == format!("mod {module};"));
        assert!(listed || name.starts_with('.'), "tests/it/{name} is not in tests/it/main.rs");
    }
}

/// The checks find what they are for.
#[test]
fn planted_faults_are_found() {
    let modules = order(
        "// GROUND\npub mod values;\n// LIBRARIES\npub mod apt;\npub mod store;\npub mod tree;\npub mod oci;\n// STAGES\npub mod recipe;\npub mod lock;\n// EDGE\npub mod cli;\n",
    );
    let imports = [
        ("src/apt/mod.rs", "use crate::values::Digest;", 0),
        ("src/apt/mod.rs", "use crate::store::Store;", 1),
        ("src/tree/mod.rs", "use crate::store::Store;", 0),
        ("src/values/mod.rs", "    let x = crate::cli::main();", 1),
        ("src/lock/mod.rs", "use crate::recipe::Definition;", 0),
        ("src/recipe/mod.rs", "pub use crate::lock::Lock;", 1),
        ("src/recipe/mod.rs", "/// see [`crate::lock::Lock`]", 0),
        ("src/recipe/mod.rs", "use crate::values::{Digest, Epoch};", 1),
        ("src/recipe/mod.rs", "use crate::{", 1),
        ("src/recipe/mod.rs", "use super::x;", 1),
        ("src/recipe/mod.rs", "#[cfg(test)]\nmod tests {\n    use super::*;\n}", 0),
        ("src/recipe/tests.rs", "use super::*;", 0),
        ("src/cli/mod.rs", "use crate::lock::Lock;\nuse crate::apt::Package;", 0),
    ];
    for (path, text, count) in imports {
        assert_eq!(import_problems(path, text, &modules).len(), count, "{path}: {text}");
    }
    let twice: BTreeMap<String, String> = [
        ("src/a.rs", "//! x\npub struct State {\n}\npub enum Error {\n}\n"),
        ("src/b.rs", "//! x\nenum State {\n}\nenum Error {\n}\n#[cfg(test)]\nmod tests {\n    struct Other;\n}\n"),
        ("src/c.rs", "//! x\ntrait Other {\n}\n"),
    ]
    .into_iter()
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .collect();
    assert_eq!(reused_names(&twice), ["State: src/a.rs, src/b.rs"]);
    let todo = concat!("//! x\n// TO", "DO later");
    let files = [
        ("src/a.rs", "//! x\n".to_owned(), 0),
        ("src/a.rs", "mod x;\n".to_owned(), 1),
        ("src/a.rs", format!("//! x\n{}", "\n".repeat(MOST_LINES)), 1),
        ("src/util/a.rs", "//! x\n".to_owned(), 1),
        ("src/lock/helpers.rs", "//! x\n".to_owned(), 1),
        ("src/a.rs", todo.to_owned(), 1),
        ("src/a.rs", todo.replace(" later", "(#12) later"), 0),
        ("src/a.rs", "//! x\nfn f() { eprintln!(); }".to_owned(), 1),
        ("src/a/tests.rs", "//! x\nfn f() { eprintln!(); }".to_owned(), 0),
        ("src/cli/printer.rs", "//! x\nio::stdout()".to_owned(), 0),
    ];
    for (path, text, count) in files {
        assert_eq!(file_problems(path, &text).len(), count, "{path}: {text}");
    }
}
