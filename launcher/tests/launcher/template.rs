//! The file that the packages install.

use crate::Test;

const TEMPLATE: &str = include_str!("../../../packaging/files/mathesar.conf");

#[test]
fn init_writes_it_once() {
    Test::new()
        .args(&["config", "init"])
        .stderr("       Wrote HOME/config/mathesar.conf\n")
        .run()
        .contents("config/mathesar.conf", TEMPLATE)
        .mode("config/mathesar.conf", 0o600)
        .stderr("   Unchanged HOME/config/mathesar.conf is there already\n")
        .run()
        .args(&["config", "check"])
        .stderr("     Checked HOME/config/mathesar.conf: no problem found\n")
        .run();
}

#[test]
fn each_commented_setting_is_valid() {
    let settings: Vec<&str> =
        TEMPLATE.lines().filter(|line| line.starts_with('#') && !line.starts_with("# ")).collect();
    assert!(settings.len() >= 8, "{settings:?}");
    for line in settings {
        let text = TEMPLATE.replace(line, line.trim_start_matches('#'));
        let (status, _, stderr) =
            Test::new().file("t.conf", text).args(&["config", "check", "HOME/t.conf"]).output();
        assert_eq!(status, 0, "{line}\n{stderr}");
        assert!(!stderr.contains("error"), "{line}\n{stderr}");
    }
}
