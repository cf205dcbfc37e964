//! Settings of three images into one: what an application took over unchanged from its old base follows the new base, what
//! it changed stays.
//!
//! The same rule everywhere (*three ways*): where the application says what the old base said, the new base speaks;
//! otherwise the application does. Not being there is a value like any other. `Env` is merged by variable, `Labels`,
//! `ExposedPorts` and `Volumes` by key, annotations by name; everything else (`Entrypoint`, `Cmd`, `User`, `WorkingDir`,
//! `StopSignal`, Docker's `Healthcheck`, …) as a whole (image-spec config.md, "Properties").

use serde_json::Map;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Settings that are objects whose keys have nothing to do with each other.
const BY_KEY: [&str; 3] = ["Labels", "ExposedPorts", "Volumes"];

/// Merged settings, and names where application and new base have both changed something, each in its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The settings: the value of `config` in a configuration.
    pub settings: Value,
    /// `Env PATH`, `Cmd`, …: the application's value stays. Labels and annotations are not worth telling.
    pub both: Vec<String>,
}

/// Merges the settings of an application, its old and its new base.
#[must_use]
pub fn settings(old: &Value, application: &Value, new: &Value) -> Merged {
    let empty = Map::new();
    let object = |value: &'_ Value| value.as_object().cloned().unwrap_or_else(|| empty.clone());
    let (old, application, new) = (object(old), object(application), object(new));
    let mut both = Vec::new();
    let mut merged = Map::new();
    for key in keys([&old, &application, &new]) {
        let ways = Ways { old: old.get(&key), application: application.get(&key), new: new.get(&key) };
        let value = match key.as_str() {
            "Env" if !ways.is_plain() => environment(&ways, &mut both),
            _ if BY_KEY.contains(&key.as_str()) && !ways.is_plain() => entries(&ways, &key, &mut both),
            _ => ways.decide(&key, &mut both).cloned(),
        };
        if let Some(value) = value {
            merged.insert(key, value);
        }
    }
    Merged { settings: Value::Object(merged), both }
}

/// Merges annotations of three manifests, or labels; a value that is not there is empty.
#[must_use]
pub fn texts(old: &Value, application: &Value, new: &Value) -> Map<String, Value> {
    let ways = Ways { old: Some(old), application: Some(application), new: Some(new) };
    match entries(&ways, "annotations", &mut Vec::new()) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// One setting, three times.
#[derive(Clone, Copy)]
struct Ways<'a> {
    old: Option<&'a Value>,
    application: Option<&'a Value>,
    new: Option<&'a Value>,
}

impl<'a> Ways<'a> {
    /// Tells whether one side alone decides, so that nothing within has to be looked at.
    fn is_plain(&self) -> bool {
        self.application == self.old || self.new == self.old
    }

    fn decide(&self, name: &str, both: &mut Vec<String>) -> Option<&'a Value> {
        if self.application == self.old {
            return self.new;
        }
        if self.new != self.old && self.new != self.application {
            both.push(name.to_owned());
        }
        self.application
    }
}

fn keys(maps: [&Map<String, Value>; 3]) -> BTreeSet<String> {
    maps.iter().flat_map(|map| map.keys().cloned()).collect()
}

/// Merges objects by key.
fn entries(ways: &Ways<'_>, name: &str, both: &mut Vec<String>) -> Option<Value> {
    let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let (old, application, new) = (object(ways.old), object(ways.application), object(ways.new));
    let mut merged = Map::new();
    for key in keys([&old, &application, &new]) {
        let ways = Ways { old: old.get(&key), application: application.get(&key), new: new.get(&key) };
        let mut own = Vec::new();
        if let Some(value) = ways.decide(&format!("{name} {key}"), &mut own) {
            merged.insert(key, value.clone());
        }
        if name != "Labels" && name != "annotations" {
            both.append(&mut own);
        }
    }
    let keeps_empty = ways.application.is_some_and(|value| !value.is_null());
    (!merged.is_empty() || keeps_empty).then_some(Value::Object(merged))
}

/// Merges lists of `NAME=value`: first the new base's variables in its order, then those that only the application has.
fn environment(ways: &Ways<'_>, both: &mut Vec<String>) -> Option<Value> {
    let (old, application, new) = (variables(ways.old), variables(ways.application), variables(ways.new));
    let (Some(old), Some(application), Some(new)) = (old, application, new) else {
        return ways.decide("Env", both).cloned();
    };
    let mut names: Vec<&str> = Vec::new();
    let mut seen = BTreeSet::new();
    for (name, _) in new.iter().chain(&application) {
        if seen.insert(*name) {
            names.push(name);
        }
    }
    let by_name = |list: &[(&'_ str, &'_ Value)]| -> BTreeMap<String, Value> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).clone())).collect()
    };
    let (old, application_values, new_values) = (by_name(&old), by_name(&application), by_name(&new));
    let mut merged = Vec::new();
    for name in names {
        let ways = Ways { old: old.get(name), application: application_values.get(name), new: new_values.get(name) };
        merged.extend(ways.decide(&format!("Env {name}"), both).cloned());
    }
    Some(Value::Array(merged))
}

/// Reads a list of variables, nothing being an empty one; `None` where it is something else.
fn variables(list: Option<&Value>) -> Option<Vec<(&str, &Value)>> {
    let one = |entry| {
        let text = Value::as_str(entry)?;
        Some((text.split_once('=').map_or(text, |(name, _)| name), entry))
    };
    match list {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(one).collect(),
        Some(_) => None,
    }
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
        assert_eq!(merged.both, ["Cmd", "Env PATH", "StopSignal"]);
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
            prop_assert!(merged.both.is_empty());
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
