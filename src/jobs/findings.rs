//! What the checks of images say, as jobs answer it: each image's findings after acceptances, and the lines of recipes
//! that have no effect in any image.

use crate::build;
use crate::build::BuildOptions;
use crate::build::BuiltImage;
use crate::build::BuiltPlatform;
use crate::build::record;
use crate::check::CheckFinding;
use crate::check::CheckReport;
use crate::check::acceptance;
use crate::check::requests;
use crate::check::requests::ImageRequests;
use crate::jobs::workspace::Workspace;
use crate::jobs::workspace::locked_images;
use crate::lock::file::Lock;
use crate::recipe::AcceptedFinding;
use crate::recipe::ImageDefinition;
use crate::store::Store;
use crate::sys::clock;
use crate::values::Platform;
use serde::Serialize;
use std::collections::BTreeMap;

/// What is to be said about one image for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageFindings {
    /// Image name.
    pub image: String,
    /// The platform.
    pub platform: Platform,
    /// What people should look at.
    pub warnings: Vec<CheckFinding>,
    /// What recipes accept.
    pub accepted: Vec<AcceptedFindingAnswer>,
}

/// A finding with its acceptance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AcceptedFindingAnswer {
    /// What was found.
    #[serde(flatten)]
    pub finding: CheckFinding,
    /// Why it stays, who agreed, until when.
    pub acceptance: AcceptedFinding,
}

impl ImageFindings {
    /// Judges the kept findings of an image now.
    #[must_use]
    pub fn of(definition: &ImageDefinition, built: &BuiltPlatform) -> Self {
        let levels = definition.levels_for(built.platform);
        let judged = acceptance::judge(&built.findings, levels, clock::now());
        let accepted = judged.accepted.into_iter();
        Self {
            image: definition.image.clone(),
            platform: built.platform,
            // a build has refused errors; an acceptance may have run out since
            warnings: judged.errors.into_iter().chain(judged.warnings).collect(),
            accepted: accepted.map(|(finding, acceptance)| AcceptedFindingAnswer { finding, acceptance }).collect(),
        }
    }

    /// Returns the findings of all images and platforms that were built.
    #[must_use]
    pub fn of_all(definitions: &[ImageDefinition], built: &[BuiltImage]) -> Vec<Self> {
        let mut all = Vec::new();
        for image in built {
            let definition = definitions.iter().find(|definition| definition.image == image.image);
            for platform in &image.platforms {
                all.extend(definition.map(|definition| Self::of(definition, platform)));
            }
        }
        all
    }
}

/// Returns the lines of recipes that have no effect in any image of the project, as far as the store knows all images
/// that use them. Images of files with errors are not known.
pub(crate) fn without_effect(workspace: &Workspace<'_>, options: &BuildOptions, store: &Store) -> Vec<CheckFinding> {
    let Ok(definitions) = workspace.definitions(&[]) else { return Vec::new() };
    let lock =
        |definition: &ImageDefinition| Some((definition.image.clone(), workspace.lock(&definition.image).ok()??));
    let locks: BTreeMap<String, Lock> = definitions.iter().filter_map(lock).collect();
    let orders = locked_images(&definitions, &locks);

    // all images and all their platforms, whatever this run was asked for
    let options = BuildOptions { images: Vec::new(), platforms: Vec::new(), ..options.clone() };
    let keys = build::keys(&orders, &options);
    in_vain(&definitions, keys.iter().filter_map(|key| record::find(key, options.layers, store)))
}

/// Returns the lines of recipes that have no effect in any of these images; those that were not built are not known.
pub(crate) fn in_vain(
    definitions: &[ImageDefinition],
    built: impl IntoIterator<Item = BuiltImage>,
) -> Vec<CheckFinding> {
    let known: BTreeMap<String, BTreeMap<Platform, CheckReport>> =
        built.into_iter().map(|built| (built.image, built.platforms.into_iter().map(report).collect())).collect();
    let images: Vec<ImageRequests<'_>> = definitions
        .iter()
        .map(|definition| ImageRequests { definition, built: known.get(&definition.image) })
        .collect();
    requests::in_vain(&images, clock::now())
}

fn report(built: BuiltPlatform) -> (Platform, CheckReport) {
    (built.platform, CheckReport { findings: built.findings, unused: built.unused })
}
