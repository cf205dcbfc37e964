//! Which recipes an image consists of, with which parameters, and on which other image it stands.

use crate::recipe::level::texts;
use crate::recipe::parameters;
use crate::recipe::parse::Node;
use crate::recipe::parse::Value;
use crate::recipe::project::Document;
use crate::recipe::project::Documents;
use crate::recipe::source::Place;
use crate::recipe::source::Problems;
use crate::recipe::source::Source;
use crate::recipe::suggest::remedy;
use crate::values::Platform;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Stands in `from` for every recipe.
const ANY: &str = "any";

/// Most levels of an image.
const MOST_LEVELS: usize = 16;

/// One image before its recipes are filled in.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Image name.
    pub(crate) image: String,
    /// Name of the base-image file.
    pub(crate) base: String,
    /// Recipe on top, for a variant.
    pub(crate) variant: Option<String>,
    /// Recipes, root first.
    pub(crate) chain: Vec<String>,
    /// Values of all parameters.
    pub(crate) values: BTreeMap<String, String>,
    /// Platforms, sorted.
    pub(crate) platforms: Vec<Platform>,
    /// The image below.
    pub(crate) parent: Option<String>,
}

/// Returns the names in `from`, each with its place.
fn lower(recipe: &Node) -> Vec<(&str, Place)> {
    match recipe.get("from") {
        Some(node) if matches!(node.value, Value::Scalar(_)) => vec![(node.text(), node.place)],
        Some(node) => node.items().iter().map(|item| (item.text(), item.place)).collect(),
        None => Vec::new(),
    }
}

/// Returns the recipes that may lie below one, in every choice, without itself.
fn below<'a>(name: &'a str, recipes: &'a Documents) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![name];
    while let Some(document) = open.pop().and_then(|name| recipes.get(name)) {
        for (lower, _) in lower(&document.root) {
            if lower == ANY {
                return recipes.keys().map(String::as_str).filter(|other| *other != name).collect();
            }
            if let Some((lower, _)) = recipes.get_key_value(lower)
                && found.insert(lower.as_str())
            {
                open.push(lower);
            }
        }
    }
    found
}

/// Reports what is wrong with each recipe beyond its form.
pub(crate) fn check_recipes(recipes: &Documents, problems: &mut Problems) {
    let mut used: BTreeSet<String> = BTreeSet::new();
    for (name, Document { source, root }) in recipes {
        if let Some(node) = root.get("name").filter(|node| node.text() != name) {
            let message = format!("the name `{}` is not the file's name", node.text());
            problems.error_with_help(source, node.place, &message, &format!("write `name: {name}`"));
        }
        for (lower, place) in lower(root) {
            if lower != ANY && !recipes.contains_key(lower) {
                let message = format!("unknown recipe `{lower}`");
                problems.error_with_help(source, place, &message, &remedy(lower, recipes.keys().map(String::as_str)));
            }
        }
        check_origin(name, recipes, problems);
        check_files(source, root, problems);
        parameters::check_declarations(source, root, problems);
        let below: Vec<&Node> =
            below(name, recipes).into_iter().filter_map(|name| recipes.get(name)).map(|found| &found.root).collect();
        parameters::check_maps(source, root, &below, problems);
        let declarations = below.iter().copied().chain([root]).filter_map(|node| node.get("parameters"));
        let known = declarations.flat_map(Node::entries).map(|(key, _)| key.text.clone()).collect();
        used.extend(parameters::check_references(source, root, &known, problems));
        let declared = root.get("parameters").map(Node::entries).unwrap_or_default();
        used.extend(declared.iter().filter_map(|(_, node)| node.get("from")).map(|node| node.text().to_owned()));
    }
    for Document { source, root } in recipes.values() {
        for (key, _) in root.get("parameters").map(Node::entries).unwrap_or_default() {
            if !used.contains(&key.text) {
                let message = format!("the parameter `{}` is never used", key.text);
                problems.warning(source, key.place, &message, &format!("write `${{{}}}` where it belongs", key.text));
            }
        }
    }
}

