//! `sockel update`

mod answer;
mod markdown;
mod text;

use crate::advisory::UpgradeUrgency;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::publish::WriteBackArgs;
use crate::cli::update::answer::UpdateAnswer;
use crate::jobs;
use crate::jobs::update::UpdateAction;
use crate::jobs::update::UpdateRequest;
use crate::jobs::update::Worker;
use crate::sys::fs;
use std::path::PathBuf;

/// Find patches in the archives; build and publish the images that they affect
///
/// Reads the archives' indexes, locks every image again, and shows for each image what changed, which vulnerabilities that
/// fixes, which images are built on it, and how much consumers will pull again. Nothing is written without `--write` or
/// `--publish`. With `--publish` this is the whole scheduled job: lock, build, publish. You can repeat or kill it at any
/// time; the next run continues. One image's failure does not stop the others. A package whose update cannot be taken stays
/// as it is locked, everything else is updated, and the answer says what is held back and which decision is needed; then the
/// exit code is 1, or 3 if only pockets of archives cannot be read. Exits with 4 if an update, taken or held back, reaches
/// the urgency given by `--fail-on`.
///
/// Example: sockel update --publish --report update.json
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to update [default: all]
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Write the new lock files
    #[arg(long, conflicts_with = "dry_run")]
    write: bool,
    /// Write the new lock files, build all images and publish them as `sockel publish` does
    #[arg(long)]
    publish: bool,
    /// Show what would be done; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Publish to `https://HOST/PROJECT` or `oci:DIR` instead of the target in the registry file
    #[arg(long, value_name = "TARGET", requires = "publish")]
    to: Option<String>,
    /// Registry file [default: base-images/registry.yaml]
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// Choose only from these pockets of the archives, such as release,updates; for looking only, since lock files name every
    /// pocket of their recipe
    #[arg(long, value_name = "POCKETS", value_delimiter = ',', conflicts_with_all = ["write", "publish"])]
    pockets: Vec<String>,
    /// Accept archives older than the ones in the lock files or already seen, and state why. By default they are refused:
    /// somebody may be holding back patches
    #[arg(long, value_name = "REASON")]
    accept_older_archives: Option<String>,
    /// Run as worker I of N that share the work at the same time; workers start at different images and skip those already
    /// published
    #[arg(long, value_name = "I/N", requires = "publish", value_parser = worker)]
    worker: Option<Worker>,
    #[command(flatten)]
    write_back: WriteBackArgs,
    /// Exit with 4 if an update is at least this urgent: routine, security, or urgent
    #[arg(long, value_name = "URGENCY", value_parser = urgency)]
    fail_on: Option<UpgradeUrgency>,
    /// Write metrics in Prometheus' text format to this file, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Push the same metrics to the Pushgateway at this address
    #[arg(long, value_name = "URL")]
    push_gateway: Option<url::Url>,
    /// Also write the JSON answer to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let request = UpdateRequest {
        images: args.images,
        action: match (args.publish, args.write) {
            (true, _) => UpdateAction::Publish,
            (false, true) => UpdateAction::Write,
            (false, false) => UpdateAction::Look,
        },
        dry_run: args.dry_run,
        to: args.to,
        pockets: args.pockets.into_iter().collect(),
        accept_older_archives: args.accept_older_archives,
        worker: args.worker,
        write_back: args.write_back.request(),
        metrics: args.metrics,
        push_gateway: args.push_gateway,
    };
    let session = context.session(args.registry.as_deref())?;
    let outcome = context.answer(jobs::update::run(&request, &session))?;

    let answer = UpdateAnswer::new(outcome, context.printer.elapsed());
    if let Some(path) = &args.report {
        fs::write_atomic(path, &answer.to_json()).map_err(jobs::Error::from)?;
    }
    answer.print(context, args.fail_on)
}

/// Reads `2/4`.
fn worker(text: &str) -> Result<Worker, String> {
    let numbers = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
    match numbers {
        Some((number, of)) if (1..=of).contains(&number) => Ok(Worker { number, of }),
        _ => Err("it is written 2/4: the second of four".to_owned()),
    }
}

fn urgency(text: &str) -> Result<UpgradeUrgency, String> {
    match text {
        "routine" => Ok(UpgradeUrgency::Routine),
        "security" => Ok(UpgradeUrgency::Security),
        "urgent" => Ok(UpgradeUrgency::Urgent),
        _ => Err("it is routine, security or urgent".to_owned()),
    }
}
