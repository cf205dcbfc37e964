//! Parameters: `${name}` in text, what recipes declare, and the values that an image gets.

use crate::recipe::parse::Key;
use crate::recipe::parse::Node;
use crate::recipe::parse::Value;
use crate::recipe::scalar::Scalar;
use crate::recipe::source::Place;
use crate::recipe::source::Problems;
use crate::recipe::source::Source;
use crate::recipe::suggest::remedy;
use crate::values::diagnostic::shortened;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Parameters that are there without being declared.
pub(crate) const BUILT_IN: [&str; 2] = ["arch", "triplet"];

/// Keys of a recipe in which no parameters are filled in.
const LITERAL: [&str; 3] = ["name", "from", "parameters"];

/// Most bytes that one filled-in text may have.
const LONGEST: usize = 1 << 20;

/// Longest name that is looked for, in bytes.
const LONGEST_NAME: usize = 100;

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    /// Stands for itself.
    Literal(&'a str),
    /// `${name}`; the name.
    Reference(&'a str),
    /// `${` that begins no parameter; the offending text.
    Malformed(&'a str),
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find("${") {
        if rest[..dollar].ends_with('$') {
            parts.push(Part::Literal(&rest[..dollar - 1]));
            parts.push(Part::Literal("${"));
            rest = &rest[dollar + 2..];
            continue;
        }
        parts.push(Part::Literal(&rest[..dollar]));
        let inside = &rest[dollar + 2..];
        let name = inside.bytes().take_while(|byte| !matches!(byte, b'}' | b'$' | b'\n')).take(LONGEST_NAME).count();
        let end = Some(name).filter(|end| inside.as_bytes().get(*end) == Some(&b'}'));
        let end = end.filter(|end| Scalar::Parameter.check(&inside[..*end]).is_ok());
        if let Some(end) = end {
            parts.push(Part::Reference(&inside[..end]));
            rest = &inside[end + 1..];
        } else {
            let mut letters = inside.char_indices().take(LONGEST_NAME);
            let end = letters.find(|(_, letter)| matches!(letter, '}' | '\n')).map(|(offset, _)| offset + 1);
            let end =
                end.unwrap_or_else(|| inside.char_indices().nth(LONGEST_NAME).map_or(inside.len(), |(end, _)| end));
            parts.push(Part::Malformed(rest[dollar..dollar + 2 + end].trim_end()));
            rest = &inside[end..];
        }
    }
    parts.push(Part::Literal(rest));
    parts
}

/// Visits every text below `node` in which parameters are filled in, keys too.
fn texts<'a>(node: &'a Node, visit: &mut dyn FnMut(&'a str, Place)) {
    match &node.value {
        Value::Null => {}
        Value::Scalar(text) => visit(text, node.place),
        Value::List(items) => items.iter().for_each(|item| texts(item, visit)),
        Value::Map(entries) => {
            for (key, value) in entries {
                visit(&key.text, key.place);
                texts(value, visit);
            }
        }
    }
}

fn filled_entries(recipe: &Node) -> impl Iterator<Item = &(Key, Node)> {
    recipe.entries().iter().filter(|(key, _)| !LITERAL.contains(&key.text.as_str()))
}

/// Reports `${…}` that names no parameter in `known`, and returns the names used.
pub(crate) fn check_references(
    source: &Source,
    recipe: &Node,
    known: &BTreeSet<String>,
    problems: &mut Problems,
) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (_, value) in filled_entries(recipe) {
        texts(value, &mut |text, place| {
            for part in parts(text) {
                match part {
                    _ if problems.is_full() => return,
                    Part::Literal(_) => {}
                    Part::Malformed(wrong) => {
                        let message = format!("`{}` is no parameter", shortened(wrong));
                        let help = "write `$${` for a `${` that stands for itself";
                        problems.error_with_help(source, within(source, place, wrong), &message, help);
                    }
                    Part::Reference(name) => {
                        if known.contains(name) || BUILT_IN.contains(&name) {
                            used.insert(name.to_owned());
                            continue;
                        }
                        let message = format!("unknown parameter `{}`", shortened(name));
                        let all = known.iter().map(String::as_str).chain(BUILT_IN);
                        let place = within(source, place, &format!("${{{name}}}"));
                        problems.error_with_help(source, place, &message, &remedy(name, all));
                    }
                }
            }
        });
    }
    used
}

/// Returns the place of `wanted` inside a place, where it is written there unescaped.
fn within(source: &Source, place: Place, wanted: &str) -> Place {
    match source.slice(place).find(wanted) {
        Some(offset) => Place { start: place.start + offset, end: place.start + offset + wanted.len() },
        None => place,
    }
}

/// Returns the recipe with all parameters filled in; one without a value is reported.
pub(crate) fn fill(source: &Source, recipe: &Node, values: &BTreeMap<String, String>, problems: &mut Problems) -> Node {
    let mut filler = Filler { source, values, problems };
    let entries = recipe.entries().iter().map(|(key, value)| {
        let literal = LITERAL.contains(&key.text.as_str());
        (key.clone(), if literal { value.clone() } else { filler.node(value) })
    });
    Node { place: recipe.place, value: Value::Map(entries.collect()) }
}

struct Filler<'a> {
    source: &'a Source,
    values: &'a BTreeMap<String, String>,
    problems: &'a mut Problems,
}

