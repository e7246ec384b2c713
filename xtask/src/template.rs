//! Handlebars in strict mode, with one quoting helper a format: a value never reaches a file unquoted by chance.

use anyhow::{Context as _, Result};
use handlebars::{Context, Handlebars, Helper, HelperResult, Output, RenderContext, RenderErrorReason};
use serde::Serialize;

/// Renders `template`; `name` is its path in the repository, for messages.
///
/// Helpers: `{{sh x}}` one shell word, `{{ruby x}}` a Ruby string, `{{yaml x}}` a YAML or JSON string, `{{xml x}}` text
/// or a double-quoted attribute of XML, `{{desktop x}}` a value of a desktop entry, `{{line x}}` as it is (refused where it has a line
/// break). A plain `{{x}}` is not escaped: it is for what the checks have restricted to harmless characters.
pub(crate) fn render(name: &str, template: &str, data: &impl Serialize) -> Result<String> {
    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(handlebars::no_escape);
    quoting(&mut engine, "sh", |text| Ok(sh(text)));
    quoting(&mut engine, "ruby", |text| Ok(ruby(text)));
    quoting(&mut engine, "yaml", |text| Ok(yaml(text)));
    quoting(&mut engine, "xml", |text| Ok(xml(text)));
    quoting(&mut engine, "desktop", |text| Ok(desktop(text)));
    quoting(&mut engine, "line", |text| {
        match text.contains(['\n', '\r', '\0', '\u{85}', '\u{2028}', '\u{2029}']) {
            true => Err(format!("{text:?} has a line break")),
            false => Ok(text.to_owned()),
        }
    });
    engine.render_template(template, data).with_context(|| format!("cannot render {name}"))
}

fn quoting(engine: &mut Handlebars<'_>, name: &'static str, quote: fn(&str) -> Result<String, String>) {
    let helper = move |helper: &Helper<'_>,
                       _: &Handlebars<'_>,
                       _: &Context,
                       _: &mut RenderContext<'_, '_>,
                       out: &mut dyn Output|
          -> HelperResult {
        let value = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex(name, 0))?;
        // Strict mode covers `{{x}}`, not a helper's argument.
        let path = value.relative_path().cloned().unwrap_or_default();
        if value.is_value_missing() {
            return Err(RenderErrorReason::MissingVariable(Some(path)).into());
        }
        let text = value
            .value()
            .as_str()
            .ok_or_else(|| RenderErrorReason::Other(format!("`{name}` wants a text, `{path}` is none")))?;
        out.write(&quote(text).map_err(RenderErrorReason::Other)?)?;
        Ok(())
    };
    engine.register_helper(name, Box::new(helper));
}

/// One word for a POSIX shell, in single quotes always: nothing inside is expanded.
pub(crate) fn sh(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A double-quoted Ruby string without interpolation: `brew style` wants double quotes.
pub(crate) fn ruby(text: &str) -> String {
    let mut quoted = String::from("\"");
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            // Only `#{`, `#$` and `#@` interpolate; a lone `#` escaped is an offence to rubocop.
            '#' if matches!(rest.peek(), Some('{' | '$' | '@')) => quoted.push_str("\\#"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            control if control.is_control() => quoted.push_str(&format!("\\u{{{:x}}}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// A JSON string, which is a YAML double-quoted scalar as well.
pub(crate) fn yaml(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Text or attribute of XML 1.0; characters that XML has no way to write are left out.
pub(crate) fn xml(text: &str) -> String {
    let mut quoted = String::new();
    for character in text.chars() {
        match character {
            '&' => quoted.push_str("&amp;"),
            '<' => quoted.push_str("&lt;"),
            '>' => quoted.push_str("&gt;"),
            '"' => quoted.push_str("&quot;"),
            '\'' => quoted.push_str("&apos;"),
            '\n' | '\t' => quoted.push(character),
            control if control.is_control() => {}
            other => quoted.push(other),
        }
    }
    quoted
}

/// A value of a desktop entry (Desktop Entry Specification, section "Possible value types").
pub(crate) fn desktop(text: &str) -> String {
    text.replace('\\', r"\\").replace('\n', r"\n").replace('\t', r"\t").replace('\r', r"\r")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quotes() {
        assert_eq!(sh("it's $x"), r"'it'\''s $x'");
        assert_eq!(ruby(r##"a"b\c#{y}# #$x"##), r##""a\"b\\c\#{y}# \#$x""##);
        assert_eq!(yaml("a: \"b\" ü"), r#""a: \"b\" ü""#);
        assert_eq!(xml("<a & 'b'>"), "&lt;a &amp; &apos;b&apos;&gt;");
        assert_eq!(desktop("a\\b"), r"a\\b");
    }

    #[test]
    fn a_misspelt_name_is_an_error() {
        assert!(render("t", "{{nmae}}", &json!({ "name": "x" })).is_err());
        assert!(render("t", "{{sh nmae}}", &json!({ "name": "x" })).is_err());
        assert!(render("t", "{{line name}}", &json!({ "name": "x\ny" })).is_err());
        assert_eq!(render("t", "{{sh name}}", &json!({ "name": "x" })).unwrap(), "'x'");
    }
}
