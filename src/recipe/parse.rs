//! Parses YAML text into a tree in which every key and value knows its place. Nothing here knows what a recipe is.
//!
//! The tree is made from parser events rather than through serde, because serde stops at the first error and has lost
//! how a number was written (`1.10`). Anchors, aliases and tags are refused: recipes do not need them, and without
//! aliases no small file can become a large tree.

use crate::recipe::source::Diagnostics;
use crate::recipe::source::SourceFile;
use crate::recipe::source::SourceSpan;
use crate::values::diagnostic::shortened;
use serde_yaml::granit_parser;
use serde_yaml::granit_parser::Event;
use serde_yaml::granit_parser::Parser;
use serde_yaml::granit_parser::ScalarStyle;

/// Deepest nesting. Recipes need a handful of levels; the limit keeps recursion over the tree shallow.
const DEEPEST: usize = 32;

/// Most nodes in one file: `[[],[],…]` costs far more memory as a tree than as text.
const MOST_NODES: usize = 200_000;

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct YamlNode {
    /// Place of the value in the file.
    pub(crate) place: SourceSpan,
    /// The value itself.
    pub(crate) value: YamlValue,
}

/// A YAML value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum YamlValue {
    /// An empty value, `~` or `null`.
    Null,
    /// Text or number as written, with quotes and escapes resolved.
    Scalar(String),
    /// A list.
    List(Vec<YamlNode>),
    /// A map in the order of the file. Keys may be repeated; validation reports that.
    Map(Vec<(YamlKey, YamlNode)>),
}

/// A map's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct YamlKey {
    /// Place of the key in the file.
    pub(crate) place: SourceSpan,
    /// The key's text.
    pub(crate) text: String,
}

impl YamlNode {
    /// Returns the value of a key; `None` where this is no map.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        // The first of repeated keys; validation has reported the others.
        self.entries().iter().find(|(name, _)| name.text == key).map(|(_, value)| value)
    }

    /// Returns the value at a path of keys.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Returns the items of the list under a key; none where there is no such list.
    pub(crate) fn items_of(&self, key: &str) -> &[Self] {
        self.get(key).map(Self::items).unwrap_or_default()
    }

    /// Returns the entries of the map under a key; none where there is no such map.
    pub(crate) fn entries_of(&self, key: &str) -> &[(YamlKey, Self)] {
        self.get(key).map(Self::entries).unwrap_or_default()
    }

    /// Returns the text; empty where this is no scalar.
    pub(crate) fn text(&self) -> &str {
        match &self.value {
            YamlValue::Scalar(text) => text,
            _ => "",
        }
    }

    /// Returns the list's items; none where this is no list.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            YamlValue::List(items) => items,
            _ => &[],
        }
    }

    /// Returns the map's entries; none where this is no map.
    pub(crate) fn entries(&self) -> &[(YamlKey, Self)] {
        match &self.value {
            YamlValue::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Returns the kind of value in words, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            YamlValue::Null => "nothing",
            YamlValue::Scalar(_) => "text",
            YamlValue::List(_) => "a list",
            YamlValue::Map(_) => "a map",
        }
    }
}

/// Parses one YAML document; `None` when a problem was reported.
pub(crate) fn parse(source: &SourceFile, problems: &mut Diagnostics) -> Option<YamlNode> {
    match YamlTreeBuilder::default().build(&source.text) {
        Ok(Some(node)) => Some(node),
        Ok(None) => {
            problems.error(source, SourceSpan::default(), "the file is empty");
            None
        }
        Err(fault) => {
            problems.error_with_help(source, fault.place, &fault.message, fault.help);
            None
        }
    }
}

/// The first error of a file. Parsing stops at it: what follows a syntax error is guesswork.
struct YamlFault {
    place: SourceSpan,
    message: String,
    help: &'static str,
}

impl YamlFault {
    fn new(place: SourceSpan, message: &str, help: &'static str) -> Self {
        Self { place, message: message.to_owned(), help }
    }

    /// Turns the parser's error into ours, which underlines the character at which the parser stopped.
    fn of_syntax(text: &str, error: &granit_parser::ScanError) -> Self {
        let start = error.marker().byte_offset().unwrap_or(0).min(text.len());
        let (before, after) = text.split_at_checked(start).unwrap_or_default();
        let width = after.chars().next().map_or(0, char::len_utf8);

        // A tab in the line is nearly always the cause, and it is invisible, so the help names it.
        let line = before.rsplit('\n').next().unwrap_or_default();
        let has_tab = line.contains('\t') || after.starts_with('\t');
        let help = if has_tab { "YAML is indented with spaces, never with tabs" } else { "" };

        Self {
            place: SourceSpan { start, end: start + width },
            message: format!("cannot read this YAML: {}", shortened(&error.info().to_string())),
            help,
        }
    }
}

/// A list or map whose end has not been read yet.
enum OpenCollection {
    List(SourceSpan, Vec<YamlNode>),
    /// The last key is the one that still waits for its value.
    Map(SourceSpan, Vec<(YamlKey, YamlNode)>, Option<YamlKey>),
}

