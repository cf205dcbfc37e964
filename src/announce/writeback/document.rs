//! YAML files of other people as trees of nodes with their places. A file may have several documents; anchors and aliases are
//! kept as they are, not resolved.

use serde_yaml::granit_parser;
use serde_yaml::granit_parser::Event;
use serde_yaml::granit_parser::Parser;
use serde_yaml::granit_parser::ScalarStyle;
use serde_yaml::granit_parser::StructureStyle;
use std::ops::Range;

/// Deepest nesting. Manifests have some 20 levels, and trees of 64 are safe for recursion.
const DEEPEST: usize = 64;

/// Most nodes in one file. The largest file that is read has 4 MiB: with more nodes, each would have less than 9 bytes.
const MOST_NODES: usize = 500_000;

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SpannedNode {
    /// Its bytes in the file, quotes included.
    pub(super) place: Range<usize>,
    /// Whether it has an anchor, so that aliases elsewhere refer to it.
    pub(super) is_anchored: bool,
    /// Whether it has a tag (`!!str`).
    pub(super) is_tagged: bool,
    /// The value itself.
    pub(super) value: SpannedValue,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SpannedValue {
    /// A text, number or the like.
    Scalar {
        /// Its text without quotes and escapes.
        text: String,
        /// Whether it is written without quotes.
        is_plain: bool,
    },
    /// A list.
    List(Vec<SpannedNode>),
    /// A map in the order of the file. Keys may be repeated.
    Map {
        /// Whether it is written in braces.
        is_flow: bool,
        /// Keys and values.
        entries: Vec<(SpannedNode, SpannedNode)>,
    },
    /// A reference to an anchor.
    Alias,
}

impl SpannedNode {
    /// Returns the text; `None` if this is not a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            SpannedValue::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Tells whether this is a missing value, `~` or `null` (YAML 1.2.2, 10.3.2 "Tag Resolution").
    pub(super) fn is_null(&self) -> bool {
        match &self.value {
            SpannedValue::Scalar { text, is_plain: true } => matches!(&**text, "" | "~" | "null" | "Null" | "NULL"),
            _ => false,
        }
    }
}

/// Reads all documents of a file.
///
/// # Errors
/// What is wrong, for people.
pub(super) fn parse(text: &str) -> Result<Vec<SpannedNode>, String> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    let mut builder = SpannedTreeBuilder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| error.info().to_string())?;
        // places are used as ranges of the text later: none may be outside of it
        let start = span.start.byte_offset().unwrap_or(0).min(text.len());
        let end = span.end.byte_offset().unwrap_or(start).clamp(start, text.len());
        builder.take(event, start..end)?;
    }
    Ok(builder.documents)
}

/// Makes trees of the parser's events.
#[derive(Default)]
struct SpannedTreeBuilder {
    documents: Vec<SpannedNode>,
    /// Lists and maps that are not complete yet, with their nodes so far. In a map, keys and values alternate.
    open: Vec<(SpannedNode, Vec<SpannedNode>)>,
    nodes: usize,
}

impl SpannedTreeBuilder {
    fn take(&mut self, event: Event<'_>, place: Range<usize>) -> Result<(), String> {
        // the parser numbers anchors from 1
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = SpannedValue::Scalar { text: text.into_owned(), is_plain: style == ScalarStyle::Plain };
                self.add(SpannedNode { place, is_anchored: anchor != 0, is_tagged: tag.is_some(), value })
            }
            Event::Alias(_) => {
                self.add(SpannedNode { place, is_anchored: false, is_tagged: false, value: SpannedValue::Alias })
            }
            Event::SequenceStart(_, anchor, tag) => {
                let value = SpannedValue::List(Vec::new());
                self.start(SpannedNode { place, is_anchored: anchor != 0, is_tagged: tag.is_some(), value })
            }
            Event::MappingStart(style, anchor, tag) => {
                let value = SpannedValue::Map { is_flow: style == StructureStyle::Flow, entries: Vec::new() };
                self.start(SpannedNode { place, is_anchored: anchor != 0, is_tagged: tag.is_some(), value })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(place.end),
            _ => Ok(()),
        }
    }

    fn start(&mut self, node: SpannedNode) -> Result<(), String> {
        // the parser limits block and flow nesting separately: this is the limit of both together
        if self.open.len() >= DEEPEST {
            return Err(format!("more than {DEEPEST} levels of nesting"));
        }
        self.open.push((node, Vec::new()));
        Ok(())
    }

    fn end(&mut self, end: usize) -> Result<(), String> {
        let Some((mut node, items)) = self.open.pop() else { return Ok(()) };
        // the start event has the place of the first character alone
        node.place.end = end.max(node.place.end);
        match &mut node.value {
            SpannedValue::Map { entries, .. } => {
                let mut items = items.into_iter();
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    entries.push((key, value));
                }
            }
            value => *value = SpannedValue::List(items),
        }
        self.add(node)
    }

    fn add(&mut self, node: SpannedNode) -> Result<(), String> {
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
