use std::ffi::OsString;

use super::*;
use crate::layout::Options;

fn environment(macos: bool, variables: &[(&str, &str)]) -> Environment {
    Environment {
        variables: variables.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        home: Some(PathBuf::from("/home/ada")),
        current: PathBuf::from("/tmp"),
        uid: 1000,
        service_user: false,
        macos,
    }
}

/// Name, place and text of what `mathesar OPTIONS autostart on` would write.
fn written(environment: &Environment, options: &Options) -> String {
    let layout = Layout::new(environment, options).unwrap();
    let place = autostart::possible(&layout, environment).unwrap();
    let global: Vec<OsString> = options.to_args(&environment.current);
    let job =
        autostart::job(&layout, environment, Path::new("/opt/100% \"own\"/bin/mathesar"), &global).unwrap();
    let text = autostart::text(&place, &job, &layout, environment).unwrap();
    format!("{} in {}\n\n{text}", place.name, place.file.display())
}

fn named(name: &str) -> Options {
    Options { instance: Some(name.parse().unwrap()), ..Options::default() }
}

fn folder(path: &str) -> Options {
    Options { home: Some(path.into()), ..Options::default() }
}

#[test]
fn a_user_unit() {
    insta::assert_snapshot!(written(&environment(false, &[]), &Options::default()));
}

#[test]
fn the_units_of_an_instance_and_of_a_folder() {
    let varied = environment(
        false,
        &[("XDG_CONFIG_HOME", "/home/ada/con fig"), ("XDG_RUNTIME_DIR", "/run/user/1000")],
    );
    let head = |text: String| {
        let of_interest = |line: &&str| {
            ["mathesar", "Description", "ExecStart", "Environment"].iter().any(|word| line.starts_with(word))
        };
        text.lines().filter(of_interest).map(|line| format!("{line}\n")).collect::<String>()
    };
    assert_eq!(
        head(written(&varied, &named("blue"))),
        "mathesar@blue.service in /home/ada/con fig/systemd/user/mathesar@blue.service\n\
         Description=Mathesar, instance blue\n\
         ExecStart=\"/opt/100%% \\\"own\\\"/bin/mathesar\" --instance blue run\n\
         Environment=\"XDG_CONFIG_HOME=/home/ada/con fig\"\n"
    );
    let of_folder = head(written(&environment(false, &[]), &folder("/srv/$a b")));
    let name = of_folder.split(' ').next().unwrap();
    assert_eq!(
        of_folder,
        format!(
            "{name} in /home/ada/.config/systemd/user/{name}\n\
             Description=Mathesar in /srv/$a b\n\
             ExecStart=\"/opt/100%% \\\"own\\\"/bin/mathesar\" --home \"/srv/$$a b\" run\n"
        )
    );
    let other = written(&environment(false, &[]), &folder("/srv/b"));
    assert!(name.starts_with("mathesar-") && !other.starts_with(name), "{name}: {other}");
}

#[test]
fn a_launchd_agent() {
    let environment = environment(true, &[("XDG_DATA_HOME", "/Volumes/a&b")]);
    insta::assert_snapshot!(written(&environment, &named("blue")));
}

#[test]
fn the_system_is_switched_by_its_administrator() {
    let environment = environment(false, &[]);
    let options = Options { scope: Some(Scope::System), ..named("blue") };
    let layout = Layout::new(&environment, &options).unwrap();
    let failure = autostart::possible(&layout, &environment).unwrap_err();
    assert!(
        failure.helps()[0].contains("`sudo systemctl enable --now mathesar@blue.service`"),
        "{failure:?}"
    );
}

/// One that brew starts and one of ours would be two.
#[test]
fn homebrew_s_service_is_the_default_installation_s() {
    let linux = environment(false, &[]);
    let place = |environment: &Environment, options: &Options| {
        Place::homebrew(&Layout::new(environment, options).unwrap(), environment)
    };
    let of_linux = place(&linux, &Options::default()).unwrap();
    assert_eq!(of_linux.file, Path::new("/home/ada/.config/systemd/user/homebrew.mathesar.service"));
    let of_mac = place(&environment(true, &[]), &Options::default()).unwrap();
    assert_eq!(of_mac.file, Path::new("/home/ada/Library/LaunchAgents/homebrew.mxcl.mathesar.plist"));
    assert_eq!(place(&linux, &named("blue")), None);
    assert_eq!(place(&linux, &folder("/srv/a")), None);
}

#[test]
fn ours_and_nobody_else_s_is_replaced_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment { home: Some(folder.path().into()), ..environment(true, &[]) };
    let layout = Layout::new(&environment, &Options::default()).unwrap();
    let place = autostart::possible(&layout, &environment).unwrap();
    let job = autostart::job(&layout, &environment, Path::new("/usr/bin/mathesar"), &[]).unwrap();
    let text = autostart::text(&place, &job, &layout, &environment).unwrap();
    assert_eq!(starts_by_itself(&layout, &environment), Some(false));
    assert!(autostart::switch_on(&place, &text, &environment).unwrap());
    assert!(!autostart::switch_on(&place, &text, &environment).unwrap());
    assert_eq!(starts_by_itself(&layout, &environment), Some(true));
    assert!(autostart::switch_off(&place, &environment).unwrap());
    assert!(!autostart::switch_off(&place, &environment).unwrap());

    std::fs::write(&place.file, "<plist>mine</plist>").unwrap();
    autostart::switch_on(&place, &text, &environment).unwrap_err();
    autostart::switch_off(&place, &environment).unwrap_err();
    assert_eq!(std::fs::read_to_string(&place.file).unwrap(), "<plist>mine</plist>");
    std::fs::remove_file(&place.file).unwrap();
    std::os::unix::fs::symlink("/dev/null", &place.file).unwrap();
    autostart::switch_on(&place, &text, &environment).unwrap_err();
}

/// cron ends a command at a `%`, also within quotes, and takes one `\` before it away.
#[test]
fn a_line_for_cron_escapes_what_cron_reads() {
    let failure =
        autostart::no_manager(Path::new("/opt/100%/mathesar"), &["--home".into(), "/srv/a %b".into()]);
    let help = failure.helps().concat();
    assert!(help.contains(r"`@reboot /opt/100\%/mathesar --home '/srv/a \%b' start`"), "{help}");
}
