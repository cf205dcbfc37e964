//! What `show` answers, for people and as JSON.

use crate::build::record;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::table::Column;
use crate::cli::table::Table;
use crate::cli::table::size;
use crate::image::ImageLayer;
use crate::jobs::findings::AcceptedFindingAnswer;
use crate::jobs::findings::ImageFindings;
use crate::jobs::show::ShowOutcome;
use crate::lock::LockedImage;
use crate::lock::file::LockedPackage;
use crate::tree::inventory::InventoryEntry;
use crate::tree::inventory::InventoryKind;
use crate::values::Epoch;
use crate::values::Platform;
use crate::values::WaiverTerms;
use crate::values::shown::shown;
use serde::Serialize;

/// The answer; what was not asked for is left out.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ShowAnswer<'a> {
    image: &'a str,
    version: String,
    tags: Vec<String>,
    purpose: &'a str,
    owner: String,
    parent: Option<&'a str>,
    platform: Platform,
    platforms: &'a [Platform],
    locked_at: Epoch,
    levels: Vec<LevelAnswer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packages: Option<Vec<&'a LockedPackage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<&'a [ImageLayer]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a InventoryEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    largest: Option<&'a [InventoryEntry]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    findings: Option<&'a ImageFindings>,
}

/// What one recipe level adds.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct LevelAnswer<'a> {
    recipe: &'a str,
    packages: usize,
    download_size: u64,
}

impl<'a> ShowAnswer<'a> {
    /// Answers with what the job found.
    pub(super) fn new(outcome: &'a ShowOutcome, packages: bool) -> Self {
        let ShowOutcome { definition, lock, platform, layers, path, largest, findings } = outcome;
        let (order, platform) = (LockedImage { definition, lock }, *platform);
        let levels = lock.levels.iter().map(|level| {
            let packages = level.packages.get(&platform).map_or(&[][..], Vec::as_slice);
            let download_size = packages.iter().map(|package| package.size).sum();
            LevelAnswer { recipe: &level.recipe, packages: packages.len(), download_size }
        });
        Self {
            image: &definition.image,
            version: record::version(&order),
            tags: record::tags(&order),
            purpose: &definition.purpose,
            owner: format!("{} <{}>", definition.owner.name, definition.owner.contact),
            parent: definition.parent.as_deref(),
            platform,
            platforms: &definition.platforms,
            locked_at: lock.epoch,
            levels: levels.collect(),
            packages: packages.then(|| lock.packages(platform).collect()),
            layers: layers.as_deref(),
            path: path.as_ref(),
            largest: largest.as_deref(),
            findings: findings.as_ref(),
        }
    }
}

/// Prints the answer in the form asked for.
pub(super) fn print(answer: &ShowAnswer<'_>, context: &Context) -> Result<(), Failure> {
    let printer = &context.printer;
    if printer.is_json() {
        return Ok(printer.json(answer)?);
    }
    if let Some(entry) = &answer.path {
        return path(entry, printer);
    }
    head(answer, printer)?;
    if let Some(found) = answer.findings {
        findings(found, printer)?;
    }
    let mut tables = Vec::new();
    tables.extend(answer.packages.as_deref().map(packages));
    tables.extend(answer.layers.map(layers));
    tables.extend(answer.largest.map(largest));
    for table in tables {
        printer.data(&format!("\n{}", table.render(printer.width())))?;
    }
    Ok(())
}

fn head(answer: &ShowAnswer<'_>, printer: &Printer) -> Result<(), Failure> {
    let platforms: Vec<String> = answer.platforms.iter().map(ToString::to_string).collect();
    let locked_at = answer.locked_at.to_string();
    let (tags, platforms) = (answer.tags.join(", "), platforms.join(", "));
    let facts = [
        ("image", answer.image),
        ("version", &answer.version),
        ("tags", &tags),
        ("purpose", answer.purpose),
        ("owner", &answer.owner),
        ("parent", answer.parent.unwrap_or("none")),
        ("platforms", &platforms),
        ("locked", &locked_at),
    ];
    for (name, value) in facts {
        printer.data(&format!("{name:<10} {}\n", shown(value)))?;
    }
    let mut table = Table::new(&[("level", Column::Text), ("packages", Column::Number), ("download", Column::Number)]);
    for level in &answer.levels {
        table.row([level.recipe.to_owned(), level.packages.to_string(), size(level.download_size)]);
    }
    Ok(printer.data(&format!("\n{}", table.render(printer.width())))?)
}

fn packages(packages: &[&LockedPackage]) -> Table {
    let mut table = Table::new(&[
        ("package", Column::Text),
        ("version", Column::Text),
        ("from", Column::Text),
        ("download", Column::Number),
        ("why", Column::Text),
    ]);
    for package in packages {
        let LockedPackage { name, version, from, component, why, .. } = *package;
        let from = format!("{from}/{component}");
        table.row([name.clone(), version.clone(), from, size(package.size), why.clone()]);
    }
    table
}

fn layers(layers: &[ImageLayer]) -> Table {
    let mut table = Table::new(&[
        ("layer", Column::Digest),
        ("size", Column::Number),
        ("unpacked", Column::Number),
        ("what", Column::Text),
    ]);
    for ImageLayer { blob, what, .. } in layers {
        table.row([blob.digest.to_string(), size(blob.size), size(blob.uncompressed), what.clone()]);
    }
    table
}

fn findings(found: &ImageFindings, printer: &Printer) -> Result<(), Failure> {
    let mut lines = Vec::new();
    for finding in &found.warnings {
        lines.push(shown(&finding.to_string()));
    }
    for AcceptedFindingAnswer { finding, acceptance } in &found.accepted {
        let WaiverTerms { reason, agreed_by, expires } = &acceptance.terms;
        let agreed_by = agreed_by.as_ref().map(|name| format!(", agreed by {name}")).unwrap_or_default();
        let terms = format!("accepted until {expires}{agreed_by}: {reason}");
        lines.push(shown(&format!("{}: `{}`: {}", finding.finding, finding.path, finding.cause)));
        lines.push(format!("  {}", shown(&terms)));
    }
    if lines.is_empty() {
        lines.push("the check of this image found nothing".to_owned());
    }
    Ok(printer.data(&format!("\n{}\n", lines.join("\n")))?)
}

fn largest(entries: &[InventoryEntry]) -> Table {
    let mut table = Table::new(&[("size", Column::Number), ("path", Column::Text), ("origin", Column::Text)]);
    for entry in entries {
        table.row([size(entry.size()), format!("/{}", entry.path), entry.origin.to_string()]);
    }
    table
}

fn path(entry: &InventoryEntry, printer: &Printer) -> Result<(), Failure> {
    let kind = match &entry.kind {
        InventoryKind::Directory => "folder".to_owned(),
        InventoryKind::File { digest, size: bytes } => format!("file, {}, {digest}", size(*bytes)),
        InventoryKind::Symlink(target) => format!("link to {target}"),
        InventoryKind::Hardlink { target, .. } => format!("the same file as /{target}"),
    };
    let facts = [
        ("path", format!("/{}", entry.path)),
        ("origin", entry.origin.to_string()),
        ("kind", kind),
        ("mode", format!("{:04o}, owner {}:{}", entry.mode, entry.uid, entry.gid)),
        ("changed", Epoch(entry.mtime).to_string()),
    ];
    for (name, value) in facts {
        printer.data(&format!("{name:<8} {}\n", shown(&value)))?;
    }
    Ok(())
}
