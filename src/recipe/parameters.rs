//! Parameters: references `${name}` in text, declarations in recipes, and the values of an image.

use crate::recipe::parse::YamlKey;
use crate::recipe::parse::YamlNode;
use crate::recipe::parse::YamlValue;
use crate::recipe::scalar::ScalarKind;
use crate::recipe::source::Diagnostics;
use crate::recipe::source::SourceFile;
use crate::recipe::source::SourceSpan;
use crate::recipe::suggest::remedy;
use crate::values::diagnostic::shortened;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Parameters that exist without being declared.
pub(crate) const BUILT_IN: [&str; 2] = ["arch", "triplet"];

/// Keys of a recipe in which no parameters are filled in: the chain of recipes and its parameters come from them.
const LITERAL: [&str; 3] = ["name", "from", "parameters"];

/// Most bytes of one filled-in text: `${a}${a}…` must not make a small file fill the memory.
const LONGEST: usize = 1 << 20;

/// Longest parameter name, in bytes. It limits how far a `${` without an end is searched.
const LONGEST_NAME: usize = 100;

/// A part of a text that may refer to parameters.
#[derive(Debug, PartialEq, Eq)]
enum TextPart<'a> {
    /// Text that is taken as it is.
    Literal(&'a str),
    /// Name of a parameter, written `${name}`.
    Reference(&'a str),
    /// Text that begins with `${` but is no reference.
    Malformed(&'a str),
}

/// Splits a text into literal text and references.
fn parts(text: &str) -> Vec<TextPart<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find("${") {
        let inside = &rest[dollar + 2..];

        // `$${` is the escape for a literal `${`.
        if rest[..dollar].ends_with('$') {
            parts.push(TextPart::Literal(&rest[..dollar - 1]));
            parts.push(TextPart::Literal("${"));
            rest = inside;
            continue;
        }

        parts.push(TextPart::Literal(&rest[..dollar]));
        if let Some(name) = reference(inside) {
            parts.push(TextPart::Reference(name));
            // Without the `}`.
            rest = &inside[name.len() + 1..];
        } else {
            // Searching goes on behind the malformed part, so that one mistake gives one problem.
            let end = malformed_end(inside);
            parts.push(TextPart::Malformed(rest[dollar..dollar + 2 + end].trim_end()));
            rest = &inside[end..];
        }
    }

    parts.push(TextPart::Literal(rest));
    parts
}

/// Returns the name at the beginning of what follows a `${`, if it is a valid name with a `}` behind it.
fn reference(inside: &str) -> Option<&str> {
    let end = inside.bytes().take(LONGEST_NAME + 1).position(|byte| byte == b'}')?;
    // No slice within a character: UTF-8 uses the byte of `}` for nothing else.
    let name = &inside[..end];

    ScalarKind::Parameter.check(name).is_ok().then_some(name)
}

/// Returns how much of what follows a `${` to show as malformed: to the `}` or the end of the line, but not too much.
fn malformed_end(inside: &str) -> usize {
    for (count, (offset, letter)) in inside.char_indices().enumerate() {
        if count == LONGEST_NAME {
            return offset;
        }
        if matches!(letter, '}' | '\n') {
            return offset + 1;
        }
    }
    inside.len()
}

/// Collects every text below `node` in which parameters are filled in, keys included.
fn collect_texts<'a>(node: &'a YamlNode, texts: &mut Vec<(&'a str, SourceSpan)>) {
    match &node.value {
        YamlValue::Null => {}
        YamlValue::Scalar(text) => texts.push((text, node.place)),
        YamlValue::List(items) => items.iter().for_each(|item| collect_texts(item, texts)),
        YamlValue::Map(entries) => {
            for (key, value) in entries {
                texts.push((&key.text, key.place));
                collect_texts(value, texts);
            }
        }
    }
}

/// Reports references to parameters that are not in `known`, and returns the names used.
pub(crate) fn check_references(
    source: &SourceFile,
    recipe: &YamlNode,
    known: &BTreeSet<String>,
    problems: &mut Diagnostics,
) -> BTreeSet<String> {
    let mut texts = Vec::new();
    for (key, value) in recipe.entries() {
        if !LITERAL.contains(&key.text.as_str()) {
            collect_texts(value, &mut texts);
        }
    }

    let mut used = BTreeSet::new();
    for (text, place) in texts {
        for part in parts(text) {
            // A hostile file can hold far more references than problems are kept.
            if problems.is_full() {
                return used;
            }

            match part {
                TextPart::Literal(_) => {}
                TextPart::Malformed(wrong) => {
                    let message = format!("`{}` is not a valid parameter reference", shortened(wrong));
                    let help = "write `$${` for a literal `${`";
                    problems.error_with_help(source, within(source, place, wrong), &message, help);
                }
                TextPart::Reference(name) if known.contains(name) || BUILT_IN.contains(&name) => {
                    used.insert(name.to_owned());
                }
                TextPart::Reference(name) => {
                    let message = format!("unknown parameter `{}`", shortened(name));
                    // Only the reference is underlined, not the whole text, which can be a file of many lines.
                    let names = known.iter().map(String::as_str).chain(BUILT_IN);
                    let place = within(source, place, &format!("${{{name}}}"));
                    problems.error_with_help(source, place, &message, &remedy(name, names));
                }
            }
        }
    }
    used
}

/// Returns the place of `wanted` inside a place; the whole place if quotes or escapes hide it there.
fn within(source: &SourceFile, place: SourceSpan, wanted: &str) -> SourceSpan {
    // The first occurrence will do: several of them have the same problem.
    match source.slice(place).find(wanted) {
        Some(offset) => SourceSpan { start: place.start + offset, end: place.start + offset + wanted.len() },
        None => place,
    }
}

/// Returns the recipe with all parameters filled in, and reports those without a value.
pub(crate) fn fill(
    source: &SourceFile,
    recipe: &YamlNode,
    values: &BTreeMap<String, String>,
    problems: &mut Diagnostics,
) -> YamlNode {
    let mut filler = ParameterFiller { source, values, problems };

    let mut entries = Vec::new();
    for (key, value) in recipe.entries() {
        let is_literal = LITERAL.contains(&key.text.as_str());
        entries.push((key.clone(), if is_literal { value.clone() } else { filler.node(value) }));
    }

    YamlNode { place: recipe.place, value: YamlValue::Map(entries) }
}

/// Fills parameters into the texts of one recipe.
struct ParameterFiller<'a> {
    source: &'a SourceFile,
    values: &'a BTreeMap<String, String>,
    problems: &'a mut Diagnostics,
}

