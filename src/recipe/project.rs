//! The project folder: all recipes and base images, and the definitions that they make.

use crate::recipe::ArchiveDefinition;
use crate::recipe::Diagnostic;
use crate::recipe::DiagnosticSeverity;
use crate::recipe::Error;
use crate::recipe::ImageDefinition;
use crate::recipe::ImageOwner;
use crate::recipe::LevelDefinition;
use crate::recipe::PublishSettings;
use crate::recipe::RebuildSchedule;
use crate::recipe::ScriptLedger;
use crate::recipe::conditions;
use crate::recipe::files::RecipeFiles;
use crate::recipe::level::AccountCheck;
use crate::recipe::level::LevelReader;
use crate::recipe::level::maybe;
use crate::recipe::level::seconds;
use crate::recipe::level::text;
use crate::recipe::level::texts;
use crate::recipe::merge::merged_config;
use crate::recipe::parameters;
use crate::recipe::parse::YamlNode;
use crate::recipe::parse::parse;
use crate::recipe::plan::PlannedImage;
use crate::recipe::plan::check_recipes;
use crate::recipe::plan::plan;
use crate::recipe::request::requests;
use crate::recipe::scalar::ScalarKind;
use crate::recipe::schema::BASE_IMAGE;
use crate::recipe::schema::RECIPE;
use crate::recipe::schema::RecordSchema;
use crate::recipe::source::Diagnostics;
use crate::recipe::source::SourceFile;
use crate::recipe::suggest::nearest;
use crate::recipe::validate::ParameterPhase;
use crate::recipe::validate::validate;
use crate::sys::beneath::ConfinedFolder;
use crate::values::Digest;
use crate::values::Platform;
use crate::values::shown::shown;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

/// Largest YAML file: far more than people write, and small enough to parse and fill in for every platform.
const LARGEST: u64 = 1 << 20;

/// Path of the script ledger.
const LEDGER_FILE: &str = "recipes/scripts.yaml";

/// The decisions of a project itself, beside a ledger that it took from elsewhere.
const OWN_LEDGER_FILE: &str = "recipes/scripts.project.yaml";

/// A parsed YAML file.
#[derive(Debug, Clone)]
pub(crate) struct YamlDocument {
    /// Text of the file.
    pub(crate) source: SourceFile,
    /// Root of its tree.
    pub(crate) root: YamlNode,
}

/// Documents by name.
pub(crate) type YamlDocuments = BTreeMap<String, YamlDocument>;

/// The recipes and base images of a project folder.
#[derive(Debug, Clone)]
pub struct RecipeProject {
    folder: PathBuf,
    recipes: YamlDocuments,
    images: YamlDocuments,
    /// Images whose recipes have no errors, parents before children.
    plans: Vec<PlannedImage>,
    /// Problems that the files themselves show, before parameters are filled in.
    problems: Diagnostics,
}

impl RecipeProject {
    /// Reads `recipes/*.yaml` and `base-images/*.yaml` below `folder`.
    ///
    /// Problems inside the files are kept for [`Self::definitions`] and [`Self::check`], which report all of them
    /// together.
    ///
    /// # Errors
    /// [`Error::NoProject`] if there is no recipe, [`Error::Files`] if a folder cannot be listed.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let mut problems = Diagnostics::default();
        let recipes = load(folder, "recipes", &RECIPE, &mut problems)?;
        let images = load(folder, "base-images", &BASE_IMAGE, &mut problems)?;
        if recipes.is_empty() && images.is_empty() && !problems.has_error() {
            return Err(Error::NoProject(folder.to_owned()));
        }

