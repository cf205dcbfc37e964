//! Edits to a file's text: applied, and proven to have changed nothing else.

use crate::announce::writeback::WriteBackImage;
use crate::announce::writeback::document;
use crate::announce::writeback::document::SpannedNode;
use crate::announce::writeback::document::SpannedValue;
use crate::announce::writeback::find;
use crate::announce::writeback::find::DigestEdit;
use crate::announce::writeback::find::ExpectedNode;
use crate::announce::writeback::find::UnchangedReference;
use std::collections::BTreeMap;

/// A file's text with new digests.
#[derive(Debug, PartialEq, Eq)]
pub struct EditedFile {
    /// The whole text.
    pub text: String,
    /// The changes to it.
    pub edits: Vec<DigestEdit>,
    /// References that were left alone.
    pub left: Vec<UnchangedReference>,
}

/// Puts the digests of images into a file.
///
/// # Errors
/// Why the file cannot be changed at all, for people.
pub fn edit(text: &str, images: &[WriteBackImage]) -> Result<EditedFile, String> {
    let old = document::parse(text)?;
    let find::ReferenceFindings { mut edits, left } = find::find(text, &old, images);
    edits.sort_by_key(|edit| (edit.place.start, edit.place.end));
    let new_text = apply(text, &edits)?;

    // the proof: parsed again, the file differs in the expected digests alone
    let new = document::parse(&new_text).map_err(|error| format!("a change would break it: {error}"))?;
    let comparison = TreeComparison { expected: edits.iter().map(|edit| (&*edit.path, &edit.expected)).collect() };
    if old.len() != new.len() || !comparison.all_match(old.iter().zip(&new), &mut Vec::new()) {
        return Err("a change would change more than a digest".to_owned());
    }
    Ok(EditedFile { text: new_text, edits, left })
}

/// Returns the text with all edits, which are in the order of their places.
fn apply(text: &str, edits: &[DigestEdit]) -> Result<String, String> {
    // an edit adds some 80 bytes
    let mut new = String::with_capacity(text.len() + 100 * edits.len());
    let mut copied = 0;
    for edit in edits {
        let kept = text.get(copied..edit.place.start).ok_or("two changes overlap")?;
        new.push_str(kept);
        new.push_str(&edit.text);
        copied = edit.place.end;
    }

    new.push_str(text.get(copied..).ok_or("a change is outside of the file")?);
    Ok(new)
}

/// A comparison of a file's trees before and after the change.
struct TreeComparison<'a> {
    /// What must differ, by the path of the node.
    expected: BTreeMap<&'a [usize], &'a ExpectedNode>,
}

impl TreeComparison<'_> {
    /// Compares pairs of nodes that are numbered in their parent. `path` is the parent's.
    fn all_match<'n>(
        &self,
        pairs: impl Iterator<Item = (&'n SpannedNode, &'n SpannedNode)>,
        path: &mut Vec<usize>,
    ) -> bool {
        for (number, (old, new)) in pairs.enumerate() {
            path.push(number);
            let matches = self.matches(old, new, path);
            path.pop();
            if !matches {
                return false;
            }
        }
        true
    }

    /// Tells whether two trees differ exactly as expected. Recursion is bounded by the parser's limit on nesting.
    fn matches(&self, old: &SpannedNode, new: &SpannedNode, path: &mut Vec<usize>) -> bool {
        if (old.is_anchored, old.is_tagged) != (new.is_anchored, new.is_tagged) {
            return false;
        }

        match (&old.value, &new.value, self.expected.get(&**path)) {
            (SpannedValue::Scalar { .. }, SpannedValue::Scalar { text, .. }, Some(ExpectedNode::Text(expected))) => {
                text == expected
            }
            (SpannedValue::Scalar { .. } | SpannedValue::Alias, _, None) => old.value == new.value,
            (SpannedValue::List(old), SpannedValue::List(new), None) => {
                old.len() == new.len() && self.all_match(old.iter().zip(new), path)
            }
            (
                SpannedValue::Map { is_flow, entries: old },
                SpannedValue::Map { is_flow: new_flow, entries: new },
                change,
            ) => {
                let Some(new) = without_added(new, change.copied()) else { return false };
                // keys are never changed
                let keys_match = old.iter().zip(&new).all(|(old, new)| key_matches(&old.0, &new.0));
                let values = old.iter().zip(&new).map(|(old, new)| (&old.1, &new.1));
                is_flow == new_flow && old.len() == new.len() && keys_match && self.all_match(values, path)
            }
            _ => false,
        }
    }
}

/// Returns a map's entries without the one that a change added; `None` if they are not what the change makes of them.
fn without_added<'n>(
    entries: &'n [(SpannedNode, SpannedNode)],
    change: Option<&ExpectedNode>,
) -> Option<Vec<&'n (SpannedNode, SpannedNode)>> {
    let mut entries: Vec<&(SpannedNode, SpannedNode)> = entries.iter().collect();
    match change {
        None => Some(entries),
        Some(ExpectedNode::Added(after, digest)) if after + 1 < entries.len() => {
            let (key, value) = entries.remove(after + 1);
            let is_added = key.text() == Some("digest") && value.text() == Some(digest);
            is_added.then_some(entries)
        }
        Some(_) => None,
    }
}

/// Tells whether two keys, which may be whole trees, are the same.
fn key_matches(old: &SpannedNode, new: &SpannedNode) -> bool {
    TreeComparison { expected: BTreeMap::new() }.matches(old, new, &mut Vec::new())
}

#[cfg(test)]
mod tests;