/// Builds the tree from the parser's events.
#[derive(Default)]
struct YamlTreeBuilder {
    /// Lists and maps around the current place, outermost first.
    open: Vec<OpenCollection>,
    root: Option<YamlNode>,
    /// Keys and values so far, for [`MOST_NODES`].
    nodes: usize,
}

impl YamlTreeBuilder {
    fn build(mut self, text: &str) -> Result<Option<YamlNode>, YamlFault> {
        let options = granit_parser::options! {
            emit_comments: false,
            disallow_directives: true,
            flow_nesting_limit: DEEPEST,
            block_nesting_limit: DEEPEST,
        };

        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(|error| YamlFault::of_syntax(text, &error))?;
            // Clamped, since a place is used to slice the text.
            let start = span.start.byte_offset().unwrap_or(0).min(text.len());
            let end = span.end.byte_offset().unwrap_or(start).clamp(start, text.len());
            // Comments and directives do not arrive here; the options drop the first and refuse the second.
            self.take(event, SourceSpan { start, end })?;
        }

        Ok(self.root)
    }

    fn take(&mut self, event: Event<'_>, place: SourceSpan) -> Result<(), YamlFault> {
        const WRITE_OUT: &str = "write the value out where it is needed";

        match event {
            // The last field of these events is the tag, the one before it the anchor's number, 0 for none.
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, _, Some(_))
            | Event::MappingStart(_, _, Some(_)) => {
                Err(YamlFault::new(place, "YAML tags are not used here", WRITE_OUT))
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) | Event::Anchor(..) => {
                Err(YamlFault::new(place, "YAML aliases are not used here", WRITE_OUT))
            }
            Event::Scalar(text, style, 0, None) => self.scalar(&text, style, place),
            Event::SequenceStart(_, 0, None) => self.start(OpenCollection::List(place, Vec::new()), place),
            Event::MappingStart(_, 0, None) => self.start(OpenCollection::Map(place, Vec::new(), None), place),
            // What is left of these has an anchor.
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                Err(YamlFault::new(place, "YAML anchors are not used here", WRITE_OUT))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(place),
            // What a second document means for the first would be a guess.
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(YamlFault::new(place, "a second document begins here", "put it into a file of its own"))
            }
            _ => Ok(()),
        }
    }

    /// Counts a key or value, and stops at too many.
    fn count(&mut self, place: SourceSpan) -> Result<(), YamlFault> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(YamlFault::new(place, &format!("more than {MOST_NODES} values in one file"), ""));
        }
        Ok(())
    }

    /// Begins a list or map.
    fn start(&mut self, open: OpenCollection, place: SourceSpan) -> Result<(), YamlFault> {
        // A map without a waiting key expects one, and YAML allows lists and maps as keys.
        if matches!(self.open.last(), Some(OpenCollection::Map(_, _, None))) {
            return Err(YamlFault::new(place, "a key must be text", ""));
        }
        // The parser has its own limits for the two styles; a tree can mix them.
        if self.open.len() >= DEEPEST {
            return Err(YamlFault::new(place, &format!("more than {DEEPEST} levels of nesting"), ""));
        }

        self.open.push(open);
        Ok(())
    }

    /// Completes the innermost list or map.
    fn end(&mut self, end: SourceSpan) -> Result<(), YamlFault> {
        let (start, value) = match self.open.pop() {
            Some(OpenCollection::List(start, items)) => (start, YamlValue::List(items)),
            Some(OpenCollection::Map(start, entries, _)) => (start, YamlValue::Map(entries)),
            None => return Ok(()),
        };

        // Never before the end of its first token, since the place is used to slice the text.
        let place = SourceSpan { end: end.end.max(start.end), ..start };
        self.add(YamlNode { place, value })
    }

    /// Takes a scalar: a key where a map waits for one, else a value.
    fn scalar(&mut self, text: &str, style: ScalarStyle, place: SourceSpan) -> Result<(), YamlFault> {
        if let Some(OpenCollection::Map(_, _, key @ None)) = self.open.last_mut() {
            *key = Some(YamlKey { place, text: text.to_owned() });
            return self.count(place);
        }

        // The spellings of null in YAML's core schema (YAML 1.2.2 §10.3.2); in quotes they are text.
        let is_null = style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
        let value = if is_null { YamlValue::Null } else { YamlValue::Scalar(text.to_owned()) };
        self.add(YamlNode { place, value })
    }

    /// Puts a complete value where it belongs.
    fn add(&mut self, mut node: YamlNode) -> Result<(), YamlFault> {
        self.count(node.place)?;

        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(OpenCollection::List(_, items)) => items.push(node),
            Some(OpenCollection::Map(_, entries, key)) => {
                if let Some(key) = key.take() {
                    // An absent value has no text to underline, so its key stands in for it.
                    if node.value == YamlValue::Null && node.place.start == node.place.end {
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

    fn read(text: &str) -> (Option<YamlNode>, Vec<String>) {
        let source = SourceFile::new("a.yaml".to_owned(), text.to_owned());
        let mut problems = Diagnostics::default();
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
            assert_eq!(node.get(key).map(YamlNode::text), Some(text), "{key}");
        }
        assert_eq!(node.get("e").map(|node| &node.value), Some(&YamlValue::Null));
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
