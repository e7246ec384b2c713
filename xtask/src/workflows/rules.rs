//! What every generated workflow keeps to, so that a change of a template cannot lose it.
//!
//! No parser of YAML is among the dependencies; these templates are regular enough to be read by their indentation.

use super::tests::rendered;

/// A job's name and its lines.
struct Job<'a> {
    name: &'a str,
    lines: Vec<&'a str>,
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn meaning(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
}

fn jobs(text: &str) -> Vec<Job<'_>> {
    let mut jobs: Vec<Job<'_>> = Vec::new();
    for line in meaning(text).skip_while(|line| *line != "jobs:").skip(1) {
        match (indent(line), line.trim().strip_suffix(':'), jobs.last_mut()) {
            (2, Some(name), _) => jobs.push(Job { name, lines: Vec::new() }),
            (_, _, Some(job)) => job.lines.push(line),
            _ => panic!("`{line}` belongs to no job"),
        }
    }
    jobs
}

impl<'a> Job<'a> {
    fn has(&self, line: &str) -> bool {
        self.lines.iter().any(|other| *other == format!("    {line}"))
    }

    fn steps(&self) -> Vec<Vec<&'a str>> {
        let mut steps: Vec<Vec<&str>> = Vec::new();
        for line in self.lines.iter().skip_while(|line| **line != "    steps:").skip(1) {
            match (line.starts_with("      - "), steps.last_mut()) {
                (false, Some(step)) => step.push(line),
                _ => steps.push(vec![line]),
            }
        }
        steps
    }

    /// What a shell is given, line by line.
    fn scripts(&self) -> Vec<&'a str> {
        let mut scripts = Vec::new();
        for step in self.steps() {
            let mut block = None;
            for line in step {
                let plain = line.trim_start().trim_start_matches("- ");
                if block.is_some_and(|of| indent(line) > of) {
                    scripts.push(line);
                } else if let Some(script) = plain.strip_prefix("run:") {
                    block = Some(indent(line));
                    scripts.push(script);
                } else {
                    block = None;
                }
            }
        }
        scripts
    }
}

/// `owner/name@` and the 40 digits of a commit, and its version as a comment.
fn is_pinned(uses: &str) -> bool {
    let Some((action, rest)) = uses.split_once('@') else { return false };
    let Some((sha, tag)) = rest.split_once(" # v") else { return false };
    let hex = sha.len() == 40 && sha.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let version = tag.split('.').count() == 3 && tag.split('.').all(|part| part.parse::<u32>().is_ok());
    hex && version && action.split('/').count() >= 2
}

/// Who may write what: workflow, job, permission. Nobody else may.
const WRITERS: &[(&str, &str, &str)] = &[
    ("release", "publish", "contents"),
    ("release", "publish", "id-token"),
    ("release", "publish", "attestations"),
    ("yank", "withdraw", "contents"),
    ("drift", "tell", "issues"),
    ("pin", "propose", "contents"),
    ("pin", "propose", "pull-requests"),
];

/// Who has secrets: workflow, job, environment, and whether a second person has to say yes beforehand.
const HOLDERS: &[(&str, &str, &str, bool)] = &[
    ("release", "publish", "release", true),
    ("yank", "withdraw", "release", true),
    // Daily, by a clock.
    ("sign", "sign", "signing", false),
];

/// The rules that a workflow breaks.
fn broken(workflow: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rule = |holds: bool, what: String| {
        if !holds {
            found.push(what);
        }
    };
    let top = |wanted: &str| text.lines().any(|line| line == wanted);
    rule(top("permissions: {}"), "permissions are not empty at the top".into());
    rule(top("concurrency:"), "no concurrency group".into());
    rule(text.contains("\ndefaults:\n  run:\n    shell: bash\n"), "no pipefail".into());
    for trigger in ["pull_request_target", "workflow_run"] {
        rule(!text.contains(trigger), format!("{trigger} runs strangers' code with rights"));
    }
    for line in meaning(text) {
        let plain = line.trim().trim_start_matches("- ");
        if let Some(uses) = plain.strip_prefix("uses: ") {
            rule(is_pinned(uses), format!("not pinned: {uses}"));
        }
        let cache = plain.contains("cache") && HOLDERS.iter().any(|(holder, ..)| *holder == workflow);
        rule(!cache, format!("a cache: {plain}"));
    }
    for job in jobs(text) {
        let of_it = format!("{workflow} {}", job.name);
        let keyed = |key: &str| job.lines.iter().any(|line| line.starts_with(&format!("    {key}:")));
        rule(keyed("timeout-minutes"), format!("{of_it}: no time limit"));
        let listed = |line: &&&str| matches!(line.trim(), "permissions:" | "permissions: {}");
        let own = job.lines.iter().find(|line| line.starts_with("    permissions:"));
        rule(own.filter(listed).is_some(), format!("{of_it}: does not list what it may"));
        for line in job.lines.iter().filter(|line| indent(line) == 6 && line.contains(": write")) {
            let what = line.trim().split(':').next().unwrap_or_default();
            rule(WRITERS.contains(&(workflow, job.name, what)), format!("{of_it}: may write {what}"));
        }
        for step in
            job.steps().iter().filter(|step| step.iter().any(|line| line.contains("uses: actions/checkout@")))
        {
            let kept = step.iter().any(|line| line.trim() == "persist-credentials: false");
            rule(kept, format!("{of_it}: a checkout keeps the token"));
        }
        for line in job.scripts().iter().filter(|line| line.contains("${{")) {
            rule(false, format!("{of_it}: an expression in a script: {}", line.trim()));
        }
        let secret = job.lines.iter().any(|line| line.contains("secrets.") || line.contains("secrets["));
        let holder = HOLDERS.iter().find(|(of, name, ..)| (*of, *name) == (workflow, job.name));
        rule(!secret || holder.is_some(), format!("{of_it}: a secret"));
        if let Some((_, _, environment, approved)) = holder {
            let compiles = job
                .scripts()
                .iter()
                .any(|line| ["cargo", "rustup", "make "].iter().any(|word| line.contains(word)));
            rule(!compiles, format!("{of_it}: builds"));
            let named = format!("environment: {environment}");
            rule(job.has(&named), format!("{of_it}: has no environment"));
            let waits = job.lines.iter().any(|line| line.starts_with("    needs:") && line.contains("gate]"));
            rule(waits || !approved, format!("{of_it}: waits for nobody's word"));
        }
        if job.name == "gate" {
            rule(job.has("environment: release-gate"), format!("{of_it}: nobody has to approve"));
            rule(job.has("permissions: {}"), format!("{of_it}: may something"));
        }
    }
    found
}

