//! For a person's psql and other programs: how a server is reached, without any password on a command line or in an address.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::cluster::Cluster;
use super::external::External;
use super::psql::Psql;
use super::url::Address;
use super::{PORT, ROLE};
use crate::failure::Failure;
use crate::secrets::Secrets;

/// A psql, and the variables by which it connects. A password lies in a file of mode 0600 that they name.
#[derive(Debug)]
pub struct Session {
    pub program: PathBuf,
    pub variables: Vec<(&'static str, OsString)>,
}

impl Session {
    fn of(psql: Psql) -> Session {
        let mut variables: Vec<(&'static str, OsString)> = vec![
            ("PGHOST", psql.host.into()),
            ("PGPORT", psql.port.to_string().into()),
            ("PGUSER", psql.role.into()),
            ("PGDATABASE", psql.database.into()),
            ("PGAPPNAME", "mathesar db shell".into()),
        ];
        variables.extend(psql.passwords.map(|path| ("PGPASSFILE", path.into_os_string())));
        variables.extend(psql.variables.into_iter().map(|(name, value)| (name, value.into())));
        Session { program: psql.program, variables }
    }
}

impl Cluster {
    pub fn session(&self, superuser: bool, database: &str) -> Result<Session, Failure> {
        Ok(Session::of(match superuser {
            true => self.superuser(database)?,
            false => self.psql(ROLE, database),
        }))
    }

    /// Its address, as `private_url` says it.
    pub fn url(&self, database: &str) -> String {
        private_url(&self.socket, database)
    }
}

/// The private cluster's address, also where there is none yet: for programs of the same OS user, which need no password.
pub fn private_url(socket: &Path, database: &str) -> String {
    let address = Address {
        host: socket.to_string_lossy().into_owned(),
        port: PORT,
        role: ROLE.to_owned(),
        database: database.to_owned(),
        sslmode: None,
    };
    address.to_url()
}

impl External {
    /// In the internal database, unless another one is named.
    pub fn session(
        &self,
        psql: &Path,
        secrets: &Secrets,
        database: Option<&str>,
    ) -> Result<Session, Failure> {
        let mut psql = self.connection(psql, secrets, None)?;
        if let Some(database) = database {
            psql.database = database.to_owned();
        }
        Ok(Session::of(psql))
    }

    /// The address without its password.
    pub fn url(&self, database: Option<&str>) -> String {
        let mut address = self.address.clone();
        address.sslmode = Some(self.sslmode.clone());
        if let Some(database) = database {
            address.database = database.to_owned();
        }
        address.to_url()
    }
}
