//! What the Harbor double serves is in Harbor's own API definition; its path is given from outside.

use crate::support::registry::harbor::api::UNMODELLED;
use crate::support::registry::harbor::routes::routes;
use sockel::sys::fs;
use std::collections::BTreeMap;
use std::path::Path;

const VARIABLE: &str = "SOCKEL_HARBOR_API";

/// Returns the methods of every path of a definition in Swagger's YAML, by its indentation: paths have two blanks,
/// methods four.
fn defined(text: &str) -> BTreeMap<String, Vec<String>> {
    let (mut paths, mut path) = (BTreeMap::<String, Vec<String>>::new(), None);
    let lines = text.lines().skip_while(|line| *line != "paths:").skip(1);
    for line in lines.take_while(|line| line.is_empty() || line.starts_with([' ', '#'])) {
        let key = line.trim_end().strip_suffix(':').unwrap_or_default();
        let bare = key.trim_start().trim_matches(['\'', '"']);
        match key.len() - key.trim_start().len() {
            2 if bare.starts_with('/') => path = Some(bare.to_owned()),
            4 if !bare.is_empty() => {
                paths.entry(path.clone().unwrap_or_default()).or_default().push(bare.to_uppercase());
            }
            _ => {}
        }
    }
    paths
}

/// Skipped where the definition is not named.
#[test]
#[expect(clippy::disallowed_methods, reason = "the variable is for this test only")]
fn everything_served_is_defined() {
    let Ok(path) = std::env::var(VARIABLE) else {
        println!("skipped: {VARIABLE} does not name Harbor's swagger.yaml");
        return;
    };
    let defined = defined(&fs::read_text(Path::new(&path), 4 << 20).unwrap());
    assert!(defined.len() > 100, "{path} is Harbor's definition");
    let is_defined = |(method, path): &(&str, String)| {
        defined.get(path).is_some_and(|methods| methods.iter().any(|one| one == method))
    };
    let unknown: Vec<_> = routes().into_iter().filter(|route| !is_defined(route)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");

    // everything else is answered with 501
    let served: Vec<String> = routes().into_iter().map(|(method, path)| format!("{method} {path}")).collect();
    let is_known = |call: &String| served.contains(call) || UNMODELLED.lines().any(|line| line == call);
    let calls = defined.iter().flat_map(|(path, methods)| methods.iter().map(move |method| format!("{method} {path}")));
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    let left: Vec<String> =
        calls.filter(|call| methods.contains(&call.split(' ').next().unwrap_or_default()) && !is_known(call)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn definitions_are_read() {
    let text = "swagger: '2.0'\npaths:\n  /ping:\n    get:\n      responses:\n        200:\n  '/a/{b}':\n    put:\n\n    delete:\ndefinitions:\n  /x:\n    get:\n";
    let wanted = [("/a/{b}", vec!["PUT", "DELETE"]), ("/ping", vec!["GET"])];
    let found = defined(text);
    let found: Vec<_> =
        found.iter().map(|(path, methods)| (path.as_str(), methods.iter().map(String::as_str).collect())).collect();
    assert_eq!(found, wanted);
}
