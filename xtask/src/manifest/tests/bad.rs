//! Bad manifests, each the real one with something replaced, and the whole report as a snapshot.

use super::{Root, real};

/// Name of the case, and what is replaced (first occurrence) by what.
type Case = (&'static str, &'static [(&'static str, &'static str)]);

#[rustfmt::skip]
const CASES: &[Case] = &[
    // --- TOML itself ---
    ("toml-no-value", &[("revision = 1", "revision =")]),
    ("toml-unclosed-string", &[("name = \"mathesar\"", "name = \"mathesar")]),
    ("toml-unquoted", &[("name = \"mathesar\"", "name = mathesar")]),
    ("toml-key-twice", &[("revision = 1", "revision = 1\nrevision = 2")]),
    ("toml-table-twice", &[("[homebrew]", "[deb]")]),
    ("toml-mode-without-quotes", &[("mode = \"0640\"", "mode = 0640")]),
    ("toml-three-errors", &[("revision = 1", "revision = = 1"), ("start = false", "start = no"), ("[rpm]", "[rpm")]),

    // --- keys, types, values ---
    ("unknown-key", &[("maintainer = ", "maintaner = ")]),
    ("unknown-key-far", &[("revision = 1", "revision = 1\nflavour = \"vanilla\"")]),
    ("unknown-key-of-another-table", &[("revision = 1", "revision = 1\nfinish-args = []")]),
    ("unknown-table", &[("[homebrew]", "[homebrw]")]),
    ("unknown-key-with-bad-value", &[("homepage = \"https://", "hompage = \"http://")]),
    ("missing-key", &[("license = \"GPL-3.0-or-later\"\n", "")]),
    ("missing-keys-of-a-file", &[("dest = \"/usr/bin/mathesar\"\nkind = \"binary\"", "")]),
    ("missing-table", &[("[arch]\naur-name = \"mathesar-bin\"\n", "")]),
    ("wrong-types", &[("revision = 1", "revision = \"1\""), ("enable = true", "enable = \"true\""),
        ("targets = [", "targets = 7 # ["), ("max = 18", "max = 18.5")]),
    ("mode-as-octal-number", &[("mode = \"0640\"", "mode = 0o640")]),
    ("number-out-of-range", &[("revision = 1", "revision = 99999999999")]),
    ("negative-number", &[("min = 14", "min = -14")]),
    ("kind-unknown", &[("kind = \"metainfo\"", "kind = \"metanfo\"")]),
    ("kind-by-another-name", &[("kind = \"binary\"", "kind = \"executable\"")]),
    ("target-by-another-name", &[("\"aarch64-unknown-linux-gnu\"", "\"arm64\"")]),
    ("target-unknown", &[("\"aarch64-unknown-linux-gnu\"", "\"nosucharch\"")]),
    ("channel-unknown", &[("channels = [\"deb\"]", "channels = [\"debian\"]")]),
    ("distribution-unknown", &[("debian-12 = \"libcairo2\"", "debian-21 = \"libcairo2\"")]),
    ("control-character", &[("summary = \"spread", "summary = \"\\u001b[31mspread")]),
    ("text-direction", &[("display-name = \"Mathesar\"", "display-name = \"\\u202eMathesar\"")]),

    // --- identity ---
    ("name-bad", &[("name = \"mathesar\"", "name = \"Bad Name!\"")]),
    ("version-with-v", &[("version = \"0.12.0\"\nrevision", "version = \"v0.12.0\"\nrevision")]),
    ("version-with-revision", &[("version = \"0.12.0\"\nrevision", "version = \"0.12.0-1\"\nrevision")]),
    ("version-of-two-numbers", &[("version = \"0.12.0\"\nrevision", "version = \"0.12\"\nrevision")]),
    ("version-not-the-apps", &[("[app]\nversion = \"0.12.0\"", "[app]\nversion = \"0.11.0\"")]),
    ("revision-zero", &[("revision = 1", "revision = 0")]),
    ("changelog-of-another-revision", &[("revision = 1", "revision = 2")]),
    ("changelog-missing", &[("changelog = \"CHANGELOG.md\"", "changelog = \"CHANGES.md\"")]),
    ("summary-article", &[("summary = \"spread", "summary = \"A spread")]),
    ("summary-full-stop", &[("interface to PostgreSQL\"", "interface to PostgreSQL.\"")]),
    ("summary-too-long", &[("interface to PostgreSQL\"", "interface to PostgreSQL databases, for people who never wanted to write SQL\"")]),
    ("summary-name", &[("summary = \"spread", "summary = \"Mathesar: spread")]),
    ("summary-all-wrong", &[("summary = \"spreadsheet-like web interface to PostgreSQL\"", "summary = \"A spreadsheet-like web interface to PostgreSQL databases for people who never learned SQL.\"")]),
    ("description-indented", &[("- no Docker", "  - no Docker")]),
    ("licence-short", &[("license = \"GPL-3.0-or-later\"", "license = \"GPL3\"")]),
    ("licence-expression", &[("license = \"GPL-3.0-or-later\"", "license = \"MIT OR Apache2\"")]),
    ("maintainer-address-only", &[("Mathesar Everywhere <mathesar-everywhere@users.noreply.github.com>", "me@example.com")]),
    ("maintainer-bad-domain", &[("@users.noreply.github.com>", "@localhost>")]),
    ("homepage-http", &[("homepage = \"https://", "homepage = \"http://")]),
    ("url-with-password", &[("https://github.com/mathesar-foundation", "https://me:secret@github.com/mathesar-foundation")]),
    ("repository-slash", &[("mathesar-launcher\"", "mathesar-launcher/\"")]),
    ("name-not-the-programs", &[("name = \"mathesar\"", "name = \"mathesar-next\"")]),
    ("name-long", &[("name = \"mathesar\"", "name = \"Mathesar, the spreadsheet-like web interface to PostgreSQL, which lets people of all technical skill levels view, edit, query and share data in PostgreSQL, without writing SQL, and its launcher, which runs a private PostgreSQL cluster, watches it, backs it up, upgrades it and rolls it back when that is needed\"")]),
    ("category-unknown", &[("\"Database\"]", "\"Databse\"]")]),
    ("category-main-first", &[("\"Office\", \"Database\"", "\"Database\", \"Office\"")]),
    ("keyword-separator", &[("\"spreadsheet\", \"table\"", "\"spreadsheet;table\"")]),
    ("glibc-bad", &[("glibc = \"2.34\"", "glibc = \"GLIBC_2.34\"")]),

    // --- the release ---
    ("digest-short", &[("4ad861eb", "4ad861e")]),
    ("digest-upper-case", &[("4ad861eb", "4AD861EB")]),
    ("digest-not-hexadecimal", &[("4ad861eb", "4ad861eg")]),
    ("digest-placeholder", &[("dd27f2b3c59e73ed14aa3324901242bf69a032a6347805f274e6260322d42979", "0000000000000000000000000000000000000000000000000000000000000000")]),
    ("python-range", &[("min = \"3.10\"", "min = \"3.15\"")]),
    ("python-preferred-outside", &[("\"3.12\", \"3.11\"", "\"3.12\", \"3.9\"")]),
    ("python-patch-version", &[("max = \"3.14\"", "max = \"3.14.1\"")]),
    ("postgresql-range", &[("min = 14, max = 18", "min = 18, max = 14")]),

    // --- the service ---
    ("unit-not-installed", &[("unit = \"mathesar.service\"", "unit = \"mathesard.service\"")]),
    ("unit-without-ending", &[("unit = \"mathesar.service\"", "unit = \"mathesar\"")]),
    ("user-not-the-units", &[("user = \"mathesar\"", "user = \"mathesar2\"")]),
    ("home-not-the-users", &[("home = \"/var/lib/mathesar\"", "home = \"/var/lib/sheets\"")]),
    ("user-root", &[("user = \"mathesar\"", "user = \"root\"")]),
    ("user-bad", &[("user = \"mathesar\"", "user = \"Mathesar User\"")]),

    // --- files ---
    ("dest-relative", &[("dest = \"/usr/bin/mathesar\"", "dest = \"usr/bin/mathesar\"")]),
    ("dest-dots", &[("dest = \"/usr/bin/mathesar\"", "dest = \"/usr/share/../bin/mathesar\"")]),
    ("dest-local", &[("dest = \"/usr/bin/mathesar\"", "dest = \"/usr/local/bin/mathesar\"")]),
    ("dest-merged-usr", &[("dest = \"/usr/lib/systemd", "dest = \"/lib/systemd")]),
    ("dest-twice", &[("dest = \"/usr/share/zsh/site-functions/_mathesar\"\nkind = \"completion\"\nchannels = [\"rpm\", \"tarball\"]",
        "dest = \"/usr/share/zsh/vendor-completions/_mathesar\"\nkind = \"completion\"")]),
    ("dest-below-a-file", &[("dest = \"/usr/share/doc/mathesar/THIRD-PARTY.txt\"", "dest = \"/usr/share/doc/mathesar/copyright/x.txt\"")]),
    ("source-missing", &[("packaging/files/mathesar.conf", "packaging/files/mathesar.cnf")]),
    ("source-pattern-fits-nothing", &[("\"LICENSE\"\ndest = \"/usr/share/licenses/mathesar/LICENSE\"", "\"LICEN*E.txt\"\ndest = \"/usr/share/licenses/mathesar/\"")]),
    ("source-outside", &[("source = \"LICENSE\"", "source = \"../LICENSE\"")]),
    ("source-not-generated", &[("build:doc/THIRD-PARTY.txt", "build:doc/THIRDPARTY.txt")]),
    ("source-in-target", &[("build:bin/mathesar", "target/release/mathesar")]),
    ("mode-set-user-id", &[("mode = \"0640\"", "mode = \"4755\"")]),
    ("mode-world-writable", &[("mode = \"0640\"", "mode = \"0666\"")]),
    ("owner-that-no-deb-can-say", &[("dest = \"/usr/share/mathesar/release.toml\"", "dest = \"/usr/share/mathesar/release.toml\"\nowner = \"mathesar\"")]),
    ("mode-not-executable", &[("kind = \"binary\"", "kind = \"binary\"\nmode = \"0644\"")]),
    ("config-outside-etc", &[("dest = \"/etc/mathesar/mathesar.conf\"", "dest = \"/usr/share/mathesar/mathesar.conf\"")]),
    ("etc-but-no-config", &[("kind = \"config\"", "kind = \"data\"")]),
    ("man-section", &[("source = \"build:man/*.5\"\ndest = \"/usr/share/man/man5/\"", "source = \"build:man/*.5\"\ndest = \"/usr/share/man/man8/\"")]),
    ("completion-of-another-shell", &[("build:completions/mathesar.fish", "build:completions/mathesar.bash")]),
    ("data-in-bin", &[("dest = \"/usr/share/mathesar/release.toml\"", "dest = \"/usr/bin/release.toml\"")]),
    ("pattern-as-file", &[("dest = \"/usr/share/man/man1/\"", "dest = \"/usr/share/man/man1\"")]),
    ("channels-empty", &[("channels = [\"deb\"]", "channels = []")]),

    // --- dependencies ---
    ("dependency-of-another-format", &[("debian-12 = \"python3 (>= 3.10)\"", "debian-12 = \"python3>=3.10\""),
        ("fedora = \"python3 >= 3.10\"", "fedora = \"python3 (>= 3.10)\""),
        ("arch = \"python>=3.10\"", "arch = \"python >= 3.10\""),
        ("homebrew = \"python@3.12\"", "homebrew = \"python3 >= 3.12\"")]),
    ("dependency-alternatives", &[("debian-13 = \"libcairo2\"", "debian-13 = \"libcairo2 | libcairo1\"")]),
    ("dependency-not-mapped", &[("rhel-9 = \"cairo\"\n", "")]),
    ("dependency-no-names", &[("fedora = [\"postgresql-server\"]", "fedora = []")]),
    ("dependency-none-without-reason", &[("{ none = \"part of python3\" }", "{ none = \"\" }")]),
    ("dependency-of-wrong-type", &[("fedora = \"cairo\"", "fedora = true")]),

    // --- formats ---
    ("deb-section", &[("section = \"database\"", "section = \"databases\"")]),
    ("deb-priority", &[("priority = \"optional\"", "priority = \"extra\"")]),
    ("scripts-missing", &[("scripts = \"packaging/rpm\"", "scripts = \"packaging/rpms\"")]),
    ("aur-name", &[("aur-name = \"mathesar-bin\"", "aur-name = \"mathesar\"")]),
    ("app-id-dash", &[("io.github.mathesar_everywhere.Mathesar", "io.github.mathesar-everywhere.Mathesar")]),
    ("runtime-version", &[("runtime-version = \"26.08\"", "runtime-version = \"25.8\"")]),
    ("finish-arg", &[("\"--share=network\"", "\"-share=network\", \"--sockt=wayland\"")]),
    ("tap", &[("tap = \"mathesar-everywhere/mathesar\"", "tap = \"mathesar-everywhere/homebrew-mathesar\"")]),

    ("owners-unknown", &[("group = \"mathesar\"\n\n[[file]]", "group = \"mathesr\"\nowner = \"www-data\"\n\n[[file]]")]),
    ("toml-unclosed-array", &[("\"Database\"]", "\"Database\"")]),
    ("toml-unclosed-array-of-lines", &[("rhel-9 = [\"python3.12\", \"python3.11\"]", "rhel-9 = [\n  \"python3.12\", # ]\n")]),
    ("toml-table-twice-with-keys", &[("[homebrew]", "[deb]\nsection = \"x\"\nscripts = \"y\"\n[homebrew]")]),
    ("toml-file-without-brackets", &[("[[file]]", "[file]")]),

    // --- several in one run, of every sort ---
    ("many", &[
        ("name = \"mathesar\"", "name = \"Bad Name!\""),
        ("revision = 1", "revision = 0"),
        ("license = \"GPL-3.0-or-later\"", "licence = \"GPLv3+\""),
        ("homepage = \"https://", "homepage = \"http://"),
        ("maintainer = ", "maintaner = "),
        ("\"aarch64-unknown-linux-gnu\"", "\"nosucharch\""),
        ("[app]\nversion = \"0.12.0\"", "[app]\nversion = \"0.12.1\""),
        ("packaging/files/mathesar.svg", "packaging/files/mathesar.png"),
        ("kind = \"config\"", "kind = \"conf\""),
        ("rhel-9 = \"cairo\"\n", ""),
        ("priority = \"optional\"", "priority = \"high\""),
    ]),
];

