//! The recipes that an image consists of, the values of its parameters, and its parent image.

use crate::recipe::conditions;
use crate::recipe::level::texts;
use crate::recipe::parameters;
use crate::recipe::parse::YamlKey;
use crate::recipe::parse::YamlNode;
use crate::recipe::parse::YamlValue;
use crate::recipe::project::YamlDocument;
use crate::recipe::project::YamlDocuments;
use crate::recipe::source::Diagnostics;
use crate::recipe::source::SourceFile;
use crate::recipe::source::SourceSpan;
use crate::recipe::suggest::remedy;
use crate::values::Platform;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Stands for every recipe in `from`.
const ANY: &str = "any";

/// Most levels of an image: far more than people can keep in view, so a longer chain is a mistake.
const MOST_LEVELS: usize = 16;

/// One image before its recipes are filled in with its parameters.
#[derive(Debug, Clone)]
pub(crate) struct PlannedImage {
    /// Image name.
    pub(crate) image: String,
    /// Name of the base-image file.
    pub(crate) base: String,
    /// Recipe at the top, for a variant.
    pub(crate) variant: Option<String>,
    /// Names of the recipes, root first.
    pub(crate) chain: Vec<String>,
    /// Values of all parameters.
    pub(crate) values: BTreeMap<String, String>,
    /// Platforms to build, sorted.
    pub(crate) platforms: Vec<Platform>,
    /// Parent image, if the project defines it.
    pub(crate) parent: Option<String>,
}

/// Returns the names in `from`, each with its place.
fn from_names(recipe: &YamlNode) -> Vec<(&str, SourceSpan)> {
    match recipe.get("from") {
        Some(node) if matches!(node.value, YamlValue::Scalar(_)) => vec![(node.text(), node.place)],
        Some(node) => node.items().iter().map(|item| (item.text(), item.place)).collect(),
        None => Vec::new(),
    }
}

/// Returns the parameters that a recipe itself declares; none if there is no such recipe.
fn own_parameters<'a>(recipe: &str, recipes: &'a YamlDocuments) -> &'a [(YamlKey, YamlNode)] {
    recipes.get(recipe).map(|document| document.root.entries_of("parameters")).unwrap_or_default()
}

/// Returns all recipes that may be below one, whichever of the names in `from` an image chooses, without itself.
fn lower_recipes<'a>(name: &'a str, recipes: &'a YamlDocuments) -> BTreeSet<&'a str> {
    // Depth first over all alternatives, since another image may choose another one.
    let mut found = BTreeSet::new();
    let mut open = vec![name];
    while let Some(document) = open.pop().and_then(|name| recipes.get(name)) {
        for (lower, _) in from_names(&document.root) {
            if lower == ANY {
                return recipes.keys().map(String::as_str).filter(|other| *other != name).collect();
            }

            // Only names that are new are followed, so a circle ends too.
            if let Some((lower, _)) = recipes.get_key_value(lower)
                && found.insert(lower.as_str())
            {
                open.push(lower);
            }
        }
    }

    found
}

/// Reports errors of recipes that their form alone does not show.
pub(crate) fn check_recipes(recipes: &YamlDocuments, problems: &mut Diagnostics) {
    let mut used: BTreeSet<String> = BTreeSet::new();
    for (name, document) in recipes {
        check_names(name, document, recipes, problems);
        check_origin(name, document, recipes, problems);
        check_files(document, problems);
        used.extend(check_parameters(name, document, recipes, problems));
    }

    // After all recipes, because a parameter may be meant for the recipes above the one that declares it.
    for YamlDocument { source, root } in recipes.values() {
        for (key, _) in root.entries_of("parameters") {
            if !used.contains(&key.text) {
                let message = format!("the parameter `{}` is never used", key.text);
                let help = format!("write `${{{}}}` where it belongs", key.text);
                problems.warning(source, key.place, &message, &help);
            }
        }
    }
}

/// Reports a recipe whose name is not its file's, and unknown recipes in `from`.
fn check_names(name: &str, document: &YamlDocument, recipes: &YamlDocuments, problems: &mut Diagnostics) {
    let YamlDocument { source, root } = document;

    // Other files refer to a recipe by its file's name, so a second name would only mislead.
    if let Some(node) = root.get("name").filter(|node| node.text() != name) {
        let message = format!("the name `{}` is not the file's name", node.text());
        problems.error_with_help(source, node.place, &message, &format!("write `name: {name}`"));
    }

    for (lower, place) in from_names(root) {
        if lower != ANY && !recipes.contains_key(lower) {
            report_unknown_recipe(source, lower, place, recipes, problems);
        }
    }
}

