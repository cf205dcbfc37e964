//! Results shared through the registry: an empty machine publishes what another one built, and trusts nobody else.

use crate::support::project::Project;
use crate::support::project::answer;
use crate::support::project::library;
use crate::support::project::packages;
use crate::support::registry::Fault;
use crate::support::registry::Registry;
use crate::support::registry::Trouble;
use sockel::sys::fs;
use std::collections::BTreeMap;

// RFC 8410, 10.1 and 10.3; the other public key is that of RFC 8032, 7.1, test 1
pub(crate) const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
pub(crate) const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
const OTHER: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

/// A project that shares its results, locked.
fn project(registry: &Registry) -> Project {
    let project = Project::new();
    project.write("base-images/cache.pem", PRIVATE);
    project.write("base-images/cache.pub", PUBLIC);
    let file = format!(
        "target: {}/team\ncache: {{ repository: team/cache, verify: cache.pub, sign: cache.pem }}\n",
        registry.url()
    );
    project.write("base-images/registry.yaml", &file);
    project.run(&["lock"]).good();
    project
}

/// Forgets everything that this machine knows.
fn forget(project: &Project) {
    for folder in ["store", "out"] {
        fs::remove_dir(&project.path(folder)).expect("removed");
    }
}

/// Returns how many packages were fetched since it was asked last.
fn fetched(project: &Project) -> usize {
    project.server.requests().iter().filter(|request| request.contains("/pool/")).count()
}

fn tags(registry: &Registry) -> Vec<BTreeMap<String, String>> {
    ["team/base", "team/runtime", "team/app"].iter().map(|repository| registry.tags(repository)).collect()
}

#[test]
fn an_empty_machine_only_mounts() {
    let registry = Registry::start();
    let project = project(&registry);
    project.run(&["publish"]).good();
    // one by build key and one by name for each
    assert_eq!(registry.tags("team/cache").len(), 7, "and the state of the archive");
    let (_, first, sent) = (fetched(&project), tags(&registry), registry.log().blob_bytes());
    forget(&project);
    for image in ["base", "runtime", "app"] {
        let (from, to) = (format!("repository: {image},"), format!("repository: new/{image},"));
        project.edit(&format!("base-images/{image}.yaml"), &from, &to);
    }
    // the lock names the recipe files that it answers
    project.run(&["lock"]).good();
    project.run(&["publish"]).good();
    assert_eq!(fetched(&project), 0, "packages were fetched again");
    // three configurations: mounting one costs more than sending it
    assert!(registry.log().blob_bytes() - sent < 6000, "layers were sent: {:?}", registry.log().lines());
    let now: Vec<_> = ["new/base", "new/runtime", "new/app"].map(|name| registry.tags(&format!("team/{name}"))).into();
    assert_eq!(now, first);
}

#[test]
fn an_empty_machine_compresses_only_what_a_patch_changed() {
    let registry = Registry::start();
    let mut project = project(&registry);
    project.run(&["publish"]).good();
    let all = packages().into_iter().map(|old| if old.value("Package") == "libc" { library("2.1", 9) } else { old });
    project.publish(&all.collect::<Vec<_>>());
    let publish = |project: &Project| {
        let run = project.run(&["publish", "--log-format", "json"]);
        let is_begun = |line: &&str| line.contains("\"started\"") && line.contains("\"compress\"");
        let compressed: Vec<String> = run.stderr.lines().filter(is_begun).map(str::to_owned).collect();
        run.good();
        compressed
    };
    project.run(&["lock"]).good();
    forget(&project);
    let compressed = publish(&project);
    // the layer of the library, once for all images
    assert_eq!(compressed.len(), 1, "{compressed:?}");
    let newest = |registry: &Registry| tags(registry).iter().map(|tags| tags["1"].clone()).collect::<Vec<_>>();
    let patched = newest(&registry);
    // the same from nothing, without any help
    let alone = Registry::start();
    let file = format!("target: {}/team\n", alone.url());
    project.write("base-images/registry.yaml", &file);
    forget(&project);
    let all = publish(&project);
    assert!(all.len() > compressed.len(), "{all:?}");
    assert_eq!(newest(&alone), patched);
    // what strangers signed is not remembered
    let file = format!("target: {}/team\ncache: {{ repository: team/cache, verify: cache.pub }}\n", registry.url());
    project.write("base-images/registry.yaml", &file);
    project.write("base-images/cache.pub", OTHER);
    forget(&project);
    let distrustful = publish(&project);
    assert_eq!(distrustful.len(), all.len());
}

#[test]
fn a_build_takes_layers_instead_of_packages() {
    let registry = Registry::start();
    let project = project(&registry);
    project.run(&["publish"]).good();
    project.run(&["build"]).good();
    let (digests, _) = (project.digests("out"), fetched(&project));
    forget(&project);
    project.run(&["build"]).good();
    assert_eq!((project.digests("out"), fetched(&project)), (digests, 0));
    assert!(project.run(&["cache", "verify"]).good().contains("removed 0"));
}

