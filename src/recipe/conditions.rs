//! Conditions: what a recipe adds only where a parameter has a certain value.
//!
//! ```yaml
//! when:
//!   fonts:                       # a parameter of this or a lower recipe, or a built-in one such as `arch`
//!     "true":                    # one of its values
//!       packages: [ fonts-dejavu-core ]
//! ```

use crate::recipe::parameters::BUILT_IN;
use crate::recipe::parse::YamlKey;
use crate::recipe::parse::YamlNode;
use crate::recipe::parse::YamlValue;
use crate::recipe::source::Diagnostics;
use crate::recipe::source::SourceFile;
use crate::recipe::suggest::remedy;
use crate::values::diagnostic::shortened;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Key of a recipe that holds its conditions.
const KEY: &str = "when";

/// Returns all additions of a recipe, whether or not their conditions hold.
pub(crate) fn additions(recipe: &YamlNode) -> impl Iterator<Item = &YamlNode> {
    let cases = recipe.entries_of(KEY).iter().flat_map(|(_, cases)| cases.entries());
    cases.map(|(_, addition)| addition)
}

/// Reports conditions on parameters and values that do not exist, and returns the names of the parameters in conditions.
///
/// `declaring` are the recipes whose parameters this one can use.
pub(crate) fn check(
    source: &SourceFile,
    recipe: &YamlNode,
    declaring: &[&YamlNode],
    problems: &mut Diagnostics,
) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (name, cases) in recipe.entries_of(KEY) {
        let declaration = declaring.iter().find_map(|recipe| recipe.at(&["parameters", &name.text]));
        match declaration {
            Some(declaration) => check_values(source, declaration, cases, problems),
            // The values of built-in parameters follow from the platforms of the images.
            None if BUILT_IN.contains(&name.text.as_str()) => {}
            None => report_unknown(source, name, declaring, problems),
        }
        used.insert(name.text.clone());
    }
    used
}

/// Reports values that the parameter can never have, which would leave the addition out silently.
fn check_values(source: &SourceFile, declaration: &YamlNode, cases: &YamlNode, problems: &mut Diagnostics) {
    // A derived parameter has the values of its map.
    let of_map = declaration.entries_of("map").iter().map(|(_, value)| value.text());
    let possible: Vec<&str> = declaration.items_of("allowed").iter().map(YamlNode::text).chain(of_map).collect();
    if possible.is_empty() {
        return;
    }

    for (value, _) in cases.entries() {
        if !possible.contains(&value.text.as_str()) {
            let message = format!("the parameter never has the value `{}`", shortened(&value.text));
            let help = remedy(&value.text, possible.iter().copied());
            problems.error_with_help(source, value.place, &message, &help);
        }
    }
}

fn report_unknown(source: &SourceFile, name: &YamlKey, declaring: &[&YamlNode], problems: &mut Diagnostics) {
    let known = declaring.iter().flat_map(|recipe| recipe.entries_of("parameters")).map(|(key, _)| key.text.as_str());
    let help = remedy(&name.text, known.chain(BUILT_IN));
    problems.error_with_help(source, name.place, &format!("unknown parameter `{}`", shortened(&name.text)), &help);
}

/// Returns the recipe with the additions whose conditions hold in place of its conditions.
///
/// Lists are joined and maps merged. A path or another key that is there already is then there twice, which validation
/// reports: no addition wins silently.
pub(crate) fn apply(recipe: &YamlNode, values: &BTreeMap<String, String>) -> YamlNode {
    let mut applied = recipe.clone();
    if let YamlValue::Map(entries) = &mut applied.value {
        entries.retain(|(key, _)| key.text != KEY);
    }

    for (name, cases) in recipe.entries_of(KEY) {
        let value = values.get(&name.text);
        for (case, addition) in cases.entries() {
            if Some(&case.text) == value {
                merge(&mut applied, addition);
            }
        }
    }
    applied
}

/// Adds the items of a list, or the entries of a map, to another.
fn merge(target: &mut YamlNode, addition: &YamlNode) {
    match (&mut target.value, &addition.value) {
        (YamlValue::List(items), YamlValue::List(more)) => items.extend(more.iter().cloned()),
        (YamlValue::Map(entries), YamlValue::Map(more)) => {
            // An index, because hostile maps can be long on both sides.
            let places: BTreeMap<String, usize> =
                entries.iter().enumerate().map(|(index, (key, _))| (key.text.clone(), index)).collect();

            for (key, value) in more {
                match places.get(&key.text) {
                    // What is at a path is written in one place, not put together from several.
                    Some(index) if !key.text.starts_with('/') && can_merge(&entries[*index].1, value) => {
                        merge(&mut entries[*index].1, value);
                    }
                    _ => entries.push((key.clone(), value.clone())),
                }
            }
        }
        _ => {}
    }
}

fn can_merge(target: &YamlNode, addition: &YamlNode) -> bool {
    matches!(
        (&target.value, &addition.value),
        (YamlValue::List(_), YamlValue::List(_)) | (YamlValue::Map(_), YamlValue::Map(_))
    )
}
