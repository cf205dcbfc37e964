//! What recipes add for one value of a parameter only, and the kinds of parameters.

use crate::recipe::BASE;
use crate::recipe::JAVA;
use crate::recipe::assert_each_is_reported;
use crate::recipe::problems;
use crate::recipe::project;
use sockel::recipe::RecipeProject;

#[test]
fn additions_hold_for_their_values_only() {
    let when = "when:\n  java:\n    17: { packages: [ old-tool ] }\n    25:\n      packages: [ \"tool-${java}\" ]\n      \
                files: { /etc/new: { content: a } }\n      config: { env: { NEW: \"1\" } }\n  arch: { amd64: { packages: [ cpuid ] } }\n";
    let folder = project(&[("recipes/java.yaml", &format!("{JAVA}{when}"))]);
    assert_eq!(problems(folder.path()), "");

    let java = RecipeProject::open(folder.path()).expect("opens").definition("java-25").expect("valid");
    let packages = |platform: &str| {
        let level = &java.levels_for(platform.parse().expect("a platform"))[1];
        (level.packages.join(" "), level.files.contains_key("/etc/new"), level.config.env.contains_key("NEW"))
    };
    assert_eq!(packages("linux/amd64"), ("openjdk-25-jre-headless tool-25 cpuid".to_owned(), true, true));
    assert_eq!(packages("linux/arm64"), ("openjdk-25-jre-headless tool-25".to_owned(), true, true));
}

#[test]
fn kinds_of_parameters_are_checked_where_they_are_set() {
    let java = JAVA
        .replace(
            "  java: {",
            "  heap: { default: 70, kind: percent }\n  path: { default: /health, kind: url-path }\n  java: {",
        )
        .replace("packages: [", "packages: [ \"a${heap}\", ")
        .replace("VERSION: 1.10", "VERSION: \"${path}\"");
    for (with, expected) in [
        ("heap: 100, path: /a/b-c_d.e", ""),
        ("heap: 0", "`0` is not a number from 1 to 100"),
        ("heap: 101", "`101` is not a number from 1 to 100"),
        ("heap: +5", "`+5` is not a number from 1 to 100"),
        ("path: health", "`health` is not a path such as"),
        ("path: /a/../b", "`/a/../b` is not a path such as"),
        ("path: /a+b", "`/a+b` is not a path such as"),
    ] {
        let base = BASE.replace("java: 25 }", &format!("java: 25, {with} }}"));
        let folder = project(&[("recipes/java.yaml", &java), ("base-images/java-25.yaml", &base)]);
        let found = problems(folder.path());
        assert_eq!(found.is_empty(), expected.is_empty(), "{with}: {found}");
        assert!(found.contains(expected), "{with}: {found}");
    }
}

#[test]
fn each_problem_is_reported() {
    assert_each_is_reported(&[
        ("recipes/java.yaml", "config:\n", "when: { jaav: { 25: {} } }\nconfig:\n", "11:9: unknown parameter `jaav`"),
        (
            "recipes/java.yaml",
            "config:\n",
            "when: { java: { 11: {} } }\nconfig:\n",
            "11:17: the parameter never has the value `11`",
        ),
        (
            "recipes/java.yaml",
            "config:\n",
            "when: { codename: { resolute: { files: { /etc/java.source: { content: a } } } } }\nconfig:\n",
            "11:42: the key `/etc/java.source` appears twice",
        ),
        (
            "recipes/java.yaml",
            "config:\n",
            "when: { java: { 25: { parameters: {} } } }\nconfig:\n",
            "11:23: unknown key `parameters` in an addition under `when`",
        ),
        (
            "recipes/java.yaml",
            "java: { default: 25",
            "java: { kind: percent, default: 250",
            "5:35: `250` is not a number",
        ),
        ("base-images/java-25.yaml", "java: 25", "java: 25, heap: 0", "2:36: unknown parameter `heap`"),
    ]);
}
