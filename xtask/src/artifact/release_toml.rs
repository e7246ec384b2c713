//! `release.toml`: what the launcher is told of the pinned release. Compiled in (`launcher/release.toml`) and installed.

use std::fmt::Write as _;

use crate::manifest::App;

/// The file's text.
pub(crate) fn release_toml(app: &App) -> String {
    let mut text = String::from(
        "# The release of Mathesar that this launcher installs. Written by `cargo xtask pin` from packaging/mathesar.toml.\n",
    );
    let quoted = |value: &str| toml_edit::Value::from(value).to_string();
    let list = |values: &[String]| values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", ");
    let size = app.size.map_or(String::new(), |size| format!("size = {size}\n"));
    write!(
        text,
        "version = {}\nurl = {}\nsha256 = {}\n{size}\n[python]\nmin = {}\nmax = {}\nprefer = [{}]\n\n\
         [postgresql]\nmin = {}\nmax = {}\n",
        quoted(&app.version),
        quoted(&app.url),
        quoted(&app.sha256),
        quoted(&app.python.min),
        quoted(&app.python.max),
        list(&app.python.prefer),
        app.postgresql.min,
        app.postgresql.max,
    )
    .expect("a String takes every text");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{PostgresRange, PythonRange};

    #[test]
    fn renders() {
        let mut app = App {
            version: "1.2.3".into(),
            url: "https://example.org/\"1\".tar.gz".into(),
            sha256: "ab".into(),
            size: None,
            python: PythonRange {
                min: "3.10".into(),
                max: "3.14".into(),
                prefer: vec!["3.12".into(), "3.11".into()],
            },
            postgresql: PostgresRange { min: 14, max: 18 },
        };
        insta::assert_snapshot!(release_toml(&app));
        app.size = Some(7);
        let read: toml::Table = release_toml(&app).parse().unwrap();
        assert_eq!(read["size"].as_integer(), Some(7));
        assert_eq!(read["url"].as_str(), Some(app.url.as_str()));
    }
}
