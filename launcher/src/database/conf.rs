//! The private cluster's files of settings: pure texts.

use std::path::Path;

use super::{REPLICATION, ROLE};

/// Included at the end of postgresql.conf, so that it wins.
pub const INCLUDED: &str = "mathesar.conf";
const GENERATED: &str = "# Written by mathesar at every start. Change mathesar.conf(5)'s settings instead.\n";

/// What goes into the included file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conf {
    pub max_connections: i64,
    /// In bytes.
    pub shared_buffers: u64,
    /// An ordinary user's shared memory is removed at logout (RemoveIPC of logind): keep it in files.
    pub ordinary_user: bool,
    /// Whoever does not ask otherwise only reads: while a transaction may yet be taken back, together with what others would write.
    pub read_only: bool,
}

/// The line that keeps others from writing.
pub const CLOSED: &str = "default_transaction_read_only = on\n";

/// By which the launcher and what it starts ask otherwise, as libpq's PGOPTIONS.
pub const WRITES: &str = "-c default_transaction_read_only=off";

impl Conf {
    pub fn render(&self, socket: &Path) -> String {
        let memory = if self.ordinary_user { "dynamic_shared_memory_type = mmap\n" } else { "" };
        let read_only = if self.read_only { CLOSED } else { "" };
        format!(
            "{GENERATED}\
             {read_only}\
             listen_addresses = ''\n\
             port = {port}\n\
             unix_socket_directories = {socket}\n\
             unix_socket_permissions = 0700\n\
             password_encryption = 'scram-sha-256'\n\
             max_connections = {connections}\n\
             shared_buffers = {buffers}kB\n\
             {memory}\
             fsync = on\n\
             full_page_writes = on\n\
             synchronous_commit = on\n\
             wal_level = replica\n\
             cluster_name = 'mathesar'\n\
             log_destination = 'stderr'\n\
             logging_collector = off\n\
             lc_messages = 'C'\n\
             log_line_prefix = '[%p] %q%u@%d '\n\
             # Statements hold passwords and people's data: none is ever logged, and of an error no DETAIL, which quotes rows.\n\
             log_error_verbosity = terse\n\
             log_statement = 'none'\n\
             log_min_error_statement = panic\n\
             log_min_duration_statement = -1\n\
             log_parameter_max_length = 0\n\
             log_parameter_max_length_on_error = 0\n",
            port = super::PORT,
            socket = quoted(&list_item(&socket.to_string_lossy())),
            connections = self.max_connections,
            buffers = self.shared_buffers / 1024,
        )
    }
}

/// Peer for Mathesar's role alone, and from the service's own OS user alone; everybody else needs a password.
pub fn hba() -> String {
    format!(
        "{GENERATED}\
         local all {ROLE} peer map=mathesar\n\
         local replication {REPLICATION} scram-sha-256\n\
         local all all scram-sha-256\n"
    )
}

pub fn ident(os_user: &str) -> String {
    format!("{GENERATED}mathesar \"{}\" {ROLE}\n", os_user.replace('"', "\"\""))
}

/// One item of a list of folders.
pub fn list_item(path: &str) -> String {
    format!("\"{}\"", path.replace('"', "\"\""))
}

/// A value of postgresql.conf, where backslashes count.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_exactly_these() {
        let rules: Vec<String> = hba().lines().skip(1).map(str::to_owned).collect();
        assert_eq!(
            rules,
            [
                "local all mathesar peer map=mathesar",
                "local replication mathesar_backup scram-sha-256",
                "local all all scram-sha-256"
            ]
        );
        assert!(ident("DOM\\a b").ends_with("\nmathesar \"DOM\\a b\" mathesar\n"));
    }

    #[test]
    fn paths_are_quoted() {
        let conf =
            Conf { max_connections: 50, shared_buffers: 128 << 20, ordinary_user: true, read_only: false };
        let text = conf.render(Path::new("/a b/it's,\"x\\"));
        assert!(text.contains("\nunix_socket_directories = '\"/a b/it''s,\"\"x\\\\\"'\n"), "{text}");
        assert!(text.contains("\nshared_buffers = 131072kB\n"));
        assert!(text.contains("\nlisten_addresses = ''\n") && !text.contains("read_only"));
        assert!(text.contains("\nlog_error_verbosity = terse\n"));
        let text = Conf { read_only: true, ..conf }.render(Path::new("/a"));
        assert!(text.contains("\ndefault_transaction_read_only = on\n"), "{text}");
    }
}
