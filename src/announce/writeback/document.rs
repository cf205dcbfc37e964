//! YAML of other people as trees with places: several documents, anchors and aliases included, nothing resolved.

use serde_yaml::granit_parser;
use serde_yaml::granit_parser::Event;
use serde_yaml::granit_parser::Parser;
use serde_yaml::granit_parser::ScalarStyle;
use serde_yaml::granit_parser::StructureStyle;
use std::ops::Range;

/// Deepest nesting: deeper than any manifest, and shallow enough for recursion.
const DEEPEST: usize = 64;

/// Most nodes in one file.
const MOST_NODES: usize = 500_000;

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Bytes of the file, quotes included.
    pub(super) place: Range<usize>,
    /// It has an anchor, so that it counts elsewhere, too.
    pub(super) is_anchored: bool,
    /// It has a tag (`!!str`).
    pub(super) is_tagged: bool,
    /// What it is.
    pub(super) value: Value,
}

/// What stands at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Text, quotes and escapes undone.
    Scalar {
        /// The text.
        text: String,
        /// Whether it is written without quotes.
        is_plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the file; keys may be repeated.
    Map {
        /// Whether it is written in braces.
        is_flow: bool,
        /// Keys and values.
        entries: Vec<(Node, Node)>,
    },
    /// Stands for an anchor.
    Alias,
}

impl Node {
    /// Returns the text; `None` where this is no scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Tells whether this is nothing: an empty value, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar { text, is_plain: true } => matches!(&**text, "" | "~" | "null" | "Null" | "NULL"),
            _ => false,
        }
    }
}

/// Reads all documents of a file.
///
/// # Errors
/// What is wrong, for people.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, String> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| error.info().to_string())?;
        let start = span.start.byte_offset().unwrap_or(0).min(text.len());
        let end = span.end.byte_offset().unwrap_or(start).clamp(start, text.len());
        builder.take(event, start..end)?;
    }
    Ok(builder.documents)
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    /// Lists and maps that are not complete yet; a map's keys and values take turns.
    open: Vec<(Node, Vec<Node>)>,
    nodes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, place: Range<usize>) -> Result<(), String> {
        let end = place.end;
        let node = |is_anchored, is_tagged, value| Node { place, is_anchored, is_tagged, value };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain;
                self.add(node(anchor != 0, tag.is_some(), Value::Scalar { text: text.into_owned(), is_plain }))
            }
            Event::Alias(_) => self.add(node(false, false, Value::Alias)),
            Event::SequenceStart(_, anchor, tag) => {
                self.start(node(anchor != 0, tag.is_some(), Value::List(Vec::new())))
            }
            Event::MappingStart(style, anchor, tag) => {
                let is_flow = style == StructureStyle::Flow;
                self.start(node(anchor != 0, tag.is_some(), Value::Map { is_flow, entries: Vec::new() }))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(end),
            _ => Ok(()),
        }
    }

    fn start(&mut self, node: Node) -> Result<(), String> {
        if self.open.len() >= DEEPEST {
            return Err(format!("more than {DEEPEST} levels of nesting"));
        }
        self.open.push((node, Vec::new()));
        Ok(())
    }

    fn end(&mut self, end: usize) -> Result<(), String> {
        let Some((mut node, items)) = self.open.pop() else { return Ok(()) };
        node.place.end = end.max(node.place.end);
        match &mut node.value {
            Value::Map { entries, .. } => {
                let mut items = items.into_iter();
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    entries.push((key, value));
                }
            }
            value => *value = Value::List(items),
        }
        self.add(node)
    }

    fn add(&mut self, node: Node) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(format!("more than {MOST_NODES} values in one file"));
        }
        match self.open.last_mut() {
            Some((_, items)) => items.push(node),
            None => self.documents.push(node),
        }
        Ok(())
    }
}
