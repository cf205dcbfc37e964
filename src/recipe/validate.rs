//! Checks a YAML tree against the table of keys and reports everything that does not fit.

use crate::recipe::parse::YamlKey;
use crate::recipe::parse::YamlNode;
use crate::recipe::parse::YamlValue;
use crate::recipe::scalar::ScalarKind;
use crate::recipe::scalar::ScalarMisfit;
use crate::recipe::schema::RecordSchema;
use crate::recipe::schema::ValueShape;
use crate::recipe::source::Diagnostics;
use crate::recipe::source::SourceFile;
use crate::recipe::source::SourceSpan;
use crate::recipe::suggest::nearest;
use crate::recipe::suggest::remedy;
use crate::values::diagnostic::shortened;
use crate::values::shown::shown;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Whether parameters are filled in already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParameterPhase {
    /// They are not: values with `${…}` are checked later.
    Open,
    /// They are: every value is checked.
    Filled,
}

/// Reports everything in `node` that does not fit `record`.
pub(crate) fn validate(
    source: &SourceFile,
    node: &YamlNode,
    record: &'static RecordSchema,
    parameters: ParameterPhase,
    problems: &mut Diagnostics,
) {
    SchemaValidator { source, parameters, problems }.shape(node, ValueShape::Record(record), record.what, node.place);
}

/// Checks the values of one file.
struct SchemaValidator<'a> {
    source: &'a SourceFile,
    parameters: ParameterPhase,
    problems: &'a mut Diagnostics,
}