/// Reports files without bytes or with two origins for them.
fn check_files(source: &Source, recipe: &Node, problems: &mut Problems) {
    for (key, node) in recipe.get("files").map(Node::entries).unwrap_or_default() {
        if node.get("content").is_some() == node.get("source").is_some() {
            problems.error(source, key.place, "a file needs either `content` or `source`");
        }
    }
}

/// Reports circles, and archives in the wrong place.
fn check_origin(name: &str, recipes: &Documents, problems: &mut Problems) {
    let Some(Document { source, root }) = recipes.get(name) else { return };
    let any = lower(root).iter().any(|(lower, _)| *lower == ANY);
    for (other, place) in lower(root) {
        if !any && (other == name || below(other, recipes).contains(name)) {
            let message = format!("the recipe `{name}` stands on itself, by way of `{other}`");
            problems.error(source, place, &message);
        }
        if other == ANY && lower(root).len() > 1 {
            problems.error(source, place, "`any` stands alone");
        }
    }
    match root.entries().iter().find(|(key, _)| key.text == "archives") {
        Some((key, _)) if root.get("from").is_some() => {
            problems.error(source, key.place, "only a root recipe, one without `from`, names archives");
        }
        None if root.get("from").is_none() => {
            let place = root.entries().first().map(|(key, _)| key.place).unwrap_or_default();
            let help = "add `from: <recipe>` or `archives:`";
            problems.error_with_help(source, place, "a recipe without `from` needs `archives`", help);
        }
        _ => {}
    }
}

/// Plans all images whose recipes are right; parents come before children.
pub(crate) fn plan(recipes: &Documents, images: &Documents, problems: &mut Problems) -> Vec<Plan> {
    let mut plans: Vec<Plan> = Vec::new();
    for (name, document) in images {
        check_tags(document, problems);
        let Some(base) = plan_base(name, document, recipes, problems) else { continue };
        let variants = document.root.get("variants").map(Node::items).unwrap_or_default();
        for variant in variants {
            plans.extend(plan_variant(&base, variant, document, recipes, problems));
        }
        plans.push(base);
    }
    plans.sort_by(|left, right| (left.chain.len(), &left.image).cmp(&(right.chain.len(), &right.image)));
    for pair in plans.windows(2) {
        if pair[0].image == pair[1].image {
            let message = format!("there are two images named `{}`", pair[0].image);
            if let Some(document) = images.get(&pair[1].base) {
                problems.error(&document.source, Place::default(), &message);
            }
        }
    }
    for index in 0..plans.len() {
        if plans[index].parent.is_none() {
            plans[index].parent = parent(&plans[index], &plans, recipes);
        }
    }
    plans
}

fn parent(child: &Plan, plans: &[Plan], recipes: &Documents) -> Option<String> {
    let (top, rest) = child.chain.split_last()?;
    let own = recipes.get(top).and_then(|document| document.root.get("parameters"));
    let mut values = child.values.clone();
    for (key, _) in own.map(Node::entries).unwrap_or_default() {
        values.remove(&key.text);
    }
    let fits = |plan: &&Plan| {
        plan.chain == rest
            && plan.values == values
            && child.platforms.iter().all(|platform| plan.platforms.contains(platform))
    };
    plans.iter().find(fits).map(|plan| plan.image.clone())
}

fn check_tags(document: &Document, problems: &mut Problems) {
    let Document { source, root } = document;
    for tag in root.get("publish").and_then(|node| node.get("tags")).map(Node::items).unwrap_or_default() {
        if tag.text().contains("{version}") && root.get("version-of").is_none() {
            let help = "add `version-of: <package>`";
            problems.error_with_help(source, tag.place, "`{version}` needs the key `version-of`", help);
        }
    }
}

