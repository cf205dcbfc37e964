//! What `build` answers: one table for people, one JSON document for programs.

use crate::build::BuiltImage;
use crate::build::BuiltPlatform;
use crate::check::CheckFinding;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::table::Column;
use crate::cli::table::Table;
use crate::cli::table::duration;
use crate::cli::table::size;
use crate::jobs::build::BuildOutcome;
use crate::jobs::findings::ImageFindings;
use crate::values::Digest;
use crate::values::Platform;
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Duration;

/// Most findings that are shown to people.
const MOST_WARNINGS: usize = 20;

/// The result of a build.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct BuildAnswer {
    images: Vec<ImageSummary>,
    outputs: Vec<String>,
    milliseconds: u128,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<ImageFindings>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    without_effect: Vec<CheckFinding>,
}

/// One image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct ImageSummary {
    image: String,
    version: String,
    tags: Vec<String>,
    digest: Digest,
    /// Made in this run; otherwise everything was there already.
    new: bool,
    platforms: Vec<PlatformSummary>,
}

/// One platform of an image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct PlatformSummary {
    platform: Platform,
    digest: Digest,
    size: u64,
    layers: Vec<LayerSummary>,
    layers_reused: usize,
    layers_new: usize,
    packages: usize,
}

/// One layer.
#[derive(Debug, Serialize)]
struct LayerSummary {
    what: String,
    digest: Digest,
    // OCI's own spelling
    #[serde(rename = "diffID")]
    diff_id: Digest,
    size: u64,
}

impl BuildAnswer {
    /// Sums up what was built.
    pub(crate) fn new(outcome: &BuildOutcome, outputs: Vec<String>, time: Duration) -> Self {
        let image = |built: &BuiltImage| ImageSummary {
            image: built.image.clone(),
            version: built.version.clone(),
            tags: built.tags.clone(),
            digest: built.index.0,
            new: built.new,
            platforms: built.platforms.iter().map(platform).collect(),
        };
        let mut findings = outcome.findings.clone();
        findings.retain(|image| !image.warnings.is_empty() || !image.accepted.is_empty());
        Self {
            images: outcome.images.iter().map(image).collect(),
            outputs,
            milliseconds: time.as_millis(),
            findings,
            without_effect: outcome.without_effect.clone(),
        }
    }

    /// Returns every warning once, with the first image that has it: children inherit those of their parents.
    fn warnings(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let mut warnings = Vec::new();
        for image in &self.findings {
            let new = image.warnings.iter().filter(|finding| seen.insert(*finding));
            let lines = CheckFinding::lines(new);
            warnings.extend(lines.iter().map(|line| format!("{} ({}): {line}", image.image, image.platform)));
        }

        // a person reads some lines; programs and `show` have all
        let hidden = warnings.len().saturating_sub(MOST_WARNINGS);
        warnings.truncate(MOST_WARNINGS);
        if hidden > 0 {
            warnings.push(format!("{hidden} more findings: see `sockel show IMAGE --findings`"));
        }
        warnings.extend(CheckFinding::lines(&self.without_effect));
        warnings
    }

    /// Prints it in the form asked for.
    pub(crate) fn print(&self, printer: &Printer) -> Result<(), Failure> {
        if printer.is_json() {
            return Ok(printer.json(self)?);
        }
        printer.data(&self.table().render(printer.width()))?;
        self.warnings().iter().for_each(|warning| printer.warn(warning));
        printer.notes(&self.closing());
        Ok(())
    }

    /// One row an image, with how many of its layers were reused and made; several platforms have one more row each.
    fn table(&self) -> Table {
        let mut table = Table::new(&[
            ("image", Column::Text),
            ("digest", Column::Digest),
            ("size", Column::Number),
            ("reused", Column::Number),
            ("new", Column::Number),
            ("packages", Column::Number),
        ]);
        for image in &self.images {
            let name = format!("{}:{}", image.image, image.tags.first().map_or("latest", String::as_str));
            match &image.platforms[..] {
                [platform] => table.row(cells(name, image.digest, platform)),
                platforms => {
                    table.row([name, image.digest.to_string()]);
                    for platform in platforms {
                        table.row(cells(format!("  {}", platform.platform), platform.digest, platform));
                    }
                }
            }
        }
        table
    }

