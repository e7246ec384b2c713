//! Everything that a release changes, in one folder that can be put back as it was.

use std::collections::BTreeMap;
use std::fs;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::Value;

use super::super::apply::{Folder, Job, apply, read};
use super::super::live::{Asker, CHANNELS, Version, local};
use super::super::plan_file::{FORMAT, Live, Part, Plan, Verdict, verdict};
use super::super::{plan, yank};
use super::stand_in::{REPOSITORY, StandIn, TOKEN};
use crate::dist::{Entry, Index};
use crate::files::remove;
use crate::http::{Http, Patience, Token};
use crate::manifest::Outlet;
use crate::repo;
use crate::repo::tests as of_repo;
use crate::tools::Tools;
use crate::workspace::Workspace;
use crate::{Refused, digest};

pub(super) struct World {
    pub of_repo: of_repo::Scene,
    pub server: StandIn,
}

/// GitHub, the tap, the AUR, the repositories.
pub(super) type Facts = (Value, String, String, BTreeMap<String, String>);

/// Short, as nobody waits for a stand-in.
pub(super) const PATIENCE: Patience = Patience {
    tries: 4,
    first: Duration::from_millis(10),
    longest: Duration::from_secs(2),
    // A busy machine is no fault; the test of a silent server has less patience.
    silence: Duration::from_secs(60),
};