fn plan_base(name: &str, document: &Document, recipes: &Documents, problems: &mut Problems) -> Option<Plan> {
    let Document { source, root } = document;
    let recipe = root.get("recipe")?;
    let Some((top, _)) = recipes.get_key_value(recipe.text()) else {
        let help = remedy(recipe.text(), recipes.keys().map(String::as_str));
        problems.error_with_help(source, recipe.place, &format!("unknown recipe `{}`", recipe.text()), &help);
        return None;
    };
    let mut chain = vec![top.clone()];
    while let Some(next) = chain.last().and_then(|top| choose(top, root.get("with"), recipes)) {
        if next == ANY {
            let message = format!("the recipe `{}` stands on any other", recipe.text());
            problems.error_with_help(source, recipe.place, &message, "name it under `variants` of another image");
            return None;
        }
        if chain.iter().any(|level| level == next) || chain.len() >= MOST_LEVELS {
            return None;
        }
        chain.push(recipes.get_key_value(next)?.0.clone());
    }
    chain.reverse();
    let documents = documents(&chain, recipes, problems)?;
    let with = given(root, &chain, recipes);
    let values = parameters::resolve(&documents, source, with.as_ref(), recipe.place, problems);
    let mut platforms: Vec<Platform> =
        texts(root.get("platforms")).iter().filter_map(|text| text.parse().ok()).collect();
    platforms.sort();
    platforms.dedup();
    if let Some(node) = root.get("platforms").filter(|node| node.value == Value::List(Vec::new())) {
        problems.error(source, node.place, "there must be at least one platform");
    }
    let (image, base) = (name.to_owned(), name.to_owned());
    Some(Plan { image, base, variant: None, chain, values, platforms, parent: None })
}

/// Returns the recipe below: the one whose own parameter the image gives, else the first.
fn choose<'a>(recipe: &str, with: Option<&Node>, recipes: &'a Documents) -> Option<&'a str> {
    let names = lower(&recipes.get(recipe)?.root);
    let given = |name: &str| {
        let own = recipes.get(name).and_then(|document| document.root.get("parameters"));
        own.map(Node::entries)
            .unwrap_or_default()
            .iter()
            .any(|(key, _)| with.is_some_and(|with| with.get(&key.text).is_some()))
    };
    names.iter().find(|(name, _)| given(name)).or(names.first()).map(|(name, _)| *name)
}

/// Returns the given values without those that only variants outside this chain take.
fn given(image: &Node, chain: &[String], recipes: &Documents) -> Option<Node> {
    let with = image.get("with")?;
    let mut elsewhere: BTreeSet<&str> = BTreeSet::new();
    for variant in image.get("variants").map(Node::items).unwrap_or_default() {
        if chain.iter().all(|level| level != variant.text()) {
            let own = recipes.get(variant.text()).and_then(|document| document.root.get("parameters"));
            elsewhere.extend(own.map(Node::entries).unwrap_or_default().iter().map(|(key, _)| key.text.as_str()));
        }
    }
    let kept = with.entries().iter().filter(|(key, _)| !elsewhere.contains(key.text.as_str()));
    Some(Node { place: with.place, value: Value::Map(kept.cloned().collect()) })
}

/// Returns the documents of a chain; `None` when one of them has an error already.
fn documents<'a>(chain: &[String], recipes: &'a Documents, problems: &Problems) -> Option<Vec<(&'a Source, &'a Node)>> {
    let sound = |name: &String| recipes.get(name).filter(|document| !problems.has_error_in(&document.source.path));
    chain.iter().map(|name| sound(name).map(|document| (&document.source, &document.root))).collect()
}

fn plan_variant(
    base: &Plan,
    variant: &Node,
    document: &Document,
    recipes: &Documents,
    problems: &mut Problems,
) -> Option<Plan> {
    let name = variant.text();
    let Some(recipe) = recipes.get(name) else {
        let help = remedy(name, recipes.keys().map(String::as_str));
        problems.error_with_help(&document.source, variant.place, &format!("unknown recipe `{name}`"), &help);
        return None;
    };
    let top = base.chain.last()?;
    if !lower(&recipe.root).iter().any(|(lower, _)| *lower == ANY || lower == top) {
        let message = format!("the recipe `{name}` does not stand on `{top}`");
        problems.error_with_help(&document.source, variant.place, &message, "write `from: any` in it");
        return None;
    }
    let chain: Vec<String> = base.chain.iter().cloned().chain([name.to_owned()]).collect();
    let documents = documents(&chain, recipes, problems)?;
    let with = given(&document.root, &chain, recipes);
    let values = parameters::resolve(&documents, &document.source, with.as_ref(), variant.place, problems);
    Some(Plan {
        image: format!("{}-{name}", base.image),
        variant: Some(name.to_owned()),
        chain,
        values,
        parent: Some(base.image.clone()),
        ..base.clone()
    })
}