#[test]
fn what_strangers_signed_is_not_used() {
    let registry = Registry::start();
    let project = project(&registry);
    project.run(&["publish"]).good();
    let (first, _) = (tags(&registry), fetched(&project));
    forget(&project);
    project.write("base-images/cache.pub", OTHER);
    let run = project.run(&["publish"]);
    assert!(run.stderr.contains("its signature is not by the key of `cache.verify`"), "{}", run.stderr);
    run.good();
    assert_eq!(tags(&registry), first);
    assert!(fetched(&project) > 0);
    // without a key nothing is taken at all
    forget(&project);
    project.edit("base-images/registry.yaml", "verify: cache.pub, ", "");
    let asked = |registry: &Registry| registry.log().count("GET", "/v2/team/cache/manifests/*");
    let count = asked(&registry);
    project.run(&["publish"]).good();
    // but the signed state of the archive, which needs no key of ours
    assert_eq!(asked(&registry), count + 1);
    project.edit("base-images/registry.yaml", "cache.pem", "cache.pub");
    let message = project.run(&["publish"]).fails(1);
    assert!(message.contains("base-images/cache.pub`: it has no"), "{message}");
}

#[test]
fn layers_that_cannot_be_mounted_are_fetched_and_sent() {
    let registry = Registry::start();
    let project = project(&registry);
    project.run(&["publish"]).good();
    let first = tags(&registry);
    // the repository of the cache stays, all others are gone
    let mut contents = registry.contents();
    let blobs: Vec<String> = contents.repository("team/cache").blobs.iter().cloned().collect();
    contents.repositories.retain(|name, _| name == "team/cache");
    assert!(!blobs.is_empty());
    drop(contents);
    registry.fault(Fault::new("POST", "/v2/team/app/blobs/uploads/*", Trouble::NoMount).always());
    forget(&project);
    project.run(&["publish"]).good();
    assert_eq!(tags(&registry), first);
}

#[test]
fn old_entries_are_pruned() {
    let registry = Registry::start();
    let mut project = project(&registry);
    project.run(&["publish"]).good();
    let all = packages().into_iter().map(|old| if old.value("Package") == "libc" { library("2.1", 9) } else { old });
    project.publish(&all.collect::<Vec<_>>());
    project.run(&["lock"]).good();
    project.run(&["publish"]).good();
    // three images and the state of the archive twice, three newest ones
    assert_eq!(registry.tags("team/cache").len(), 11);
    let prune = |days: &str| answer(&mut project.command(&["cache", "prune", "--registry", "--days", days])).good();
    assert_eq!(prune("1"), "removed 0 entries, kept 8\n");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(prune("0"), "removed 4 entries, kept 4\n");
    assert_eq!(registry.tags("team/cache").len(), 7);
}

/// What was remembered of one registry says nothing about another one.
#[test]
fn layers_in_another_registry_are_not_thought_to_be_here() {
    let registry = Registry::start();
    let project = project(&registry);
    project.run(&["publish"]).good();
    let first = tags(&registry);
    forget(&project);
    project.run(&["publish"]).good();
    for more in ["team/cache", "team/other"] {
        let other = Registry::start();
        let file = format!(
            "target: {}/team\ncache: {{ repository: {more}, verify: cache.pub, sign: cache.pem }}\n",
            other.url()
        );
        project.write("base-images/registry.yaml", &file);
        project.run(&["publish"]).good();
        assert_eq!(tags(&other), first);
    }
}

#[test]
fn layers_that_are_gone_from_the_registry_are_built_in_the_same_run() {
    let registry = Registry::start();
    let project = project(&registry);
    project.run(&["publish"]).good();
    let first = tags(&registry);
    let collect = || {
        let mut contents = registry.contents();
        contents.repositories.retain(|name, _| name == "team/cache");
        // manifests and documents stay, all that is large goes
        let large = |bytes: &[u8]| bytes.starts_with(&[0x1f, 0x8b]);
        let gone: Vec<String> =
            contents.blobs.iter().filter(|(_, bytes)| large(bytes)).map(|(digest, _)| digest.clone()).collect();
        assert!(!gone.is_empty());
        contents.blobs.retain(|digest, _| !gone.contains(digest));
        contents.repository("team/cache").blobs.retain(|digest| !gone.contains(digest));
    };
    // a machine that knows of the layers, and one that only finds the entry
    for empty in [false, true] {
        forget(&project);
        if !empty {
            project.run(&["publish"]).good();
        }
        collect();
        if empty {
            fs::remove_any(&project.path("store")).expect("removed");
        }
        let run = project.run(&["publish"]);
        assert!(run.stderr.contains("building them again"), "{}", run.stderr);
        run.good();
        assert_eq!(tags(&registry), first, "{empty}");
        // the entry is whole again: the next machine needs no package
        fetched(&project);
        fs::remove_dir(&project.path("store")).expect("removed");
        project.run(&["build"]).good();
        assert_eq!(fetched(&project), 0, "{empty}");
    }
}