impl Filler<'_> {
    fn node(&mut self, node: &Node) -> Node {
        let value = match &node.value {
            Value::Null => Value::Null,
            Value::Scalar(text) => Value::Scalar(self.text(text, node.place)),
            Value::List(items) => Value::List(items.iter().map(|item| self.node(item)).collect()),
            Value::Map(entries) => Value::Map(
                entries
                    .iter()
                    .map(|(key, value)| {
                        let text = self.text(&key.text, key.place);
                        (Key { text, place: key.place }, self.node(value))
                    })
                    .collect(),
            ),
        };
        Node { place: node.place, value }
    }

    fn text(&mut self, text: &str, place: Place) -> String {
        let mut filled = String::new();
        for part in parts(text) {
            match part {
                Part::Literal(literal) | Part::Malformed(literal) => filled.push_str(literal),
                Part::Reference(name) => match self.values.get(name) {
                    Some(value) if filled.len() + value.len() <= LONGEST => filled.push_str(value),
                    Some(_) => {}
                    None => {
                        let message = format!("the parameter `{}` has no value in every image", shortened(name));
                        let place = within(self.source, place, &format!("${{{name}}}"));
                        self.problems.error(self.source, place, &message);
                    }
                },
            }
        }
        filled
    }
}

/// Reports what is wrong with a recipe's own declarations, as far as the recipe alone shows it.
pub(crate) fn check_declarations(source: &Source, recipe: &Node, problems: &mut Problems) {
    let declared = recipe.get("parameters").map(Node::entries).unwrap_or_default();
    for (key, declaration) in declared {
        let get = |name| declaration.get(name);
        if BUILT_IN.contains(&key.text.as_str()) {
            problems.error(source, key.place, &format!("the parameter `{}` is built in", key.text));
        }
        match (get("from"), get("map")) {
            (Some(_), Some(_)) => {
                for name in ["default", "allowed"] {
                    if let Some(node) = get(name) {
                        let message = format!("a derived parameter has no `{name}`");
                        problems.error(source, node.place, &message);
                    }
                }
            }
            (None, None) => {
                if let (Some(default), Some(allowed)) = (get("default"), get("allowed")) {
                    check_allowed(source, default.place, default.text(), allowed, problems);
                }
            }
            _ => problems.error(source, key.place, "a derived parameter needs both `from` and `map`"),
        }
    }
}

fn check_allowed(source: &Source, place: Place, value: &str, allowed: &Node, problems: &mut Problems) {
    if !allowed.items().iter().any(|item| item.text() == value) {
        let message = format!("`{}` is not allowed here", shortened(value));
        problems.error_with_help(source, place, &message, &remedy(value, allowed.items().iter().map(Node::text)));
    }
}

