//! Every way in which somebody could edit a lock or another document by hand, one at a time: each value changed, each
//! entry dropped, doubled, swapped with its neighbour, or replaced by another one.

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
    /// Returns the lock, where its fields are those of one.
    pub(crate) fn typed(&self) -> Option<Lock> {
        serde::Deserialize::deserialize(&self.lock).ok()
    }

    /// Tells whether the edit is one of the free choices that `lock::proof` names: which packages share a layer, and the
    /// number in the image's name.
    pub(crate) fn is_free(&self) -> bool {
        let place = self.what.split(':').next().unwrap_or_default();
        place == "revision" || self.what == ": revision dropped" || place.split('/').nth(2) == Some("layers")
    }
}

/// Returns a lock as it is read from a file, where it can be.
pub(crate) fn read_again(lock: &Lock) -> Option<Lock> {
    Lock::parse(&lock.to_yaml()).ok()
}

/// What is done to a value of a document.
enum Change {
    /// An item of a list is left out.
    Drop(usize),
    /// An item of a list comes twice.
    Double(usize),
    /// Two items of a list change places.
    Swap(usize, usize),
    /// A package gets the bytes of another one.
    Mix(usize, usize),
    /// A field is left out.
    Leave(String),
    /// Another value.
    Other(Value),
}

impl Change {
    /// Returns the changed value; none where this change has no meaning for it.
    fn of(&self, value: &Value) -> Option<Value> {
        let mut value = value.clone();
        match self {
            Self::Drop(index) => drop(value.as_array_mut()?.remove(*index)),
            Self::Double(index) => {
                let item = value.get(*index)?.clone();
                value.as_array_mut()?.insert(*index, item);
            }
            Self::Swap(one, other) => value.as_array_mut()?.swap(*one, *other),
            Self::Mix(one, other) => value[*one] = with_content_of(value.get(*one)?, value.get(*other)?)?,
            Self::Leave(name) => drop(value.as_object_mut()?.shift_remove(name)?),
            Self::Other(other) => value = other.clone(),
        }
        Some(value)
    }

    fn what(&self) -> String {
        match self {
            Self::Drop(index) => format!("{index} dropped"),
            Self::Double(index) => format!("{index} doubled"),
            Self::Swap(one, other) => format!("{one} and {other} swapped"),
            Self::Mix(one, other) => format!("{one} with the content of {other}"),
            Self::Leave(name) => format!("{name} dropped"),
            Self::Other(Value::String(text)) => format!("{text:.40}"),
            Self::Other(other) => other.to_string(),
        }
    }
}

/// Returns all edits of a lock, made one by one: all at once would fill the memory.
pub(crate) fn edits(lock: &Lock) -> impl Iterator<Item = Edit> + use<> {
    let whole = serde_json::to_value(lock).expect("locks serialise");
    edits_of(whole).map(|(what, lock)| Edit { what, lock })
}

/// Returns all edits of a JSON document, with what each of them is.
pub(crate) fn edits_of(whole: Value) -> impl Iterator<Item = (String, Value)> {
    let mut places = Vec::new();
    collect(&whole, "", &mut places);
    let mut changes = Vec::new();
    for place in places {
        let value = whole.pointer(&place).expect("it was just found");
        changes.extend(changes_of(value).into_iter().map(|change| (place.clone(), change)));
    }
    changes.into_iter().filter_map(move |(place, change)| {
        let value = change.of(whole.pointer(&place)?)?;
        let mut edited = whole.clone();
        *edited.pointer_mut(&place)? = value;
        let what = format!("{}: {}", place.trim_start_matches('/'), change.what());
        (edited != whole).then_some((what, edited))
    })
}

/// Returns everything that is done to a value.
fn changes_of(value: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    match value {
        Value::Array(items) => {
            for index in 0..items.len() {
                let other = (index + 1) % items.len();
                changes.extend([Change::Drop(index), Change::Double(index)]);
                changes.extend([Change::Swap(index, other), Change::Mix(index, other)]);
            }
        }
        Value::Object(fields) => changes.extend(fields.keys().cloned().map(Change::Leave)),
        Value::String(text) => {
            changes.extend(variants(text).into_iter().map(|text| Change::Other(Value::String(text))));
        }
        Value::Number(number) => {
            let number = number.as_u64().unwrap_or_default();
            changes.extend([number + 1, number.saturating_sub(1)].map(|number| Change::Other(json!(number))));
        }
        _ => (),
    }
    changes
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
