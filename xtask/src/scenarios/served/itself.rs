//! `verify --from` tried on repositories that are served on this computer's loopback, and on what is wrong with them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

use super::address::Address;
use super::page::Block;
use super::serving::{Serving, listen};
use super::visit::{self, NAME, STEPS, Served};
use super::{fetch, files_of, indexed};
use crate::repo::{self, Site, served};
use crate::scenarios::Scenario;
use crate::scenarios::guest::{Guest, holds};
use crate::scenarios::system::Manager;
use crate::tools::Tools;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "served: what is wrong is told", run: faults },
    Scenario { name: "served: as its page says", run: whole },
];

/// The newest of our versions cannot be started by anybody.
const BROKEN: &str = "3.0.0-1";
const NEWEST: &str = "2.0.0-1";

/// Repositories for this system alone, at an address of this computer's.
struct AtHome {
    folder: PathBuf,
    at: Address,
    _serving: Serving,
}

impl AtHome {
    fn make(guest: &Guest<'_>) -> Result<AtHome> {
        let (_, ending) = files_of(guest.system.manager);
        let found: Vec<PathBuf> = repo::packages(&guest.packages.dist())?
            .into_iter()
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                name.ends_with(&ending) && !name.contains(BROKEN)
            })
            .collect();
        AtHome::with(guest, &found)
    }

    fn with(guest: &Guest<'_>, packages: &[PathBuf]) -> Result<AtHome> {
        let dir =
            guest.packages.published().join(format!("{}-served", guest.system.name().replace(' ', "-")));
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let (listener, url) = listen()?;
        let tools = Tools { folder: dir.join("tools") };
        let folder = dir.join("site");
        crate::files::remove(&folder)?;
        let site = Site::new(&guest.packages.key, &url, NAME, &tools);
        repo::build(&Site { packages, quiet: true, ..site }, &folder)?;
        let serving = Serving::start(listener, &url, &folder);
        let at = Address::parse(&serving.url).map_err(anyhow::Error::msg)?;
        Ok(AtHome { folder, at, _serving: serving })
    }

    /// By the client that `--from` has, and over the way that its machines have.
    fn visitor<'a>(&self, guest: &Guest<'a>) -> Result<Guest<'a, Served>> {
        let (id, ending) = files_of(guest.system.manager);
        let block = fetch(&self.at)?.into_iter().find(|block| block.id == id);
        let Block { lines, .. } = block.with_context(|| format!("the page has no block {id}"))?;
        let of_it = indexed(&self.at)?.into_iter().filter(|file| file.ends_with(&ending)).collect();
        let newest = served::newest(&of_it, NAME).context("the index names no package")?;
        let way = Some(guest.way(self.at.inside(), (self.at.host.clone(), self.at.port))?);
        let keys = vec![guest.packages.key.fingerprint.clone()];
        Ok(guest.visiting(Served { at: self.at.clone(), lines, newest, expect: None, keys, way }))
    }

    fn change(&self, file: &str, from: &str, to: &str) -> Result<()> {
        let path = self.folder.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(text.contains(from), "{} does not hold {from}", path.display());
        fs::write(&path, text.replace(from, to)).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Each is to be noticed, and by these words.
fn faults(guest: &Guest<'_>) -> Result<()> {
    let site = AtHome::make(guest)?;
    let told = |what: &str, ended: Result<()>, says: &str| match ended {
        Ok(()) => bail!("nobody has noticed: {what}"),
        Err(error) => holds(&format!("{error:#}"), says).with_context(|| what.to_owned()),
    };
    let mut visitor = site.visitor(guest)?;
    visitor.packages.expect = Some("9.9.9-1".to_owned());
    let says = format!("the newest version in the index is {NEWEST}, and 9.9.9-1 is expected");
    told("a version that is not served", visit::install(&visitor), &says)?;
    drop(visitor);

    site.change("index.html", &format!(" {NAME}"), &format!(" {NAME}r"))?;
    told("a package's name in the page", visit::install(&site.visitor(guest)?), &format!("{NAME}r"))?;
    site.change("index.html", &format!(" {NAME}r"), &format!(" {NAME}"))?;

    site.change("index.html", &site.at.url, "https://elsewhere.example.org")?;
    told(
        "a page for another address",
        visit::install(&site.visitor(guest)?),
        "do not name http://127.0.0.1",
    )?;
    Ok(())
}

/// All that a visitor does; and a key that is another than was told.
fn whole(guest: &Guest<'_>) -> Result<()> {
    visited(guest, &AtHome::make(guest)?, NEWEST)
}

/// The same of a Flatpak, as far as there is no runtime.
pub(crate) fn of_flatpak(guest: &Guest<'_>, bundle: PathBuf, version: &str) -> Result<()> {
    visited(guest, &AtHome::with(guest, &[bundle])?, version)
}

fn visited(guest: &Guest<'_>, site: &AtHome, newest: &str) -> Result<()> {
    let mut visitor = site.visitor(guest)?;
    visitor.packages.expect = Some(newest.to_owned());
    let flatpak = guest.system.manager == Manager::Flatpak;
    for step in STEPS.iter().filter(|step| !flatpak || ![visit::PLAN, visit::START].contains(&step.name)) {
        (step.run)(&visitor).with_context(|| step.name)?;
        if step.name == visit::KEY {
            let right = std::mem::replace(&mut visitor.packages.keys, vec!["F".repeat(40)]);
            let Err(error) = visit::key(&visitor) else { bail!("nobody has noticed another key") };
            holds(&error.to_string(), &format!("it trusts {}", right.join(", ")))?;
            visitor.packages.keys = right;
        }
    }
    Ok(())
}
