//! Edits every field of every lock of a project, one at a time, drops, doubles, swaps and downgrades entries, and tells
//! which of these a build would believe.
//!
//! `cargo test --test live-edits -- <project> <store> [image …]`; the locks must answer the recipes. Never part of a normal test run.

#[path = "../it/support/edits.rs"]
mod edits;

use sockel::fetch::Mirrors;
use sockel::fetch::proof::Prover;
use sockel::layer::ENGINE_FORMAT;
use sockel::lock::LockedImage;
use sockel::lock::file::Lock;
use sockel::lock::file::LockedPackage;
use sockel::lock::proof::judge;
use sockel::lock::verify::verify;
use sockel::recipe::RecipeProject;
use sockel::report::EventRecorder;
use sockel::store::Store;
use sockel::sys::clock;
use sockel::sys::http;
use sockel::sys::http::HttpClient;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [project, store, images @ ..] = &arguments[..] else {
        println!("nothing to edit: give a project and a store");
        return ExitCode::SUCCESS;
    };
    let opened = RecipeProject::open(Path::new(project)).expect("a project");
    let (definitions, ledger) = (opened.definitions(&[]).expect("they resolve"), opened.ledger().expect("a ledger"));
    let read = |image: &str| {
        let path = Path::new(project).join(format!("base-images/{image}.lock.yaml"));
        Lock::read(&path).expect("a lock")
    };
    let locks: BTreeMap<String, Lock> =
        definitions.iter().map(|definition| (definition.image.clone(), read(&definition.image))).collect();

    let store = Store::open(Path::new(store)).expect("a store");
    let (http, mirrors) = (HttpClient::new(http::HttpOptions::usual(false, None)), Mirrors::default());
    let (engine, now, reporter) = (ENGINE_FORMAT, clock::now(), &EventRecorder::default());
    let prover = Prover { http: &http, store: &store, mirrors: &mirrors, ledger: &ledger, engine, now, reporter };
    let claims: Vec<LockedImage<'_>> =
        definitions.iter().map(|definition| LockedImage { definition, lock: &locks[&definition.image] }).collect();
    if let Err(error) = prover.prove(&claims) {
        println!("the locks themselves are not proven: {error}");
        return ExitCode::FAILURE;
    }

    let (mut tried, mut free, mut believed) = (0, 0, 0);
    for definition in definitions.iter().filter(|one| images.is_empty() || images.contains(&one.image)) {
        let honest = &locks[&definition.image];
        let parent = definition.parent.as_ref().map(|parent| &locks[parent]);
        let mut judge_one = |what: &str, edited: Option<Lock>, is_free: bool| {
            tried += 1;
            let Some(edited) = edited.filter(|edited| edited != honest) else { return };
            // what costs most comes last: most edits are refused before
            let is_taken = judge(&edited, honest).is_ok()
                && verify(&edited, definition, engine, parent, &ledger).is_empty()
                && edits::read_again(&edited).is_some();
            free += usize::from(is_taken && is_free);
            if is_taken && !is_free {
                believed += 1;
                println!("BELIEVED {}: {what}", definition.image);
            }
        };
        for edit in edits::edits(honest) {
            judge_one(&edit.what, edit.typed(), edit.is_free());
        }
        for (what, edited) in downgrades(honest, &locks) {
            judge_one(&what, Some(edited), false);
        }
    }
    println!("{} locks, {tried} edits, {free} of them free choices, {believed} others believed", locks.len());
    if believed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Replaces each package by every other version that some lock of the project has.
fn downgrades(lock: &Lock, all: &BTreeMap<String, Lock>) -> Vec<(String, Lock)> {
    let known: Vec<&LockedPackage> =
        all.values().flat_map(|lock| &lock.levels).flat_map(|level| level.packages.values().flatten()).collect();
    let mut edited = Vec::new();
    for (number, level) in lock.levels.iter().enumerate() {
        for (platform, packages) in &level.packages {
            for (place, package) in packages.iter().enumerate() {
                let is_other = |other: &&&LockedPackage| {
                    other.name == package.name && other.version != package.version && lock.state(other).is_some()
                };
                for other in known.iter().filter(is_other) {
                    let mut lock = lock.clone();
                    let packages = lock.levels[number].packages.get_mut(platform).expect("it was just there");
                    packages[place] = (*other).clone();
                    edited.push((format!("{} {} -> {}", package.name, package.version, other.version), lock));
                }
            }
        }
    }
    edited
}
