//! `sockel status`

use crate::build;
use crate::build::Order;
use crate::build::record;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::failure::Kind;
use crate::cli::table::Column;
use crate::cli::table::Table;
use crate::cli::workspace::Hands;
use crate::cli::workspace::Workspace;
use crate::due;
use crate::due::Due;
use crate::due::Past;
use crate::due::release::State;
use crate::sys::clock;
use crate::sys::fs;
use crate::tree::compress::Compression;
use crate::update::memory::Memory;
use crate::update::memory::Seen;
use crate::values::Epoch;
use clap::ValueEnum;
use serde::Serialize;
use std::collections::BTreeSet;

/// Show which images are due: cadence of updates, age, end of life of their distribution
///
/// Looks at lock files, at when `sockel update` last ran with this store and since when it has seen an urgent update,
/// and at data that comes with sockel (Debian's distro-info-data); needs no network. `sockel update` says what is new.
///
/// Example: sockel status --older-than 30 --fail-on overdue
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images to look at; all when none is named
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Mark images whose lock is older than so many days
    #[arg(long, value_name = "DAYS")]
    older_than: Option<u32>,
    /// Exit with 4 when an image is overdue, older than `--older-than` says, or its release is not supported any more
    #[arg(long, value_name = "WHAT")]
    fail_on: Vec<Reason>,
}

/// What can be found wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Reason {
    /// Not looked for news within `rebuild.every`, or an urgent update not taken within `rebuild.urgent-within`
    Overdue,
    /// Older than `--older-than`
    Old,
    /// End of life of the distribution's release
    Eol,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Answer {
    time: Epoch,
    distro_info_data: &'static str,
    images: Vec<Image>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    #[serde(flatten)]
    due: Due,
    /// The store has it, built from this lock.
    built: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let workspace = Workspace::open(context)?;
    let definitions = workspace.definitions(&args.images)?;
    let locks = workspace.fresh_locks(&definitions)?;
    let hands = Hands::new(context)?;
    let order = |definition| Some(Order { definition, lock: locks.get(&definition.image)? });
    let orders: Vec<Order<'_>> = definitions.iter().filter_map(order).collect();
    let options = build::Options {
        compression: Compression::Gzip,
        threads: 1,
        images: Vec::new(),
        platforms: Vec::new(),
        layers: build::Whereabouts::Here,
        mirrors: hands.mirrors.clone(),
    };
    let now = clock::now();
    let limit = args.older_than.map(|days| i64::from(days) * 86_400);
    let wanted = |order: &Order<'_>| args.images.is_empty() || args.images.contains(&order.definition.image);
    let project = fs::absolute(&context.settings.directory)?;
    let memory = Memory { store: &hands.store, project: &project };
    let past = |order: &Order<'_>| {
        let Seen { looked, urgent_since } = memory.seen(&order.definition.image);
        Past { locked: order.lock.epoch, looked, urgent_since }
    };
    let images = orders.iter().zip(build::keys(&orders, &options)).filter(|(order, _)| wanted(order));
    let images = images.map(|(order, key)| Image {
        due: due::judge(order.definition, past(order), now, limit),
        built: record::find(&key, options.layers, &hands.store).is_some(),
    });
    let answer = Answer { time: now, distro_info_data: due::release::DATA, images: images.collect() };
    if context.printer.is_json() {
        context.printer.json(&answer)?;
    } else {
        context.printer.data(&answer.table().render(context.printer.width()))?;
    }
    answer.judge(&args.fail_on)
}

impl Answer {
    fn table(&self) -> Table {
        let mut table = Table::new(&[
            ("image", Column::Text),
            ("locked", Column::Text),
            ("age", Column::Number),
            ("update by", Column::Text),
            ("release", Column::Text),
            ("supported until", Column::Text),
            ("built", Column::Text),
        ]);
        let day = |time: Epoch| time.to_string()[..10].to_owned();
        for Image { due, built } in &self.images {
            let old = if due.old { " (old)" } else { "" };
            let by = [due.rebuild_by, due.urgent_by].into_iter().flatten().min();
            let by = by.map_or_else(|| "-".to_owned(), |by| by.to_string()[..16].replace('T', " "));
            let urgent = if due.urgent_by.is_some() { " (urgent)" } else { "" };
            let by = if due.overdue { format!("{by} OVERDUE{urgent}") } else { by + urgent };
            let (release, until) = due.support.as_ref().map_or_else(
                || ("unknown".to_owned(), "-".to_owned()),
                |support| {
                    let until = match (support.state, support.extended) {
                        (State::Supported, _) => day(support.until),
                        (State::Extended, Some(until)) => format!("LTS only, {}", day(until)),
                        _ => format!("ENDED {}", day(support.until)),
                    };
                    (support.series.clone(), until)
                },
            );
            let built = if *built { "yes" } else { "no" }.to_owned();
            let age = format!("{} d{old}", due.age / 86_400);
            table.row([due.image.clone(), day(due.locked), age, by, release, until, built]);
        }
        table
    }

    fn judge(&self, reasons: &[Reason]) -> Result<(), Failure> {
        let is_bad = |due: &Due, reason: &Reason| match reason {
            Reason::Overdue => due.overdue,
            Reason::Old => due.old,
            Reason::Eol => due.support.as_ref().is_none_or(|support| support.state == State::Ended),
        };
        let bad = self.images.iter().filter(|image| reasons.iter().any(|reason| is_bad(&image.due, reason)));
        let names: BTreeSet<&str> = bad.map(|image| image.due.image.as_str()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = names.into_iter().collect();
        let mut failure = Failure::new(Kind::Policy, format!("images are due: {}", names.join(", ")))
            .hint("run `sockel update --publish`; a release that has ended needs another recipe");
        failure.is_answered = true;
        Err(failure)
    }
}
