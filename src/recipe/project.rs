//! The project folder: all recipes and base images, which stands on which, and their definitions.

use crate::recipe::Definition;
use crate::recipe::Diagnostic;
use crate::recipe::Error;
use crate::recipe::Ledger;
use crate::recipe::Owner;
use crate::recipe::Publish;
use crate::recipe::Rebuild;
use crate::recipe::Severity;
use crate::recipe::files::Files;
use crate::recipe::level::AccountCheck;
use crate::recipe::level::Reader;
use crate::recipe::level::maybe;
use crate::recipe::level::seconds;
use crate::recipe::level::text;
use crate::recipe::level::texts;
use crate::recipe::merge::merged_config;
use crate::recipe::parameters;
use crate::recipe::parse::Node;
use crate::recipe::parse::parse;
use crate::recipe::plan::Plan;
use crate::recipe::plan::check_recipes;
use crate::recipe::plan::plan;
use crate::recipe::scalar::Scalar;
use crate::recipe::schema::BASE_IMAGE;
use crate::recipe::schema::RECIPE;
use crate::recipe::schema::Record;
use crate::recipe::source::Problems;
use crate::recipe::source::Source;
use crate::recipe::suggest::nearest;
use crate::recipe::validate::Parameters;
use crate::recipe::validate::validate;
use crate::sys::beneath::Beneath;
use crate::values::Platform;
use crate::values::shown::shown;
use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

/// Largest YAML file.
const LARGEST: u64 = 1 << 20;

/// Where the script ledger is.
const LEDGER_FILE: &str = "recipes/scripts.yaml";

/// A file with its tree.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// The file.
    pub(crate) source: Source,
    /// Its content.
    pub(crate) root: Node,
}

/// Documents by name.
pub(crate) type Documents = BTreeMap<String, Document>;

/// The recipes and base images of a project folder.
#[derive(Debug, Clone)]
pub struct Project {
    folder: PathBuf,
    recipes: Documents,
    images: Documents,
    plans: Vec<Plan>,
    problems: Problems,
}

