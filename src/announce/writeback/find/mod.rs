//! References to published images in a file: which ones to change, and which ones to leave alone, with the reason.

mod map;

use crate::announce::writeback::WriteBackImage;
use crate::announce::writeback::document::SpannedNode;
use crate::announce::writeback::document::SpannedValue;
use crate::announce::writeback::find::map::MapNode;
use crate::values::Digest;
use std::ops::Range;

const ANCHORED: &str = "it is part of a YAML anchor or refers to one";
const NO_DIGEST: &str = "what follows `@` is not a SHA-256 digest";

/// A change to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestEdit {
    /// Bytes to replace; empty if something is only inserted.
    pub place: Range<usize>,
    /// The text to put there.
    pub text: String,
    /// What the node must be after the change.
    pub expected: ExpectedNode,
    /// The changed node: its position in the list of documents, then in each list or map on the way to it.
    pub path: Vec<usize>,
    /// The changed reference, `host/repository:tag`.
    pub reference: String,
    /// Name of the image.
    pub image: String,
    /// Digest before, if there was one.
    pub old: Option<Digest>,
    /// Digest after.
    pub new: Digest,
}

/// What an edit makes of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedNode {
    /// The scalar has this text.
    Text(String),
    /// The map has a new entry `digest` with this text after the entry with this number.
    Added(usize, String),
}

/// A reference that is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnchangedReference {
    /// Its position in bytes.
    pub place: usize,
    /// The reference as far as it could be read.
    pub reference: String,
    /// The reason to leave it alone.
    pub reason: String,
}

impl UnchangedReference {
    fn new(place: usize, reference: &str, reason: impl Into<String>) -> Self {
        Self { place, reference: reference.to_owned(), reason: reason.into() }
    }
}

/// All references to published images in a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ReferenceFindings {
    pub(super) edits: Vec<DigestEdit>,
    pub(super) left: Vec<UnchangedReference>,
}

/// Searches all documents of a file.
pub(super) fn find(text: &str, documents: &[SpannedNode], images: &[WriteBackImage]) -> ReferenceFindings {
    let mut finder = ReferenceFinder { text, images, path: Vec::new(), findings: ReferenceFindings::default() };
    for (number, document) in documents.iter().enumerate() {
        let context = NodeContext { key: "", is_in_list: false, is_anchored: false };
        finder.visit_child(number, document, &context);
    }
    finder.findings
}

/// What surrounds a node.
#[derive(Clone, Copy)]
struct NodeContext<'a> {
    /// The nearest key.
    key: &'a str,
    /// Whether the node is an item of that key's list.
    is_in_list: bool,
    /// Whether the node is inside an anchored one: a change there would have effects elsewhere.
    is_anchored: bool,
}

struct ReferenceFinder<'a> {
    text: &'a str,
    images: &'a [WriteBackImage],
    /// Where the finder is; see [`DigestEdit::path`].
    path: Vec<usize>,
    findings: ReferenceFindings,
}

impl<'a> ReferenceFinder<'a> {
    fn visit(&mut self, node: &SpannedNode, context: &NodeContext<'_>) {
        let is_anchored = context.is_anchored || node.is_anchored;
        match &node.value {
            // the anchor that it refers to is visited where it is
            SpannedValue::Alias => {}
            SpannedValue::Scalar { .. } => self.visit_scalar(node, &NodeContext { is_anchored, ..*context }),
            SpannedValue::List(items) => {
                for (number, item) in items.iter().enumerate() {
                    self.visit_child(number, item, &NodeContext { is_in_list: true, is_anchored, ..*context });
                }
            }
            SpannedValue::Map { is_flow, entries } => {
                let map = MapNode { start: node.place.start, is_flow: *is_flow, entries };
                self.visit_map(&map, &NodeContext { is_anchored, ..*context });
                for (number, (key, value)) in entries.iter().enumerate() {
                    let key = key.text().unwrap_or_default();
                    self.visit_child(number, value, &NodeContext { key, is_in_list: false, is_anchored });
                }
            }
        }
    }

    fn visit_child(&mut self, number: usize, node: &SpannedNode, context: &NodeContext<'_>) {
        self.path.push(number);
        self.visit(node, context);
        self.path.pop();
    }