impl SchemaValidator<'_> {
    /// Checks the value of the key `name`, which is at the place `key`.
    fn shape(&mut self, node: &YamlNode, shape: ValueShape, name: &str, key: SourceSpan) {
        match (shape, &node.value) {
            // A value and its form agree in kind: look at what is inside.
            (ValueShape::One(scalar) | ValueShape::OneOrMore(scalar), YamlValue::Scalar(text)) => {
                self.scalar(text, scalar, node.place);
            }
            (ValueShape::List(scalar) | ValueShape::OneOrMore(scalar), YamlValue::List(items)) => {
                self.items(items, ValueShape::One(scalar), name);
                self.check_values_differ(items);
            }
            // Command lines repeat words (`-D a -D b`), so these are not compared.
            (ValueShape::Words, YamlValue::List(items)) => self.items(items, ValueShape::One(ScalarKind::Text), name),
            (ValueShape::Records(record), YamlValue::List(items)) => {
                self.items(items, ValueShape::Record(record), name);
            }
            (ValueShape::Map(scalar, value), YamlValue::Map(entries)) => {
                self.check_keys_differ(entries);
                // Keys that people choose are values too, such as paths.
                for (key, node) in entries {
                    self.scalar(&key.text, scalar, key.place);
                    self.shape(node, *value, &key.text, key.place);
                }
            }
            (ValueShape::Record(record), YamlValue::Map(entries)) => self.record(entries, record, key),
            _ => self.wrong_kind(node, shape, name, key),
        }
    }

    fn items(&mut self, items: &[YamlNode], shape: ValueShape, name: &str) {
        for item in items {
            self.shape(item, shape, name, item.place);
        }
    }

    /// Checks a single value.
    fn scalar(&mut self, text: &str, scalar: ScalarKind, place: SourceSpan) {
        // What a reference becomes is not known yet; the text is checked again once it is filled in.
        if self.parameters == ParameterPhase::Open && text.contains("${") {
            return;
        }

        if let Err(ScalarMisfit { message, help }) = scalar.check(text) {
            self.problems.error_with_help(self.source, place, &message, &help);
        }
    }

    /// Checks a map with known keys, which is under a key at `place`.
    fn record(&mut self, entries: &[(YamlKey, YamlNode)], record: &'static RecordSchema, place: SourceSpan) {
        self.check_keys_differ(entries);

        let present: BTreeSet<&str> = entries.iter().map(|(key, _)| key.text.as_str()).collect();
        for (key, node) in entries {
            match record.fields.iter().find(|field| field.name == key.text) {
                Some(field) => self.shape(node, field.shape, field.name, key.place),
                // Finding a similar name costs time, which a hostile file must not multiply.
                None if self.problems.is_full() => {}
                None => self.unknown_key(key, record, &present),
            }
        }

        // An absent key has no place, so the key of the whole map is underlined.
        for field in record.fields.iter().filter(|field| field.required) {
            if !present.contains(field.name) {
                let message = format!("{} needs the key `{}`", record.what, field.name);
                self.problems.error_with_help(self.source, place, &message, field.about);
            }
        }
    }

    /// Reports a key that the table does not have.
    fn unknown_key(&mut self, key: &YamlKey, record: &'static RecordSchema, present: &BTreeSet<&str>) {
        let names: Vec<&str> = record.fields.iter().map(|field| field.name).collect();

        // A similar name is suggested even if it is present; the list of known keys leaves such names out.
        let help = match nearest(&key.text, names.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => remedy(&key.text, names.into_iter().filter(|name| !present.contains(name))),
        };

        let message = format!("unknown key `{}` in {}", quoted(&key.text), record.what);
        self.problems.error_with_help(self.source, key.place, &message, &help);
    }

    /// Reports repeated keys. YAML parsers disagree about which of them counts, so people would too.
    fn check_keys_differ(&mut self, entries: &[(YamlKey, YamlNode)]) {
        let mut seen: BTreeMap<&str, SourceSpan> = BTreeMap::new();
        for (key, _) in entries {
            if let Some(first) = seen.get(key.text.as_str()) {
                self.report_repeated("key", &key.text, *first, key.place);
            } else {
                seen.insert(&key.text, key.place);
            }
        }
    }

    /// Reports repeated values of a list.
    fn check_values_differ(&mut self, items: &[YamlNode]) {
        let mut seen: BTreeMap<&str, SourceSpan> = BTreeMap::new();
        for item in items.iter().filter(|item| matches!(item.value, YamlValue::Scalar(_))) {
            if let Some(first) = seen.get(item.text()) {
                self.report_repeated("value", item.text(), *first, item.place);
            } else {
                seen.insert(item.text(), item.place);
            }
        }
    }

    /// Reports that a key or value appears at two places.
    fn report_repeated(&mut self, kind: &str, text: &str, first: SourceSpan, second: SourceSpan) {
        let message = format!("the {kind} `{}` appears twice", quoted(text));
        let help = format!("first in line {}", self.source.line(first));
        self.problems.error_with_help(self.source, second, &message, &help);
    }

    /// Reports a value of another kind than the table has for its key.
    fn wrong_kind(&mut self, node: &YamlNode, shape: ValueShape, name: &str, key: SourceSpan) {
        let (expected, help) = match shape {
            ValueShape::One(scalar) => (scalar.description().to_owned(), ""),
            ValueShape::List(scalar) => (format!("a list; each entry {}", scalar.description()), ""),
            ValueShape::OneOrMore(scalar) => (format!("one or a list of: {}", scalar.description()), ""),
            ValueShape::Words => ("a list of words".to_owned(), "for example `[ java, -jar, app.jar ]`"),
            ValueShape::Records(record) => (format!("a list; each entry {}", record.what), ""),
            // The usual mistake here is a list of the entries, without their reasons.
            ValueShape::Map(_, ValueShape::One(ScalarKind::Reason)) => {
                ("a map".to_owned(), "give every entry its reason: `entry: \"reason\"`")
            }
            ValueShape::Map(..) | ValueShape::Record(_) => ("a map".to_owned(), "write `key: value` pairs"),
        };

        let message = format!("`{}` must be {expected}, not {}", quoted(name), node.kind());
        // There is no value to underline where it is absent.
        let place = if node.value == YamlValue::Null { key } else { node.place };
        self.problems.error_with_help(self.source, place, &message, help);
    }
}

/// Returns a text of the file as a message can quote it: short, and without characters that a terminal obeys.
fn quoted(text: &str) -> String {
    shown(&shortened(text))
}