#[test]
fn each_says_what_is_wrong() {
    let root = Root::new();
    let mut names = std::collections::BTreeSet::new();
    for (name, replacements) in CASES {
        assert!(names.insert(name), "two cases named {name}");
        let mut text = real();
        for (old, new) in *replacements {
            assert!(text.contains(old), "{name}: the manifest has no longer {old:?}");
            text = text.replacen(old, new, 1);
        }
        let report = root.report(text.as_bytes());
        assert_ne!(report, "fine", "{name} is not refused");
        snapshot(name, &report);
    }
}

#[test]
fn what_is_hardly_a_manifest() {
    let root = Root::new();
    snapshot("empty", &root.report(b""));
    snapshot("not-toml", &root.report(b"{ \"package\": 1 }\n"));
    snapshot("not-utf-8", &root.report(b"[package]\nname = \"\xff\"\n"));
    snapshot("nul", &root.report(b"[package]\nname = \"a\0b\"\n"));
}

/// The unit's user is compared in its file, and a maintainer script is looked into.
#[test]
fn files_that_the_manifest_names() {
    let root = Root::new();
    root.write("packaging/files/mathesar.service", "[Service]\nUser=www-data\n");
    root.write("packaging/files/mathesar.sysusers", "u other -\n");
    root.write("packaging/deb/postinst", "#!/bin/sh\n");
    root.write("packaging/rpm/post.sh", "systemctl preset mathesard.service\n");
    root.write("CHANGELOG.md", "## 0.12.0-1\n- x\n");
    snapshot("files-named", &root.report(real().as_bytes()));
}

fn snapshot(name: &str, report: &str) {
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "../snapshots" }, {
        insta::assert_snapshot!(name, report);
    });
}