impl ParameterFiller<'_> {
    fn node(&mut self, node: &YamlNode) -> YamlNode {
        let value = match &node.value {
            YamlValue::Null => YamlValue::Null,
            YamlValue::Scalar(text) => YamlValue::Scalar(self.text(text, node.place)),
            YamlValue::List(items) => YamlValue::List(items.iter().map(|item| self.node(item)).collect()),
            YamlValue::Map(entries) => YamlValue::Map(entries.iter().map(|entry| self.entry(entry)).collect()),
        };

        // Places stay those of the file, so that problems of filled-in values are shown where they were written.
        YamlNode { place: node.place, value }
    }

    fn entry(&mut self, entry: &(YamlKey, YamlNode)) -> (YamlKey, YamlNode) {
        let (key, value) = entry;
        let text = self.text(&key.text, key.place);

        (YamlKey { text, place: key.place }, self.node(value))
    }

    fn text(&mut self, text: &str, place: SourceSpan) -> String {
        let mut filled = String::new();
        for part in parts(text) {
            match part {
                // `check_references` has reported malformed ones.
                TextPart::Literal(literal) | TextPart::Malformed(literal) => filled.push_str(literal),
                TextPart::Reference(name) => match self.values.get(name) {
                    Some(value) if filled.len() + value.len() <= LONGEST => filled.push_str(value),
                    // Once for the text, not for each of its references.
                    Some(_) => {
                        let message = "with its parameters filled in, this text is longer than 1 MiB";
                        self.problems.error(self.source, place, message);
                        break;
                    }
                    // Some chain gives it a value, since `check_references` knows it, but not this image's.
                    None => {
                        let message =
                            format!("the parameter `{}` does not have a value in every image", shortened(name));
                        let place = within(self.source, place, &format!("${{{name}}}"));
                        self.problems.error(self.source, place, &message);
                    }
                },
            }
        }
        filled
    }
}

