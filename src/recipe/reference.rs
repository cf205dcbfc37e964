//! The reference of all keys, `docs/keys.md`, from the same table as the checks and the JSON Schema.
//!
//! What the table of keys does not say is here: how a key of a recipe acts on the levels above it, and for each kind of
//! file an example in which every key occurs. Tests hold both complete, and read the examples as a project.

use crate::recipe::ledger_schema::LEDGER;
use crate::recipe::scalar::ScalarKind;
use crate::recipe::schema::BASE_IMAGE;
use crate::recipe::schema::RECIPE;
use crate::recipe::schema::REGISTRY;
use crate::recipe::schema::RecordSchema;
use crate::recipe::schema::ValueShape;

/// A kind of file as the reference shows it.
struct DocumentedFile {
    title: &'static str,
    about: &'static str,
    record: &'static RecordSchema,
    /// Files of the example project, each with its name.
    examples: &'static [(&'static str, &'static str)],
}

/// Embeds a file of the example project.
macro_rules! example {
    ($path:literal) => {
        ($path, include_str!(concat!("../../docs/every-key/", $path)))
    };
}

const FILES: [DocumentedFile; 4] = [
    DocumentedFile {
        title: "Recipes: `recipes/NAME.yaml`",
        about: "What one level adds to the level below.",
        record: &RECIPE,
        examples: &[
            example!("recipes/distribution.yaml"),
            example!("recipes/runtime.yaml"),
            example!("recipes/tools.yaml"),
        ],
    },
    DocumentedFile {
        title: "Base images: `base-images/NAME.yaml`",
        about: "A recipe with its values, published under a name.",
        record: &BASE_IMAGE,
        examples: &[example!("base-images/service.yaml")],
    },
    DocumentedFile {
        title: "Script ledger: `recipes/scripts.yaml`",
        about: "What was decided about effects of maintainer scripts. A project's own decisions go to `recipes/scripts.project.yaml`.",
        record: &LEDGER,
        examples: &[example!("recipes/scripts.yaml")],
    },
    DocumentedFile {
        title: "Registry file: `base-images/registry.yaml`",
        about: "Where images are published, and what the gate lets through.",
        record: &REGISTRY,
        examples: &[example!("base-images/registry.yaml")],
    },
];

/// How each key of a recipe acts on the recipes above it.
const INHERITANCE: &[(&str, &str)] = &[
    ("name", "this level only"),
    ("title", "this level only"),
    ("from", "this level only"),
    ("parameters", "higher levels use the values; a name is declared once in a chain"),
    ("archives", "all levels choose from them"),
    ("packages", "stay installed; higher levels add more"),
    ("exclude", "holds for higher levels too; a package that one of them requests comes back"),
    ("include-paths", "holds for higher levels too"),
    ("links", "stay; a higher level changes one only with `replaces`"),
    ("directories", "stay; a higher level may set other attributes"),
    ("files", "stay; a higher level changes one only with `replaces`"),
    ("copy", "stay; a higher level changes one only with `replaces`"),
    ("replaces", "this level only"),
    ("divert", "this level and those above it"),
    ("accounts", "stay; higher levels add more"),
    ("certificates", "what one level writes, higher levels write again if they bring certificates"),
    ("generate", "runs in this level"),
    ("localtime", "stays until a higher level sets another zone"),
    ("package-database", "this level only; without it `status.d`"),
    ("layers", "this level only"),
    ("config", "maps merge, ports are collected; of single values and commands the highest level's counts"),
    ("when", "as the keys in it"),
    ("accept", "this image and those above it"),
];

/// Returns the reference as Markdown, for `docs/keys.md`.
#[must_use]
pub fn key_reference() -> String {
    let mut text =
        "# Keys of all files\n\nWritten from the sources by `cargo test --test it`; do not edit. The examples \
         are one project, in which every key occurs.\n"
            .to_owned();
    for file in &FILES {
        text.push_str(&format!("\n## {}\n\n{}\n", file.title, file.about));
        for (name, example) in file.examples {
            text.push_str(&format!("\n`{name}`\n\n```yaml\n{}```\n", example.trim_start()));
        }
        table(file.record, file.record, "", &mut text);
    }
    text
}

