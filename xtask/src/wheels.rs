//! `cargo xtask wheels`: what the index of Python packages lacks as wheels, built on the systems that need it, so that nobody else needs a
//! compiler.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use machines::{Base, Recipe};

use crate::scenarios::NotRun;
use crate::workspace::Workspace;
use crate::{digest, ui};

/// Build the wheels that the index lacks for the Python of Debian's releases
///
/// In a throw-away tree of each release, with its own Python and compiler; those with compiled code get the libraries they need by
/// auditwheel, so that they serve on other distributions with the same Python as well. DIR gets a folder for each Python (`cp313`). They
/// are kept until the requirements change.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Debian releases
    #[arg(long, value_name = "SUITE", value_delimiter = ',', default_value = "bookworm,trixie,sid")]
    on: Vec<String>,
    /// What is to be installed; the sample application's, if none is named
    #[arg(long, value_name = "FILE")]
    requirements: Option<PathBuf>,
    /// All that is needed, also what the index has: for machines without a network
    #[arg(long)]
    all: bool,
    /// Where to put them
    #[arg(long, value_name = "DIR", default_value = "dist/wheels")]
    out: PathBuf,
}

/// The compiler, and what the sources of psycopg2 and PyYAML look for.
const PACKAGES: &[&str] = &[
    "ca-certificates",
    "gcc",
    "libc6-dev",
    "libpq-dev",
    "libyaml-dev",
    "patchelf",
    "python3",
    "python3-dev",
    "python3-venv",
];

/// In /built the ones that pip has built, in /whole all of them.
const SCRIPT: &str = "\
python3 -m venv /venv
/venv/bin/pip install --quiet auditwheel
/venv/bin/pip wheel --wheel-dir /fetched -r /in/requirements.txt >/log 2>&1 || { tail -n 40 /log >&2; exit 1; }
sed -n 's/^ *Created wheel for [^:]*: filename=\\([^ ]*\\) .*/\\1/p' /log >/names
mkdir /mended
for name in $(cat /names); do
	case $name in
	*-any.whl) mv \"/fetched/$name\" /out/built ;;
	*)
		/venv/bin/auditwheel repair --wheel-dir /mended \"/fetched/$name\" >/repaired 2>&1 || { cat /repaired >&2; exit 1; }
		rm \"/fetched/$name\"
		;;
	esac
done
find /mended -name '*.whl' -exec mv {} /out/built \\;
cp /fetched/*.whl /out/others
python3 -c 'import sys; print(\"cp%d%d\" % sys.version_info[:2])' >/out/python
";

/// Of one release: folders of wheels.
#[derive(Debug, Clone)]
pub(crate) struct Wheels {
    /// `cp313`
    pub python: String,
    /// Those that were built.
    pub built: PathBuf,
    /// Those that the index has.
    pub others: PathBuf,
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    if let Some(why) = machines::missing() {
        return Err(anyhow::Error::new(NotRun(format!("{why}\nhelp: sudo -E cargo xtask wheels"))));
    }
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let out = match args.out.as_os_str() == "dist/wheels" {
        true => workspace.root.join("dist/wheels"),
        false => here.join(&args.out),
    };
    let requirements = args.requirements.as_ref().map_or_else(|| sample(workspace), |file| here.join(file));
    for suite in &args.on {
        let wheels = make(workspace, suite, &requirements)?;
        let to = out.join(&wheels.python);
        fs::create_dir_all(&to).with_context(|| format!("cannot create {}", to.display()))?;
        let mut names = Vec::new();
        for folder in [&wheels.built].into_iter().chain(args.all.then_some(&wheels.others)) {
            for file in list(folder)? {
                let name = file.file_name().context("a wheel without a name")?.to_owned();
                fs::copy(&file, to.join(&name)).with_context(|| format!("cannot copy {}", file.display()))?;
                names.push(name.to_string_lossy().into_owned());
            }
        }
        ui::verb("Wheels", format_args!("for {} of {suite} in {}", wheels.python, to.display()));
        names.iter().for_each(|name| anstream::eprintln!("{:>12} {name}", ""));
    }
    Ok(())
}

/// The sample application's requirements.
pub(crate) fn sample(workspace: &Workspace) -> PathBuf {
    workspace.root.join("launcher/tests/sample-app/base/requirements.txt")
}

/// The wheels of a release, made now where they are not there yet.
pub(crate) fn make(workspace: &Workspace, suite: &str, requirements: &Path) -> Result<Wheels> {
    let store = workspace.target.join("machines");
    fs::create_dir_all(&store).with_context(|| format!("cannot create {}", store.display()))?;
    let mut key = digest::Parts::default();
    key.add("requirements", &digest::file(requirements)?)
        .add("script", SCRIPT)
        .add("packages", &PACKAGES.join(" "));
    let folder = store.join(format!("wheels-{suite}-{}", &key.finish()[..10]));
    if !folder.is_dir() {
        ui::verb("Building", format_args!("wheels for the Python of {suite}"));
        let recipe = Recipe { suite, packages: PACKAGES, at_hand: &[], next: None, documentation: false };
        let base = Base::debian(&store, &recipe, &|what| ui::verb("Machine", what))?;
        let partial = machines::scratch(&store, "wheels")?;
        for name in ["in", "out", "out/built", "out/others"] {
            fs::create_dir(partial.path().join(name)).context("cannot create a folder for wheels")?;
        }
        fs::copy(requirements, partial.path().join("in/requirements.txt"))
            .context("cannot copy the requirements")?;
        let (input, out) = (partial.path().join("in"), partial.path().join("out"));
        let mut binds = vec![(input.as_path(), "/in"), (out.as_path(), "/out")];
        // A company's own authorities count there as here.
        let certificates = Path::new("/etc/ssl/certs");
        if certificates.is_dir() {
            binds.push((certificates, "/etc/ssl/certs"));
        }
        machines::run_over(&base, &store, SCRIPT, &binds)?;
        fs::rename(&out, &folder).with_context(|| format!("cannot rename {}", out.display()))?;
    }
    let python =
        fs::read_to_string(folder.join("python")).context("cannot read which Python the wheels are for")?;
    let wheels = Wheels {
        python: python.trim().to_owned(),
        built: folder.join("built"),
        others: folder.join("others"),
    };
    if list(&wheels.built)?.is_empty() && list(&wheels.others)?.is_empty() {
        bail!("no wheels are in {}\nhelp: rm -r {}", folder.display(), folder.display());
    }
    Ok(wheels)
}

/// The wheels in a folder.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "whl"));
    files.sort();
    Ok(files)
}
