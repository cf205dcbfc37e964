//! sockel builds hardened container base images from signed APT archives, without a daemon and without root.
//!
//! This page is the map. The one rule: **imports point up the list of modules below**; `tests/tidy.rs` enforces it. So
//! the list is the architecture, and every line of code is found by thinking about the flow.
//!
//! ```text
//! recipes/*.yaml ─┐                signed archives                 store
//! base-images/*.yaml ─► recipe ─► lock ─► fetch ─► layer ─► check ─► image ─► build ─► OCI layout or archive
//!                     Definition  Lock    .debs    Tree,    findings documents  Built │
//!                                                  layers                             └─► publish ─► registry, past Harbor's gate
//!
//! a schedule ─► update: lock anew ─► advisory (what does it fix?) ─► build ─► publish ─► announce
//! an empty machine ─► shared: what another one has built is in the registry
//! an application on an old base ─► rebase: its own layers on the patched one, nothing built
//! ```
//!
//! # Words
//! Debian's and OCI's words mean what they mean there (suite, component, pocket; descriptor, manifest, index). Ours are:
//! - **recipe**: what one *level* adds to the level below (`recipes/*.yaml`); **base image**: a recipe with its values,
//!   published under a name (`base-images/*.yaml`).
//! - **definition**: the complete answer for one image, all parameters filled in.
//! - **lock**: exactly which packages, and from which state of which signed archives; committed and reviewed.
//! - **state**: a pocket of an archive as one InRelease file describes it; locks name the states that they were chosen
//!   from, and those, or later ones, prove them.
//! - **effect**: something that a maintainer script would do at a first installation, as [`scripts`] reads it.
//! - **ledger**: what was decided about the effects of maintainer scripts (`recipes/scripts.yaml`), since none is ever run.
//! - **origin**: the package, recipe or generator that a path of an image comes from; every path has one.
//! - **finding**: what a check says about a finished image; an **acceptance** lets one stay, with a reason and an end.
//! - **inventory**: the complete list of an image's paths, kept by the build ([`tree::inventory`]).
//! - **chunk**: the files of one package within a layer, compressed on their own and found again by key.
//!
//! # What holds everywhere
//! 1. No daemon, no root, no user namespace: nothing of a package is executed.
//! 2. Nothing unsigned gets in: every byte chains to an InRelease file signed by a pinned key, to a recipe file, or to a
//!    named generator.
//! 3. The lock decides: same recipes, same lock, same [`layer::ENGINE_FORMAT`] → same digest, on any machine.
//! 4. Nothing is lost silently: an effect of a script that nobody decided about, or an excluded dependency without a reason, stops.
//! 5. Every write is atomic and every step repeatable; `kill -9` leaves a store that the next run uses.
//! 6. Never root in the image: numeric user, no setuid, no file capabilities; the user writes nothing that no recipe
//!    declares. Held on the finished tree ([`check`]), whoever brought the path.
//! 7. Work is proportional to change: see "chunk".
//! 8. Nothing is released that was not judged: where there is a Harbor, tags come after its scan and the gate; a report
//!    that cannot be right is a no. Secrets are in no message, file or process list, and a login is sent to no host but
//!    the one that it is for.
//! 9. Proven where it is used: a lock is a choice, not a proof, so nothing is built from one that signed archives do not
//!    lead to ([`lock::proof`]); what leaves is read again on its way. `docs/security.md` says who is trusted with what.
//! 10. Nothing goes back by itself: not an archive behind the locks, not a tag to an older image, and a fixed tag never
//!     names a second one.
//!
//! # Files and folders that people see
//! | where | what | owner |
//! |---|---|---|
//! | `recipes/`, `base-images/` | what people write | [`recipe`] |
//! | `base-images/<image>.lock.yaml` | locks | [`lock::file`] |
//! | `~/.cache/sockel` or `SOCKEL_STORE` (`sockel-<uid>` in it where it is shared) | downloads, package trees, layers, cache records | [`store`] |
//! | `out/` | OCI layout with all images | [`oci::layout`] |
//! | `bundle/` | everything a build needs, for places without archives | [`bundle`] |
//! | `base-images/registry.yaml` | where images are published, what the gate lets through | [`settings::RegistryFile`] |
//!
//! # How a command runs
//! `cli::<command>` turns flags into a request, calls the job of the same name in [`jobs`], and prints what it answers. A
//! job asks [`recipe::RecipeProject`] for definitions, [`lock`] for locks, [`build::build`] for images, [`publish::publish`] for
//! their way to a registry. Stages hand each other values and never call a job. Every stage's `mod.rs` says what goes in,
//! what comes out, what holds, and what is not there. Programs call jobs as the command line does: see `examples/`.
//!
//! What a patched package costs: its chunk is compressed anew ([`layer::chunk`]), its layer is stitched together from
//! the kept chunks ([`layer::write`]), and the images' documents are written anew ([`image`]). Layers of upper levels
//! keep their bytes, because a layer never depends on the layers below it ([`layer::split`]).

// GROUND
pub mod values;
pub mod fault;
pub mod sys;
pub mod report;
pub mod keys;
// LIBRARIES
pub mod apt;
pub mod scripts;
pub mod store;
pub mod tree;
pub mod oci;
pub mod gate;
pub mod harbor;
// INPUT
pub mod recipe;
pub mod settings;
// STAGES
pub mod lock;
pub mod fetch;
pub mod advisory;
pub mod bundle;
pub mod layer;
pub mod check;
pub mod image;
pub mod build;
pub mod shared;
pub mod publish;
pub mod rebase;
pub mod plan;
pub mod announce;
pub mod due;
pub mod update;
// JOBS
pub mod jobs;
// EDGE
pub mod cli;
