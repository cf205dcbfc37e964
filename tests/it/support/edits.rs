//! Every way in which somebody could edit a lock by hand, one at a time: each value changed, each entry dropped, doubled,
//! swapped with its neighbour, or replaced by another one.

use serde_json::Value;
use serde_json::json;
use sockel::lock::file::Lock;

/// One edit: where it was made, and what the lock is then. The lock may be one that nobody can read.
pub(crate) struct Edit {
    /// `levels/0/packages/linux/amd64/3/sha256: changed`
    pub(crate) what: String,
    /// The lock as JSON, with the fields that the file has.
    pub(crate) lock: Value,
}

impl Edit {
    /// Returns the lock, where it can be read as one.
    pub(crate) fn read(&self) -> Option<Lock> {
        let lock: Lock = serde_json::from_value(self.lock.clone()).ok()?;
        Lock::parse(&lock.to_yaml()).ok()
    }

    /// Tells whether the edit is one of the free choices that `lock::proof` names: which packages share a layer, and the
    /// number in the image's name.
    pub(crate) fn is_free(&self) -> bool {
        let place = self.what.split(':').next().unwrap_or_default();
        place == "revision" || self.what == ": revision dropped" || place.split('/').nth(2) == Some("layers")
    }
}

/// Returns all edits of a lock.
pub(crate) fn edits(lock: &Lock) -> Vec<Edit> {
    let whole = serde_json::to_value(lock).expect("locks serialise");
    let mut edits = Vec::new();
    let mut places = Vec::new();
    collect(&whole, "", &mut places);
    for pointer in &places {
        let original = whole.pointer(pointer).expect("it was just found").clone();
        let mut add = |what: &str, new: Value| {
            let mut lock = whole.clone();
            *lock.pointer_mut(pointer).expect("it was just found") = new;
            if lock != whole {
                edits.push(Edit { what: format!("{}: {what}", pointer.trim_start_matches('/')), lock });
            }
        };
        match &original {
            Value::Array(items) => {
                for index in 0..items.len() {
                    let mut fewer = items.clone();
                    fewer.remove(index);
                    add(&format!("{index} dropped"), Value::Array(fewer));
                    let mut more = items.clone();
                    more.insert(index, items[index].clone());
                    add(&format!("{index} doubled"), Value::Array(more));
                    let other = (index + 1) % items.len();
                    let mut swapped = items.clone();
                    swapped.swap(index, other);
                    add(&format!("{index} and {other} swapped"), Value::Array(swapped));
                    if let Some(mixed) = with_content_of(&items[index], &items[other]) {
                        let mut mixed_in = items.clone();
                        mixed_in[index] = mixed;
                        add(&format!("{index} with the content of {other}"), Value::Array(mixed_in));
                    }
                }
            }
            Value::Object(fields) => {
                for name in fields.keys() {
                    let mut fewer = fields.clone();
                    fewer.remove(name);
                    add(&format!("{name} dropped"), Value::Object(fewer));
                }
            }
            Value::String(text) => {
                for changed in variants(text) {
                    add(&format!("{changed:.40}"), Value::String(changed));
                }
            }
            Value::Number(number) => {
                let number = number.as_u64().unwrap_or_default();
                add("one more", json!(number + 1));
                add("one less", json!(number.saturating_sub(1)));
            }
            _ => (),
        }
    }
    edits
}

/// The entry of a package with the bytes of another one.
fn with_content_of(one: &Value, other: &Value) -> Option<Value> {
    let mut mixed = one.clone();
    for field in ["sha256", "sha512", "size", "path"] {
        *mixed.get_mut(field)? = other.get(field)?.clone();
    }
    Some(mixed)
}

/// Other texts of the same kind, so that only a proof can tell them apart.
fn variants(text: &str) -> Vec<String> {
    let last = |old: char| if old == '0' { '1' } else { '0' };
    let mut flipped = text.to_owned();
    if let Some(old) = flipped.pop() {
        flipped.push(last(old));
    }
    // a time keeps its form
    if text.len() == 20 && text.ends_with('Z') {
        flipped =
            if text.starts_with("2020") { text.replacen("2020", "2021", 1) } else { format!("2020{}", &text[4..]) };
    }
    vec![flipped, format!("{text}x"), String::new()]
}

/// Collects the JSON pointers (RFC 6901) of all values.
fn collect(value: &Value, at: &str, places: &mut Vec<String>) {
    places.push(at.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| collect(item, &format!("{at}/{index}"), places));
        }
        Value::Object(fields) => {
            for (name, item) in fields {
                collect(item, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), places);
            }
        }
        _ => (),
    }
}
