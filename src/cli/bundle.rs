//! `sockel bundle`

use crate::bundle::BundleContents;
use crate::bundle::BundleLocation;
use crate::bundle::BundledFileKind;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::table::Column;
use crate::cli::table::Table;
use crate::cli::table::size;
use crate::jobs;
use crate::jobs::bundle::BundleRequest;
use crate::oci::registry::PushOutcome;
use crate::values::Digest;
use crate::values::Platform;
use serde::Serialize;

/// Write everything that a build needs into one OCI artifact
///
/// A bundle contains the lock files, the InRelease files and Packages indexes that they name, the archives' keys, and all
/// packages. Archives drop old versions within days. `sockel build --bundle` and `sockel publish --bundle` need no archive
/// and verify everything again: each package against the project's own lock, and against an index signed by a key that the
/// project pins. The same locks give the same digest.
///
/// If the InRelease file of a lock is no longer available, the current one is used, provided that its indexes list every
/// package. sockel warns about it and records it in the bundle. `Valid-Until` is checked for the time of the lock.
///
/// Example: sockel bundle tomcat-11 -o oci-archive:tomcat-11.bundle.tar
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to bundle, together with their parents [default: all]
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Output: oci:DIR, oci-archive:FILE or https://HOST/REPOSITORY:TAG
    #[arg(short, long, value_name = "OUTPUT", default_value = "oci:bundle")]
    output: BundleLocation,
    /// Bundle packages for this platform only, such as linux/amd64; may be repeated
    #[arg(long, value_name = "PLATFORM")]
    platform: Vec<Platform>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct BundleAnswer<'a> {
    bundle: String,
    digest: Digest,
    bytes: u64,
    contents: &'a BundleContents,
    #[serde(skip_serializing_if = "Option::is_none")]
    pushed: Option<PushOutcome>,
}

/// Runs the command.
pub(crate) fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let bundle = args.output.to_string();
    let request = BundleRequest { images: args.images, output: args.output, platforms: args.platform };
    let outcome = context.answer(jobs::bundle::run(&request, &context.session(None)?))?;

    let jobs::bundle::BundleOutcome { digest, bytes, contents, pushed } = outcome;
    print(&BundleAnswer { bundle, digest, bytes, contents: &contents, pushed }, context)
}

fn print(answer: &BundleAnswer<'_>, context: &Context) -> Result<(), Failure> {
    let printer = &context.printer;
    if printer.is_json() {
        printer.json(answer)?;
    } else {
        let mut table = Table::new(&[("what", Column::Text), ("files", Column::Number), ("size", Column::Number)]);
        let kinds = [
            ("lock files", BundledFileKind::Lock),
            ("signed releases", BundledFileKind::InRelease),
            ("indexes", BundledFileKind::Index),
            ("keys", BundledFileKind::Key),
            ("packages", BundledFileKind::Package),
        ];
        for (name, kind) in kinds {
            let files = || answer.contents.files.iter().filter(|file| file.kind == kind);
            let bytes = files().map(|file| file.size).sum();
            table.row([name.to_owned(), files().count().to_string(), size(bytes)]);
        }
        printer.data(&table.render(printer.width()))?;
    }
    let images: Vec<&str> = answer.contents.images.iter().map(|image| &*image.image).collect();
    printer.note(&format!("{}: {}, {}, for {}", answer.bundle, answer.digest, size(answer.bytes), images.join(", ")));
    if let Some(pushed) = &answer.pushed {
        let (sent, there) = (size(pushed.uploaded.bytes), size(pushed.skipped.bytes + pushed.mounted.bytes));
        printer.note(&format!("{sent} uploaded, {there} there already"));
    }
    printer.note(&format!("next: sockel build --bundle {}", answer.bundle));
    Ok(())
}
