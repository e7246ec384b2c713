//! From what a checker printed to what it found. Pure.

use std::path::Path;

/// What one command of a checker did.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

/// What that means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub findings: Vec<String>,
    pub notes: Vec<String>,
}

impl Ran {
    fn lines(&self) -> impl Iterator<Item = &str> {
        self.stderr.lines().chain(self.stdout.lines()).map(str::trim_end).filter(|line| !line.is_empty())
    }

    /// Every line that it printed, or that it failed silently.
    fn everything(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.lines().map(str::to_owned).collect();
        if lines.is_empty() && !self.success {
            lines.push("failed without a word".to_owned());
        }
        lines
    }

    /// `found`; where that is empty although the checker failed, everything.
    fn or_everything(&self, found: Vec<String>) -> Vec<String> {
        if found.is_empty() && !self.success { self.everything() } else { found }
    }
}

fn findings(findings: Vec<String>) -> Verdict {
    Verdict { findings, notes: Vec::new() }
}

/// For checkers that say nothing where all is well.
pub(super) fn silence(ran: &Ran) -> Verdict {
    findings(ran.everything())
}

/// For checkers whose exit code tells all.
pub(super) fn status(ran: &Ran) -> Verdict {
    findings(if ran.success { Vec::new() } else { ran.everything() })
}

/// `ruby -wc` says `Syntax OK`, and warnings.
pub(super) fn ruby(ran: &Ran) -> Verdict {
    findings(ran.everything().into_iter().filter(|line| line != "Syntax OK").collect())
}

/// `systemd-analyze security`: the sum, and what counts most against the unit.
pub(super) fn exposure(ran: &Ran) -> Verdict {
    if ran.success {
        return Verdict::default();
    }
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let weighty = |line: &&str| line.starts_with('✗') && !line.ends_with(" 0.1");
    let mut found: Vec<String> =
        ran.lines().filter(|line| line.contains("Overall exposure")).map(squeezed).collect();
    found.extend(ran.lines().filter(weighty).map(squeezed));
    findings(ran.or_everything(found))
}

/// zizmor's blocks `warning[audit]: text` and ` --> file:line:column`, as one line each.
pub(super) fn zizmor(ran: &Ran) -> Verdict {
    if ran.success {
        return Verdict::default();
    }
    let mut found: Vec<String> = Vec::new();
    let heads = ["error[", "warning[", "help[", "info["];
    let mut placed = true;
    for line in ran.lines() {
        if heads.iter().any(|head| line.starts_with(head)) {
            found.push(line.to_owned());
            placed = false;
        } else if let Some(place) = line.trim_start().strip_prefix("--> ")
            && !placed
            && let Some(last) = found.last_mut()
        {
            *last = format!("{place}: {last}");
            placed = true;
        }
    }
    findings(ran.or_everything(found))
}

/// `W: mathesar: some-tag …`; overridden ones (`O:`) are not printed, `N:` lines explain.
pub(super) fn lintian(ran: &Ran) -> Verdict {
    let tag = |line: &&str| ["E: ", "W: ", "I: ", "P: "].iter().any(|severity| line.starts_with(severity));
    let (known, found): (Vec<&str>, Vec<&str>) =
        ran.lines().filter(tag).partition(|line| line.contains(OF_DEBIAN_12));
    if found.is_empty() && !known.is_empty() {
        let note = format!("left out: {OF_DEBIAN_12}, which later lintians do not know");
        return Verdict { findings: Vec::new(), notes: vec![note] };
    }
    findings(ran.or_everything(found.into_iter().map(str::to_owned).collect()))
}

/// An override of it is an error to lintians that know it no more. No init script could offer what the service's sandbox does.
pub(crate) const OF_DEBIAN_12: &str = "package-supports-alternative-init-but-no-init.d-script";

/// `mathesar.x86_64: W: some-tag …`; what packaging/rpm/rpmlint.toml filters is not printed.
pub(super) fn rpmlint(ran: &Ran) -> Verdict {
    let tag = |line: &&str| line.contains(": E: ") || line.contains(": W: ");
    findings(ran.or_everything(ran.lines().filter(tag).map(str::to_owned).collect()))
}

/// One entry of `appstreamcli validate --format=yaml`.
#[derive(Debug, Default)]
struct Issue<'a> {
    tag: &'a str,
    severity: &'a str,
    line: &'a str,
    hint: &'a str,
}