pub(super) fn http() -> Http {
    Http::new(Some(Token::of(TOKEN)), PATIENCE)
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=Other", "-c", "user.email=o@localhost", "-c", "commit.gpgSign=false"]);
    let output = git.args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl World {
    /// Version 1 is in the repositories, the tap has its formula, the AUR is empty, GitHub too. Version 2 is in `dist`. None: a program
    /// is absent, and was said.
    pub(super) fn new() -> Option<World> {
        let of_repo = of_repo::Scene::new()?;
        let root = of_repo.folder.path().join("world");
        fs::create_dir(&root).unwrap();
        let server = StandIn::start(&root);
        let world = World { of_repo, server };
        let one = world.of_repo.packages("1", "a");
        let key = world.of_repo.key();
        let url = world.packages_url();
        let site = repo::Site { url: &url, ..world.of_repo.site(&key, &one, 0) };
        repo::build(&site, &world.path("packages")).unwrap();
        for name in ["tap", "aur"] {
            git(&root, &["init", "--quiet", "--bare", "--initial-branch=main", &format!("{name}.git")]);
        }
        world.push("tap", "Formula/probe.rb", "class Probe < Formula\n  version \"1\"\nend\n");
        world.make_dist();
        of_repo::copy(&root, &world.template());
        Some(world)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.of_repo.folder.path().join("world").join(name)
    }

    fn template(&self) -> PathBuf {
        self.of_repo.folder.path().join("template")
    }

    fn packages_url(&self) -> String {
        format!("{}/packages", self.server.url)
    }

    /// As it was at first, the plans too.
    pub(super) fn reset(&self) {
        let root = self.path("");
        self.server.no_faults();
        // The root stays: the stand-in knows it by its name.
        for entry in fs::read_dir(&root).unwrap() {
            remove(&entry.unwrap().path()).unwrap();
        }
        of_repo::copy(&self.template().join("."), &root);
        self.server.changed();
        self.server.requests();
    }

    fn make_dist(&self) {
        let dist = self.path("dist");
        fs::create_dir(&dist).unwrap();
        for package in self.of_repo.packages("2", "b") {
            fs::copy(&package, dist.join(package.file_name().unwrap())).unwrap();
        }
        for (path, text) in [
            ("probe-2-1-src.tar.gz", "source".repeat(20_000)),
            ("probe+odd_2-1.tar.gz", "x".into()),
            ("homebrew/probe.rb", "class Probe < Formula\n  version \"2\"\nend\n".into()),
            ("aur/PKGBUILD", "pkgver=2\n".into()),
            ("aur/.SRCINFO", "pkgbase = probe\n\tpkgver = 2\n\tpkgrel = 1\n".into()),
        ] {
            fs::create_dir_all(dist.join(path).parent().unwrap()).unwrap();
            fs::write(dist.join(path), text).unwrap();
        }
        fs::write(dist.join("SHA256SUMS"), self.index().sums()).unwrap();
    }

    fn index(&self) -> Index {
        let dist = self.path("dist");
        let mut files = Vec::new();
        for entry in walkdir::WalkDir::new(&dist).sort_by_file_name() {
            let entry = entry.unwrap();
            if entry.file_type().is_file() && entry.file_name() != "SHA256SUMS" {
                files.push(Entry {
                    path: entry.path().strip_prefix(&dist).unwrap().to_str().unwrap().to_owned(),
                    channel: String::new(),
                    target: String::new(),
                    size: entry.metadata().unwrap().len(),
                    sha256: digest::file(entry.path()).unwrap(),
                });
            }
        }
        let (name, version) = ("probe".to_owned(), "2".to_owned());
        Index { format: 1, name, version, revision: 1, epoch: 1, inputs: BTreeMap::new(), files }
    }

    /// As `release plan` makes it, without what it looks at in a checkout.
    pub(super) fn draft(&self) -> Plan {
        let at = |channel| match channel {
            Outlet::Github => REPOSITORY.to_owned(),
            Outlet::Repositories => self.packages_url(),
            Outlet::Tap => self.path("tap.git").to_str().unwrap().to_owned(),
            Outlet::Aur => self.path("aur.git").to_str().unwrap().to_owned(),
        };
        let part = |channel| Part {
            channel,
            at: at(channel),
            paused: None,
            live: Live::default(),
            items: local(channel, &self.index(), &self.path("dist")).unwrap(),
        };
        Plan {
            format: FORMAT,
            name: "probe".into(),
            version: "2-1".into(),
            tag: "v2-1".into(),
            commit: "c0ffee".into(),
            made: Timestamp::from_second(self.of_repo.start + 60).unwrap(),
            notes: "- New.\n".into(),
            committer: "A B <a@localhost>".into(),
            known_hosts: String::new(),
            api: self.server.url.clone(),
            tap: "a/b".into(),
            channels: CHANNELS.map(part).to_vec(),
        }
    }

    pub(super) fn plan(&self) -> Result<Plan> {
        plan::make(self.draft(), &http(), &self.path("work"))
    }

    /// Planned, and written to where `apply` takes it from.
    pub(super) fn write(&self, plan: &Plan) {
        plan::write(plan, &self.path("plan.json")).unwrap();
    }

    /// The folder is not what is served: this command brings it there, from `folder` to `packages`.
    pub(super) fn deploy_by(&self, command: &str) {
        fs::create_dir_all(self.path("folder")).unwrap();
        of_repo::copy(&self.path("packages").join("."), &self.path("folder"));
        fs::write(self.path("deploy"), command).unwrap();
    }

    pub(super) fn apply(&self) -> Result<()> {
        self.apply_with(&http(), false)
    }

    pub(super) fn apply_with(&self, http: &Http, dry_run: bool) -> Result<()> {
        self.paths().apply(&self.of_repo.fingerprint, http, dry_run)
    }

    /// By the clock of that day, which only signing looks at.
    pub(super) fn apply_at(&self, moment: i64) -> Result<()> {
        let paths = Paths { start: moment - 60, ..self.paths() };
        paths.apply(&self.of_repo.fingerprint, &http(), false)
    }

    fn paths(&self) -> Paths {
        Paths { root: self.of_repo.folder.path().to_owned(), start: self.of_repo.start }
    }

    /// The lines of the journal, of which there is one at the most.
    pub(super) fn journal(&self) -> String {
        self.journal_file().map_or_else(String::new, |path| fs::read_to_string(path).unwrap())
    }

    pub(super) fn put_journal(&self, text: &str) {
        fs::write(self.journal_file().unwrap(), text).unwrap();
    }

    fn journal_file(&self) -> Option<PathBuf> {
        let folder = fs::read_dir(self.path("plan.json.journal"));
        let mut files = folder.into_iter().flatten().flatten().map(|entry| entry.path());
        files.find(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
    }

    /// Everything that anybody can see.
    pub(super) fn facts(&self) -> Facts {
        let head = |name: &str| {
            let folder = self.path(&format!("{name}.git"));
            git(&folder, &["for-each-ref", "--format=%(refname) %(objectname)"])
        };
        (self.server.facts(), head("tap"), head("aur"), of_repo::tree(&self.path("packages")))
    }

    /// By somebody else.
    pub(super) fn push(&self, name: &str, path: &str, text: &str) {
        let root = self.path("");
        let clone = root.join("others");
        remove(&clone).unwrap();
        git(&root, &["clone", "--quiet", &format!("{name}.git"), "others"]);
        fs::create_dir_all(clone.join(path).parent().unwrap()).unwrap();
        fs::write(clone.join(path), text).unwrap();
        git(&clone, &["add", "--force", "."]);
        git(&clone, &["commit", "--quiet", "-m", "theirs"]);
        git(&clone, &["push", "--quiet", "origin", "HEAD:main"]);
        remove(&clone).unwrap();
    }

    pub(super) fn show(&self, name: &str, what: &str) -> String {
        git(&self.path(&format!("{name}.git")), &["show", what])
    }

    /// As `release status --live` sees them.
    pub(super) fn verdicts(&self) -> Vec<Verdict> {
        let (draft, http, work) = (self.draft(), http(), self.path("work"));
        let asker = Asker {
            http: &http,
            api: &draft.api,
            known_hosts: "",
            committer: &draft.committer,
            work: &work,
            deep: true,
        };
        let now = Timestamp::from_second(self.of_repo.start).unwrap();
        let of = Version { name: "probe", version: "2-1", tag: "v2-1", ours: None };
        let ask = |part: &Part| asker.ask(part.channel, &part.at, &of, &part.items);
        draft
            .channels
            .iter()
            .map(|part| ask(part).map_or(Verdict::Unreachable, |part| verdict(&part, "2-1", now)))
            .collect()
    }
}

/// What is asked after `release yank`.
impl World {
    pub(super) fn yank(&self, version: &str, dry_run: bool) -> Result<()> {
        self.paths().yank(&self.of_repo.fingerprint, version, dry_run)
    }

    /// The files that the indices name.
    pub(super) fn indexed(&self) -> Vec<String> {
        let (http, url) = (http(), self.packages_url());
        let get = |path: &str| http.get(&format!("{url}/{path}"));
        repo::served::indexed(&get, "probe").unwrap().into_iter().collect()
    }

    pub(super) fn check_repositories(&self, name: &str) {
        let key = ManuallyDrop::new(self.of_repo.key());
        repo::check(&self.of_repo.site(&key, &[], 120), &self.path(name)).unwrap();
    }

    pub(super) fn add_to_repositories(&self) -> Result<()> {
        let key = ManuallyDrop::new(self.of_repo.key());
        let packages = repo::packages(&self.path("dist"))?;
        repo::add(&self.of_repo.site(&key, &packages, 180), &self.path("packages"))
    }
}

/// What a child needs to know.
pub(super) struct Paths {
    pub root: PathBuf,
    pub start: i64,
}

impl Paths {
    pub(super) fn apply(&self, fingerprint: &str, http: &Http, dry_run: bool) -> Result<()> {
        let world = self.root.join("world");
        let workspace = Workspace { root: self.root.clone(), target: self.root.join("target") };
        let tools = Tools::new(&workspace);
        let folder = self.folder(fingerprint, self.start + 60)?;
        // Not dropped: it would end an agent that the others use.
        let (plan, dist) = (world.join("plan.json"), world.join("dist"));
        let lock = self.root.join("release.lock");
        let job = ManuallyDrop::new(Job {
            plan: &plan,
            dist: &dist,
            lock: &lock,
            http,
            folder: Some(folder),
            tools: &tools,
            dry_run,
        });
        apply(&job)
    }

    fn folder(&self, fingerprint: &str, date: i64) -> Result<Folder> {
        let world = self.root.join("world");
        let deploy = fs::read_to_string(world.join("deploy")).ok();
        Ok(Folder {
            dir: world.join(if deploy.is_some() { "folder" } else { "packages" }),
            key: repo::Key::at(&self.root.join("keys"), fingerprint),
            date: Some(Timestamp::from_second(date)?),
            deploy,
        })
    }
}

impl Paths {
    /// From the channels of the plan that is there.
    pub(super) fn yank(&self, fingerprint: &str, version: &str, dry_run: bool) -> Result<()> {
        let (world, now) = (self.root.join("world"), Timestamp::from_second(self.start + 120)?);
        let workspace = Workspace { root: self.root.clone(), target: self.root.join("target") };
        let (plan, _) = read(&world.join("plan.json"))?;
        let (tools, http) = (Tools::new(&workspace), http());
        let (work, journal) = (world.join("work"), world.join("yank.journal"));
        // Not dropped, as in `apply`.
        let job = ManuallyDrop::new(yank::Job {
            name: "probe",
            version,
            why: "broken",
            asker: Asker {
                http: &http,
                api: &plan.api,
                known_hosts: "",
                committer: &plan.committer,
                work: &work,
                deep: false,
            },
            at: plan.channels.iter().map(|part| (part.channel, part.at.clone())).collect(),
            folder: Some(self.folder(fingerprint, self.start + 120)?),
            tools: &tools,
            dry_run,
            journal: &journal,
            now,
        });
        yank::yank(&job)
    }
}

pub(super) fn is_refused(result: Result<()>, because: &str) {
    let error = result.unwrap_err();
    assert!(error.is::<Refused>() && format!("{error:#}").contains(because), "{error:#}");
}
