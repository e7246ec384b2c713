//! What mathesar.conf says about the private cluster, and what of it cannot be.

use crate::config::Config;
use crate::failure::{Exit, Failure};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The internal database.
    pub name: String,
    pub user_database: String,
    pub locale: String,
    pub max_connections: i64,
    /// In bytes.
    pub shared_buffers: u64,
}

impl Settings {
    pub fn of(config: &Config) -> Settings {
        let text = |name: &str, default: &str| config.text(name).unwrap_or(default).to_owned();
        Settings {
            name: text("database.name", "mathesar_django"),
            user_database: text("database.user-database", "mathesar"),
            locale: text("database.locale", "C.UTF-8"),
            max_connections: config.integer("database.max-connections").unwrap_or(100),
            shared_buffers: config.size("database.shared-buffers").unwrap_or(128 << 20),
        }
    }

    pub(crate) fn refuse_one_database(&self) -> Result<(), Failure> {
        if self.name != self.user_database {
            return Ok(());
        }
        Err(Failure::new("`database.name` and `database.user-database` are the same database")
            .cause("Mathesar keeps its own tables and yours apart")
            .exit(Exit::Refused)
            .help("name another one: `mathesar config set database.user-database mathesar`"))
    }

    /// A locale that initdb would refuse, found without it. `major`: of the server that would make the cluster; none: nobody knows.
    pub(crate) fn refuse_locale(&self, major: impl FnOnce() -> Option<u32>) -> Result<(), Failure> {
        if crate::raw::locale_exists(&self.locale) {
            return Ok(());
        }
        match major() {
            Some(major) if !self.is_builtin(major) => Err(self.no_locale()),
            _ => Ok(()),
        }
    }

    /// Some systems lack C.UTF-8; since 17 PostgreSQL brings its own.
    pub(super) fn is_builtin(&self, major: u32) -> bool {
        self.locale == "C.UTF-8" && major >= 17
    }

    pub(super) fn no_locale(&self) -> Failure {
        Failure::new(format!("this system has no locale `{}`", self.locale))
            .exit(Exit::Refused)
            .help("see which ones it has: `locale -a`")
            .help("and choose one: `mathesar config set database.locale C`")
    }
}