/// Reports errors in a recipe's declarations, as far as the recipe alone shows them.
pub(crate) fn check_declarations(source: &SourceFile, recipe: &YamlNode, problems: &mut Diagnostics) {
    for (name, declaration) in recipe.entries_of("parameters") {
        // Built-in parameters differ by platform, and a declared value would be the same for all.
        if BUILT_IN.contains(&name.text.as_str()) {
            problems.error(source, name.place, &format!("the parameter `{}` is built in", name.text));
        }

        match (declaration.get("from"), declaration.get("map")) {
            // A derived parameter has exactly the values of its map.
            (Some(_), Some(_)) => {
                for key in ["default", "allowed", "kind"] {
                    if let Some(node) = declaration.get(key) {
                        problems.error(source, node.place, &format!("a derived parameter cannot have `{key}`"));
                    }
                }
            }
            // Values that images set are checked where they are set, in `Resolver::value`.
            (None, None) => {
                if let Some(default) = declaration.get("default") {
                    check_kind(source, default, declaration, problems);
                }
                if let (Some(default), Some(allowed)) = (declaration.get("default"), declaration.get("allowed")) {
                    check_allowed(source, default, allowed, problems);
                }
            }
            _ => problems.error(source, name.place, "a derived parameter needs both `from` and `map`"),
        }
    }
}

/// Reports a value that is not in the list of allowed ones.
fn check_allowed(source: &SourceFile, value: &YamlNode, allowed: &YamlNode, problems: &mut Diagnostics) {
    if !allowed.items().iter().any(|item| item.text() == value.text()) {
        let message = format!("`{}` is not allowed here", shortened(value.text()));
        let help = remedy(value.text(), allowed.items().iter().map(YamlNode::text));
        problems.error_with_help(source, value.place, &message, &help);
    }
}

/// Reports a value that is not of the kind that its parameter asks for.
fn check_kind(source: &SourceFile, value: &YamlNode, declaration: &YamlNode, problems: &mut Diagnostics) {
    let kind = match declaration.get("kind").map(YamlNode::text) {
        Some("percent") => ScalarKind::Percent,
        Some("url-path") => ScalarKind::UrlPath,
        // Validation reports kinds that the table of keys does not have.
        _ => return,
    };

    if let Err(misfit) = kind.check(value.text()) {
        problems.error_with_help(source, value.place, &misfit.message, &misfit.help);
    }
}

/// Returns the values of all parameters that the recipes of a chain declare, root first.
///
/// `with` is the base image's map of values, in the file `image`; a missing value is reported at `at`.
pub(crate) fn resolve(
    chain: &[(&SourceFile, &YamlNode)],
    image: &SourceFile,
    with: Option<&YamlNode>,
    at: SourceSpan,
    problems: &mut Diagnostics,
) -> BTreeMap<String, String> {
    let with = with.map(YamlNode::entries).unwrap_or_default();
    let mut resolver = Resolver { image, with, at, values: BTreeMap::new(), problems };

    // Root first, because a parameter can only be derived from one of the same or a lower recipe.
    let mut declared: BTreeSet<&str> = BTreeSet::new();
    for (source, recipe) in chain {
        for (key, declaration) in recipe.entries_of("parameters") {
            let name = key.text.as_str();
            // Which of two declarations counts would depend on the order of levels.
            if !declared.insert(name) {
                let message = format!("a lower recipe already declares the parameter `{name}`");
                resolver.problems.error(source, key.place, &message);
            }
            if let Some(value) = resolver.value(source, name, declaration) {
                resolver.values.insert(name.to_owned(), value);
            }
        }
    }

    // A mistyped name would otherwise leave the default in force, silently.
    for (key, _) in with {
        if !declared.contains(key.text.as_str()) {
            let message = format!("unknown parameter `{}`", shortened(&key.text));
            let help = remedy(&key.text, declared.iter().copied());
            resolver.problems.error_with_help(image, key.place, &message, &help);
        }
    }

    resolver.values
}

