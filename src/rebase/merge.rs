//! Merging the settings of three images: what an application inherited unchanged from its old base follows the new base, and
//! what it changed stays.
//!
//! This is a three-way merge with the old base as the common ancestor: where the application has the value of the old base,
//! the value of the new base is taken, otherwise the application's. A missing value counts as a value. `Env` is merged by
//! variable, `Labels`, `ExposedPorts` and `Volumes` by key, annotations by name; everything else (`Entrypoint`, `Cmd`, `User`,
//! `WorkingDir`, `StopSignal`, Docker's `Healthcheck`, …) as a whole (image-spec config.md, "Properties").

use serde_json::Map;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Settings that are objects with independent keys.
const BY_KEY: [&str; 3] = ["Labels", "ExposedPorts", "Volumes"];

/// Merged settings, and the names of conflicting ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedSettings {
    /// The settings: the value of `config` in an image configuration.
    pub settings: Value,
    /// Settings that application and new base changed to different values: `Env PATH`, `Cmd`, …. The application's value
    /// is kept. Labels and annotations are not listed: they start nothing.
    pub conflicts: Vec<String>,
}

/// Merges the settings of an application, its old and its new base.
#[must_use]
pub fn settings(old: &Value, application: &Value, new: &Value) -> MergedSettings {
    let versions = ThreeWayValue { old: Some(old), application: Some(application), new: Some(new) };
    let [old, application, new] = versions.objects();
    let mut conflicts = Vec::new();
    let mut settings = Map::new();

    for key in keys([&old, &application, &new]) {
        let versions = ThreeWayValue { old: old.get(&key), application: application.get(&key), new: new.get(&key) };
        let value = match key.as_str() {
            // a side that changed nothing needs no look inside, and keeps the order and form of the other side's value
            _ if versions.is_one_sided() => versions.choose(&key, &mut conflicts).cloned(),
            "Env" => environment(&versions, &mut conflicts),
            name if BY_KEY.contains(&name) => by_key(&versions, &key, &mut conflicts),
            _ => versions.choose(&key, &mut conflicts).cloned(),
        };
        if let Some(value) = value {
            settings.insert(key, value);
        }
    }
    MergedSettings { settings: Value::Object(settings), conflicts }
}

/// Merges the annotations of three manifests, or labels. A value that is not an object counts as empty.
#[must_use]
pub fn annotations(old: &Value, application: &Value, new: &Value) -> Map<String, Value> {
    let versions = ThreeWayValue { old: Some(old), application: Some(application), new: Some(new) };
    match by_key(&versions, "annotations", &mut Vec::new()) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// The same setting in three images.
#[derive(Clone, Copy)]
struct ThreeWayValue<'a> {
    old: Option<&'a Value>,
    application: Option<&'a Value>,
    new: Option<&'a Value>,
}

impl<'a> ThreeWayValue<'a> {
    /// Tells whether at most one of application and new base changed the setting.
    fn is_one_sided(&self) -> bool {
        self.application == self.old || self.new == self.old
    }

    /// Returns the value to keep, and notes a conflict under `name`.
    fn choose(&self, name: &str, conflicts: &mut Vec<String>) -> Option<&'a Value> {
        if self.application == self.old {
            return self.new;
        }

        // both may have made the same change
        if self.new != self.old && self.new != self.application {
            conflicts.push(name.to_owned());
        }
        self.application
    }

    /// Returns the three values as objects. A value that is not an object counts as empty.
    fn objects(&self) -> [Map<String, Value>; 3] {
        [self.old, self.application, self.new]
            .map(|value| value.and_then(Value::as_object).cloned().unwrap_or_default())
    }
}

fn keys(maps: [&Map<String, Value>; 3]) -> BTreeSet<String> {
    maps.iter().flat_map(|map| map.keys().cloned()).collect()
}

