//! YAML text to a tree in which every key and value knows its place; nothing here knows what a recipe is.
//!
//! The tree is made from parser events rather than through serde, because serde stops at the first error and has lost
//! how a number was written (`1.10`). Anchors, aliases and tags are refused: recipes do not need them, and without
//! aliases no small file can become a large tree.

use crate::recipe::source::Place;
use crate::recipe::source::Problems;
use crate::recipe::source::Source;
use crate::values::diagnostic::shortened;
use serde_yaml::granit_parser;
use serde_yaml::granit_parser::Event;
use serde_yaml::granit_parser::Parser;
use serde_yaml::granit_parser::ScalarStyle;

/// Deepest nesting.
const DEEPEST: usize = 32;

/// Most nodes in one file.
const MOST_NODES: usize = 200_000;

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Where it stands.
    pub(crate) place: Place,
    /// What it is.
    pub(crate) value: Value,
}

/// What stands at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// Text or number, as written; quotes and escapes undone.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the file; keys may be repeated.
    Map(Vec<(Key, Node)>),
}

/// A map's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Where it stands.
    pub(crate) place: Place,
    /// Its text.
    pub(crate) text: String,
}

impl Node {
    /// Returns the value of a key; `None` where this is no map.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name.text == key).map(|(_, value)| value)
    }

    /// Returns the text; empty where this is no scalar.
    pub(crate) fn text(&self) -> &str {
        match &self.value {
            Value::Scalar(text) => text,
            _ => "",
        }
    }

    /// Returns the list's items; none where this is no list.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Returns the map's entries; none where this is no map.
    pub(crate) fn entries(&self) -> &[(Key, Self)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Returns what this is, for people.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// Reads one YAML document; `None` when a problem was reported.
pub(crate) fn parse(source: &Source, problems: &mut Problems) -> Option<Node> {
    match Builder::default().build(&source.text) {
        Ok(Some(node)) => Some(node),
        Ok(None) => {
            problems.error(source, Place::default(), "the file is empty");
            None
        }
        Err(fault) => {
            problems.error_with_help(source, fault.place, &fault.message, fault.help);
            None
        }
    }
}

struct Fault {
    place: Place,
    message: String,
    help: &'static str,
}

impl Fault {
    fn new(place: Place, message: &str, help: &'static str) -> Self {
        Self { place, message: message.to_owned(), help }
    }

    fn of_syntax(text: &str, error: &granit_parser::ScanError) -> Self {
        let start = error.marker().byte_offset().unwrap_or(0).min(text.len());
        let width = text.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        let place = Place { start, end: start + width };
        let line = text.get(..start).unwrap_or_default().rsplit('\n').next().unwrap_or_default();
        let tab = line.contains('\t') || text.get(start..).is_some_and(|rest| rest.starts_with('\t'));
        let help = if tab { "YAML is indented with spaces, never with tabs" } else { "" };
        Self { place, message: format!("cannot read this YAML: {}", shortened(&error.info().to_string())), help }
    }
}

/// A list or map that is not complete yet.
enum Open {
    List(Place, Vec<Node>),
    Map(Place, Vec<(Key, Node)>, Option<Key>),
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

impl Builder {
    fn build(mut self, text: &str) -> Result<Option<Node>, Fault> {
        let options = granit_parser::options! {
            emit_comments: false,
            disallow_directives: true,
            flow_nesting_limit: DEEPEST,
            block_nesting_limit: DEEPEST,
        };
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(|error| Fault::of_syntax(text, &error))?;
            let start = span.start.byte_offset().unwrap_or(0).min(text.len());
            let end = span.end.byte_offset().unwrap_or(start).clamp(start, text.len());
            self.take(event, Place { start, end })?;
        }
        Ok(self.root)
    }

    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), Fault> {
        const PLAIN: &str = "write the value out where it is needed";
        match event {
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, _, Some(_))
            | Event::MappingStart(_, _, Some(_)) => Err(Fault::new(place, "YAML tags are not used here", PLAIN)),
            Event::Alias(_) | Event::UnresolvedAlias(_) | Event::Anchor(..) => {
                Err(Fault::new(place, "YAML aliases are not used here", PLAIN))
            }
            Event::Scalar(text, style, 0, None) => self.scalar(&text, style, place),
            Event::SequenceStart(_, 0, None) => self.start(Open::List(place, Vec::new()), place),
            Event::MappingStart(_, 0, None) => self.start(Open::Map(place, Vec::new(), None), place),
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                Err(Fault::new(place, "YAML anchors are not used here", PLAIN))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(place),
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(Fault::new(place, "a second document begins here", "put it into a file of its own"))
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, place: Place) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(Fault::new(place, &format!("more than {MOST_NODES} values in one file"), ""));
        }
        Ok(())
    }

    fn start(&mut self, open: Open, place: Place) -> Result<(), Fault> {
        if matches!(self.open.last(), Some(Open::Map(_, _, None))) {
            return Err(Fault::new(place, "a key must be text", ""));
        }
        if self.open.len() >= DEEPEST {
            return Err(Fault::new(place, &format!("more than {DEEPEST} levels of nesting"), ""));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self, end: Place) -> Result<(), Fault> {
        let node = match self.open.pop() {
            Some(Open::List(place, items)) => {
                Node { place: Place { end: end.end.max(place.end), ..place }, value: Value::List(items) }
            }
            Some(Open::Map(place, entries, _)) => {
                Node { place: Place { end: end.end.max(place.end), ..place }, value: Value::Map(entries) }
            }
            None => return Ok(()),
        };
        self.add(node)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, place: Place) -> Result<(), Fault> {
        if let Some(Open::Map(_, _, key @ None)) = self.open.last_mut() {
            *key = Some(Key { place, text: text.to_owned() });
            return self.count(place);
        }
        let null = style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
        let value = if null { Value::Null } else { Value::Scalar(text.to_owned()) };
        self.add(Node { place, value })
    }

    fn add(&mut self, mut node: Node) -> Result<(), Fault> {
        self.count(node.place)?;
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, entries, key)) => {
                if let Some(key) = key.take() {
                    if node.value == Value::Null && node.place.start == node.place.end {
                        node.place = key.place;
                    }
                    entries.push((key, node));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> (Option<Node>, Vec<String>) {
        let source = Source::new("a.yaml".to_owned(), text.to_owned());
        let mut problems = Problems::default();
        let node = parse(&source, &mut problems);
        let text =
            |problem: crate::recipe::Diagnostic| format!("{}:{}: {}", problem.line, problem.column, problem.message);
        (node, problems.sorted().into_iter().map(text).collect())
    }

    #[test]
    fn keeps_text_as_written() {
        let (node, problems) = read("a: 1.10\nb: \"25\"\nc: 0644\nd: on\ne:\nf: [x, 'y']\ng: |\n  one\n  two\n");
        let node = node.expect("valid");
        assert_eq!(problems, Vec::<String>::new());
        for (key, text) in [("a", "1.10"), ("b", "25"), ("c", "0644"), ("d", "on"), ("g", "one\ntwo\n")] {
            assert_eq!(node.get(key).map(Node::text), Some(text), "{key}");
        }
        assert_eq!(node.get("e").map(|node| &node.value), Some(&Value::Null));
        assert_eq!(node.get("f").map(|node| node.items().len()), Some(2));
    }

    #[test]
    fn reports_bad_yaml() {
        let deep = format!("a: {}", "[".repeat(200));
        for (text, expected) in [
            ("", "1:1: the file is empty"),
            ("a: &x 1\n", "1:7: YAML anchors are not used here"),
            ("a: !!str 1\n", "1:10: YAML tags are not used here"),
            ("a: 1\n---\nb: 2\n", "2:1: a second document begins here"),
            ("[a]: 1\n", "1:1: a key must be text"),
            (deep.as_str(), "1:36: cannot read this YAML"),
            ("a: [1\n", "1:4: cannot read this YAML"),
            ("a:\n\tb: 1\n", "2:2: cannot read this YAML"),
        ] {
            let (_, problems) = read(text);
            assert!(problems.len() == 1 && problems[0].starts_with(expected), "{text:?}: {problems:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,200}", lines in "([a-c?!&*\\[\\]{}:|>\"'#,-]{0,4}[ \t\n]{0,3}){0,60}") {
            read(&text);
            read(&lines);
        }
    }
}
