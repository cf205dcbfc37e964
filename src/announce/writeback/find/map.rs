//! References that are spread over the entries of a map, as Kustomize and Helm charts have them.

use crate::announce::writeback::WriteBackImage;
use crate::announce::writeback::document::SpannedNode;
use crate::announce::writeback::find::ANCHORED;
use crate::announce::writeback::find::DigestEdit;
use crate::announce::writeback::find::ExpectedNode;
use crate::announce::writeback::find::NO_DIGEST;
use crate::announce::writeback::find::NodeContext;
use crate::announce::writeback::find::ReferenceFinder;
use crate::announce::writeback::find::UnchangedReference;
use crate::announce::writeback::find::foreign_tag;
use crate::announce::writeback::find::split_digest;
use crate::values::Digest;
use std::ops::Range;

/// A map of a file.
#[derive(Clone, Copy)]
pub(super) struct MapNode<'n> {
    /// Its position in bytes.
    pub(super) start: usize,
    /// Whether it is written in braces.
    pub(super) is_flow: bool,
    /// Its keys and values.
    pub(super) entries: &'n [(SpannedNode, SpannedNode)],
}

impl<'n> MapNode<'n> {
    fn position(&self, name: &str) -> Option<usize> {
        self.entries.iter().position(|(key, _)| key.text() == Some(name))
    }

    fn has(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    fn count(&self, name: &str) -> usize {
        self.entries.iter().filter(|(key, _)| key.text() == Some(name)).count()
    }

    /// Returns the value of a key if it is a text that is not empty.
    fn text(&self, name: &str) -> Option<&'n str> {
        let (_, value) = &self.entries[self.position(name)?];
        value.text().filter(|text| !text.is_empty())
    }
}

/// What a map refers to, and how.
struct MapReferenceForm<'a> {
    image: &'a WriteBackImage,
    /// The key of the tag.
    tag_key: &'static str,
}

/// A reference in a map whose tag follows one of our images.
struct FollowedTag<'a, 'n> {
    image: &'a WriteBackImage,
    map: MapNode<'n>,
    /// Number of the entry with the tag.
    tag_at: usize,
    tag: &'n str,
    /// `host/repository:tag`
    reference: String,
}

impl FollowedTag<'_, '_> {
    fn leave(&self, place: usize, reason: &str) -> UnchangedReference {
        UnchangedReference::new(place, &self.reference, reason)
    }
}

impl<'a> ReferenceFinder<'a> {
    /// Looks at a map that may refer to an image of ours.
    pub(super) fn visit_map(&mut self, map: &MapNode<'_>, context: &NodeContext<'_>) {
        if let Some(form) = self.form(map, context) {
            let found = self.map_edit(map, &form, context.is_anchored);
            self.record(found);
        }
    }

    /// Recognises the two forms in which maps name an image of ours.
    fn form(&self, map: &MapNode<'_>, context: &NodeContext<'_>) -> Option<MapReferenceForm<'a>> {
        // Kustomize: `newName` replaces `name`, which may be any name in the manifests (kustomization.yaml, `images`)
        let is_item_of_images = context.key == "images" && context.is_in_list;
        if is_item_of_images && (map.has("newTag") || map.has("digest") || map.has("newName")) {
            let image = self.image_of(map.text("newName").or_else(|| map.text("name"))?)?;
            return Some(MapReferenceForm { image, tag_key: "newTag" });
        }