fn all() -> Vec<(&'static str, String)> {
    let name = |path: &'static str| path.trim_start_matches(".github/workflows/").trim_end_matches(".yml");
    rendered().into_iter().map(|file| (name(file.path), file.text)).collect()
}

#[test]
fn the_workflows_break_no_rule() {
    for (name, text) in all() {
        assert_eq!(broken(name, &text), [""; 0], "{name}");
        assert!(jobs(&text).iter().all(|job| !job.steps().is_empty() && !job.scripts().is_empty()), "{name}");
    }
}

#[test]
fn each_rule_is_broken_by_what_it_is_there_for() {
    let texts = all();
    let sha = "3d3c42e5aac5ba805825da76410c181273ba90b1";
    for (workflow, from, to, wanted) in [
        ("ci", "\npermissions: {}\n", "\npermissions: read-all\n", "permissions are not empty at the top"),
        ("ci", "\nconcurrency:\n", "\nother:\n", "no concurrency group"),
        ("ci", "    shell: bash\n", "    shell: sh\n", "no pipefail"),
        ("ci", "  pull_request:\n", "  pull_request_target:\n", "pull_request_target runs"),
        ("ci", sha, "v7", "not pinned: actions/checkout@v7"),
        ("ci", " # v7.0.1", "", "not pinned: actions/checkout@3d3c"),
        ("ci", " # v7.0.1", " # v7", "not pinned: actions/checkout@3d3c"),
        ("ci", "    timeout-minutes: 75\n", "", "ci test: no time limit"),
        ("ci", "    permissions: {}\n", "", "ci brew: does not list what it may"),
        ("ci", "    permissions: {}\n", "    permissions: write-all\n", "ci brew: does not list what it may"),
        ("ci", "          persist-credentials: false\n", "", "ci test: a checkout keeps the token"),
        (
            "ci",
            "          persist-credentials: false\n",
            "          persist-credentials: true\n",
            "ci test: a checkout",
        ),
        ("ci", "      contents: read\n", "      contents: write\n", "ci test: may write contents"),
        ("ci", "run: brew test", "run: ${{ github.ref }}", "ci brew: an expression in a script"),
        ("release", "$VERSION", "${{ inputs.version }}", "release asked: an expression in a script"),
        ("release", "VERSION: ${{ inputs.version }}", "VERSION: ${{ secrets.X }}", "release asked: a secret"),
        ("release", "          name: verified\n", "          cache: true\n", "a cache: cache: true"),
        (
            "release",
            "target/handed/xtask release apply",
            "cargo xtask release apply",
            "release publish: builds",
        ),
        ("release", "    environment: release\n", "", "release publish: has no environment"),
        ("release", ", plan, gate]", ", plan]", "release publish: waits for nobody's word"),
        ("release", "    environment: release-gate\n", "", "release gate: nobody has to approve"),
        ("yank", ", gate]", "]", "yank withdraw: waits for nobody's word"),
        ("yank", "target/handed/xtask release", "cargo xtask release", "yank withdraw: builds"),
        ("sign", "    environment: signing\n", "", "sign sign: has no environment"),
        (
            "sign",
            "      contents: read\n    outputs",
            "      contents: read\n    env:\n      X: ${{ secrets.X }}\n    outputs",
            "sign build: a secret",
        ),
        ("drift", "      contents: read\n", "      issues: write\n", "drift status: may write issues"),
        ("pin", "      contents: read\n", "      id-token: write\n", "pin look: may write id-token"),
    ] {
        let text = &texts.iter().find(|(name, _)| *name == workflow).unwrap().1;
        assert!(text.contains(from), "{workflow} has no {from:?}");
        let told = broken(workflow, &text.replace(from, to));
        assert!(told.iter().any(|one| one.starts_with(wanted)), "{wanted}: {told:?}");
    }
}
