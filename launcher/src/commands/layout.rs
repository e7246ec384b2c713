//! `mathesar layout`

use serde_json::{Map, Value, json};

use super::Context;

/// Show where this installation's things live
///
/// Nothing is made or looked at: a folder that is named here may not exist yet.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As one JSON object, for scripts
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let layout = &context.layout;
    let instance = layout.instance.as_ref().map(ToString::to_string);
    if args.json {
        let mut object = Map::new();
        object.insert("scope".to_owned(), json!(layout.scope.name()));
        object.insert("instance".to_owned(), json!(instance));
        for (name, path) in layout.places() {
            let path = path.map_or(Value::Null, |path| json!(path.to_string_lossy()));
            object.insert(name.to_owned(), path);
        }
        return super::print_json(&Value::Object(object));
    }
    let mut text = format!("{:<22} {}\n", "scope", layout.scope.name());
    if let Some(instance) = instance {
        text.push_str(&format!("{:<22} {instance}\n", "instance"));
    }
    for (name, path) in layout.places() {
        let path = path.map_or("(journal)".to_owned(), |path| path.display().to_string());
        text.push_str(&format!("{name:<22} {path}\n"));
    }
    super::print(&text)
}
