//! References to published images in a file: which to change, and which to leave alone, and why.

use crate::announce::writeback::Image;
use crate::announce::writeback::document::Node;
use crate::announce::writeback::document::Value;
use crate::values::Digest;
use std::ops::Range;

/// Something to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which bytes go; empty where something is only added.
    pub place: Range<usize>,
    /// What comes in their place.
    pub text: String,
    /// What the tree will be.
    pub expected: Expected,
    /// Which node, by its way from the list of documents: numbers of children.
    pub path: Vec<usize>,
    /// What is referred to, `host/repository:tag`.
    pub reference: String,
    /// Name of the image.
    pub image: String,
    /// Digest before, where there was one.
    pub old: Option<Digest>,
    /// Digest after.
    pub new: Digest,
}

/// What an edit makes of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The scalar has this text.
    Text(String),
    /// The map has a new entry `digest` of this text behind the entry with this number.
    Added(usize, String),
}

/// Something that is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Where.
    pub place: usize,
    /// What is referred to.
    pub reference: String,
    /// Why.
    pub reason: String,
}

/// Everything found in a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    pub(super) edits: Vec<Edit>,
    pub(super) left: Vec<Left>,
}

/// Looks through all documents of a file.
pub(super) fn find(text: &str, documents: &[Node], images: &[Image]) -> Findings {
    let mut finder = Finder { text, images, path: Vec::new(), found: Findings::default() };
    for (number, document) in documents.iter().enumerate() {
        finder.path.push(number);
        finder.look(document, &Around { key: "", is_in_list: false, is_anchored: false });
        finder.path.pop();
    }
    finder.found
}

/// What a node stands in.
#[derive(Clone, Copy)]
struct Around<'a> {
    /// The nearest key.
    key: &'a str,
    /// It is an item of that key's list.
    is_in_list: bool,
    /// An anchor is on the way.
    is_anchored: bool,
}

struct Finder<'a> {
    text: &'a str,
    images: &'a [Image],
    path: Vec<usize>,
    found: Findings,
}

/// Keys of a map form: name of the tag's key.
struct Form<'a> {
    image: &'a Image,
    tag: &'static str,
}

impl<'a> Finder<'a> {
    fn look(&mut self, node: &Node, around: &Around<'_>) {
        let is_anchored = around.is_anchored || node.is_anchored;
        match &node.value {
            Value::Alias => {}
            Value::Scalar { .. } => self.scalar(node, &Around { is_anchored, ..*around }),
            Value::List(items) => {
                for (number, item) in items.iter().enumerate() {
                    self.path.push(number);
                    self.look(item, &Around { is_in_list: true, is_anchored, ..*around });
                    self.path.pop();
                }
            }
            Value::Map { entries, .. } => {
                if let Some(form) = self.form(entries, around) {
                    self.map(node, &form, is_anchored);
                }
                for (number, (key, value)) in entries.iter().enumerate() {
                    self.path.push(number);
                    let key = key.text().unwrap_or_default();
                    self.look(value, &Around { key, is_in_list: false, is_anchored });
                    self.path.pop();
                }
            }
        }
    }

    fn leave(&mut self, place: usize, reference: &str, reason: impl Into<String>) {
        self.found.left.push(Left { place, reference: reference.to_owned(), reason: reason.into() });
    }

    /// `image: host/repository:tag@digest`
    fn scalar(&mut self, node: &Node, around: &Around<'_>) {
        let Some(text) = node.text() else { return };
        let named =
            |image: &&Image| text.strip_prefix(&*image.repository).is_some_and(|rest| rest.starts_with([':', '@']));
        let Some(image) = self.images.iter().find(named) else { return };
        let start = node.place.start;
        let rest = &text[image.repository.len()..];
        let (tag, digest) = rest.split_once('@').map_or((rest, None), |(tag, digest)| (tag, Some(digest)));
        let tag = tag.strip_prefix(':').unwrap_or_default();
        if !is_image_key(around.key) {
            return self.leave(start, text, "it does not stand under a key `image`");
        }
        if let Some(reason) = self.untouchable(node, around.is_anchored) {
            return self.leave(start, text, reason);
        }
        if let Some(reason) = tag_is_foreign(tag, image) {
            return self.leave(start, text, reason);
        }
        let old = match digest.map(str::parse::<Digest>) {
            None => None,
            Some(Ok(old)) => Some(old),
            Some(Err(_)) => return self.leave(start, text, "what follows `@` is no SHA-256 digest"),
        };
        let Some(inner) = self.inner(node) else {
            return self.leave(start, text, "it is written with escapes or over several lines");
        };
        let behind_tag = inner.start + text.find('@').unwrap_or(text.len());
        let name = format!("{}:{tag}", image.repository);
        self.edit(
            image,
            old,
            &name,
            Edit {
                place: behind_tag..inner.end,
                text: format!("@{}", image.digest),
                expected: Expected::Text(format!("{name}@{}", image.digest)),
                ..blank(image, &self.path)
            },
        );
    }