        // Recipes first: an image is only planned from recipes without errors.
        check_recipes(&recipes, &mut problems);
        let plans = plan(&recipes, &images, &mut problems);
        Ok(Self { folder: folder.to_owned(), recipes, images, plans, problems })
    }

    /// Returns the names of all images, parents before children. Images in files with errors are left out.
    #[must_use]
    pub fn images(&self) -> Vec<&str> {
        self.plans.iter().map(|plan| plan.image.as_str()).collect()
    }

    /// Returns the names of all archives that recipes define.
    #[must_use]
    pub fn archives(&self) -> BTreeSet<&str> {
        let archives = self.recipes.values().flat_map(|recipe| recipe.root.entries_of("archives"));
        archives.map(|(name, _)| name.text.as_str()).collect()
    }

    /// Returns for every image at most `most` repositories of other images with the same root recipe, which may have some
    /// of the same layers. Only the project's own files are read, not the files that they name.
    #[must_use]
    pub fn related(&self, most: usize) -> BTreeMap<String, Vec<String>> {
        let published: Vec<(&PlannedImage, &str)> =
            self.plans.iter().filter_map(|plan| Some((plan, self.repository(plan)?))).collect();

        let mut related = BTreeMap::new();
        for (plan, own) in &published {
            let mut repositories: Vec<String> = Vec::new();
            for (other, repository) in &published {
                // Projects can have thousands of images, and this is quadratic otherwise.
                if repositories.len() == most {
                    break;
                }

                let is_related = other.chain.first() == plan.chain.first() && repository != own;
                if is_related && !repositories.iter().any(|known| known == repository) {
                    repositories.push((*repository).to_owned());
                }
            }
            related.insert(plan.image.clone(), repositories);
        }
        related
    }

    /// Returns the repository that an image is published in.
    fn repository(&self, plan: &PlannedImage) -> Option<&str> {
        self.images.get(&plan.base)?.root.at(&["publish", "repository"]).map(YamlNode::text)
    }

    /// Returns the definition of one image.
    ///
    /// # Errors
    /// [`Error::UnknownImage`], or [`Error::Invalid`] with the problems of all files and of this image.
    pub fn definition(&self, image: &str) -> Result<ImageDefinition, Error> {
        let mut definitions = self.definitions(&[image])?.into_iter();
        definitions.find(|definition| definition.image == image).ok_or_else(|| self.unknown(image))
    }

    /// Returns the definitions of the named images, or of all if no name is given; parents come before children.
    ///
    /// # Errors
    /// [`Error::UnknownImage`], or [`Error::Invalid`] with the problems of all files and of these images.
    pub fn definitions(&self, names: &[&str]) -> Result<Vec<ImageDefinition>, Error> {
        let (definitions, problems) = self.define(names);
        if problems.has_error() {
            return Err(Error::Invalid(problems.sorted()));
        }

        // After the problems: an image in a file with errors is not unknown.
        match names.iter().find(|name| !self.plans.iter().any(|plan| plan.image == **name)) {
            Some(name) => Err(self.unknown(name)),
            None => Ok(definitions),
        }
    }

    /// Returns all problems of all files and images, including warnings.
    #[must_use]
    pub fn check(&self) -> Vec<Diagnostic> {
        self.define(&[]).1.sorted()
    }

    /// Returns the warnings that the files themselves show, without filling in parameters.
    #[must_use]
    pub fn warnings(&self) -> Vec<Diagnostic> {
        let mut problems = self.problems.clone().sorted();
        problems.retain(|problem| problem.severity == DiagnosticSeverity::Warning);
        problems
    }

    /// Reads the script ledger, `recipes/scripts.yaml`, and the project's own decisions, `recipes/scripts.project.yaml`,
    /// which count first. A missing file decides nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all problems of a file, [`Error::Files`] if it cannot be read.
    pub fn ledger(&self) -> Result<ScriptLedger, Error> {
        Ok(self.ledger_file(LEDGER_FILE)?.with_project(self.ledger_file(OWN_LEDGER_FILE)?))
    }

    fn ledger_file(&self, path: &str) -> Result<ScriptLedger, Error> {
        // One ledger covers the scripts of all recipes, so it may be larger than any of them.
        match ConfinedFolder::new(&self.folder).read_text(path, 16 * LARGEST) {
            Ok(text) => ScriptLedger::parse(path, &text),
            Err(error) if error.is_missing() => Ok(ScriptLedger::default()),
            Err(error) => Err(error.into()),
        }
    }

    fn unknown(&self, image: &str) -> Error {
        let suggestion = nearest(image, self.images()).map(str::to_owned);
        let known = self.images().into_iter().map(str::to_owned).collect();
        Error::UnknownImage { image: shown(image), suggestion, known }
    }

    /// Returns the definitions of the named images, or of all, as far as they have no errors, and all problems.
    fn define(&self, names: &[&str]) -> (Vec<ImageDefinition>, Diagnostics) {
        // A copy, because each call adds the problems of other images.
        let mut problems = self.problems.clone();
        let mut files = RecipeFiles::new(&self.folder);

        let mut definitions = Vec::new();
        for plan in &self.plans {
            if names.is_empty() || names.contains(&plan.image.as_str()) {
                definitions.extend(self.complete(plan, &mut files, &mut problems));
            }
        }

        (definitions, problems)
    }

    /// Fills in one image for all its platforms.
    fn complete(
        &self,
        plan: &PlannedImage,
        files: &mut RecipeFiles,
        problems: &mut Diagnostics,
    ) -> Option<ImageDefinition> {
        let base = self.images.get(&plan.base)?;
        let mut filler = ImageFiller {
            files,
            problems,
            archives: Vec::new(),
            levels: BTreeMap::new(),
            inputs: BTreeMap::from([(base.source.path.clone(), base.source.digest)]),
        };
        for platform in &plan.platforms {
            filler.fill_platform(plan, *platform, &self.recipes)?;
        }

        // A user can come from any level, so only the whole image shows that there is none.
        if filler.levels.values().any(|levels| merged_config(levels).user.is_none()) {
            let place = base.root.get("recipe").map(|node| node.place).unwrap_or_default();
            let message = format!("no level of the image `{}` sets `config.user`", plan.image);
            filler.problems.error_with_help(&base.source, place, &message, "images never run as root");
        }

        Some(ImageDefinition {
            image: plan.image.clone(),
            parent: plan.parent.clone(),
            platforms: plan.platforms.clone(),
            parameters: plan.values.clone(),
            archives: filler.archives,
            levels: filler.levels,
            inputs: filler.inputs,
            publish: publish(&base.root, plan.variant.as_deref()),
            version_of: maybe(base.root.get("version-of")),
            purpose: text(base.root.get("purpose")),
            owner: ImageOwner {
                name: text(base.root.at(&["owner", "name"])),
                contact: text(base.root.at(&["owner", "contact"])),
            },
            rebuild: RebuildSchedule {
                every: seconds(base.root.at(&["rebuild", "every"])),
                urgent_within: seconds(base.root.at(&["rebuild", "urgent-within"])),
            },
        })
    }
}

