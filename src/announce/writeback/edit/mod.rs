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
    /// All of it.
    pub text: String,
    /// What was changed.
    pub edits: Vec<Edit>,
    /// What was left alone.
    pub left: Vec<Left>,
}

/// Puts the digests of these images into a file.
///
/// # Errors
/// Why the file cannot be changed as a whole, for people.
pub fn edit(text: &str, images: &[Image]) -> Result<Edited, String> {
    let old = document::parse(text)?;
    let find::Findings { mut edits, left } = find::find(text, &old, images);
    edits.sort_by_key(|edit| (edit.place.start, edit.place.end));
    let mut new = String::with_capacity(text.len() + 100 * edits.len());
    let mut done = 0;
    for edit in &edits {
        let kept = text.get(done..edit.place.start).ok_or("two changes overlap")?;
        new.push_str(kept);
        new.push_str(&edit.text);
        done = edit.place.end;
    }
    new.push_str(text.get(done..).ok_or("a change is outside of the file")?);
    let expected: BTreeMap<&[usize], &Expected> = edits.iter().map(|edit| (&*edit.path, &edit.expected)).collect();
    let parsed = document::parse(&new).map_err(|error| format!("a change would break it: {error}"))?;
    let is_same = parsed.len() == old.len()
        && old.iter().zip(&parsed).enumerate().all(|(at, (old, new))| is_same(old, new, &mut vec![at], &expected));
    match is_same {
        true => Ok(Edited { text: new, edits, left }),
        false => Err("a change would change more than a digest".to_owned()),
    }
}

/// Tells whether two trees differ in what is expected, and in nothing else. As deep as the parser lets trees be.
fn is_same(old: &Node, new: &Node, path: &mut Vec<usize>, expected: &BTreeMap<&[usize], &Expected>) -> bool {
    if (old.is_anchored, old.is_tagged) != (new.is_anchored, new.is_tagged) {
        return false;
    }
    match (&old.value, &new.value, expected.get(&**path)) {
        (Value::Scalar { .. }, Value::Scalar { text, .. }, Some(Expected::Text(wanted))) => text == wanted,
        (Value::Scalar { .. } | Value::Alias, _, None) => old.value == new.value,
        (Value::List(old), Value::List(new), None) => {
            old.len() == new.len()
                && old.iter().zip(new).enumerate().all(|(at, (old, new))| child(old, new, at, path, expected))
        }
        (Value::Map { is_flow, entries: old }, Value::Map { is_flow: new_flow, entries: new }, change) => {
            let mut new: Vec<&(Node, Node)> = new.iter().collect();
            match change {
                Some(Expected::Added(at, digest)) if at + 1 < new.len() => {
                    let (key, value) = new.remove(at + 1);
                    if key.text() != Some("digest") || value.text() != Some(digest) {
                        return false;
                    }
                }
                Some(_) => return false,
                None => {}
            }
            let keys_are_same = || old.iter().zip(&new).all(|(old, new)| key_is_same(&old.0, &new.0));
            let mut values = old.iter().zip(&new).enumerate();
            is_flow == new_flow
                && old.len() == new.len()
                && keys_are_same()
                && values.all(|(at, (old, new))| child(&old.1, &new.1, at, path, expected))
        }
        _ => false,
    }
}

fn child(old: &Node, new: &Node, at: usize, path: &mut Vec<usize>, expected: &BTreeMap<&[usize], &Expected>) -> bool {
    path.push(at);
    let is_same = is_same(old, new, path, expected);
    path.pop();
    is_same
}

/// Keys are never changed, whatever they are made of.
fn key_is_same(old: &Node, new: &Node) -> bool {
    // a path that no change has
    is_same(old, new, &mut vec![usize::MAX], &BTreeMap::new())
}

#[cfg(test)]
mod tests;