    /// Recognises Kustomize's and Helm's ways to name an image of ours in a map.
    fn form(&self, entries: &[(Node, Node)], around: &Around<'_>) -> Option<Form<'a>> {
        let value = |name: &str| {
            let found = entries.iter().find(|(key, _)| key.text() == Some(name));
            found.and_then(|(_, value)| value.text()).filter(|text| !text.is_empty())
        };
        let has = |name: &str| entries.iter().any(|(key, _)| key.text() == Some(name));
        let ours = |name: &str| self.images.iter().find(|image| image.repository == name);
        if around.key == "images" && around.is_in_list && (has("newTag") || has("digest") || has("newName")) {
            let image = ours(value("newName").or_else(|| value("name"))?)?;
            return Some(Form { image, tag: "newTag" });
        }
        let repository = value("repository").filter(|_| has("tag") || has("digest"))?;
        let image = match value("registry") {
            Some(registry) => ours(&format!("{registry}/{repository}"))?,
            None => ours(repository)?,
        };
        Some(Form { image, tag: "tag" })
    }

    fn map(&mut self, node: &Node, form: &Form<'_>, is_anchored: bool) {
        let Value::Map { is_flow, entries } = &node.value else { return };
        let Form { image, tag: tag_key } = *form;
        let start = node.place.start;
        let repository = &*image.repository;
        let position = |name: &str| entries.iter().position(|(key, _)| key.text() == Some(name));
        let keys = ["<<", "name", "newName", "registry", "repository", tag_key, "digest"];
        let count = |name: &str| entries.iter().filter(|(key, _)| key.text() == Some(name)).count();
        if is_anchored || count("<<") > 0 {
            return self.leave(start, repository, "it stands behind an anchor or takes from one");
        }
        if let Some(key) = keys.iter().find(|key| count(key) > 1) {
            return self.leave(start, repository, format!("the key `{key}` is there twice"));
        }
        let Some(tag_at) = position(tag_key) else {
            return self.leave(start, repository, format!("it has no `{tag_key}`"));
        };
        let (tag_node, digest_at) = (&entries[tag_at].1, position("digest"));
        let digest_node = digest_at.map(|at| &entries[at].1);
        for value in [Some(tag_node), digest_node].into_iter().flatten() {
            if let Some(reason) = self.untouchable(value, false) {
                return self.leave(value.place.start, repository, reason);
            }
        }
        let text = tag_node.text().unwrap_or_default();
        let (tag, within) = text.split_once('@').map_or((text, None), |(tag, digest)| (tag, Some(digest)));
        let reference = format!("{repository}:{tag}");
        if let Some(reason) = tag_is_foreign(tag, image) {
            return self.leave(tag_node.place.start, &reference, reason);
        }
        let Some(inner) = self.inner(tag_node) else {
            return self.leave(
                tag_node.place.start,
                &reference,
                "its tag is written with escapes or over several lines",
            );
        };
        match (within, digest_at) {
            // `tag: 25@sha256:…`, for charts that know nothing of digests
            (Some(digest), None) => match digest.parse::<Digest>() {
                Ok(old) => {
                    self.path.push(tag_at);
                    self.edit(
                        image,
                        Some(old),
                        &reference,
                        Edit {
                            place: inner.start + tag.len()..inner.end,
                            text: format!("@{}", image.digest),
                            expected: Expected::Text(format!("{tag}@{}", image.digest)),
                            ..blank(image, &self.path)
                        },
                    );
                    self.path.pop();
                }
                Err(_) => self.leave(tag_node.place.start, &reference, "what follows `@` is no SHA-256 digest"),
            },
            (Some(_), Some(_)) => self.leave(tag_node.place.start, &reference, "it has two digests"),
            (None, Some(at)) => {
                self.path.push(at);
                self.replace(&entries[at], image, &reference);
                self.path.pop();
            }
            (None, None) => self.add((&entries[tag_at], tag_at), image, &reference, *is_flow),
        }
    }

    /// Puts the digest in the place of the value of a key `digest`.
    fn replace(&mut self, (key, value): &(Node, Node), image: &Image, reference: &str) {
        let text = value.text().unwrap_or_default();
        let old = text.parse::<Digest>().ok();
        let is_empty = value.is_null() || text.is_empty();
        if old.is_none() && !is_empty {
            return self.leave(value.place.start, reference, "its `digest` is no SHA-256 digest");
        }
        let digest = image.digest.to_string();
        let (place, text) = match self.inner(value) {
            // `digest:` with nothing behind it, where a comment may follow
            inner if value.is_null() && (text.is_empty() || inner.is_none()) => {
                let behind = &self.text[key.place.end..];
                let blanks = behind.len() - behind.trim_start_matches([' ', '\t']).len();
                if !behind[blanks..].starts_with(':') {
                    return self.leave(key.place.start, reference, "its `digest` is written in an unusual way");
                }
                let at = key.place.end + blanks + 1;
                (at..at, format!(" {digest}"))
            }
            Some(inner) => (inner, digest.clone()),
            None => {
                return self.leave(value.place.start, reference, "its `digest` is written with escapes");
            }
        };
        let edit = Edit { place, text, expected: Expected::Text(digest), ..blank(image, &self.path) };
        self.edit(image, old, reference, edit);
    }

    /// Adds a key `digest` behind the tag.
    fn add(&mut self, ((key, value), at): (&(Node, Node), usize), image: &Image, reference: &str, is_flow: bool) {
        let digest = image.digest.to_string();
        let raw = self.text.get(key.place.clone()).unwrap_or_default();
        let (place, text) = if is_flow {
            let entry =
                if raw.starts_with('"') { format!("\"digest\": \"{digest}\"") } else { format!("digest: {digest}") };
            (value.place.end, format!(", {entry}"))
        } else {
            let line = self.text[..key.place.start].rfind('\n').map_or(0, |line| line + 1);
            let before = &self.text[line..key.place.start];
            // `- newTag: x` begins an item, whose other keys stand below the first
            if !before.bytes().all(|byte| matches!(byte, b' ' | b'-')) {
                return self.leave(key.place.start, reference, "its tag is written in an unusual way");
            }
            let rest = &self.text[value.place.end..];
            let end = value.place.end + rest.find('\n').unwrap_or(rest.len());
            let has_return = self.text[..end].ends_with('\r');
            let line_end = match rest.contains('\n') {
                true if has_return => "\r\n",
                false if self.text.contains("\r\n") => "\r\n",
                _ => "\n",
            };
            let end = if has_return && rest.contains('\n') { end - 1 } else { end };
            (end, format!("{line_end}{}digest: {digest}", " ".repeat(before.len())))
        };
        let expected = Expected::Added(at, digest);
        self.edit(image, None, reference, Edit { place: place..place, text, expected, ..blank(image, &self.path) });
    }

    fn edit(&mut self, image: &Image, old: Option<Digest>, reference: &str, edit: Edit) {
        if old != Some(image.digest) {
            self.found.edits.push(Edit { old, reference: reference.to_owned(), ..edit });
        }
    }

    /// Says why a scalar must not be changed.
    fn untouchable(&self, node: &Node, is_anchored: bool) -> Option<&'static str> {
        match &node.value {
            Value::Alias => Some("it stands behind an anchor or takes from one"),
            _ if is_anchored || node.is_anchored => Some("it stands behind an anchor or takes from one"),
            _ if node.is_tagged => Some("it has a YAML tag"),
            Value::Scalar { text, .. } if text.contains("{{") => Some("it is a template"),
            Value::Scalar { .. } => None,
            Value::List(_) | Value::Map { .. } => Some("it is no text"),
        }
    }

