//! Edits to a file's text: applied, and proven to have changed nothing else.

use crate::announce::writeback::Image;
use crate::announce::writeback::document;
use crate::announce::writeback::document::Node;
use crate::announce::writeback::document::Value;
use crate::announce::writeback::find;
use crate::announce::writeback::find::Edit;
use crate::announce::writeback::find::Expected;
use crate::announce::writeback::find::Left;
use std::collections::BTreeMap;

/// A file's text with new digests.
#[derive(Debug, PartialEq, Eq)]
pub struct Edited {
    /// The whole text.
    pub text: String,
    /// The changes to it.
    pub edits: Vec<Edit>,
    /// References that were left alone.
    pub left: Vec<Left>,
}

/// Puts the digests of images into a file.
///
/// # Errors
/// Why the file cannot be changed at all, for people.
pub fn edit(text: &str, images: &[Image]) -> Result<Edited, String> {
    let old = document::parse(text)?;
    let find::Findings { mut edits, left } = find::find(text, &old, images);
    edits.sort_by_key(|edit| (edit.place.start, edit.place.end));
    let new_text = apply(text, &edits)?;

    // the proof: parsed again, the file differs in the expected digests alone
    let new = document::parse(&new_text).map_err(|error| format!("a change would break it: {error}"))?;
    let comparison = TreeComparison { expected: edits.iter().map(|edit| (&*edit.path, &edit.expected)).collect() };
    if old.len() != new.len() || !comparison.all_match(old.iter().zip(&new), &mut Vec::new()) {
        return Err("a change would change more than a digest".to_owned());
    }
    Ok(Edited { text: new_text, edits, left })
}

/// Returns the text with all edits, which are in the order of their places.
fn apply(text: &str, edits: &[Edit]) -> Result<String, String> {
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
    expected: BTreeMap<&'a [usize], &'a Expected>,
}

impl TreeComparison<'_> {
    /// Compares pairs of nodes that are numbered in their parent. `path` is the parent's.
    fn all_match<'n>(&self, pairs: impl Iterator<Item = (&'n Node, &'n Node)>, path: &mut Vec<usize>) -> bool {
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
    fn matches(&self, old: &Node, new: &Node, path: &mut Vec<usize>) -> bool {
        if (old.is_anchored, old.is_tagged) != (new.is_anchored, new.is_tagged) {
            return false;
        }

        match (&old.value, &new.value, self.expected.get(&**path)) {
            (Value::Scalar { .. }, Value::Scalar { text, .. }, Some(Expected::Text(expected))) => text == expected,
            (Value::Scalar { .. } | Value::Alias, _, None) => old.value == new.value,
            (Value::List(old), Value::List(new), None) => {
                old.len() == new.len() && self.all_match(old.iter().zip(new), path)
            }
            (Value::Map { is_flow, entries: old }, Value::Map { is_flow: new_flow, entries: new }, change) => {
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
fn without_added<'n>(entries: &'n [(Node, Node)], change: Option<&Expected>) -> Option<Vec<&'n (Node, Node)>> {
    let mut entries: Vec<&(Node, Node)> = entries.iter().collect();
    match change {
        None => Some(entries),
        Some(Expected::Added(after, digest)) if after + 1 < entries.len() => {
            let (key, value) = entries.remove(after + 1);
            let is_added = key.text() == Some("digest") && value.text() == Some(digest);
            is_added.then_some(entries)
        }
        Some(_) => None,
    }
}

/// Tells whether two keys, which may be whole trees, are the same.
fn key_matches(old: &Node, new: &Node) -> bool {
    TreeComparison { expected: BTreeMap::new() }.matches(old, new, &mut Vec::new())
}

#[cfg(test)]
mod tests;