impl Project {
    /// Reads `recipes/*.yaml` and `base-images/*.yaml` below `folder`.
    ///
    /// Problems inside the files are kept for [`Self::definitions`] and [`Self::check`], so that all come at once.
    ///
    /// # Errors
    /// [`Error::NoProject`] when there is no recipe, [`Error::Files`] when a folder cannot be listed.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let mut problems = Problems::default();
        let recipes = load(folder, "recipes", &RECIPE, &mut problems)?;
        let images = load(folder, "base-images", &BASE_IMAGE, &mut problems)?;
        if recipes.is_empty() && images.is_empty() && !problems.has_error() {
            return Err(Error::NoProject(folder.to_owned()));
        }
        check_recipes(&recipes, &mut problems);
        let plans = plan(&recipes, &images, &mut problems);
        Ok(Self { folder: folder.to_owned(), recipes, images, plans, problems })
    }

    /// Returns the names of all images, parents before children; those in broken files are left out.
    #[must_use]
    pub fn images(&self) -> Vec<&str> {
        self.plans.iter().map(|plan| plan.image.as_str()).collect()
    }

    /// Returns for every image the repositories, so many at most, of others that have the same recipe at their root, and
    /// so may have some of the same layers. Looks at the files of the project alone, not at what they name.
    #[must_use]
    pub fn related(&self, most: usize) -> BTreeMap<String, Vec<String>> {
        let repository =
            |plan: &Plan| self.images.get(&plan.base)?.root.get("publish")?.get("repository").map(Node::text);
        let known = |plan| Some((plan, repository(plan)?));
        let all: Vec<(&Plan, &str)> = self.plans.iter().filter_map(known).collect();
        let related = |(plan, own): &(&Plan, &str)| {
            let same = all.iter().filter(|(other, name)| other.chain.first() == plan.chain.first() && name != own);
            let mut names: Vec<String> = Vec::new();
            for (_, name) in same {
                // with many images most of them need not be looked at
                if names.len() == most {
                    break;
                }
                if !names.iter().any(|known| known == name) {
                    names.push((*name).to_owned());
                }
            }
            (plan.image.clone(), names)
        };
        all.iter().map(related).collect()
    }

    /// Returns the definition of one image.
    ///
    /// # Errors
    /// [`Error::UnknownImage`], or [`Error::Invalid`] with the problems of all files and of this image.
    pub fn definition(&self, image: &str) -> Result<Definition, Error> {
        let unknown = || self.unknown(image);
        self.definitions(&[image])?.into_iter().find(|found| found.image == image).ok_or_else(unknown)
    }

    /// Returns the definitions of the named images (none named: all), parents before children.
    ///
    /// # Errors
    /// [`Error::UnknownImage`], or [`Error::Invalid`] with the problems of all files and of these images.
    pub fn definitions(&self, names: &[&str]) -> Result<Vec<Definition>, Error> {
        let (definitions, problems) = self.define(names);
        if problems.has_error() {
            return Err(Error::Invalid(problems.sorted()));
        }
        match names.iter().find(|name| !self.plans.iter().any(|plan| plan.image == **name)) {
            Some(name) => Err(self.unknown(name)),
            None => Ok(definitions),
        }
    }

    /// Returns all problems of all files and images, warnings too.
    #[must_use]
    pub fn check(&self) -> Vec<Diagnostic> {
        self.define(&[]).1.sorted()
    }

    /// Returns what is no error but should be looked at, as far as the files themselves show it.
    #[must_use]
    pub fn warnings(&self) -> Vec<Diagnostic> {
        let mut problems = self.problems.clone().sorted();
        problems.retain(|problem| problem.severity == Severity::Warning);
        problems
    }

    /// Reads the script ledger, `recipes/scripts.yaml`; a missing one is empty.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all its problems, [`Error::Files`] when it cannot be read.
    pub fn ledger(&self) -> Result<Ledger, Error> {
        match Beneath::new(&self.folder).read_text(LEDGER_FILE, 16 * LARGEST) {
            Ok(text) => Ledger::parse(LEDGER_FILE, &text),
            Err(error) if error.is_missing() => Ok(Ledger::default()),
            Err(error) => Err(error.into()),
        }
    }

    fn unknown(&self, image: &str) -> Error {
        let suggestion = nearest(image, self.images()).map(str::to_owned);
        let known = self.images().into_iter().map(str::to_owned).collect();
        Error::UnknownImage { image: shown(image), suggestion, known }
    }

    fn define(&self, names: &[&str]) -> (Vec<Definition>, Problems) {
        let mut problems = self.problems.clone();
        let mut files = Files::new(&self.folder);
        let wanted = |plan: &&Plan| names.is_empty() || names.contains(&plan.image.as_str());
        let definitions = self
            .plans
            .iter()
            .filter(wanted)
            .filter_map(|plan| self.complete(plan, &mut files, &mut problems))
            .collect();
        (definitions, problems)
    }

    /// Fills in one image for all its platforms.
    fn complete(&self, plan: &Plan, files: &mut Files, problems: &mut Problems) -> Option<Definition> {
        let base = self.images.get(&plan.base)?;
        let mut inputs = BTreeMap::from([(base.source.path.clone(), base.source.digest)]);
        let mut levels = BTreeMap::new();
        let mut archives = Vec::new();
        for platform in &plan.platforms {
            let values = values_for(*platform, &plan.values);
            let mut accounts = AccountCheck::default();
            let mut found = Vec::new();
            for name in &plan.chain {
                let Document { source, root } = self.recipes.get(name)?;
                inputs.insert(source.path.clone(), source.digest);
                let filled = parameters::fill(source, root, &values, problems);
                validate(source, &filled, &RECIPE, Parameters::Filled, problems);
                accounts.add(source, &filled, problems);
                let mut reader = Reader { source, files, inputs: &mut inputs, problems };
                found.push(reader.level(&filled));
                if found.len() == 1 && archives.is_empty() {
                    archives = reader.archives(&filled);
                }
            }
            levels.insert(*platform, found);
        }
        let user = levels.values().all(|levels| merged_config(levels).user.is_some());
        if !user {
            let place = base.root.get("recipe").map(|node| node.place).unwrap_or_default();
            let message = format!("no level of the image `{}` sets `config.user`", plan.image);
            problems.error_with_help(&base.source, place, &message, "images never run as root");
        }
        let field = |path: &[&str]| path.iter().try_fold(&base.root, |node, key| node.get(key));
        let suffix = plan.variant.as_ref().map(|variant| format!("-{variant}")).unwrap_or_default();
        Some(Definition {
            image: plan.image.clone(),
            parent: plan.parent.clone(),
            platforms: plan.platforms.clone(),
            parameters: plan.values.clone(),
            archives,
            levels,
            inputs,
            publish: Publish {
                repository: text(field(&["publish", "repository"])),
                tags: texts(field(&["publish", "tags"])).into_iter().map(|tag| tag + &suffix).collect(),
            },
            version_of: maybe(field(&["version-of"])),
            purpose: text(field(&["purpose"])),
            owner: Owner { name: text(field(&["owner", "name"])), contact: text(field(&["owner", "contact"])) },
            rebuild: Rebuild {
                every: seconds(field(&["rebuild", "every"])),
                urgent_within: seconds(field(&["rebuild", "urgent-within"])),
            },
        })
    }
}

fn values_for(platform: Platform, values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let architecture = platform.architecture();
    let [arch, triplet] = parameters::BUILT_IN;
    let mut values = values.clone();
    values.insert(arch.to_owned(), architecture.debian().to_owned());
    values.insert(triplet.to_owned(), architecture.triplet().to_owned());
    values
}

/// Reads all YAML files of a kind; only those without a problem are returned.
fn load(folder: &Path, kind: &str, record: &'static Record, problems: &mut Problems) -> Result<Documents, Error> {
    let mut documents = Documents::new();
    let project = Beneath::new(folder);
    for file in project.list(kind)? {
        let Some(name) = file.strip_suffix(".yaml") else { continue };
        let other = name.ends_with(".lock") || name == "registry" || kind == "recipes" && name == "scripts";
        if other || name.starts_with('.') {
            continue;
        }
        let path = format!("{kind}/{file}");
        let text = match project.read_text(&path, LARGEST) {
            Ok(text) => text,
            Err(error) => {
                problems.add(Diagnostic::of_file(&path, &format!("cannot read this file: {}", error.cause)));
                continue;
            }
        };
        if Scalar::Name.check(name).is_err() {
            let message = format!("the file's name is not {}", Scalar::Name.words());
            problems.add(Diagnostic::of_file(&path, &message));
        }
        let source = Source::new(path, text);
        if let Some(root) = parse(&source, problems) {
            let phase = if kind == "recipes" { Parameters::Open } else { Parameters::Filled };
            validate(&source, &root, record, phase, problems);
            documents.insert(name.to_owned(), Document { source, root });
        }
    }
    Ok(documents)
}
