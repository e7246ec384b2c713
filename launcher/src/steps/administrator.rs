//! The step that makes an administrator where one has to be there before anybody can come in.

use super::World;
use super::access::{self, Exposure};
use crate::admin::{self, Account};
use crate::failure::Failure;
use crate::layout::Scope;
use crate::progress::Progress;

/// Who the administrator is that the launcher makes by itself, and the secret with the password.
pub const FIRST_ADMIN: &str = "admin";
pub const FIRST_PASSWORD: &str = "initial-admin-password";

impl World {
    pub(super) fn admin(&self, progress: &dyn Progress) -> Result<bool, Failure> {
        let secrets = &self.installation.secrets;
        let exposure = access::exposure(&self.installation.config, self.listen());
        let system = self.installation.layout.scope == Scope::System;
        if !system && exposure == Exposure::Loopback {
            return Ok(false);
        }
        let variables = self.variables()?;
        if access::admin_exists(self, &variables)? {
            self.forget_first_password()?;
            return Ok(false);
        }
        match (system, exposure) {
            (false, Exposure::Public(why)) => Err(access::refusal(&why)),
            (false, Exposure::Loopback) => Ok(false),
            (true, _) => {
                let password = secrets.ensure_short(FIRST_PASSWORD)?;
                let account =
                    Account { username: FIRST_ADMIN, email: "", password: &password, one_time: true };
                admin::create(&self.release()?, &variables, &account)?;
                progress.note(&format!(
                    "the administrator is `{FIRST_ADMIN}`, with the one-time password in {}",
                    secrets.path(FIRST_PASSWORD).display()
                ));
                Ok(true)
            }
        }
    }

    /// Once it was changed, the one-time password opens nothing any more and need not lie there.
    fn forget_first_password(&self) -> Result<(), Failure> {
        if !self.installation.secrets.path(FIRST_PASSWORD).exists() {
            return Ok(());
        }
        let ask =
            format!("SELECT password_change_needed FROM mathesar_user WHERE username = '{FIRST_ADMIN}';");
        match self.query(&ask) {
            Ok(answer) if answer.trim() == "f" => self.installation.secrets.forget(FIRST_PASSWORD),
            // A release without that column, or without that user: nothing is known.
            _ => Ok(()),
        }
    }
}