/// Merges objects by key.
fn by_key(versions: &ThreeWayValue<'_>, name: &str, conflicts: &mut Vec<String>) -> Option<Value> {
    let [old, application, new] = versions.objects();
    let mut merged = Map::new();
    let mut own_conflicts = Vec::new();

    for key in keys([&old, &application, &new]) {
        let versions = ThreeWayValue { old: old.get(&key), application: application.get(&key), new: new.get(&key) };
        if let Some(value) = versions.choose(&format!("{name} {key}"), &mut own_conflicts) {
            merged.insert(key, value.clone());
        }
    }

    // labels of builders and of the base differ all the time, and no container starts differently for it
    if name != "Labels" && name != "annotations" {
        conflicts.append(&mut own_conflicts);
    }

    // an empty object and a missing one mean the same, but have other bytes: the application's form stays
    let keeps_empty = versions.application.is_some_and(|value| !value.is_null());
    (!merged.is_empty() || keeps_empty).then_some(Value::Object(merged))
}

/// Merges lists of `NAME=value`: first the new base's variables in its order, then those of the application alone.
fn environment(versions: &ThreeWayValue<'_>, conflicts: &mut Vec<String>) -> Option<Value> {
    let lists = (variables(versions.old), variables(versions.application), variables(versions.new));
    // a list with something else than texts is kept or replaced as a whole
    let (Some(old), Some(application), Some(new)) = lists else {
        return versions.choose("Env", conflicts).cloned();
    };

    let mut names: Vec<&str> = Vec::new();
    let mut seen = BTreeSet::new();
    for (name, _) in new.iter().chain(&application) {
        if seen.insert(*name) {
            names.push(name);
        }
    }

    // of a variable that is set twice, the last value counts
    let by_name = [old, application, new].map(BTreeMap::from_iter);
    let mut merged = Vec::new();
    for name in names {
        let [old, application, new] = [&by_name[0], &by_name[1], &by_name[2]].map(|values| values.get(name).copied());
        let versions = ThreeWayValue { old, application, new };
        merged.extend(versions.choose(&format!("Env {name}"), conflicts).cloned());
    }
    Some(Value::Array(merged))
}

/// Reads a list of variables: each name with its entry `NAME=value`. A missing list is empty; `None` for anything else than
/// a list of texts.
fn variables(list: Option<&Value>) -> Option<Vec<(&str, &Value)>> {
    match list {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(|entry| Some((variable_name(entry.as_str()?), entry))).collect(),
        Some(_) => None,
    }
}