/// Reports the name of a recipe that does not exist.
fn report_unknown_recipe(
    source: &SourceFile,
    name: &str,
    place: SourceSpan,
    recipes: &YamlDocuments,
    problems: &mut Diagnostics,
) {
    let help = remedy(name, recipes.keys().map(String::as_str));
    problems.error_with_help(source, place, &format!("unknown recipe `{name}`"), &help);
}

/// Reports errors in the parameters of a recipe, and returns the names of those that it uses.
fn check_parameters(
    name: &str,
    document: &YamlDocument,
    recipes: &YamlDocuments,
    problems: &mut Diagnostics,
) -> BTreeSet<String> {
    let YamlDocument { source, root } = document;
    parameters::check_declarations(source, root, problems);

    let lower: Vec<&YamlNode> =
        lower_recipes(name, recipes).into_iter().filter_map(|name| Some(&recipes.get(name)?.root)).collect();
    parameters::check_maps(source, root, &lower, problems);

    // A reference is right here if some chain gives it a value; `fill` checks the chain of each image.
    // Parameters of higher recipes are not known here: what is below must not depend on what is above.
    let declaring: Vec<&YamlNode> = lower.iter().copied().chain([root]).collect();
    let known =
        declaring.iter().flat_map(|recipe| recipe.entries_of("parameters")).map(|(key, _)| key.text.clone()).collect();
    let mut used = parameters::check_references(source, root, &known, problems);

    let derived_from = root.entries_of("parameters").iter().filter_map(|(_, declaration)| declaration.get("from"));
    used.extend(derived_from.map(|from| from.text().to_owned()));
    used.extend(conditions::check(source, root, &declaring, problems));
    used
}

/// Reports files with no source of their bytes, or with two.
fn check_files(document: &YamlDocument, problems: &mut Diagnostics) {
    let YamlDocument { source, root } = document;
    let sections = conditions::additions(root).chain([root]);
    for (path, file) in sections.flat_map(|section| section.entries_of("files")) {
        if file.get("content").is_some() == file.get("source").is_some() {
            problems.error(source, path.place, "a file needs either `content` or `source`");
        }
    }
}

/// Reports circles in `from`, and archives in the wrong recipe.
fn check_origin(name: &str, document: &YamlDocument, recipes: &YamlDocuments, problems: &mut Diagnostics) {
    let YamlDocument { source, root } = document;
    let lower = from_names(root);

    // `any` stands for the other recipes only, so it makes no circle.
    let has_any = lower.iter().any(|(lower, _)| *lower == ANY);
    for (other, place) in &lower {
        if !has_any && (*other == name || lower_recipes(other, recipes).contains(name)) {
            let message = format!("circular `from`: the recipe `{name}` leads back to itself through `{other}`");
            problems.error(source, *place, &message);
        }
        if *other == ANY && lower.len() > 1 {
            problems.error(source, *place, "`any` cannot be combined with other recipes");
        }
    }

    // All levels of an image take their packages from the same archives.
    match root.entries().iter().find(|(key, _)| key.text == "archives") {
        Some((key, _)) if root.get("from").is_some() => {
            problems.error(source, key.place, "only a root recipe, one without `from`, can have `archives`");
        }
        None if root.get("from").is_none() => {
            let place = root.entries().first().map(|(key, _)| key.place).unwrap_or_default();
            let help = "add `from: <recipe>` or `archives:`";
            problems.error_with_help(source, place, "a recipe without `from` needs `archives`", help);
        }
        _ => {}
    }
}