    /// What was written where, how long it took, and what to type next.
    fn closing(&self) -> Vec<String> {
        let new = self.images.iter().filter(|image| image.new).count();
        let time = duration(Duration::from_millis(u64::try_from(self.milliseconds).unwrap_or(u64::MAX)));
        let number = |count: usize| if count == 1 { "1 image".to_owned() } else { format!("{count} images") };
        let done = match new {
            0 => format!("{} up to date", number(self.images.len())),
            _ => format!("{} built, {} up to date", number(new), self.images.len() - new),
        };
        let said = format!("{done} in {time}, written to {}", self.outputs.join(", "));
        let next = self.images.last().map(|image| format!("next: sockel show {}", image.image));
        std::iter::once(said).chain(next).collect()
    }
}

fn platform(built: &BuiltPlatform) -> PlatformSummary {
    let layer = |layer: &crate::image::ImageLayer| LayerSummary {
        what: layer.what.clone(),
        digest: layer.blob.digest,
        diff_id: layer.blob.diff_id,
        size: layer.blob.size,
    };
    PlatformSummary {
        platform: built.platform,
        digest: built.manifest.0,
        size: built.size(),
        layers: built.layers.iter().map(layer).collect(),
        layers_reused: built.reused,
        layers_new: built.layers.len().saturating_sub(built.reused),
        packages: built.packages,
    }
}

fn cells(name: String, digest: Digest, platform: &PlatformSummary) -> [String; 6] {
    let PlatformSummary { size: bytes, layers_reused, layers_new, packages, .. } = platform;
    let (reused, new) = (layers_reused.to_string(), layers_new.to_string());
    [name, digest.to_string(), size(*bytes), reused, new, packages.to_string()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Architecture;

    fn summary() -> BuildAnswer {
        let platform = |architecture, reused| PlatformSummary {
            platform: Platform(architecture),
            digest: Digest::of(b"manifest"),
            size: 45_678_901,
            layers: Vec::new(),
            layers_reused: reused,
            layers_new: 2,
            packages: 92,
        };
        let image = |name: &str, platforms| ImageSummary {
            image: name.to_owned(),
            version: "1-20261123".to_owned(),
            tags: vec!["26.04".to_owned()],
            digest: Digest::of(name.as_bytes()),
            new: name == "ubuntu",
            platforms,
        };
        BuildAnswer {
            images: vec![
                image("ubuntu", vec![platform(Architecture::Amd64, 0)]),
                image("java-25", vec![platform(Architecture::Amd64, 3), platform(Architecture::Arm64, 12)]),
            ],
            outputs: vec!["oci:out".to_owned()],
            milliseconds: 12_345,
            findings: Vec::new(),
            without_effect: Vec::new(),
        }
    }

    #[test]
    fn fits_terminals() {
        insta::assert_snapshot!(summary().table().render(120), @r#"
        image          digest                                                                      size  reused  new  packages
        ubuntu:26.04   sha256:7804a56a5c7636cc05814736f44139e32920810d3bd51aa099a5df932e754ce9  45.7 MB       0    2        92
        java-25:26.04  sha256:71f5d874b7c1737d7b94f314f5e8e3e6d6630e4a915f3d8af56e9093c1d431d6
          linux/amd64  sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f  45.7 MB       3    2        92
          linux/arm64  sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f  45.7 MB      12    2        92
        "#);
        insta::assert_snapshot!(summary().table().render(80), @r#"
        image          digest           size  reused  new  packages
        ubuntu:26.04   7804a56a5c76  45.7 MB       0    2        92
        java-25:26.04  71f5d874b7c1
          linux/amd64  05b3abf2579a  45.7 MB       3    2        92
          linux/arm64  05b3abf2579a  45.7 MB      12    2        92
        "#);
        insta::assert_snapshot!(summary().table().render(60), @r#"
        image          digest           size  reused  new  packages
        ubuntu:26.04   7804a56a5c76  45.7 MB       0    2        92
        java-25:26.04  71f5d874b7c1
          linux/amd64  05b3abf2579a  45.7 MB       3    2        92
          linux/arm64  05b3abf2579a  45.7 MB      12    2        92
        "#);
    }

    #[test]
    fn says_what_to_type_next() {
        insta::assert_snapshot!(summary().closing().join("\n"), @r#"
        1 image built, 1 up to date in 12.3 s, written to oci:out
        next: sockel show java-25
        "#);
    }

    #[test]
    fn json_has_stable_names() {
        let json = serde_json::to_value(summary()).expect("plain data");
        assert_eq!(json["images"][0]["platforms"][0]["layers-new"], 2);
        assert_eq!(json["images"][0]["platforms"][0]["platform"], "linux/amd64");
        assert_eq!(json["milliseconds"], 12_345);
    }
}