/// Every severity counts, down to pedantic, but for two tags.
pub(super) fn appstream(ran: &Ran) -> Verdict {
    let mut version = "";
    let mut issues: Vec<Issue<'_>> = Vec::new();
    let mut passed = false;
    for line in ran.stdout.lines() {
        match line.split_once(": ") {
            Some(("Validator", value)) => version = value,
            Some(("Passed", value)) => passed = value == "yes",
            Some(("- tag", value)) => issues.push(Issue { tag: value, ..Issue::default() }),
            Some((key, value)) => {
                if let Some(issue) = issues.last_mut() {
                    match key {
                        "  severity" => issue.severity = value,
                        "  line" => issue.line = value,
                        "  hint" => issue.hint = value,
                        _ => {}
                    }
                }
            }
            None => {}
        }
    }
    let mut verdict = Verdict::default();
    for issue in &issues {
        let text = format!("line {}: {} {} {}", issue.line, issue.severity, issue.tag, issue.hint);
        match issue.tag {
            "unknown-tag" if issue.hint == "developer" && knows_no_developer(version) => {
                verdict
                    .notes
                    .push(format!("left out: `developer`, which AppStream {version} does not know yet"));
            }
            // Flathub's ids end in the program's name, as it is written.
            "cid-contains-uppercase-letter" => {
                verdict
                    .notes
                    .push("left out: upper-case letter in the id, as is Flathub's custom".to_owned());
            }
            _ => verdict.findings.push(text.trim_end().to_owned()),
        }
    }
    if !passed && verdict.findings.is_empty() {
        verdict.findings = ran.everything();
    }
    verdict
}

/// `<developer>` came with AppStream 1.0.
fn knows_no_developer(version: &str) -> bool {
    version.split('.').next().is_some_and(|major| major == "0")
}

/// `makepkg --printsrcinfo` has to print the .SRCINFO that is beside the PKGBUILD.
pub(super) fn srcinfo(ran: &Ran, file: &Path) -> Verdict {
    if !ran.success {
        return findings(ran.everything());
    }
    match std::fs::read_to_string(file) {
        Err(error) => findings(vec![format!("cannot read {}: {error}", file.display())]),
        Ok(text) if text == ran.stdout => Verdict::default(),
        Ok(text) => findings(differences(&text, &ran.stdout)),
    }
}