/// Plans all images whose recipes have no errors; parents come before children.
pub(crate) fn plan(recipes: &YamlDocuments, images: &YamlDocuments, problems: &mut Diagnostics) -> Vec<PlannedImage> {
    let mut plans: Vec<PlannedImage> = Vec::new();
    for (name, document) in images {
        check_tags(document, problems);
        // Without the base image there are no variants of it either.
        let Some(base) = plan_base(name, document, recipes, problems) else { continue };
        for variant in document.root.items_of("variants") {
            plans.extend(plan_variant(&base, variant, document, recipes, problems));
        }
        plans.push(base);
    }

    // A parent has one level less than its children, so the shorter chain comes first.
    plans.sort_by(|left, right| (left.chain.len(), &left.image).cmp(&(right.chain.len(), &right.image)));
    check_image_names(&plans, images, problems);

    // A variant has its parent already; any other image may share its lower levels with an image of the project.
    for index in 0..plans.len() {
        if plans[index].parent.is_none() {
            plans[index].parent = find_parent(&plans[index], &plans, recipes);
        }
    }
    plans
}

/// Reports two images of the same name: a variant can be called like another base image. The plans are sorted.
fn check_image_names(plans: &[PlannedImage], images: &YamlDocuments, problems: &mut Diagnostics) {
    for pair in plans.windows(2) {
        if pair[0].image == pair[1].image
            && let Some(document) = images.get(&pair[1].base)
        {
            let message = format!("there are two images named `{}`", pair[0].image);
            problems.error(&document.source, SourceSpan::default(), &message);
        }
    }
}

/// Returns the image whose levels are exactly the lower levels of `child`, for all its platforms.
fn find_parent(child: &PlannedImage, plans: &[PlannedImage], recipes: &YamlDocuments) -> Option<String> {
    let (top, lower) = child.chain.split_last()?;

    // The parent does not have the parameters of the child's own recipe.
    let mut values = child.values.clone();
    for (key, _) in own_parameters(top, recipes) {
        values.remove(&key.text);
    }

    // A parent on fewer platforms could not be the base of all the child's manifests.
    for plan in plans {
        let has_platforms = child.platforms.iter().all(|platform| plan.platforms.contains(platform));
        if plan.chain == lower && plan.values == values && has_platforms {
            return Some(plan.image.clone());
        }
    }
    None
}

/// Reports tags that need a version which nothing provides.
fn check_tags(document: &YamlDocument, problems: &mut Diagnostics) {
    let YamlDocument { source, root } = document;
    for tag in root.at(&["publish", "tags"]).map(YamlNode::items).unwrap_or_default() {
        if tag.text().contains("{version}") && root.get("version-of").is_none() {
            let help = "add `version-of: <package>`";
            problems.error_with_help(source, tag.place, "`{version}` needs the key `version-of`", help);
        }
    }
}

/// Plans the image of a base-image file; `None` if it or one of its recipes has an error.
fn plan_base(
    name: &str,
    document: &YamlDocument,
    recipes: &YamlDocuments,
    problems: &mut Diagnostics,
) -> Option<PlannedImage> {
    let YamlDocument { source, root } = document;
    let recipe = root.get("recipe")?;
    let chain = find_chain(recipe, document, recipes, problems)?;

    let documents = chain_documents(&chain, recipes, problems)?;
    let with = chain_values(root, &chain, recipes);
    let values = parameters::resolve(&documents, source, with.as_ref(), recipe.place, problems);

    // Sorted, because their order in the file says nothing, and the order in an image index must not change.
    let mut platforms: Vec<Platform> =
        texts(root.get("platforms")).iter().filter_map(|text| text.parse().ok()).collect();
    platforms.sort();
    platforms.dedup();
    if let Some(node) = root.get("platforms").filter(|node| node.value == YamlValue::List(Vec::new())) {
        problems.error(source, node.place, "there must be at least one platform");
    }

    let (image, base) = (name.to_owned(), name.to_owned());
    Some(PlannedImage { image, base, variant: None, chain, values, platforms, parent: None })
}