fn variable_name(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn every_setting_goes_its_way() {
        let old = json!({
            "User": "10001:10001", "Cmd": ["run"], "Entrypoint": ["/tini"], "StopSignal": "SIGTERM",
            "Env": ["PATH=/bin", "JAVA_HOME=/jvm/1", "GONE=1", "LANG=C"],
            "Labels": { "version": "1", "title": "tomcat", "gone": "x" },
            "ExposedPorts": { "8080/tcp": {} },
        });
        let application = json!({
            "User": "10001:10001", "Cmd": ["mine"], "Entrypoint": ["/tini"], "WorkingDir": "/app",
            "Env": ["PATH=/app/bin:/bin", "JAVA_HOME=/jvm/1", "GONE=1", "LANG=C", "APP=yes"],
            "Labels": { "version": "1", "title": "shop", "gone": "x", "team": "a" },
            "ExposedPorts": { "8080/tcp": {}, "9090/tcp": {} },
        });
        let new = json!({
            "User": "10001:10001", "Cmd": ["run", "now"], "Entrypoint": ["/tini", "--"], "StopSignal": "SIGINT",
            "Env": ["LANG=C.UTF-8", "PATH=/usr/bin:/bin", "JAVA_HOME=/jvm/2", "NEW=1"],
            "Labels": { "version": "2", "title": "tomcat" },
            "ExposedPorts": { "8443/tcp": {} },
        });
        let merged = settings(&old, &application, &new);
        let expected = json!({
            "Cmd": ["mine"], "Entrypoint": ["/tini", "--"],
            "Env": ["LANG=C.UTF-8", "PATH=/app/bin:/bin", "JAVA_HOME=/jvm/2", "NEW=1", "APP=yes"],
            "ExposedPorts": { "8443/tcp": {}, "9090/tcp": {} },
            "Labels": { "team": "a", "title": "shop", "version": "2" },
            "User": "10001:10001", "WorkingDir": "/app",
        });
        assert_eq!(merged.settings, expected);
        assert_eq!(merged.conflicts, ["Cmd", "Env PATH", "StopSignal"]);
    }

    #[test]
    fn what_an_application_took_away_stays_away() {
        // `ENTRYPOINT` in a Dockerfile takes the command of the base away
        let old = json!({ "Cmd": ["run"], "Env": ["A=1", "B=1"], "Volumes": { "/data": {} } });
        let application = json!({ "Entrypoint": ["/app"], "Env": ["A=1"], "Volumes": {} });
        let new = json!({ "Cmd": ["run", "2"], "Env": ["A=2", "B=2"], "Volumes": { "/data": {}, "/log": {} } });
        let merged = settings(&old, &application, &new);
        assert_eq!(merged.settings, json!({ "Entrypoint": ["/app"], "Env": ["A=2"], "Volumes": { "/log": {} } }));
    }

    #[test]
    fn what_is_not_as_it_should_be_is_kept() {
        let merged = settings(&json!({ "Env": [1] }), &json!({ "Env": "x" }), &json!({ "Env": null }));
        assert_eq!(merged.settings, json!({ "Env": "x" }));
        assert_eq!(settings(&Value::Null, &json!([]), &json!(1)).settings, json!({}));
    }

    fn setting() -> impl Strategy<Value = Value> {
        let variable = ("[A-C]", "[0-2]").prop_map(|(name, value)| format!("{name}={value}"));
        let variables = prop::collection::vec(variable, 0..4).prop_map(|list| {
            let mut seen = BTreeSet::new();
            list.into_iter().filter(|one| seen.insert(one[..1].to_owned())).collect::<Vec<_>>()
        });
        let labels = prop::collection::btree_map("[a-c]", "[0-2]", 0..4);
        let ports = prop::collection::btree_map("[1-3]/tcp", Just(json!({})), 0..3);
        let command = prop::option::of(prop::collection::vec("[a-b]", 0..3));
        (prop::option::of(variables), prop::option::of(labels), prop::option::of(ports), command, "[0-2]").prop_map(
            |(env, labels, ports, command, user)| {
                let mut value = json!({ "User": user });
                let mut set = |key: &str, part: Option<Value>| {
                    if let Some(part) = part {
                        value[key] = part;
                    }
                };
                set("Env", env.map(Value::from));
                set("Labels", labels.map(|labels| json!(labels)));
                set("ExposedPorts", ports.map(|ports| json!(ports)));
                set("Cmd", command.map(Value::from));
                value
            },
        )
    }

    /// Returns the value of one variable, label, port or setting.
    fn part(settings: &Value, path: &str) -> Option<Value> {
        match path.split_once(' ') {
            Some(("Env", name)) => {
                let list = settings["Env"].as_array()?;
                list.iter().find(|entry| entry.as_str().is_some_and(|text| text.starts_with(name))).cloned()
            }
            Some((key, name)) => settings[key].get(name).cloned(),
            None => settings.get(path).cloned(),
        }
    }

    proptest! {
        #[test]
        fn an_unchanged_application_becomes_its_base(old in setting(), new in setting()) {
            prop_assert_eq!(settings(&old, &old, &new).settings, new);
        }

        #[test]
        fn an_unchanged_base_changes_nothing(old in setting(), application in setting()) {
            let merged = settings(&old, &application, &old);
            prop_assert_eq!(merged.settings, application);
            prop_assert!(merged.conflicts.is_empty());
        }

        #[test]
        fn every_part_is_the_applications_or_the_new_bases(
            old in setting(), application in setting(), new in setting(),
        ) {
            let merged = settings(&old, &application, &new).settings;
            let names = ["Env A", "Env B", "Env C", "Labels a", "Labels b", "Labels c",
                "ExposedPorts 1/tcp", "ExposedPorts 2/tcp", "Cmd", "User"];
            for name in names {
                let [before, own, after, result] = [&old, &application, &new, &merged].map(|one| part(one, name));
                let expected = if own == before { after } else { own };
                prop_assert_eq!(result, expected, "{}", name);
            }
        }

        #[test]
        fn any_values_are_merged_without_panic(texts in prop::collection::vec("\\PC{0,8}", 6)) {
            let one = |a: &str, b: &str| json!({ a: b, "Env": [a, b, "", "="], "Labels": { b: a }, "Volumes": a });
            let _any = settings(&one(&texts[0], &texts[1]), &one(&texts[2], &texts[3]), &one(&texts[4], &texts[5]));
        }
    }
}
