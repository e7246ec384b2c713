//! `mathesar config check`

use std::path::PathBuf;

use serde_json::json;

use super::Context;
use crate::config::{self, Problem, Severity, render_all};
use crate::failure::{Exit, Failure};
use crate::foreign;

/// Report everything that is wrong with the settings, all at once
///
/// Without FILE, mathesar.conf, conf.d and the environment are checked together. Exit code 4 where something is wrong;
/// warnings alone give 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Check these files instead, later ones over earlier ones
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// As one JSON object: `ok`, `files`, `problems`
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let mut loaded = match args.files.as_slice() {
        [] => super::load(context),
        files => {
            for path in files {
                std::fs::symlink_metadata(path).map_err(|cause| Failure::io("read", path, cause))?;
            }
            config::load_files(files, &config::Outside::default())
        }
    };
    if args.files.is_empty() {
        loaded.problems.extend(config::missing_files(&loaded.config));
        loaded.problems.extend(config::unfit_here(&loaded.config));
        let foreign = foreign::settings(&context.layout, context.environment.uid);
        loaded.problems.extend(foreign.map(|foreign| foreign.problem()));
        loaded.problems.extend(config::misplaced(&loaded.config, &context.layout));
    }
    let problems = loaded.problems;
    let errors = problems.iter().any(|problem| problem.severity == Severity::Error);
    if args.json {
        super::super::print_json_report(json!({
            "ok": !errors,
            "files": loaded.files.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
            "problems": problems.iter().map(Problem::to_json).collect::<Vec<_>>(),
        }))?;
    } else if !problems.is_empty() {
        anstream::eprint!("{}", crate::cure::addressed_helps(&render_all(&problems)));
    } else {
        let names: Vec<String> = loaded.files.iter().map(|path| path.display().to_string()).collect();
        let what = match names.as_slice() {
            [] => format!("the defaults, as there is no {}", context.layout.config_file().display()),
            names => format!("{}: no problem found", names.join(", ")),
        };
        super::super::verb("Checked", what);
    }
    if errors {
        anyhow::bail!(Failure::told(Exit::Refused, String::new()));
    }
    Ok(())
}