/// Appends the table of a record's keys, then those of the records in it; `file` has the keys of the whole file.
fn table(record: &RecordSchema, file: &RecordSchema, path: &str, text: &mut String) {
    let levels = std::ptr::eq(record, &RECIPE);
    let (title, line) = if levels { (" over levels |", "---|") } else { ("", "") };
    if !path.is_empty() {
        text.push_str(&format!("\n### `{path}`\n"));
    }
    text.push_str(&format!("\n| key | value | meaning |{title}\n|---|---|---|{line}\n"));

    for field in record.fields {
        let need = if field.required { " (required)" } else { "" };
        text.push_str(&format!("| `{}`{need} | {} | {} |", field.name, form(field.shape), cell(field.about)));
        if levels {
            text.push_str(&format!(" {} |", inheritance(field.name)));
        }
        text.push('\n');
    }
    for field in record.fields {
        if let Some(inner) = record_in(field.shape) {
            let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
            if repeats(inner, file) {
                let keys: Vec<String> = inner.fields.iter().map(|field| format!("`{}`", field.name)).collect();
                text.push_str(&format!("\n### `{path}`\n\nThe keys {} as above.\n", keys.join(", ")));
            } else {
                table(inner, file, &path, text);
            }
        }
    }
}

/// Tells whether a record has only keys of the file itself, so that a second table would say nothing new.
fn repeats(record: &RecordSchema, file: &RecordSchema) -> bool {
    record.fields.iter().all(|field| file.fields.iter().any(|known| known.name == field.name))
}

/// Returns how a key of a recipe acts on higher levels; a test holds the table complete.
fn inheritance(key: &str) -> &'static str {
    INHERITANCE.iter().find(|(name, _)| *name == key).map_or("", |(_, rule)| rule)
}

/// Returns what may stand behind a key, in words.
fn form(shape: ValueShape) -> String {
    match shape {
        ValueShape::One(scalar) => word(scalar),
        ValueShape::List(scalar) => format!("list: {}", word(scalar)),
        ValueShape::Words => "list of words".to_owned(),
        ValueShape::OneOrMore(scalar) => format!("{}, or a list", word(scalar)),
        ValueShape::Records(_) => "list of records, see below".to_owned(),
        ValueShape::Map(key, value) => format!("map: {} → {}", word(key), form(*value)),
        ValueShape::Record(_) => "record, see below".to_owned(),
    }
}

/// Returns the noun of a scalar, with the words that it may be.
fn word(scalar: ScalarKind) -> String {
    match scalar {
        ScalarKind::Word(_, words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        other => cell(other.description()),
    }
}

/// Returns text that does not end a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Returns the record that a value consists of, or holds.
fn record_in(shape: ValueShape) -> Option<&'static RecordSchema> {
    match shape {
        ValueShape::Records(record) | ValueShape::Record(record) => Some(record),
        ValueShape::Map(_, value) => record_in(*value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::schema::FieldSchema;
    use serde_json::Value;

    #[test]
    fn every_key_of_a_recipe_says_how_it_is_inherited() {
        let keys: Vec<&str> = RECIPE.fields.iter().map(|field| field.name).collect();
        let told: Vec<&str> = INHERITANCE.iter().map(|(name, _)| *name).collect();
        assert_eq!(keys, told, "the rows of INHERITANCE are the keys of a recipe, in their order");
    }

    #[test]
    fn every_key_occurs_in_an_example() {
        let mut missing = Vec::new();
        for file in &FILES {
            let documents: Vec<Value> =
                file.examples.iter().map(|(name, text)| serde_yaml::from_str(text).expect(name)).collect();
            missing.extend(absent(file.record, file, &documents.iter().collect::<Vec<_>>(), file.title));
        }
        assert!(missing.is_empty(), "give an example of each in docs/every-key: {missing:#?}");
    }

    /// Returns the keys of a record that none of the values has.
    fn absent(record: &RecordSchema, file: &DocumentedFile, values: &[&Value], path: &str) -> Vec<String> {
        let mut missing = Vec::new();
        for FieldSchema { name, shape, .. } in record.fields {
            let path = format!("{path}: {name}");
            let found: Vec<&Value> = values.iter().filter_map(|value| value.get(name)).collect();
            if found.is_empty() {
                missing.push(path);
            } else if let Some(inner) = record_in(*shape).filter(|inner| !repeats(inner, file.record)) {
                let inside: Vec<&Value> = found.into_iter().flat_map(|value| within(*shape, value)).collect();
                missing.extend(absent(inner, file, &inside, &path));
            }
        }
        missing
    }

    /// Returns the records in a value.
    fn within(shape: ValueShape, value: &Value) -> Vec<&Value> {
        match (shape, value) {
            (ValueShape::Records(_), Value::Array(items)) => items.iter().collect(),
            (ValueShape::Map(_, inner), Value::Object(map)) => {
                map.values().flat_map(|value| within(*inner, value)).collect()
            }
            _ => vec![value],
        }
    }
}
