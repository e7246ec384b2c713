//! The JSON Schema of the manifest, from its types: what the reader walks by, and what editors are given.

use std::sync::LazyLock;

use schemars::schema_for;
use serde_json::{Map, Value, json};

use super::check;
use super::{Distribution, Manifest};

/// Distributions by the rule that their dependency names follow.
const FAMILIES: [(&str, &str, &[Distribution]); 4] = [
    ("deb", "Debian Policy 7.1: `python3 (>= 3.10)`", &Distribution::DEB),
    ("rpm", "a name or capability, with a version: `python3 >= 3.10`", &Distribution::RPM),
    ("arch", "PKGBUILD(5): `python>=3.10`", &Distribution::ARCH),
    ("homebrew", "a formula: `python@3.12`", &Distribution::HOMEBREW),
];

/// The schema with our own keywords: `x-check`, `x-check-items` (rules of `check`), `x-missing` (help for a missing key).
pub(super) static SCHEMA: LazyLock<Value> = LazyLock::new(schema);

fn schema() -> Value {
    let mut schema = Value::from(schema_for!(Manifest));
    let names = schema["$defs"]["Names"].take();
    let mut properties = Map::new();
    for (id, description) in distributions() {
        let Ok(distribution) = serde_json::from_value::<Distribution>(id.as_str().into()) else { continue };
        let family = FAMILIES.iter().find(|(_, _, members)| members.contains(&distribution));
        let Some((family, _, _)) = family else { continue };
        properties
            .insert(id, json!({ "description": description, "$ref": format!("#/$defs/names-{family}") }));
    }
    if let Some(definitions) = schema["$defs"].as_object_mut() {
        definitions.remove("Names");
        for (family, form, _) in FAMILIES {
            definitions.insert(format!("names-{family}"), names_of(&names, family, form));
        }
    }
    let required: Vec<Value> = properties.keys().map(|id| id.as_str().into()).collect();
    schema["$defs"]["Dependency"]["properties"]["names"] = json!({
        "description": "What each distribution calls it; all of them have to be named.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "required": required,
        "x-missing": "a name, a list of names, or `{ none = \"why\" }`",
    });
    schema
}

/// The schema's `Names` with the rule of one family in it.
fn names_of(names: &Value, family: &str, form: &str) -> Value {
    let mut names = names.clone();
    let rule = Value::from(format!("relation-{family}"));
    for branch in names["anyOf"].as_array_mut().into_iter().flatten() {
        if branch["type"] == "string" {
            branch["description"] = format!("One package; {form}.").into();
            branch["x-check"] = rule.clone();
        } else if branch["type"] == "array" {
            branch["x-check-items"] = rule.clone();
            branch["minItems"] = 1.into();
        }
    }
    names
}

/// Identifier and description of every distribution.
fn distributions() -> Vec<(String, String)> {
    let schema = Value::from(schema_for!(Distribution));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let variants = schema["oneOf"].as_array().cloned().unwrap_or_default();
    variants.iter().map(|variant| (text(&variant["const"]), text(&variant["description"]))).collect()
}

/// `packaging/mathesar.schema.json`: without our keywords, with a `pattern` where a rule has a simple one.
pub(crate) fn schema_json() -> String {
    let mut schema = SCHEMA.clone();
    schema["title"] = "packaging/mathesar.toml".into();
    publish(&mut schema);
    format!("{schema:#}\n")
}

fn publish(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("x-missing");
            if let Some(pattern) = rule(map.remove("x-check")).and_then(|rule| rule.pattern) {
                map.insert("pattern".into(), pattern.into());
            }
            if let Some(pattern) = rule(map.remove("x-check-items")).and_then(|rule| rule.pattern)
                && let Some(items) = map.get_mut("items").and_then(Value::as_object_mut)
            {
                items.insert("pattern".into(), pattern.into());
            }
            map.values_mut().for_each(publish);
        }
        Value::Array(items) => items.iter_mut().for_each(publish),
        _ => {}
    }
}

fn rule(name: Option<Value>) -> Option<&'static check::Rule> {
    check::rule(name?.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_schema_is_the_types() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/mathesar.schema.json");
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == schema_json(),
            "packaging/mathesar.schema.json is not what the manifest's types say\nhelp: cargo xtask check --write"
        );
    }

    #[test]
    fn every_rule_that_the_types_name_exists() {
        fn names(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    for key in ["x-check", "x-check-items"] {
                        found.extend(map.get(key).and_then(Value::as_str).map(str::to_owned));
                    }
                    map.values().for_each(|value| names(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| names(value, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        names(&schema(), &mut found);
        assert!(found.len() > 30);
        for name in found {
            assert!(check::rule(&name).is_some(), "no rule `{name}` in check");
        }
    }

    #[test]
    fn every_distribution_belongs_to_a_family() {
        let members: usize = FAMILIES.iter().map(|(_, _, members)| members.len()).sum();
        assert_eq!(distributions().len(), members);
        let schema = schema();
        assert_eq!(
            schema["$defs"]["Dependency"]["properties"]["names"]["required"].as_array().unwrap().len(),
            members
        );
    }

    #[test]
    fn nothing_of_our_own_is_published() {
        let text = schema_json();
        assert!(!text.contains("x-check") && !text.contains("x-missing"));
        assert!(text.contains("^[0-9a-f]{64}$"));
    }
}