    /// Looks at a text that may be `host/repository:tag@digest`.
    fn visit_scalar(&mut self, node: &SpannedNode, context: &NodeContext<'_>) {
        let Some(text) = node.text() else { return };
        let Some(image) = self.images.iter().find(|image| has_repository(text, image)) else { return };
        let found = self
            .scalar_edit(node, image, context)
            .map_err(|reason| UnchangedReference::new(node.place.start, text, reason));
        self.record(found);
    }

    /// Returns the change to a reference in one text, or the reason to leave it alone.
    fn scalar_edit(
        &self,
        node: &SpannedNode,
        image: &WriteBackImage,
        context: &NodeContext<'_>,
    ) -> Result<DigestEdit, String> {
        // elsewhere the text may be part of a command or a comparison
        if !is_image_key(context.key) {
            return Err("its key does not end in `image`".to_owned());
        }
        if let Some(reason) = self.untouchable(node, context.is_anchored) {
            return Err(reason.to_owned());
        }

        let text = node.text().unwrap_or_default();
        let (tag, digest) = split_digest(&text[image.repository.len()..]);
        let tag = tag.strip_prefix(':').unwrap_or_default();
        if let Some(reason) = foreign_tag(tag, image) {
            return Err(reason);
        }
        let old: Option<Digest> = digest.map(str::parse).transpose().map_err(|_| NO_DIGEST)?;
        let Some(unquoted) = self.unquoted(node) else {
            return Err("it has escapes or spans several lines".to_owned());
        };

        let reference = format!("{}:{tag}", image.repository);
        let after_tag = unquoted.start + text.find('@').unwrap_or(text.len());
        Ok(DigestEdit {
            place: after_tag..unquoted.end,
            text: format!("@{}", image.digest),
            expected: ExpectedNode::Text(format!("{reference}@{}", image.digest)),
            path: self.path.clone(),
            reference,
            image: image.image.clone(),
            old,
            new: image.digest,
        })
    }

    /// Keeps what was found, unless the reference has the new digest already.
    fn record(&mut self, found: Result<DigestEdit, UnchangedReference>) {
        match found {
            Ok(edit) if edit.old == Some(edit.new) => {}
            Ok(edit) => self.findings.edits.push(edit),
            Err(left) => self.findings.left.push(left),
        }
    }

    /// Returns why a scalar must not be changed.
    fn untouchable(&self, node: &SpannedNode, is_anchored: bool) -> Option<&'static str> {
        match &node.value {
            SpannedValue::Alias => Some(ANCHORED),
            _ if is_anchored || node.is_anchored => Some(ANCHORED),
            // a tag may make something else of the text
            _ if node.is_tagged => Some("it has a YAML tag"),
            SpannedValue::Scalar { text, .. } if text.contains("{{") => Some("it is a template"),
            SpannedValue::Scalar { .. } => None,
            SpannedValue::List(_) | SpannedValue::Map { .. } => Some("it is not a text"),
        }
    }

    /// Returns the bytes of a scalar without quotes; `None` unless they are exactly its text.
    fn unquoted(&self, node: &SpannedNode) -> Option<Range<usize>> {
        let Range { start, end } = node.place.clone();
        let raw = self.text.get(start..end)?;
        let unquoted = match raw.chars().next() {
            Some(quote @ ('"' | '\'')) if raw.len() >= 2 && raw.ends_with(quote) => start + 1..end - 1,
            _ => start..end,
        };
        // escapes and folded lines have other bytes than the text: positions in it would be wrong
        (self.text.get(unquoted.clone())? == node.text()?).then_some(unquoted)
    }
}

/// Tells whether a text is a reference to an image's repository, with a tag or a digest.
fn has_repository(text: &str, image: &WriteBackImage) -> bool {
    text.strip_prefix(&*image.repository).is_some_and(|rest| rest.starts_with([':', '@']))
}

/// Splits `tag@digest`.
fn split_digest(text: &str) -> (&str, Option<&str>) {
    text.split_once('@').map_or((text, None), |(tag, digest)| (tag, Some(digest)))
}

/// Recognises `image`, `initImage`, `base_image`.
fn is_image_key(key: &str) -> bool {
    key.to_ascii_lowercase().ends_with("image")
}

/// Returns why a reference with this tag does not follow the image: another tag is somebody's decision.
fn foreign_tag(tag: &str, image: &WriteBackImage) -> Option<String> {
    if tag.is_empty() {
        Some("it has no tag that says what to follow".to_owned())
    } else if image.tags.iter().any(|own| own == tag) {
        None
    } else {
        Some(format!("it is pinned to tag `{}`", tag.escape_debug()))
    }
}