    /// Returns the bytes of a scalar without its quotes, where they are its text.
    fn inner(&self, node: &Node) -> Option<Range<usize>> {
        let Range { start, end } = node.place.clone();
        let raw = self.text.get(start..end)?;
        let inner = match raw.chars().next() {
            Some(quote @ ('"' | '\'')) if raw.len() >= 2 && raw.ends_with(quote) => start + 1..end - 1,
            _ => start..end,
        };
        (self.text.get(inner.clone())? == node.text()?).then_some(inner)
    }
}

fn blank(image: &Image, path: &[usize]) -> Edit {
    Edit {
        place: 0..0,
        text: String::new(),
        expected: Expected::Text(String::new()),
        path: path.to_vec(),
        reference: String::new(),
        image: image.image.clone(),
        old: None,
        new: image.digest,
    }
}

/// `image`, `initImage`, `base_image`
fn is_image_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key == "image" || key.ends_with("image")
}

fn tag_is_foreign(tag: &str, image: &Image) -> Option<String> {
    if tag.is_empty() {
        Some("it names no tag, so nobody knows what it follows".to_owned())
    } else if image.tags.iter().any(|own| own == tag) {
        None
    } else {
        Some(format!("it is pinned to tag `{}`", tag.escape_debug()))
    }
}
