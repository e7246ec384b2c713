//! The units as texts.

use std::fs;
use std::path::Path;

fn unit(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("packaging/files");
    fs::read_to_string(folder.join(name)).unwrap()
}

/// Settings in their order, without comments.
fn settings(text: &str) -> Vec<String> {
    let bare = |line: &&str| !line.is_empty() && !line.starts_with('#');
    text.lines().filter(bare).map(str::to_owned).collect()
}

/// systemd cannot include one unit in another, so a change to one is a change to both.
#[test]
fn an_instance_s_unit_is_the_service_s() {
    let mut expected = settings(&unit("mathesar.service"));
    // Only the default installation has others' folders in its own.
    expected.retain(|line| line != "RuntimeDirectoryPreserve=yes");
    for line in &mut expected {
        *line = match line.as_str() {
            line if line.starts_with("Description=") => "Description=Mathesar, instance %i".to_owned(),
            "ExecStart=/usr/bin/mathesar run" => "ExecStart=/usr/bin/mathesar --instance %i run".to_owned(),
            "StateDirectory=mathesar" | "CacheDirectory=mathesar" | "RuntimeDirectory=mathesar" => {
                format!("{line}/%i")
            }
            line => line.to_owned(),
        };
    }
    let place = expected.iter().position(|line| line == "RuntimeDirectoryMode=0750").unwrap();
    expected.insert(place + 1, "ConfigurationDirectory=mathesar/%i".to_owned());
    assert_eq!(settings(&unit("mathesar@.service")), expected);
}

#[test]
fn an_instance_s_backup_is_the_service_s() {
    let mut expected = settings(&unit("mathesar-backup.service"));
    for line in &mut expected {
        *line = line
            .replace("Description=Backup of Mathesar", "Description=Backup of Mathesar, instance %i")
            .replace("/usr/bin/mathesar ", "/usr/bin/mathesar --instance %i ")
            .replace("/var/lib/mathesar/", "/var/lib/mathesar/%i/")
            .replace("After=mathesar.service", "After=mathesar@%i.service");
        if line.ends_with("Directory=mathesar") {
            line.push_str("/%i");
        }
    }
    let place = expected.iter().position(|line| line == "RuntimeDirectoryMode=0750").unwrap();
    expected.insert(place + 1, "ConfigurationDirectory=mathesar/%i".to_owned());
    assert_eq!(settings(&unit("mathesar-backup@.service")), expected);
}

/// What keeps the service from harm keeps a backup, except where it has to write what may be anywhere.
#[test]
fn a_backup_is_as_hardened_as_the_service() {
    let backup = settings(&unit("mathesar-backup.service"));
    let service = settings(&unit("mathesar.service"));
    let from = service.iter().position(|line| line == "NoNewPrivileges=yes").unwrap();
    let hardening = service[from..].iter().take_while(|line| *line != "[Install]");
    let lacking: Vec<_> = hardening.filter(|line| !backup.contains(line)).collect();
    assert_eq!(lacking, ["ProtectSystem=strict", "RemoveIPC=yes"]);
}
