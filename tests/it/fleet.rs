//! A thousand images on twenty bases: what a run costs grows with what changed. Figures are printed; the small fleet of
//! the usual run checks that requests and bytes belong to affected images only.
//!
//! `FLEET=1000 SOCKEL_BINARY=target/dist/sockel cargo test --test it fleet -- --nocapture` (see benches/README.md).

use crate::support::deb::Deb;
use crate::support::project::Project;
use crate::support::project::answer;
use crate::support::project::noise;
use crate::support::registry::Registry;
use serde_json::Value;
use sockel::sys::fs;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

/// Bases that the images stand on.
const BASES: usize = 20;

/// How many images there are when nobody says so.
const USUAL: usize = 60;

#[expect(clippy::disallowed_methods, reason = "a setting of this measurement alone")]
fn size() -> usize {
    std::env::var("FLEET").ok().and_then(|text| text.parse().ok()).unwrap_or(USUAL)
}

/// Returns the packages: one library for all, one for every base, and one for every application.
fn packages(applications: usize, patched: usize) -> Vec<Deb> {
    let version = |base: usize| if base < patched { "2" } else { "1" };
    let library = |base: usize| {
        Deb::new(&format!("lib{base:02}"), version(base)).field("Installed-Size", "60").depends("libc").file(
            &format!("/usr/lib/lib{base:02}.so"),
            &noise(base as u64 + if base < patched { 1000 } else { 0 }, 50_000),
            0o644,
        )
    };
    let application = |number: usize| {
        Deb::new(&format!("app{number:04}"), "1").field("Installed-Size", "20").depends("libc").file(
            &format!("/usr/share/app{number:04}/app.jar"),
            &noise(50_000 + number as u64, 10_000),
            0o644,
        )
    };
    let libc = Deb::new("libc", "1").field("Installed-Size", "60").file("/usr/lib/libc.so", &noise(7, 60_000), 0o644);
    std::iter::once(libc).chain((0..BASES).map(library)).chain((0..applications).map(application)).collect()
}

/// Makes a project with so many images: every base with its library, every other image with its application.
fn fleet(images: usize) -> Project {
    let mut project = Project::with(&packages(images - BASES, 0));
    for name in ["runtime", "app", "base"] {
        fs::remove(&project.path(&format!("base-images/{name}.yaml"))).expect("removed");
    }
    project.edit("recipes/base.yaml", "[ base-files, libc ]", "[ libc ]");
    fs::remove(&project.path("recipes/app.yaml")).expect("removed");
    fs::remove(&project.path("recipes/runtime.yaml")).expect("removed");
    let image = |project: &Project, name: &str| {
        let text = format!(
            "recipe: {name}\nplatforms: [ linux/amd64 ]\npublish: {{ repository: {name}, tags: [ \"1\" ] }}\n\
             purpose: Test of {name}\nowner: {{ name: Platform, contact: platform@example.org }}\n"
        );
        project.write(&format!("base-images/{name}.yaml"), &text);
    };
    for base in 0..BASES {
        let name = format!("base{base:02}");
        let text = format!("name: {name}\ntitle: Base\nfrom: base\npackages: [ lib{base:02} ]\n");
        project.write(&format!("recipes/{name}.yaml"), &text);
        image(&project, &name);
    }
    for number in 0..images - BASES {
        let (name, below) = (format!("app{number:04}"), format!("base{:02}", number % BASES));
        let text = format!("name: {name}\ntitle: Application\nfrom: {below}\npackages: [ {name} ]\n");
        project.write(&format!("recipes/{name}.yaml"), &text);
        image(&project, &name);
    }
    project.publish(&packages(images - BASES, 0));
    project
}

/// What one run cost.
struct Cost {
    archive: usize,
    registry: usize,
    bytes: u64,
    changed: usize,
}

fn run(project: &Project, registry: &Registry, what: &str) -> Cost {
    project.server.requests();
    let before = registry.log();
    let start = Instant::now();
    let target = format!("{}/team", registry.url());
    let mut command = project.command(&["update", "--publish", "--to", &target, "--format", "json", "--quiet"]);
    let done: Value = serde_json::from_str(&answer(&mut command).good()).expect("JSON");
    let seconds = start.elapsed().as_secs_f64();
    let images = done["images"].as_array().expect("images");
    let changed = images.iter().filter(|image| image["state"] != "current").count();
    let after = registry.log();
    let cost = Cost {
        archive: project.server.requests().len(),
        registry: after.entries().len() - before.entries().len(),
        bytes: after.blob_bytes() - before.blob_bytes(),
        changed,
    };
    let Cost { archive, registry, bytes, changed } = &cost;
    println!(
        "{what}: {seconds:.2} s, {changed} of {} images changed, {archive} archive requests, {registry} registry \
         requests, {bytes} blob bytes",
        images.len()
    );
    cost
}