/// The first line in which two texts differ.
fn differences(ours: &str, theirs: &str) -> Vec<String> {
    let pair = ours.lines().zip(theirs.lines()).enumerate().find(|(_, (ours, theirs))| ours != theirs);
    match pair {
        Some((number, (ours, theirs))) => vec![format!(
            "line {}: .SRCINFO says {ours:?}, makepkg --printsrcinfo says {theirs:?}",
            number + 1
        )],
        None => vec![format!(
            ".SRCINFO has {} lines and {} bytes, makepkg --printsrcinfo prints {} and {}",
            ours.lines().count(),
            ours.len(),
            theirs.lines().count(),
            theirs.len()
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(success: bool, stdout: &str, stderr: &str) -> Ran {
        Ran { success, stdout: stdout.into(), stderr: stderr.into() }
    }

    #[test]
    fn silent_ones() {
        assert_eq!(silence(&ran(true, "", "\n")).findings, [""; 0]);
        assert_eq!(silence(&ran(true, "", "warning: x\n")).findings, ["warning: x"]);
        assert_eq!(silence(&ran(false, "", "")).findings, ["failed without a word"]);
        assert_eq!(status(&ran(true, "Syntax OK\n", "")).findings, [""; 0]);
        assert_eq!(status(&ran(false, "", "line 1: no\n")).findings, ["line 1: no"]);
    }

    #[test]
    fn exposure_of_a_unit() {
        let text = "  NAME  DESCRIPTION\n✗ A=   b   0.1\n✗ UMask=   world-readable   0.2\n✓ User=  x\n\n→ Overall exposure level for x: 9.2\n";
        assert_eq!(
            exposure(&ran(false, text, "")).findings,
            ["→ Overall exposure level for x: 9.2", "✗ UMask= world-readable 0.2"]
        );
        assert_eq!(exposure(&ran(true, text, "")), Verdict::default());
    }

    #[test]
    fn zizmor_findings_are_one_line_each() {
        let text = "error[unpinned-uses]: unpinned\n   --> ci.yml:6:15\n    |\n  6 |  - uses: x\n    = help: y\n\n\
                    help[a]: b\n --> ci.yml:1:1\n2 findings\n";
        assert_eq!(
            zizmor(&ran(false, text, " INFO zizmor\n")).findings,
            ["ci.yml:6:15: error[unpinned-uses]: unpinned", "ci.yml:1:1: help[a]: b"]
        );
        assert_eq!(zizmor(&ran(false, "", "fatal: no input\n")).findings, ["fatal: no input"]);
        assert_eq!(zizmor(&ran(true, "", " INFO zizmor\n")), Verdict::default());
    }

    #[test]
    fn ruby_warnings() {
        assert_eq!(ruby(&ran(true, "Syntax OK\n", "")), Verdict::default());
        assert_eq!(
            ruby(&ran(true, "Syntax OK\n", "x.rb:1: warning: unused\n")).findings,
            ["x.rb:1: warning: unused"]
        );
    }

    #[test]
    fn lintian_tags() {
        let text = "W: mathesar: no-manual-page\nN: explained\nI: mathesar: hardening\nN: 1 tag overridden\n";
        assert_eq!(
            lintian(&ran(false, text, "")).findings,
            ["W: mathesar: no-manual-page", "I: mathesar: hardening"]
        );
        assert_eq!(lintian(&ran(true, "N: 3 hints overridden\n", "")).findings, [""; 0]);
        let known = format!("I: mathesar: {OF_DEBIAN_12} [usr/lib/x.service]\n");
        assert_eq!(lintian(&ran(false, &known, "")).findings, [""; 0]);
        assert_eq!(lintian(&ran(false, &format!("{known}{text}"), "")).findings.len(), 2);
        assert_eq!(lintian(&ran(false, "", "bad deb\n")).findings, ["bad deb"]);
    }

    #[test]
    fn rpmlint_tags() {
        let text =
            "= rpmlint session starts =\nmathesar.x86_64: W: no-signature\n 1 packages checked; 0 errors\n";
        assert_eq!(rpmlint(&ran(true, text, "")).findings, ["mathesar.x86_64: W: no-signature"]);
        assert_eq!(rpmlint(&ran(true, "1 packages and 0 specfiles checked; 0 errors", "")).findings, [""; 0]);
    }

    const YAML: &str = "---\nFile: a.xml\nValidator: 0.16.1\nIssues:\n- tag: unknown-tag\n  severity: info\n  line: 3\n  \
                        hint: developer\n- tag: unknown-tag\n  severity: info\n  line: 4\n  hint: devolper\nPassed: yes\n";

    #[test]
    fn appstream_before_1_0_does_not_know_developer() {
        let verdict = appstream(&ran(true, YAML, ""));
        assert_eq!(verdict.findings, ["line 4: info unknown-tag devolper"]);
        assert_eq!(verdict.notes, ["left out: `developer`, which AppStream 0.16.1 does not know yet"]);
        let newer = YAML.replace("0.16.1", "1.0.2");
        assert_eq!(appstream(&ran(true, &newer, "")).findings.len(), 2);
    }

    #[test]
    fn appstream_that_fails_is_a_finding() {
        assert_eq!(appstream(&ran(false, "", "no such file\n")).findings, ["no such file"]);
        assert_eq!(appstream(&ran(true, "Validator: 1.0\nPassed: yes\n", "")), Verdict::default());
    }

    #[test]
    fn srcinfo_differences() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".SRCINFO");
        std::fs::write(&file, "pkgbase = a\n\tpkgver = 1\n").unwrap();
        assert_eq!(srcinfo(&ran(true, "pkgbase = a\n\tpkgver = 1\n", ""), &file), Verdict::default());
        assert_eq!(
            srcinfo(&ran(true, "pkgbase = a\n\tpkgver = 2\n", ""), &file).findings,
            [r#"line 2: .SRCINFO says "\tpkgver = 1", makepkg --printsrcinfo says "\tpkgver = 2""#]
        );
        assert_eq!(srcinfo(&ran(true, "pkgbase = a\n\tpkgver = 1\n\n", ""), &file).findings.len(), 1);
        assert_eq!(srcinfo(&ran(false, "", "no PKGBUILD"), &file).findings, ["no PKGBUILD"]);
    }
}
