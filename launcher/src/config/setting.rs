//! What a setting is. The settings themselves stand in `settings.rs`.

use super::kind::{Kind, Value};

/// One setting. Loading, checking, editing, the reference and the man page are all made from these.
#[derive(Debug)]
pub struct Setting {
    /// `section.key`, or `key` alone at the top of the file.
    pub name: &'static str,
    pub kind: Kind,
    /// As words of a command line; none: not set, and an empty string means the same.
    pub default: Option<&'static str>,
    /// One paragraph; the reference prints it.
    pub doc: &'static str,
    /// Mathesar's own variables, which `mathesar run` honours.
    pub service_variables: &'static [&'static str],
    /// Variables that programs share by custom, which every command honours.
    pub usual_variables: &'static [&'static str],
    pub secret: bool,
    pub effect: Effect,
}

/// When a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// At `mathesar restart`.
    Restart,
    /// The next time a command needs it.
    NextUse,
    /// Only when the private cluster is made.
    NewCluster,
}

impl Effect {
    pub fn text(self) -> &'static str {
        match self {
            Effect::Restart => "at `mathesar restart`",
            Effect::NextUse => "the next time it is used",
            Effect::NewCluster => "only when the private cluster is made",
        }
    }
}

impl Setting {
    pub(super) const fn new(
        name: &'static str,
        kind: Kind,
        default: Option<&'static str>,
        doc: &'static str,
    ) -> Setting {
        Setting {
            name,
            kind,
            default,
            doc,
            service_variables: &[],
            usual_variables: &[],
            secret: false,
            effect: Effect::Restart,
        }
    }

    pub(super) const fn honours(mut self, variables: &'static [&'static str]) -> Setting {
        self.service_variables = variables;
        self
    }

    pub(super) const fn usual(mut self, variables: &'static [&'static str]) -> Setting {
        self.usual_variables = variables;
        self
    }

    pub(super) const fn secret(mut self) -> Setting {
        self.secret = true;
        self
    }

    pub(super) const fn effect(mut self, effect: Effect) -> Setting {
        self.effect = effect;
        self
    }

    pub fn default_value(&self) -> Value {
        let Some(text) = self.default else { return Value::Unset };
        self.kind.read_words(&[text]).unwrap_or(Value::Unset)
    }

    /// The launcher's own variable: `MATHESAR_SERVER_LISTEN`.
    pub fn variable(&self) -> String {
        format!("MATHESAR_{}", self.name.to_uppercase().replace(['.', '-'], "_"))
    }

    /// `server` and `listen`; the section of a top-level setting is empty.
    pub fn section_and_key(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or(("", self.name))
    }

    pub fn find(name: &str) -> Option<(usize, &'static Setting)> {
        super::SETTINGS.iter().enumerate().find(|(_, setting)| setting.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SECTIONS, SETTINGS};

    #[test]
    fn the_table_is_sound() {
        for (index, setting) in SETTINGS.iter().enumerate() {
            let (section, key) = setting.section_and_key();
            assert!(SECTIONS.iter().any(|known| known.name == section), "{}: no section", setting.name);
            assert!(!key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{key}");
            assert!(
                SETTINGS[..index].iter().all(|other| other.name != setting.name),
                "{} twice",
                setting.name
            );
            if let Some(default) = setting.default {
                assert!(setting.kind.read_words(&[default]).is_ok(), "{}: default", setting.name);
            }
            assert!(
                setting.doc.ends_with('.') && setting.doc.starts_with(char::is_uppercase),
                "{}",
                setting.name
            );
        }
    }

    #[test]
    fn no_variable_stands_for_two_settings() {
        let mut seen = std::collections::BTreeMap::new();
        for setting in SETTINGS {
            for variable in setting.service_variables.iter().chain(setting.usual_variables) {
                assert_eq!(seen.insert(variable, setting.name), None, "{variable}");
            }
        }
    }
}