/// Fills in the recipes of one image, and collects what they give over its platforms.
struct ImageFiller<'a> {
    files: &'a mut RecipeFiles,
    problems: &'a mut Diagnostics,
    archives: Vec<ArchiveDefinition>,
    levels: BTreeMap<Platform, Vec<LevelDefinition>>,
    inputs: BTreeMap<String, Digest>,
}

impl ImageFiller<'_> {
    /// Fills in the recipes for one platform. `None` if a recipe is missing, which was reported before.
    fn fill_platform(&mut self, plan: &PlannedImage, platform: Platform, recipes: &YamlDocuments) -> Option<()> {
        let values = values_for(platform, &plan.values);
        let mut accounts = AccountCheck::default();
        let mut levels = Vec::new();
        for name in &plan.chain {
            let YamlDocument { source, root } = recipes.get(name)?;
            self.inputs.insert(source.path.clone(), source.digest);

            // The second validation sees the values that the first one skipped because of their parameters.
            let recipe = parameters::fill(source, root, &values, self.problems);
            let recipe = conditions::apply(&recipe, &values);
            validate(source, &recipe, &RECIPE, ParameterPhase::Filled, self.problems);
            accounts.add(source, &recipe, self.problems);

            let mut reader =
                LevelReader { source, files: self.files, inputs: &mut self.inputs, problems: self.problems };
            let requests = requests(source, &conditions::apply(root, &values), &recipe);
            levels.push(LevelDefinition { requests, ..reader.level(&recipe) });
            // Only the root recipe has archives, and they are the same for all platforms.
            if levels.len() == 1 && self.archives.is_empty() {
                self.archives = reader.archives(&recipe);
            }
        }

        self.levels.insert(platform, levels);
        Some(())
    }
}