        // Helm: a convention of charts. `repository` alone may also be that of a chart or of sources
        let repository = map.text("repository").filter(|_| map.has("tag") || map.has("digest"))?;
        let image = match map.text("registry") {
            Some(registry) => self.image_of(&format!("{registry}/{repository}"))?,
            None => self.image_of(repository)?,
        };
        Some(MapReferenceForm { image, tag_key: "tag" })
    }

    fn image_of(&self, repository: &str) -> Option<&'a WriteBackImage> {
        self.images.iter().find(|image| image.repository == repository)
    }

    /// Returns the change to a map, or the reason to leave it alone.
    fn map_edit(
        &self,
        map: &MapNode<'_>,
        form: &MapReferenceForm<'_>,
        is_anchored: bool,
    ) -> Result<DigestEdit, UnchangedReference> {
        let followed = self.followed_tag(map, form, is_anchored)?;
        let tag_node = &map.entries[followed.tag_at].1;
        let Some(unquoted) = self.unquoted(tag_node) else {
            return Err(followed.leave(tag_node.place.start, "its tag has escapes or spans several lines"));
        };

        let (_, inline_digest) = split_digest(tag_node.text().unwrap_or_default());
        match (inline_digest, map.position("digest")) {
            (Some(_), Some(_)) => Err(followed.leave(tag_node.place.start, "it has two digests")),
            (Some(digest), None) => self.replace_inline(&followed, digest, unquoted),
            (None, Some(digest_at)) => self.replace_digest(&followed, digest_at),
            (None, None) => self.add_digest(&followed),
        }
    }

    /// Checks that a map can be changed, and that its tag is one of the image's.
    fn followed_tag<'i, 'n>(
        &self,
        map: &MapNode<'n>,
        form: &MapReferenceForm<'i>,
        is_anchored: bool,
    ) -> Result<FollowedTag<'i, 'n>, UnchangedReference> {
        let MapReferenceForm { image, tag_key } = *form;
        let repository = &*image.repository;

        // `<<` merges entries of another map (YAML 1.1, "Merge Key"): which ones hold is not seen here
        if is_anchored || map.has("<<") {
            return Err(UnchangedReference::new(map.start, repository, ANCHORED));
        }
        // programs do not agree on which of two equal keys counts
        let keys = ["name", "newName", "registry", "repository", tag_key, "digest"];
        if let Some(key) = keys.iter().find(|key| map.count(key) > 1) {
            return Err(UnchangedReference::new(map.start, repository, format!("the key `{key}` appears twice")));
        }

        let Some(tag_at) = map.position(tag_key) else {
            return Err(UnchangedReference::new(map.start, repository, format!("it has no `{tag_key}`")));
        };
        let tag_node = &map.entries[tag_at].1;
        let digest_node = map.position("digest").map(|at| &map.entries[at].1);
        for value in [Some(tag_node), digest_node].into_iter().flatten() {
            if let Some(reason) = self.untouchable(value, false) {
                return Err(UnchangedReference::new(value.place.start, repository, reason));
            }
        }

        let (tag, _) = split_digest(tag_node.text().unwrap_or_default());
        let reference = format!("{repository}:{tag}");
        if let Some(reason) = foreign_tag(tag, image) {
            return Err(UnchangedReference::new(tag_node.place.start, &reference, reason));
        }
        Ok(FollowedTag { image, map: *map, tag_at, tag, reference })
    }

    /// Replaces the digest in `tag: 25@sha256:…`, for charts that have no key for digests.
    fn replace_inline(
        &self,
        followed: &FollowedTag<'_, '_>,
        digest: &str,
        unquoted: Range<usize>,
    ) -> Result<DigestEdit, UnchangedReference> {
        let FollowedTag { image, map, tag_at, tag, .. } = *followed;
        let Ok(old) = digest.parse::<Digest>() else {
            return Err(followed.leave(map.entries[tag_at].1.place.start, NO_DIGEST));
        };
        let edit = self.blank_edit(followed, &[tag_at]);
        Ok(DigestEdit {
            place: unquoted.start + tag.len()..unquoted.end,
            text: format!("@{}", image.digest),
            expected: ExpectedNode::Text(format!("{tag}@{}", image.digest)),
            old: Some(old),
            ..edit
        })
    }

    /// Replaces the value of the key `digest`.
    fn replace_digest(
        &self,
        followed: &FollowedTag<'_, '_>,
        digest_at: usize,
    ) -> Result<DigestEdit, UnchangedReference> {
        let (key, value) = &followed.map.entries[digest_at];
        let text = value.text().unwrap_or_default();
        let old = text.parse::<Digest>().ok();
        if old.is_none() && !value.is_null() && !text.is_empty() {
            return Err(followed.leave(value.place.start, "its `digest` is not a SHA-256 digest"));
        }

        let digest = followed.image.digest.to_string();
        let unquoted = self.unquoted(value);
        let is_missing = value.is_null() && (text.is_empty() || unquoted.is_none());
        let (place, text) = if is_missing {
            // the parser's place of a missing value may be after a comment: the key's is certain
            let Some(colon_end) = self.end_of_colon(key) else {
                return Err(followed.leave(key.place.start, "its `digest` is written in an unusual way"));
            };
            (colon_end..colon_end, format!(" {digest}"))
        } else {
            let Some(unquoted) = unquoted else {
                return Err(followed.leave(value.place.start, "its `digest` has escapes"));
            };
            (unquoted, digest.clone())
        };

        let edit = self.blank_edit(followed, &[digest_at]);
        Ok(DigestEdit { place, text, expected: ExpectedNode::Text(digest), old, ..edit })
    }

    /// Returns the position after a key's colon; `None` if it is not on the key's line.
    fn end_of_colon(&self, key: &SpannedNode) -> Option<usize> {
        let rest = &self.text[key.place.end..];
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        rest[blanks..].starts_with(':').then_some(key.place.end + blanks + 1)
    }

    /// Adds a key `digest` after the tag.
    fn add_digest(&self, followed: &FollowedTag<'_, '_>) -> Result<DigestEdit, UnchangedReference> {
        let (key, value) = &followed.map.entries[followed.tag_at];
        let digest = followed.image.digest.to_string();
        let (at, text) = if followed.map.is_flow {
            // JSON is YAML in braces, but needs quotes
            let is_quoted = self.text.get(key.place.start..).is_some_and(|raw| raw.starts_with('"'));
            let entry = if is_quoted { format!("\"digest\": \"{digest}\"") } else { format!("digest: {digest}") };
            (value.place.end, format!(", {entry}"))
        } else {
            let line_start = self.text[..key.place.start].rfind('\n').map_or(0, |line| line + 1);
            let before = &self.text[line_start..key.place.start];
            // `- newTag: x` begins an item, whose other keys are aligned with the first
            if !before.bytes().all(|byte| matches!(byte, b' ' | b'-')) {
                return Err(followed.leave(key.place.start, "its tag is written in an unusual way"));
            }
            let (end, line_break) = self.end_of_line(value.place.end);
            (end, format!("{line_break}{}digest: {digest}", " ".repeat(before.len())))
        };

        let expected = ExpectedNode::Added(followed.tag_at, digest);
        Ok(DigestEdit { place: at..at, text, expected, ..self.blank_edit(followed, &[]) })
    }

    /// Returns the end of a line, before its line break, and the line break of the file there.
    fn end_of_line(&self, position: usize) -> (usize, &'static str) {
        let rest = &self.text[position..];
        match rest.find('\n') {
            Some(length) if self.text[..position + length].ends_with('\r') => (position + length - 1, "\r\n"),
            Some(length) => (position + length, "\n"),
            // a last line without a line break: the others tell which one the file has
            None if self.text.contains("\r\n") => (self.text.len(), "\r\n"),
            None => (self.text.len(), "\n"),
        }
    }

    /// Returns an edit of a node below the map that changes nothing yet.
    fn blank_edit(&self, followed: &FollowedTag<'_, '_>, below: &[usize]) -> DigestEdit {
        DigestEdit {
            place: 0..0,
            text: String::new(),
            expected: ExpectedNode::Text(String::new()),
            path: [&self.path[..], below].concat(),
            reference: followed.reference.clone(),
            image: followed.image.image.clone(),
            old: None,
            new: followed.image.digest,
        }
    }
}
