use std::path::{Path, PathBuf};

use super::*;
use crate::layout::Options;

fn environment() -> Environment {
    Environment {
        home: Some(PathBuf::from("/home/ada")),
        current: PathBuf::from("/tmp"),
        uid: 1000,
        ..Environment::default()
    }
}

fn layout(options: &Options) -> Layout {
    Layout::new(&environment(), options).unwrap()
}

#[test]
fn timers_are_named_after_their_service() {
    let of = |options: Options| name(&layout(&options));
    assert_eq!(of(Options::default()), "mathesar-backup.timer");
    let blue = Options { instance: Some("blue".parse().unwrap()), ..Options::default() };
    assert_eq!(of(blue.clone()), "mathesar-backup@blue.timer");
    assert_eq!(of(Options { scope: Some(Scope::System), ..blue }), "mathesar-backup@blue.timer");
    let folder = of(Options { home: Some("/srv/a".into()), ..Options::default() });
    assert!(folder.starts_with("mathesar-backup-") && folder.ends_with(".timer"), "{folder}");
}

#[test]
fn a_users_timer_makes_a_backup_and_removes_old_ones() {
    let options = Options { home: Some("/srv/a b".into()), ..Options::default() };
    let layout = layout(&options);
    let global = options.to_args(Path::new("/tmp"));
    let job = autostart::job(&layout, &environment(), Path::new("/usr/bin/mathesar"), &global).unwrap();
    let text = unit::render_backup(&job);
    assert!(
        text.contains("ExecStart=/usr/bin/mathesar --home \"/srv/a b\" backup create --made-by timer\n"),
        "{text}"
    );
    assert!(text.contains("ExecStart=/usr/bin/mathesar --home \"/srv/a b\" backup prune\n"), "{text}");
    assert!(text.starts_with(unit::MARK_TIMER), "{text}");
    let timer = unit::render_timer(&job);
    for line in ["OnCalendar=daily", "RandomizedDelaySec=2h", "Persistent=true", "WantedBy=timers.target"] {
        assert!(timer.contains(&format!("\n{line}\n")), "{timer}");
    }
    assert!(timer.starts_with(unit::MARK_TIMER), "{timer}");
}

#[test]
fn only_root_switches_the_systems() {
    let refused = administrator(&environment(), "on").unwrap_err();
    assert_eq!(refused.helps(), ["run it as root: `sudo mathesar backup timer on`"]);
}
