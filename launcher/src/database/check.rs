//! What must be right before the private cluster's server is started.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::cluster::Cluster;
use super::settings::Settings;
use crate::failure::{Exit, Failure};
use crate::process::Program;

impl Cluster {
    /// What must be right before anything is done, `plan` included.
    pub fn check(&self) -> Result<(), Failure> {
        if self.owner.uid == 0 {
            return Err(Failure::new("PostgreSQL refuses to run as root")
                .exit(Exit::Refused)
                .help("run it as the service's user: `sudo systemctl start mathesar`, or as yourself"));
        }
        /// What the system allows, with the NUL: Linux 108, macOS 104.
        const LONGEST: usize = if cfg!(target_os = "macos") { 103 } else { 107 };
        let name = self.socket_file();
        let length = name.as_os_str().len();
        if length > LONGEST {
            return Err(Failure::new(format!(
                "the path of the database's socket is too long: {}",
                name.display()
            ))
            .cause(format!("it has {length} bytes, and the system allows {LONGEST}"))
            .exit(Exit::Refused)
            .help("choose a folder with a shorter path: `mathesar --home DIR …`"));
        }
        // libpq takes a comma for the end of a host's name, and of a socket's folder too.
        if name.to_str().is_none_or(|name| name.contains(|c: char| c.is_control() || c == ',')) {
            return Err(Failure::new(format!("{} cannot be the database's socket", name.display()))
                .cause("PostgreSQL's programs stumble over commas, control characters and what is not UTF-8 in its path")
                .exit(Exit::Refused)
                .help("choose a folder with a plain path: `mathesar --home DIR …`"));
        }
        self.check_owner()
    }

    /// What PostgreSQL itself refuses, with the command that helps.
    fn check_owner(&self) -> Result<(), Failure> {
        let data = self.data();
        // A folder that is no cluster's is refused as such.
        let (Ok(meta), true) = (fs::metadata(&data), data.join("PG_VERSION").exists()) else { return Ok(()) };
        let refused = |cause: String, help: String| {
            Err(Failure::new(format!("PostgreSQL would refuse the folder {}", data.display()))
                .cause(cause)
                .exit(Exit::Refused)
                .help(help))
        };
        if meta.uid() != self.owner.uid {
            let cause = format!("it belongs to the user {}, not to `{}`", meta.uid(), self.owner.name);
            return refused(
                cause,
                format!("give it back: `sudo chown -R {} {}`", self.owner.name, crate::cure::path(&data)),
            );
        }
        // Others in no way, the group at most reading.
        match meta.mode() & 0o027 {
            0 => Ok(()),
            _ => refused(
                format!("others may look into it: its mode is {:o}", meta.mode() & 0o7777),
                format!("close it: `chmod 700 {}`", crate::cure::path(&data)),
            ),
        }
    }

    /// Whether PostgreSQL takes what mathesar.conf says; starts nothing.
    pub fn try_settings(&self) -> Result<(), Failure> {
        // Written by the first start of the server: without it nothing that is set can be tried.
        if !self.data().join(super::conf::INCLUDED).exists() {
            return Ok(());
        }
        let Settings { max_connections, shared_buffers, .. } = &self.settings;
        let asked = Program::new(self.binaries.server("postgres"))
            .args(["-C", "shared_buffers", "-D"])
            .arg(self.data())
            .args(["-c", &format!("shared_buffers={}kB", shared_buffers / 1024)])
            .args(["-c", &format!("max_connections={max_connections}")])
            .current_dir("/")
            .user(self.owner.user)
            .run();
        asked.map(drop).map_err(|failure| {
            let said = std::error::Error::source(&failure).map(ToString::to_string).unwrap_or_default();
            Failure::new("PostgreSQL would not start with these settings")
                .cause(said)
                .exit(Exit::Refused)
                .help("where they come from: `mathesar config show --origin database`")
        })
    }
}
