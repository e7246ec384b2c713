//! What only root can read, read before the process becomes the service's user and handed on to it.

use serde_json::{Value, json};

use super::ask::said;
use super::machine;
use crate::layout::Layout;
use crate::process::Program;
use crate::server::holder;
use crate::service_manager::unit_name;

/// Nothing of it is known to an ordinary user.
#[derive(Debug, Clone, Default)]
pub(crate) struct RootFacts {
    /// Who listens on the port of `server.listen`.
    pub port_holder: Option<String>,
    /// Denials of SELinux and AppArmor since the boot.
    pub denials: Option<Vec<String>>,
    /// The unit's last lines, for the bundle.
    pub journal: Option<String>,
}

impl RootFacts {
    /// As root.
    pub fn gather(layout: &Layout, port: Option<u16>, with_journal: bool) -> RootFacts {
        RootFacts {
            port_holder: port.and_then(holder::of_port).map(|holder| holder.to_string()),
            denials: machine::kernel_log().ok(),
            journal: with_journal.then(|| journal(&unit_name(layout), false)).flatten(),
        }
    }

    pub fn to_json(&self) -> Value {
        json!({ "port_holder": self.port_holder, "denials": self.denials, "journal": self.journal })
    }

    pub fn from_json(value: &Value) -> RootFacts {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let lines = value["denials"].as_array();
        RootFacts {
            port_holder: text("port_holder"),
            denials: lines.map(|lines| lines.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
            journal: text("journal"),
        }
    }
}

/// A unit's last lines, as far as this user may read them.
pub(super) fn journal(unit: &str, user: bool) -> Option<String> {
    let which = if user { "--user-unit" } else { "-u" };
    let words = [which, unit, "-n", super::bundle::LOG_LINES, "-q", "--no-pager", "-o", "short-iso"];
    said(Program::new("journalctl").args(words)).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_the_way_to_the_service_user() {
        let facts = RootFacts {
            port_holder: Some("`x` (pid 1)".into()),
            denials: Some(vec!["a \"b\"".into()]),
            journal: None,
        };
        let again = RootFacts::from_json(&serde_json::from_str(&facts.to_json().to_string()).unwrap());
        assert_eq!(format!("{facts:?}"), format!("{again:?}"));
    }
}