/// Returns the recipes of a base image, root first; `None` if there is no complete chain.
fn find_chain(
    recipe: &YamlNode,
    document: &YamlDocument,
    recipes: &YamlDocuments,
    problems: &mut Diagnostics,
) -> Option<Vec<String>> {
    let YamlDocument { source, root } = document;
    let Some((top, _)) = recipes.get_key_value(recipe.text()) else {
        report_unknown_recipe(source, recipe.text(), recipe.place, recipes, problems);
        return None;
    };

    let mut chain = vec![top.clone()];
    while let Some(lower) = chain.last().and_then(|top| choose_lower(top, root.get("with"), recipes)) {
        if lower == ANY {
            let message = format!("the recipe `{}` is only for variants: it leads to `from: any`", recipe.text());
            let help = "name it under `variants` of another image";
            problems.error_with_help(source, recipe.place, &message, help);
            return None;
        }

        // `check_origin` has reported the circle.
        if chain.iter().any(|level| level == lower) {
            return None;
        }
        if chain.len() >= MOST_LEVELS {
            let message = format!("the recipe `{}` has more than {MOST_LEVELS} levels", recipe.text());
            problems.error(source, recipe.place, &message);
            return None;
        }

        // An unknown recipe ends the search: `check_names` has reported it.
        chain.push(recipes.get_key_value(lower)?.0.clone());
    }

    // It was followed from the top.
    chain.reverse();
    Some(chain)
}

/// Returns the recipe below another: the first whose own parameter the image sets, else the first.
fn choose_lower<'a>(recipe: &str, with: Option<&YamlNode>, recipes: &'a YamlDocuments) -> Option<&'a str> {
    let names = from_names(&recipes.get(recipe)?.root);

    // `with: { debian: 13 }` chooses the recipe `debian`, which declares that parameter.
    for (name, _) in &names {
        let is_set = |(key, _): &(YamlKey, YamlNode)| with.is_some_and(|with| with.get(&key.text).is_some());
        if own_parameters(name, recipes).iter().any(is_set) {
            return Some(name);
        }
    }

    names.first().map(|(name, _)| *name)
}

/// Returns the image's map of values without those that only variants outside this chain take.
fn chain_values(image: &YamlNode, chain: &[String], recipes: &YamlDocuments) -> Option<YamlNode> {
    let with = image.get("with")?;

    // One map serves the base image and all its variants, and none of them may call the others' values unknown.
    let mut elsewhere: BTreeSet<&str> = BTreeSet::new();
    for variant in image.items_of("variants") {
        if !chain.iter().any(|level| level == variant.text()) {
            elsewhere.extend(own_parameters(variant.text(), recipes).iter().map(|(key, _)| key.text.as_str()));
        }
    }

    let kept = with.entries().iter().filter(|(key, _)| !elsewhere.contains(key.text.as_str()));
    Some(YamlNode { place: with.place, value: YamlValue::Map(kept.cloned().collect()) })
}

/// Returns the documents of a chain; `None` if one of them has an error already, since others would only follow from it.
fn chain_documents<'a>(
    chain: &[String],
    recipes: &'a YamlDocuments,
    problems: &Diagnostics,
) -> Option<Vec<(&'a SourceFile, &'a YamlNode)>> {
    let mut documents = Vec::new();
    for name in chain {
        let YamlDocument { source, root } = recipes.get(name)?;
        if problems.has_error_in(&source.path) {
            return None;
        }
        documents.push((source, root));
    }
    Some(documents)
}

/// Plans a variant: the base image with one more recipe at the top.
fn plan_variant(
    base: &PlannedImage,
    variant: &YamlNode,
    document: &YamlDocument,
    recipes: &YamlDocuments,
    problems: &mut Diagnostics,
) -> Option<PlannedImage> {
    let YamlDocument { source, root } = document;
    let name = variant.text();
    let Some(recipe) = recipes.get(name) else {
        report_unknown_recipe(source, name, variant.place, recipes, problems);
        return None;
    };

    // The recipe has to agree, so that it is not put on a level that it was not written for.
    let top = base.chain.last()?;
    if !from_names(&recipe.root).iter().any(|(lower, _)| *lower == ANY || lower == top) {
        let message = format!("the recipe `{name}` cannot be put on top of `{top}`: its `from` does not name it");
        problems.error_with_help(source, variant.place, &message, &format!("write `from: any` in `{name}`"));
        return None;
    }

    let chain: Vec<String> = base.chain.iter().cloned().chain([name.to_owned()]).collect();
    let documents = chain_documents(&chain, recipes, problems)?;
    let with = chain_values(root, &chain, recipes);
    let values = parameters::resolve(&documents, source, with.as_ref(), variant.place, problems);

    Some(PlannedImage {
        image: format!("{}-{name}", base.image),
        variant: Some(name.to_owned()),
        chain,
        values,
        parent: Some(base.image.clone()),
        // Platforms and file are those of the base image.
        ..base.clone()
    })
}