/// Finds the values of one image's parameters.
struct Resolver<'a> {
    /// File of the base image.
    image: &'a SourceFile,
    /// Values that the base image sets.
    with: &'a [(YamlKey, YamlNode)],
    /// Place in the base image's file where a missing value is reported.
    at: SourceSpan,
    /// Values found so far.
    values: BTreeMap<String, String>,
    problems: &'a mut Diagnostics,
}

impl Resolver<'_> {
    /// Returns the value of a parameter that `source` declares; `None` if it was reported that there is none.
    fn value(&mut self, source: &SourceFile, name: &str, declaration: &YamlNode) -> Option<String> {
        let set = self.with.iter().find(|(key, _)| key.text == name);

        if let Some(from) = declaration.get("from") {
            // A value of its own would contradict the one it is derived from.
            if let Some((key, _)) = set {
                let message = format!("the parameter `{name}` is derived from `{}`", from.text());
                self.problems.error_with_help(self.image, key.place, &message, "leave it out here");
            }
            return self.derived(source, from, declaration.get("map"));
        }

        if let Some((_, value)) = set {
            if let Some(allowed) = declaration.get("allowed") {
                check_allowed(self.image, value, allowed, self.problems);
            }
            check_kind(self.image, value, declaration, self.problems);
            return Some(value.text().to_owned());
        }

        if let Some(default) = declaration.get("default") {
            return Some(default.text().to_owned());
        }

        let message = format!("the parameter `{name}` has no value");
        let help = format!("set it: `with: {{ {name}: … }}`");
        self.problems.error_with_help(self.image, self.at, &message, &help);
        None
    }

    /// Returns the value of a derived parameter: what `map` has for the value of the parameter `from`.
    fn derived(&mut self, source: &SourceFile, from: &YamlNode, map: Option<&YamlNode>) -> Option<String> {
        // Circles end here too: of two parameters derived from each other, one comes first and finds no value.
        let Some(value) = self.values.get(from.text()) else {
            let message = format!("the parameter `{}` has no value before this one", shortened(from.text()));
            let help = remedy(from.text(), self.values.keys().map(String::as_str));
            self.problems.error_with_help(source, from.place, &message, &help);
            return None;
        };

        let derived = map.and_then(|map| map.get(value));
        if derived.is_none() {
            let message = format!("`map` has no entry for the value `{}` of `{}`", shortened(value), from.text());
            self.problems.error(source, map.map_or(from.place, |map| map.place), &message);
        }

        derived.map(|node| node.text().to_owned())
    }
}

/// Reports allowed values of a parameter that a map derived from it does not cover, also where no image uses them.
///
/// `lower` are the recipes that may be below this one.
pub(crate) fn check_maps(source: &SourceFile, recipe: &YamlNode, lower: &[&YamlNode], problems: &mut Diagnostics) {
    for (_, derived) in recipe.entries_of("parameters") {
        let (Some(from), Some(map)) = (derived.get("from"), derived.get("map")) else { continue };

        // Without a list of allowed values, `Resolver::derived` finds out for each image.
        let mut recipes = std::iter::once(recipe).chain(lower.iter().copied());
        let Some(original) = recipes.find_map(|node| node.at(&["parameters", from.text()])) else { continue };

        for value in original.items_of("allowed") {
            if map.get(value.text()).is_none() {
                let message = format!("`map` has no entry for the value `{}` of `{}`", value.text(), from.text());
                problems.error(source, map.place, &message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_texts_that_grow_too_long() {
        let text = format!("files: {{ /a: {{ content: \"{}\" }} }}", "${a}".repeat(300));
        let source = SourceFile::new("recipes/a.yaml".to_owned(), text);
        let mut problems = Diagnostics::default();
        let recipe = crate::recipe::parse::parse(&source, &mut problems).expect("valid YAML");
        let values = BTreeMap::from([("a".to_owned(), "a".repeat(4096))]);
        fill(&source, &recipe, &values, &mut problems);
        let problems = problems.sorted();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].message.ends_with("longer than 1 MiB"), "{problems:?}");
    }

    #[test]
    fn finds_parts() {
        use TextPart::Literal as L;
        use TextPart::Malformed as M;
        use TextPart::Reference as R;
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
