//! The project's own recipes with every combination of their parameters, as far as no package is needed to judge it.

use crate::support::shipped::shipped_recipes;
use sockel::recipe::ImageDefinition;
use sockel::recipe::RecipeProject;
use sockel::recipe::merged_config;
use sockel::sys::fs;
use std::path::Path;

/// Writes a base image with these values, and returns its definition.
fn define(folder: &Path, recipe: &str, with: &str) -> ImageDefinition {
    let text = format!(
        "recipe: {recipe}\nwith: {{ {with} }}\nplatforms: [ linux/amd64 ]\npublish: {{ repository: test, tags: [ \"1\" ] }}\n\
         purpose: test\nowner: {{ name: test, contact: test@example.org }}\n"
    );
    fs::write_atomic(&folder.join("base-images/test.yaml"), text.as_bytes()).expect("written");
    RecipeProject::open(folder).expect("opens").definition("test").unwrap_or_else(|error| panic!("{with}: {error}"))
}

/// Returns the text of a file that some level provides.
fn file(definition: &ImageDefinition, path: &str) -> String {
    let levels = definition.levels_for(definition.platforms[0]);
    let file = levels.iter().find_map(|level| level.files.get(path)).unwrap_or_else(|| panic!("no {path}"));
    String::from_utf8(file.content.clone()).expect("text")
}

/// Tells whether every element of a document is closed, in the order in which elements were opened.
fn is_nested(xml: &str) -> bool {
    let mut open = Vec::new();
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        let is_comment = rest[start..].starts_with("<!--");
        let Some(end) = rest[start..].find(if is_comment { "-->" } else { ">" }) else { return false };
        let tag = &rest[start + 1..start + end];
        rest = &rest[start + end + 1..];
        if is_comment || tag.starts_with('?') || tag.ends_with('/') {
            continue;
        }

        let name = tag.split_whitespace().next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(name) if open.pop() != Some(name) => return false,
            Some(_) => {}
            None => open.push(name),
        }
    }
    open.is_empty()
}

#[test]
fn every_combination_of_tomcats_parameters_is_an_image() {
    let folder = shipped_recipes();
    let mut count = 0;
    for base in ["ubuntu: \"26.04\", java: 25, tomcat: 11", "debian: \"13\", java: 21, tomcat: 10"] {
        for access in ["none", "text", "json"] {
            for log in ["text", "json"] {
                for [fonts, unpack, http2] in switches() {
                    let with = format!(
                        "{base}, access-log: {access}, log-format: {log}, fonts: {fonts}, unpack-wars: {unpack}, http2: {http2}, \
                         heap: 55, health-path: /live"
                    );
                    let image = define(folder.path(), "tomcat", &with);
                    let server = file(&image, "/etc/tomcat/server.xml");
                    assert!(is_nested(&server), "{with}:\n{server}");
                    assert_eq!(server.contains("AccessLog"), access != "none", "{with}");
                    assert_eq!(server.contains("JsonAccessLog"), access == "json", "{with}");
                    assert_eq!(server.contains("http2.Http2Protocol"), http2, "{with}");
                    assert!(server.contains("path=\"/live\"") && server.contains("${TOMCAT_HTTP_PORT_NUMBER:-8080}"));

                    let logging = file(&image, "/etc/tomcat/logging.properties");
                    assert_eq!(logging.contains("juli.JsonFormatter\n"), log == "json", "{with}");
                    assert!(file(&image, "/etc/java/vm-flags").contains("MaxRAMPercentage=55\n"));

                    let levels = image.levels_for(image.platforms[0]);
                    let writable = merged_config(levels).writable;
                    assert_eq!(writable.contains_key("/var/lib/tomcat/webapps"), unpack, "{with}");
                    let has_font =
                        levels.iter().any(|level| level.packages.iter().any(|name| name == "fonts-dejavu-core"));
                    assert_eq!(has_font, fonts, "{with}");
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, 2 * 3 * 2 * 8);
}

/// Returns all combinations of three switches.
fn switches() -> impl Iterator<Item = [bool; 3]> {
    (0..8).map(|bits: u8| [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0])
}

#[test]
fn the_example_for_clusters_fits_the_image() {
    let folder = shipped_recipes();
    let image = define(folder.path(), "tomcat", "ubuntu: \"26.04\", java: 25, tomcat: 11");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images/kustomize/deployment.yaml");
    let deployment = fs::read_text(&path, 1 << 16).expect("there");

    let config = merged_config(image.levels_for(image.platforms[0]));
    for path in config.writable.keys() {
        assert!(deployment.contains(&format!("mountPath: {path} }}")), "{path} is not mounted");
    }
    assert_eq!(deployment.matches("mountPath:").count(), config.writable.len());
    assert_eq!(deployment.matches("emptyDir:").count(), config.writable.len());

    let user = config.user.expect("a user").replace(':', "\n        runAsGroup: ");
    assert!(deployment.contains(&format!("runAsUser: {user}\n")), "another user");
    assert!(deployment.contains(&format!("containerPort: {}", config.ports[0].trim_end_matches("/tcp"))));
    let health = &image.parameters["health-path"];
    assert_eq!(deployment.matches(&format!("path: {health}, ")).count(), 2, "another health path");
}
