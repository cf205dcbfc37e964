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

/// Look for patches in the archives; build and publish what they reach
///
/// Reads the archives' indexes, locks every image anew, and says per image what changed, which vulnerabilities that fixes,
/// who stands on it, and how much consumers will pull again. Nothing is written without `--write` or `--publish`. With `--publish` this is the whole
/// scheduled job: lock, build, publish; it may be repeated and killed at any time, and the next run goes on. One image's
/// failure does not stop the others. Exits with 4 when `--fail-on` says so.
///
/// Example: sockel update --publish --report update.json
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to look at; all when none is named
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Write the new lock files
    #[arg(long, conflicts_with = "dry_run")]
    write: bool,
    /// Write the new lock files, build all images and publish them as `sockel publish` does
    #[arg(long)]
    publish: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Where to publish: `https://HOST/PROJECT` or `oci:DIR`; instead of the target of the registry file
    #[arg(long, value_name = "TARGET", requires = "publish")]
    to: Option<String>,
    /// File that says where images are published [default: base-images/registry.yaml]
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// Show what these pockets of the archives alone would give, such as release,updates. Lock files name every pocket of
    /// their recipe
    #[arg(long, value_name = "POCKETS", value_delimiter = ',', conflicts_with_all = ["write", "publish"])]
    pockets: Vec<String>,
    /// Take archives that are older than the lock files or this machine know, for this reason; without it they are refused,
    /// because somebody may be holding patches back
    #[arg(long, value_name = "REASON")]
    accept_older_archives: Option<String>,
    /// This is one of several machines that do the same at the same time: which one, of how many. Each begins at another
    /// place and passes over what another one has published
    #[arg(long, value_name = "I/N", requires = "publish", value_parser = worker)]
    worker: Option<Worker>,
    #[command(flatten)]
    write_back: WriteBackArgs,
    /// Exit with 4 when an update is at least so urgent: routine, security, or urgent
    #[arg(long, value_name = "URGENCY", value_parser = urgency)]
    fail_on: Option<UpgradeUrgency>,
    /// Write figures in Prometheus' text format into this file, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Put the same figures into the Pushgateway at this address
    #[arg(long, value_name = "URL")]
    push_gateway: Option<url::Url>,
    /// Write the JSON answer into this file, too
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
