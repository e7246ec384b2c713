//! The log from some moment on, kept by the server for as long as somebody copies its data.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};

use rustix::process::Signal;

use super::cluster::Cluster;
use crate::failure::Failure;

/// A session with a replication slot of its own: the server forgets the slot with the session, however that ends.
#[derive(Debug)]
pub struct HeldLog {
    child: Child,
}

impl Cluster {
    /// From now on the server removes nothing of its log. pg_basebackup's own way (`--wal-method=stream`) is a second process, which
    /// goes on writing for ever when the first one is killed. Keep it in the thread that has called this.
    pub fn hold_log(&self) -> Result<HeldLog, Failure> {
        let program = self.superuser("postgres")?.bare().args(["-XAtqw", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        let mut command = program.into_command();
        crate::raw::before_exec(&mut command, Vec::new(), Signal::KILL);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = |cause| Failure::new("cannot run psql").cause(cause);
        let child = command.spawn().map_err(failed)?;
        let mut held = HeldLog { child };
        let statement = format!(
            "SELECT slot_name FROM pg_catalog.pg_create_physical_replication_slot('mathesar_{}', true, true);\n",
            std::process::id()
        );
        // One that has ended already says why, below.
        let _ = held.child.stdin.as_mut().map(|stdin| stdin.write_all(statement.as_bytes()));
        let mut line = String::new();
        if let Some(stdout) = held.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(failed)?;
        }
        if line.trim().is_empty() {
            drop(held.child.stdin.take());
            let mut said = String::new();
            if let Some(mut stderr) = held.child.stderr.take() {
                let _ = stderr.read_to_string(&mut said);
            }
            return Err(
                Failure::new("PostgreSQL does not keep its log for a copy").cause(said.trim().to_owned())
            );
        }
        Ok(held)
    }
}

impl Drop for HeldLog {
    fn drop(&mut self) {
        // At the end of its input psql ends.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