/// Returns the values of all parameters that the recipes of a chain declare, root first.
///
/// `with` is the base image's map of given values, in the file `image`.
pub(crate) fn resolve(
    chain: &[(&Source, &Node)],
    image: &Source,
    with: Option<&Node>,
    at: Place,
    problems: &mut Problems,
) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let mut declared: BTreeSet<&str> = BTreeSet::new();
    let given = with.map(Node::entries).unwrap_or_default();
    for (source, recipe) in chain {
        for (key, declaration) in recipe.get("parameters").map(Node::entries).unwrap_or_default() {
            let name = key.text.as_str();
            if !declared.insert(name) {
                let message = format!("a lower recipe declares the parameter `{name}` too");
                problems.error(source, key.place, &message);
            }
            let gift = given.iter().find(|(key, _)| key.text == name);
            if let Some(from) = declaration.get("from") {
                if let Some((key, _)) = gift {
                    let message = format!("the parameter `{name}` is derived from `{}`", from.text());
                    problems.error_with_help(image, key.place, &message, "leave it out here");
                }
                let derived = derive(source, from, declaration.get("map"), &values, problems);
                values.extend(derived.map(|value| (name.to_owned(), value)));
            } else if let Some((_, value)) = gift {
                if let Some(allowed) = declaration.get("allowed") {
                    check_allowed(image, value.place, value.text(), allowed, problems);
                }
                values.insert(name.to_owned(), value.text().to_owned());
            } else if let Some(default) = declaration.get("default") {
                values.insert(name.to_owned(), default.text().to_owned());
            } else {
                let message = format!("the parameter `{name}` has no value");
                problems.error_with_help(image, at, &message, &format!("give it one: `with: {{ {name}: … }}`"));
            }
        }
    }
    for (key, _) in given {
        if !declared.contains(key.text.as_str()) {
            let message = format!("unknown parameter `{}`", shortened(&key.text));
            problems.error_with_help(image, key.place, &message, &remedy(&key.text, declared.iter().copied()));
        }
    }
    values
}

fn derive(
    source: &Source,
    from: &Node,
    map: Option<&Node>,
    values: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> Option<String> {
    let Some(value) = values.get(from.text()) else {
        let message = format!("the parameter `{}` has no value before this one", shortened(from.text()));
        let help = remedy(from.text(), values.keys().map(String::as_str));
        problems.error_with_help(source, from.place, &message, &help);
        return None;
    };
    let derived = map.and_then(|map| map.get(value));
    if derived.is_none() {
        let message = format!("`map` has nothing for the value `{}` of `{}`", shortened(value), from.text());
        problems.error(source, map.map_or(from.place, |map| map.place), &message);
    }
    derived.map(|node| node.text().to_owned())
}

/// Reports values of a parameter that a map derived from it does not cover; `lower` are declarations below.
pub(crate) fn check_maps(source: &Source, recipe: &Node, lower: &[&Node], problems: &mut Problems) {
    let all = |name: &str| {
        std::iter::once(recipe).chain(lower.iter().copied()).find_map(|node| node.get("parameters")?.get(name))
    };
    for (_, declaration) in recipe.get("parameters").map(Node::entries).unwrap_or_default() {
        let (Some(from), Some(map)) = (declaration.get("from"), declaration.get("map")) else { continue };
        let allowed = all(from.text()).and_then(|from| from.get("allowed"));
        for value in allowed.map(Node::items).unwrap_or_default() {
            if map.get(value.text()).is_none() {
                let message = format!("`map` has nothing for the value `{}` of `{}`", value.text(), from.text());
                problems.error(source, map.place, &message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_parts() {
        use Part::Literal as L;
        use Part::Malformed as M;
        use Part::Reference as R;
        for (text, expected) in [
            ("", vec![L("")]),
            ("$", vec![L("$")]),
            ("a-${java}-b", vec![L("a-"), R("java"), L("-b")]),
            ("$${x}${y}", vec![L(""), L("${"), L("x}"), R("y"), L("")]),
            ("${A:-b} c", vec![L(""), M("${A:-b}"), L(" c")]),
            ("${a\nb}", vec![L(""), M("${a"), L("b}")]),
            ("${", vec![L(""), M("${"), L("")]),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
    }
}