/// Reads where an image is published.
fn publish(base: &YamlNode, variant: Option<&str>) -> PublishSettings {
    // A variant is published in the repository of its base image, so its tags must differ.
    let suffix = variant.map(|variant| format!("-{variant}")).unwrap_or_default();
    let tags = texts(base.at(&["publish", "tags"]));

    PublishSettings {
        repository: text(base.at(&["publish", "repository"])),
        tags: tags.into_iter().map(|tag| tag + &suffix).collect(),
    }
}

/// Adds the built-in parameters of a platform to the values of an image.
fn values_for(platform: Platform, values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let architecture = platform.architecture();
    let [arch, triplet] = parameters::BUILT_IN;

    let mut values = values.clone();
    values.insert(arch.to_owned(), architecture.debian().to_owned());
    values.insert(triplet.to_owned(), architecture.triplet().to_owned());
    values
}

/// Reads all YAML files in the folder `kind`. Files that are not YAML are reported and left out.
fn load(
    folder: &Path,
    kind: &str,
    record: &'static RecordSchema,
    problems: &mut Diagnostics,
) -> Result<YamlDocuments, Error> {
    let mut documents = YamlDocuments::new();
    let project = ConfinedFolder::new(folder);
    for file in project.list(kind)? {
        let Some(name) = file.strip_suffix(".yaml") else {
            if let Some(problem) = ignored(&project, kind, &file) {
                problems.add(problem);
            }
            continue;
        };

        // Locks, the registry file and the ledger are in the same folders, and editors leave hidden files there.
        let is_ledger = kind == "recipes" && matches!(name, "scripts" | "scripts.project");
        let has_other_format = name.ends_with(".lock") || name == "registry" || is_ledger;
        if has_other_format || name.starts_with('.') {
            continue;
        }

        let path = format!("{kind}/{file}");
        // One unreadable file must not hide the problems of the others.
        let text = match project.read_text(&path, LARGEST) {
            Ok(text) => text,
            Err(error) => {
                problems.add(Diagnostic::of_file(&path, &format!("cannot read this file: {}", error.cause)));
                continue;
            }
        };

        // The file's name is the name of the recipe or image.
        if ScalarKind::Name.check(name).is_err() {
            let message = format!("the file's name is not {}", ScalarKind::Name.description());
            problems.add(Diagnostic::of_file(&path, &message));
        }

        let source = SourceFile::new(path, text);
        if let Some(root) = parse(&source, problems) {
            // Base images have no parameters in their own values.
            let phase = if kind == "recipes" { ParameterPhase::Open } else { ParameterPhase::Filled };
            validate(&source, &root, record, phase, problems);
            documents.insert(name.to_owned(), YamlDocument { source, root });
        }
    }

    Ok(documents)
}

/// Returns an error for a file that was meant to be read and is not: another ending, or a folder of images.
fn ignored(project: &ConfinedFolder, kind: &str, file: &str) -> Option<Diagnostic> {
    if file.starts_with('.') {
        return None;
    }

    let path = format!("{kind}/{file}");
    let lower = file.to_lowercase();
    if lower.ends_with(".yml") || lower.ends_with(".yaml") {
        return Some(Diagnostic::of_file(&path, "this file is not read: its name must end in `.yaml`"));
    }
    // Folders below `recipes` hold what recipes name; those below `base-images` have no meaning.
    let inside = if kind == "base-images" { project.list(&path).unwrap_or_default() } else { Vec::new() };
    let image = inside.iter().find(|name| name.ends_with(".yaml") || name.ends_with(".yml"))?;
    Some(Diagnostic::of_file(
        &format!("{path}/{image}"),
        "this file is not read: base images are directly in `base-images`",
    ))
}
