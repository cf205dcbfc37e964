//! Every field of the documents of a bundle, edited one at a time: with digests that do not fit any more, and with all
//! digests and sizes made to fit.

use crate::support::deb::Deb;
use crate::support::edits::edits_of;
use crate::support::project::Project;
use crate::support::project::packages;
use serde_json::Value;
use serde_json::json;
use sockel::bundle;
use sockel::bundle::BundleContents;
use sockel::bundle::BundleSource;
use sockel::bundle::BundleSupplying;
use sockel::lock::LockedImage;
use sockel::lock::file::Lock;
use sockel::oci;
use sockel::recipe;
use sockel::recipe::ImageDefinition;
use sockel::report::EventRecorder;
use sockel::store::Store;
use sockel::sys::clock;
use sockel::sys::fs;
use sockel::values::Digest;
use std::path::PathBuf;

/// A bundle whose documents are written anew again and again, and the project that would build from it.
struct Victim<'a> {
    project: &'a Project,
    folder: PathBuf,
    definitions: Vec<ImageDefinition>,
    locks: Vec<Lock>,
}

impl Victim<'_> {
    /// Tells why a build refuses the bundle as it is now; nothing when it believes it. The machine has nothing.
    fn refusal(&self) -> Option<String> {
        let empty = self.project.path("empty");
        fs::remove_any(&empty).expect("removed");
        let (store, reporter) = (Store::open(&empty).expect("opens"), EventRecorder::default());
        let bundle = match bundle::open(BundleSource::Layout(self.folder.clone()), &store, &reporter) {
            Ok(bundle) => bundle,
            Err(error) => return Some(error.to_string()),
        };
        let orders =
            self.definitions.iter().zip(&self.locks).map(|(definition, lock)| LockedImage { definition, lock });
        let supplying = BundleSupplying { store: &store, platforms: &[], now: clock::now(), reporter: &reporter };
        bundle::supply(&bundle, &orders.collect::<Vec<_>>(), &supplying).err().map(|error| error.to_string())
    }

    fn read(&self, path: &str) -> Value {
        serde_json::from_slice(&fs::read(&self.folder.join(path), 1 << 24).expect("read")).expect("JSON")
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        fs::write_atomic(&self.folder.join(path), bytes).expect("written");
    }

    /// Writes a document under its digest, and makes the descriptor of it fit.
    fn add(&self, bytes: &[u8], descriptor: &mut Value) {
        let digest = Digest::of(bytes);
        self.write(&blob(&json!(digest.to_string())), bytes);
        descriptor["digest"] = json!(digest.to_string());
        descriptor["size"] = json!(bytes.len());
    }
}

fn blob(digest: &Value) -> String {
    format!("blobs/sha256/{}", digest.as_str().expect("a digest").trim_start_matches("sha256:"))
}

/// Tells whether an edit of `index.json` only changes how the bundle is found, which `bundle` names as free: copying tools
/// rewrite names, and leave out fields that they do not know.
fn is_free(what: &str) -> bool {
    what.starts_with("manifests/0/annotations") || what.starts_with("manifests/0: a") || what == ": mediaType dropped"
}

#[test]
fn every_edit_of_a_bundle_is_refused() {
    let everywhere: Vec<Deb> = packages().into_iter().map(|deb| deb.architecture("all")).collect();
    let project = Project::with(&everywhere);
    for image in ["base", "runtime", "app"] {
        project.edit(&format!("base-images/{image}.yaml"), "[ linux/amd64 ]", "[ linux/amd64, linux/arm64 ]");
    }
    project.run(&["lock"]).good();
    project.run(&["bundle"]).good();
    let definitions = recipe::RecipeProject::open(&project.path("")).expect("opens").definitions(&[]).expect("resolve");
    let lock = |definition: &ImageDefinition| {
        Lock::parse(&project.text(&format!("base-images/{}.lock.yaml", definition.image))).expect("sockel wrote it")
    };
    let locks = definitions.iter().map(lock).collect();
    let victim = Victim { project: &project, folder: project.path("bundle"), definitions, locks };
    assert_eq!(victim.refusal(), None);

    let index = victim.read("index.json");
    let manifest_at = blob(&index["manifests"][0]["digest"]);
    let manifest = victim.read(&manifest_at);
    let contents_at = blob(&manifest["config"]["digest"]);
    let contents = victim.read(&contents_at);
    let (mut tried, mut free, mut believed) = (0, 0, Vec::new());
    let mut judge = |document: &str, what: &str, is_free: bool| {
        tried += 1;
        match (victim.refusal(), is_free) {
            (None, true) => free += 1,
            (None, false) => believed.push(format!("{document}: {what}")),
            // what is free may still be refused, where nothing is found any more
            (Some(_), _) => (),
        }
    };

    for (what, edited) in edits_of(index.clone()) {
        victim.write("index.json", edited.to_string().as_bytes());
        judge("index", &what, is_free(&what));
    }
    victim.write("index.json", index.to_string().as_bytes());

    for (document, path, whole) in [("manifest", &manifest_at, &manifest), ("contents", &contents_at, &contents)] {
        let before = fs::read(&victim.folder.join(path), 1 << 24).expect("read");
        for (what, edited) in edits_of(whole.clone()) {
            // as an editor does it
            victim.write(path, &oci::canonical(&edited));
            judge(document, &what, false);
            victim.write(path, &before);

            // as somebody does it who knows how
            let (mut index, mut manifest) = (index.clone(), manifest.clone());
            let mut bytes = oci::canonical(&edited);
            if document == "contents" {
                victim.add(&bytes, &mut manifest["config"]);
                bytes = match serde_json::from_value::<BundleContents>(edited) {
                    Ok(contents) => contents.manifest(),
                    Err(_) => oci::canonical(&manifest),
                };
            }
            victim.add(&bytes, &mut index["manifests"][0]);
            victim.write("index.json", index.to_string().as_bytes());
            judge(document, &format!("{what}, made to fit"), false);
        }
        victim.write("index.json", index.to_string().as_bytes());
    }
    println!("{tried} edits of three documents tried, {free} of them free choices");
    assert_eq!(believed, Vec::<String>::new());
    assert_eq!(victim.refusal(), None, "and what was not changed is fine");
}
