//! Bad configurations and their complete messages, one snapshot each. What is run is `config check`.

use crate::Test;

#[track_caller]
fn check(name: &str, test: Test) {
    let (status, stdout, stderr) = test.args(&["config", "check"]).output();
    assert_eq!(stdout, "");
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, format!("{stderr}exit code {status}"));
    });
}

macro_rules! bad {
    ($($name:ident: $text:expr;)*) => {
        $(#[test] fn $name() { check(stringify!($name), Test::new().conf($text)); })*
    };
}

bad! {
    unknown_key: "[server]\nlisen = \"127.0.0.1:8000\"\n";
    unknown_key_with_underscore: "[server]\ntrusted_proxies = []\n";
    key_known_elsewhere: "[server]\nport = 8000\n";
    key_of_another_section: "[server]\nsslmode = \"require\"\n";
    unknown_key_without_suggestion: "[server]\nzzzzzzzzzz = 1\n";
    unknown_section: "[databse]\nurl = \"\"\n";
    unknown_key_at_the_top: "listen = \"127.0.0.1:8000\"\n";
    section_is_no_table: "server = \"127.0.0.1\"\n";
    wrong_types: "[server]\nlisten = 8000\nhosts = \"a.example\"\nworkers = true\n[app]\ndebug = \"true\"\n[log]\nkeep = 1.5\n";
    out_of_range: "[server]\nworkers = 0\n[backup]\ncompression-level = 20\nkeep = 99999999999999999999\n";
    durations_and_sizes: "[server]\nrequest-timeout = \"30\"\nstop-timeout = 30\n[log]\nmax-size = \"10G\"\n";
    addresses: "[server]\nlisten = \"localhost:8000\"\n[network]\nproxy = \"proxy:3128\"\n[python]\nindex-url = \"ftp://x\"\n";
    list_items: "[server]\nhosts = [\"a.example\", \"https://b.example/\", 5]\ntrusted-proxies = [\"10.0.0.0/33\", \"proxy\"]\n";
    durations_and_sizes_that_cannot_work: "[server]\nrequest-timeout = \"0s\"\nstop-timeout = \"0s\"\n[database]\nconnect-timeout = \"0m\"\nshared-buffers = \"1B\"\n[log]\nmax-size = \"0MB\"\n";
    too_much_memory: "[database]\nshared-buffers = \"90TB\"\n";
    sockets_that_are_folders: "[server]\nlisten = \"unix:/run/\"\n";
    a_folder_where_the_socket_is_to_be: "[server]\nlisten = \"unix:/etc\"\n";
    folders_of_the_system: "[media]\npath = \"/\"\n[backup]\ndirectory = \"/proc/x\"\n";
    no_proxy_that_matches_nothing: "[network]\nno-proxy = [\"10.0.0.0/8\", \"a/b\", \".example.org\"]\n";
    odd_database_name: "[database]\nname = \"x'; drop\"\n";
    both_databases_are_one: "[database]\nname = \"one\"\nuser-database = \"one\"\n";
    one_database_is_the_other_s_default: "[database]\nname = \"mathesar\"\n";
    roles_of_mathesar_s_schemas: "[database]\nurl = \"postgresql://msar@db/mathesar_django\"\n";
    choices: "[log]\nlevel = \"inf\"\n[database]\nsslmode = \"verify-full\"\n";
    paths: "env-file = \"relative\"\n[media]\npath = \"~/media\"\n";
    missing_files: "env-file = \"HOME/none\"\n[network]\nca-file = \"HOME/ca.pem\"\n";
    password_in_the_address: "[database]\nurl = \"postgresql://me:hidden@db/mathesar\"\n";
    database_without_name: "[database]\nurl = \"postgresql://me@db\"\n";
    postgresql_s_own_database: "[database]\nname = \"postgres\"\n";
    both_ways_to_say_it: "[app]\nsecret-key = \"hidden\"\nsecret-key-file = \"/dev/null\"\n";
    secret_of_wrong_type: "[app]\nsecret-key = 12345\n";
    refused_variables: "[env]\nLD_PRELOAD = \"hidden\"\nPATH = \"hidden\"\nPYTHONPATH = \"hidden\"\nPOSTGRES_PASSWORD = \"hidden\"\nPOSTGRES_HOST = \"hidden\"\n\"A B\" = \"hidden\"\nX = 5\n";
    not_toml: "[server\nlisten = 127.0.0.1:8000\nhosts = [\"a\"\n[log]\nlevel = info\n";
    unterminated_secret: "[database]\npassword = \"\"\"hidden\nhidden too\n";
    duplicate_keys: "[log]\nlevel = \"info\"\nlevel = \"debug\"\n[log]\n";
    windows_line_ends: "[server]\r\nlisen = 1\r\n";
    byte_order_mark: "\u{feff}[server]\nlisen = 1\n";
    not_utf_8: b"[log]\nlevel = \"\xe9\"\n";
    utf_16: b"\xff\xfe[\0l\0o\0g\0]\0";
    nul_character: "[login]\nsso-config = \"a\\u0000b\"\n[file-storage]\nazure-container = \"a\\u0000b\"\n";
    wide_characters_before_the_caret: "server = { \"é🦀\" = 1, hosts = [\"münchen.example\"] }\n";
    warnings_only: "[server]\nlisten = \"0.0.0.0:80\"\ntrusted-proxies = [\"0.0.0.0/0\"]\n[database]\npassword-file = \"/dev/null\"\n";
}

#[test]
fn problems_of_all_files_at_once() {
    let test = Test::new()
        .conf("[log]\nlevle = 1\n")
        .drop_in("10-a.conf", "[server]\nworkers = \"many\"\n")
        .drop_in("20-b.conf/x", "")
        .link("config/conf.d/30-c.conf", "HOME/nowhere")
        .link("config/conf.d/40-d.conf", "/dev/null")
        .drop_in(".hidden.conf", "broken")
        .drop_in("README", "broken");
    check("problems_of_all_files_at_once", test);
}

#[test]
fn variables_are_checked_too() {
    let test = Test::new()
        .env("MATHESAR_SERVER_WORKERS", "many")
        .env("MATHESAR_SERVER_LISEN", "x")
        .env("HTTPS_PROXY", "proxy");
    check("variables_are_checked_too", test);
}

#[test]
fn env_files_are_checked_too() {
    let test =
        Test::new().conf("env-file = \"HOME/e\"\n").file("e", "A=hidden\nLD_PRELOAD=hidden\nno line\nB='x\n");
    check("env_files_are_checked_too", test);
}

#[test]
fn json_for_scripts() {
    let test = Test::new().conf("[server]\nlisen = 1\n").args(&["config", "check", "--json"]);
    let (status, stdout, stderr) = test.output();
    assert_eq!((status, stderr.as_str()), (4, ""));
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let expected = serde_json::json!({
        "ok": false,
        "files": ["HOME/config/mathesar.conf"],
        "problems": [{
            "severity": "error", "message": "unknown setting `server.lisen`", "help": "did you mean `server.listen`?",
            "setting": "server.lisen", "path": "HOME/config/mathesar.conf", "line": 2, "column": 1,
        }],
    });
    assert_eq!(json, expected);
}

#[test]
fn no_message_repeats_a_secret() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/launcher/snapshots");
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("hidden") && !text.contains("12345"), "{text}");
    }
}
