//! Holds a YAML tree against the table of keys and reports everything that does not fit.

use crate::recipe::parse::Key;
use crate::recipe::parse::Node;
use crate::recipe::parse::Value;
use crate::recipe::scalar::Misfit;
use crate::recipe::scalar::Scalar;
use crate::recipe::schema::Record;
use crate::recipe::schema::Shape;
use crate::recipe::source::Place;
use crate::recipe::source::Problems;
use crate::recipe::source::Source;
use crate::recipe::suggest::nearest;
use crate::recipe::suggest::remedy;
use crate::values::diagnostic::shortened;
use crate::values::shown::shown;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Which values are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameters {
    /// Values with `${…}` are left for later.
    Open,
    /// All parameters are filled in.
    Filled,
}

/// Reports everything in `node` that does not fit `record`.
pub(crate) fn validate(
    source: &Source,
    node: &Node,
    record: &'static Record,
    parameters: Parameters,
    problems: &mut Problems,
) {
    Validator { source, parameters, problems }.shape(node, Shape::Record(record), record.what, node.place);
}

struct Validator<'a> {
    source: &'a Source,
    parameters: Parameters,
    problems: &'a mut Problems,
}

impl Validator<'_> {
    /// Checks one value; `name` and `key` say which.
    fn shape(&mut self, node: &Node, shape: Shape, name: &str, key: Place) {
        match (shape, &node.value) {
            (Shape::One(scalar) | Shape::OneOrMore(scalar), Value::Scalar(text)) => {
                self.scalar(text, scalar, node.place);
            }
            (Shape::List(scalar) | Shape::OneOrMore(scalar), Value::List(items)) => {
                self.items(items, Shape::One(scalar), name);
                self.repetitions(items);
            }
            (Shape::Words, Value::List(items)) => self.items(items, Shape::One(Scalar::Text), name),
            (Shape::Records(record), Value::List(items)) => self.items(items, Shape::Record(record), name),
            (Shape::Map(scalar, value), Value::Map(entries)) => {
                self.keys(entries);
                for (key, node) in entries {
                    self.scalar(&key.text, scalar, key.place);
                    self.shape(node, *value, &key.text, key.place);
                }
            }
            (Shape::Record(record), Value::Map(entries)) => self.record(entries, record, key),
            _ => self.wrong_kind(node, shape, name, key),
        }
    }

    fn items(&mut self, items: &[Node], shape: Shape, name: &str) {
        for item in items {
            self.shape(item, shape, name, item.place);
        }
    }

    fn scalar(&mut self, text: &str, scalar: Scalar, place: Place) {
        if self.parameters == Parameters::Open && text.contains("${") {
            return;
        }
        if let Err(Misfit { message, help }) = scalar.check(text) {
            self.problems.error_with_help(self.source, place, &message, &help);
        }
    }

    fn record(&mut self, entries: &[(Key, Node)], record: &'static Record, place: Place) {
        self.keys(entries);
        let given: BTreeSet<&str> = entries.iter().map(|(key, _)| key.text.as_str()).collect();
        for (key, node) in entries {
            match record.fields.iter().find(|field| field.name == key.text) {
                Some(field) => self.shape(node, field.shape, field.name, key.place),
                None if self.problems.is_full() => {}
                None => {
                    let message = format!("unknown key `{}` in {}", quoted(&key.text), record.what);
                    let absent = |name: &&str| !given.contains(name);
                    let names = || record.fields.iter().map(|field| field.name);
                    let help = match nearest(&key.text, names()) {
                        Some(name) => format!("did you mean `{name}`?"),
                        None => remedy(&key.text, names().filter(absent)),
                    };
                    self.problems.error_with_help(self.source, key.place, &message, &help);
                }
            }
        }
        for field in record.fields.iter().filter(|field| field.required) {
            if !given.contains(field.name) {
                let message = format!("{} needs the key `{}`", record.what, field.name);
                self.problems.error_with_help(self.source, place, &message, field.about);
            }
        }
    }

    fn keys(&mut self, entries: &[(Key, Node)]) {
        let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
        for (key, _) in entries {
            if let Some(first) = seen.get(key.text.as_str()) {
                self.repeated("key", &key.text, *first, key.place);
            } else {
                seen.insert(&key.text, key.place);
            }
        }
    }

    fn repetitions(&mut self, items: &[Node]) {
        let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
        for item in items.iter().filter(|item| matches!(item.value, Value::Scalar(_))) {
            if let Some(first) = seen.get(item.text()) {
                self.repeated("value", item.text(), *first, item.place);
            } else {
                seen.insert(item.text(), item.place);
            }
        }
    }

    fn repeated(&mut self, what: &str, text: &str, first: Place, second: Place) {
        let message = format!("the {what} `{}` is there twice", quoted(text));
        let help = format!("first in line {}", self.source.line(first));
        self.problems.error_with_help(self.source, second, &message, &help);
    }

    fn wrong_kind(&mut self, node: &Node, shape: Shape, name: &str, key: Place) {
        let (expected, help) = match shape {
            Shape::One(scalar) => (scalar.words().to_owned(), ""),
            Shape::List(scalar) => (format!("a list; each entry {}", scalar.words()), ""),
            Shape::OneOrMore(scalar) => (format!("one or a list of: {}", scalar.words()), ""),
            Shape::Words => ("a list of words".to_owned(), "for example `[ java, -jar, app.jar ]`"),
            Shape::Records(record) => (format!("a list; each entry {}", record.what), ""),
            Shape::Map(_, Shape::One(Scalar::Reason)) => {
                ("a map".to_owned(), "give every entry its reason: `entry: \"reason\"`")
            }
            Shape::Map(..) | Shape::Record(_) => ("a map".to_owned(), "write `key: value` pairs"),
        };
        let message = format!("`{}` must be {expected}, not {}", quoted(name), node.kind());
        let place = if node.value == Value::Null { key } else { node.place };
        self.problems.error_with_help(self.source, place, &message, help);
    }
}

fn quoted(text: &str) -> String {
    shown(&shortened(text))
}