#[test]
fn costs_grow_with_what_changed() {
    let images = size();
    let (mut project, registry) = (fleet(images), Registry::start());
    let first = run(&project, &registry, "everything new");
    assert_eq!(first.changed, images);
    let nothing = run(&project, &registry, "nothing new");
    assert_eq!((nothing.changed, nothing.bytes), (0, 0));
    project.publish(&packages(images - BASES, 1));
    let one = run(&project, &registry, "one library of one base");
    let affected = 1 + (images - BASES).div_ceil(BASES);
    assert_eq!(one.changed, affected);
    // the library's layer, and documents of a few kilobytes an image
    assert!(one.bytes < 60_000 + 20_000 * affected as u64, "{}", one.bytes);
    project.publish(&packages(images - BASES, 4));
    let three = run(&project, &registry, "one library of each of three more bases");
    assert_eq!(three.changed, affected * 3);
    let again = run(&project, &registry, "nothing new again");
    assert_eq!((again.changed, again.bytes), (0, 0));
    let grown = |cost: &Cost| cost.registry.saturating_sub(nothing.registry);
    assert!(grown(&three) < grown(&one) * 4, "{} {}", grown(&one), grown(&three));
}

/// Starts a worker with a store of its own.
fn worker(project: &Project, number: usize, of: usize) -> std::process::Child {
    let mut command = project.command(&["update", "--publish", "--quiet", "--worker", &format!("{number}/{of}")]);
    command.env("SOCKEL_STORE", project.path(&format!("store-{number}"))).env("SOCKEL_THREADS", "1");
    command.stdout(Stdio::null()).spawn().expect("runs")
}

#[test]
fn workers_divide_the_work() {
    let images = size();
    let project = fleet(images);
    project.write("base-images/cache.pem", crate::shared::PRIVATE);
    project.write("base-images/cache.pub", crate::shared::PUBLIC);
    let refused = project.run(&["update", "--publish", "--worker", "1/2", "--to", "http://127.0.0.1:1/team"]).fails(1);
    assert!(refused.contains("cannot divide the work"), "{refused}");
    let registry_file = |registry: &Registry| {
        let cache = "cache: { repository: team/cache, verify: cache.pub, sign: cache.pem }";
        project.write("base-images/registry.yaml", &format!("target: {}/team\n{cache}\n", registry.url()));
    };
    let published = |registry: &Registry| {
        let name = |number: usize| format!("team/app{number:04}");
        (0..images - BASES).map(|number| registry.tags(&name(number))).collect::<Vec<_>>()
    };
    let mut expected = Vec::new();
    // four need a fleet that is worth it
    let four = (images > USUAL).then_some((4, false));
    for (workers, kills) in [(1, false), (2, false), (2, true)].into_iter().chain(four) {
        let registry = Registry::start();
        registry_file(&registry);
        for number in 1..=workers {
            fs::remove_dir(&project.path(&format!("store-{number}"))).expect("removed");
        }
        let start = Instant::now();
        let mut running: Vec<_> = (1..=workers).map(|number| worker(&project, number, workers)).collect();
        if kills {
            std::thread::sleep(Duration::from_millis(700));
            running.pop().expect("two").kill().expect("killed");
        }
        for mut child in running {
            assert!(child.wait().expect("ended").success());
        }
        let done = published(&registry);
        println!("{workers} workers, one killed: {kills}: {:.2} s", start.elapsed().as_secs_f64());
        assert!(done.iter().all(|tags| tags.len() == 1));
        if expected.is_empty() {
            expected = done;
            continue;
        }
        assert_eq!(done, expected);
        // a small fleet has too few parts to say who did what
        if !kills && images > USUAL {
            let built =
                |number: &usize| fs::list(&project.path(&format!("store-{number}/packages"))).expect("listed").len();
            let built: Vec<usize> = (1..=workers).map(|number| built(&number)).collect();
            println!("packages unpacked: {built:?}");
            // each did a part: bases are made by everybody, applications by few
            assert!(built.iter().all(|count| *count < images), "{built:?}");
            assert!(built.iter().sum::<usize>() < images * workers * 3 / 4, "{built:?}");
        }
    }
}
