use super::*;

fn environment(uid: u32, variables: &[(&str, &str)]) -> Environment {
    Environment {
        variables: variables.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        home: Some(PathBuf::from("/home/ada")),
        current: PathBuf::from("/tmp/here"),
        uid,
        service_user: false,
        macos: false,
    }
}

fn show(environment: &Environment, options: &Options) -> String {
    let layout = Layout::new(environment, options).unwrap();
    layout
        .places()
        .into_iter()
        .filter(|(name, _)| {
            matches!(*name, "config-written-by-set" | "state" | "cache" | "run" | "logs" | "database-socket")
        })
        .map(|(_, path)| path.map_or("journal".to_owned(), |path| path.display().to_string()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn named(name: &str) -> Options {
    Options { instance: Some(name.parse().unwrap()), ..Options::default() }
}

#[test]
fn root_and_the_service_user_mean_the_system() {
    let expected = "/etc/mathesar/conf.d/90-local.conf /var/lib/mathesar /run/mathesar /var/cache/mathesar /run/mathesar journal";
    assert_eq!(show(&environment(0, &[("XDG_DATA_HOME", "/x")]), &Options::default()), expected);
    let service = Environment { service_user: true, ..environment(990, &[]) };
    assert_eq!(show(&service, &Options::default()), expected);
    let system = Options { scope: Some(Scope::System), ..Options::default() };
    assert_eq!(show(&environment(1000, &[]), &system), expected);
    let user = Options { scope: Some(Scope::User), ..Options::default() };
    assert!(show(&environment(0, &[]), &user).starts_with("/home/ada/.config/mathesar/mathesar.conf"));
}

#[test]
fn systemd_s_folders_win_in_system_mode_only() {
    let variables = [
        ("STATE_DIRECTORY", "/srv/m:/srv/other"),
        ("RUNTIME_DIRECTORY", "/run/m"),
        ("LOGS_DIRECTORY", "/var/log/m"),
    ];
    assert_eq!(
        show(&environment(0, &variables), &Options::default()),
        "/etc/mathesar/conf.d/90-local.conf /srv/m /run/m /var/cache/mathesar /run/m /var/log/m"
    );
    assert!(!show(&environment(1000, &variables), &Options::default()).contains("/srv/m"));
    let relative = environment(0, &[("STATE_DIRECTORY", "m")]);
    assert!(show(&relative, &Options::default()).contains("/var/lib/mathesar"));
}

#[test]
fn an_instance_is_inserted_once() {
    let expected = "/etc/mathesar/blue/conf.d/90-local.conf /var/lib/mathesar/blue /run/mathesar/blue /var/cache/mathesar/blue /run/mathesar/blue journal";
    assert_eq!(show(&environment(0, &[]), &named("blue")), expected);
    let variables =
        [("STATE_DIRECTORY", "/var/lib/mathesar/blue"), ("RUNTIME_DIRECTORY", "/run/mathesar/blue")];
    assert_eq!(show(&environment(0, &variables), &named("blue")), expected);
    // Inherited from the unit of another instance.
    let variables = [("STATE_DIRECTORY", "/var/lib/mathesar/red")];
    assert_eq!(show(&environment(0, &variables), &named("blue")), expected);
}

#[test]
fn a_user_s_folders() {
    let home = "/home/ada/.config/mathesar/mathesar.conf /home/ada/.local/share/mathesar/socket /home/ada/.local/share/mathesar /home/ada/.cache/mathesar";
    let order = |text: String| {
        let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
        words.truncate(4);
        words.sort();
        words.join(" ")
    };
    let sorted = order(home.to_owned());
    assert_eq!(order(show(&environment(1000, &[]), &Options::default())), sorted);
    // Relative and empty ones are ignored, as XDG asks.
    let variables = [("XDG_DATA_HOME", "data"), ("XDG_CONFIG_HOME", "")];
    assert_eq!(order(show(&environment(1000, &variables), &Options::default())), sorted);
    let variables = [
        ("XDG_DATA_HOME", "/d"),
        ("XDG_CONFIG_HOME", "/c"),
        ("XDG_CACHE_HOME", "/k"),
        ("XDG_STATE_HOME", "/s"),
        ("XDG_RUNTIME_DIR", "/run/user/1000"),
    ];
    assert_eq!(
        show(&environment(1000, &variables), &Options::default()),
        "/c/mathesar/mathesar.conf /d/mathesar /d/mathesar/socket /k/mathesar /d/mathesar/run /s/mathesar"
    );
    let layout = Layout::new(&environment(1000, &variables), &named("blue")).unwrap();
    assert_eq!(layout.run, Path::new("/d/mathesar/blue/run"));
}

#[test]
fn macos_has_folders_of_its_own() {
    let macos = Environment { macos: true, ..environment(501, &[]) };
    let layout = Layout::new(&macos, &Options::default()).unwrap();
    assert_eq!(layout.config, Path::new("/home/ada/Library/Application Support/mathesar/config"));
    assert_eq!(layout.run, Path::new("/home/ada/Library/Application Support/mathesar/state/run"));
    assert_eq!(layout.logs.as_deref(), Some(Path::new("/home/ada/Library/Logs/mathesar")));
}

#[test]
fn one_folder_for_everything() {
    let options = Options { home: Some("./m".into()), ..named("blue") };
    assert_eq!(
        show(&environment(0, &[("STATE_DIRECTORY", "/x")]), &options),
        "/tmp/here/m/config/blue/mathesar.conf /tmp/here/m/state/blue /tmp/here/m/state/blue/socket /tmp/here/m/cache/blue /tmp/here/m/run/blue /tmp/here/m/log/blue"
    );
}

#[test]
fn a_long_path_has_its_socket_elsewhere() {
    let options = Options { home: Some(format!("/{}", "x".repeat(80)).into()), ..Options::default() };
    let layout = Layout::new(&environment(7, &[]), &options).unwrap();
    assert_eq!(layout.database_socket, Path::new("/home/ada/.mathesar/62f93ff4"));
    let homeless = Environment { home: None, ..environment(7, &[]) };
    let layout = Layout::new(&homeless, &options).unwrap();
    assert_eq!(layout.database_socket, Path::new("/tmp/mathesar-7-62f93ff4"));
}

#[test]
fn without_a_home_folder_the_way_out_is_told() {
    let homeless = Environment { home: None, ..environment(1000, &[]) };
    let error = Layout::new(&homeless, &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "cannot tell your home folder, and XDG_DATA_HOME is not set");
}

#[test]
fn an_instance_s_name_is_never_a_path() {
    for bad in ["", "..", "a/b", "A", "a_b", "-a", "a-", "é", "app", "secrets", "mathesar", &"a".repeat(33)]
    {
        assert!(bad.parse::<Instance>().is_err(), "{bad}");
    }
    assert!("blue-2".parse::<Instance>().is_ok());
}
