//! Changes one setting in a file's text and leaves comments, order and everything else as they are.

use toml_edit::{Document, DocumentMut, Item, Key, TableLike};

/// What to do with a setting.
#[derive(Debug, Clone)]
pub enum Edit {
    Set(toml_edit::Value),
    Unset,
}

/// The changed text. `name` is `section.key`, or `key` at the top of the file.
pub fn edit(text: &str, name: &str, edit: &Edit) -> Result<String, String> {
    // toml_edit ends every line with a line feed.
    let crlf = text.contains("\r\n");
    let text = text.replace("\r\n", "\n");
    let (section, key) = name.split_once('.').unwrap_or(("", name));
    let edited = match edit {
        Edit::Set(value) => set(&text, section, key, value)?,
        Edit::Unset => unset(&text, section, key)?,
    };
    Ok(if crlf { edited.replace('\n', "\r\n") } else { edited })
}

fn parse(text: &str) -> Result<DocumentMut, String> {
    text.parse::<DocumentMut>().map_err(|error| error.message().to_owned())
}

fn set(text: &str, section: &str, key: &str, value: &toml_edit::Value) -> Result<String, String> {
    let mut document = parse(text)?;
    if let Some(old) = find(&mut document, section).and_then(|table| table.get_mut(key)) {
        let mut new = value.clone();
        if let Some(old) = old.as_value() {
            *new.decor_mut() = old.decor().clone();
        }
        *old = Item::Value(new);
        return Ok(document.to_string());
    }
    if let Some(edited) = beside_its_comment(text, section, key, value) {
        return Ok(edited);
    }
    if section.is_empty() {
        document.insert(key, Item::Value(value.clone()));
        return Ok(document.to_string());
    }
    if !document.contains_key(section) {
        return at_the_end(text, section, key, value);
    }
    let table = find(&mut document, section).ok_or_else(|| format!("`{section}` is no table"))?;
    table.insert(key, Item::Value(value.clone()));
    Ok(document.to_string())
}

/// A new section comes after the comments at the end: they explain the section that they stand in.
fn at_the_end(text: &str, section: &str, key: &str, value: &toml_edit::Value) -> Result<String, String> {
    let gap = match () {
        () if text.trim().is_empty() || text.ends_with("\n\n") => "",
        () if text.ends_with('\n') => "\n",
        () => "\n\n",
    };
    let (section, key) = (Key::new(section), Key::new(key));
    let (section, key) = (section.display_repr(), key.display_repr());
    let edited = format!("{text}{gap}[{section}]\n{key} = {}\n", value.to_string().trim());
    parse(&edited).map(|_| edited)
}

/// Puts the setting below the line that has it commented out, where a reader looks for it.
fn beside_its_comment(text: &str, section: &str, key: &str, value: &toml_edit::Value) -> Option<String> {
    let mut current = "";
    let mut edited = String::with_capacity(text.len() + 80);
    let mut placed = false;
    for line in text.split_inclusive('\n') {
        edited.push_str(line);
        let bare = line.trim();
        if let Some(header) = bare.strip_prefix('[') {
            current = header.split(']').next().unwrap_or_default().trim();
        }
        let commented =
            || bare.strip_prefix('#')?.trim_start().strip_prefix(key)?.trim_start().strip_prefix('=');
        if !placed && current == section && commented().is_some() {
            if !line.ends_with('\n') {
                edited.push('\n');
            }
            edited.push_str(&format!("{key} = {}\n", value.to_string().trim()));
            placed = true;
        }
    }
    // A line that only looks like a comment stands inside a long string.
    let mut document = parse(&edited).ok()?;
    let found = find(&mut document, section)?.get(key)?.as_value()?.to_string();
    (placed && found.trim() == value.to_string().trim()).then_some(edited)
}

fn unset(text: &str, section: &str, key: &str) -> Result<String, String> {
    if let Some(edited) = without_its_lines(text, section, key) {
        return Ok(edited);
    }
    let mut document = parse(text)?;
    if let Some(table) = find(&mut document, section) {
        table.remove(key);
    }
    Ok(document.to_string())
}

/// Takes out the lines of a setting and keeps the comments above them, which toml_edit counts as part of it.
fn without_its_lines(text: &str, section: &str, key: &str) -> Option<String> {
    let document = Document::parse(text).ok()?;
    let table: &dyn TableLike = match section {
        "" => document.as_table(),
        _ => document.get(section)?.as_table_like()?,
    };
    let (named, item) = table.get_key_value(key)?;
    let start = named.span()?.start;
    let start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let end = item.span()?.end;
    let end = text[end..].find('\n').map_or(text.len(), |at| end + at + 1);
    let edited = format!("{}{}", &text[..start], &text[end..]);

    // In an inline table others share the line: then the rest is not what it was.
    let mut expected = parse(text).ok()?;
    find(&mut expected, section)?.remove(key);
    let expected = plain(&expected);
    let same = |text: &str| parse(text).is_ok_and(|document| plain(&document) == expected);
    let shorter = without_empty_section(&edited, section).filter(|shorter| same(shorter));
    shorter.or_else(|| same(&edited).then_some(edited))
}

/// Takes out the header of a section in which nothing is left, not even a comment.
fn without_empty_section(text: &str, section: &str) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let header = lines.iter().position(|line| line.trim() == format!("[{section}]"))?;
    let blank = |line: &&&str| line.trim().is_empty();
    let after = lines[header + 1..].iter().take_while(blank).count();
    let before = lines[..header].iter().rev().take_while(blank).count();
    let commented = before == 0 && header > 0;
    let next = lines.get(header + 1 + after);
    if commented || next.is_some_and(|next| !next.trim_start().starts_with('[')) {
        return None;
    }
    let kept = if next.is_some() { header } else { header - before };
    Some(lines[..kept].iter().chain(&lines[header + 1 + after..]).copied().collect())
}

/// Every value with its path, without comments and order; an empty table counts as none.
fn plain(document: &DocumentMut) -> Vec<String> {
    fn walk(path: &str, item: &Item, all: &mut Vec<String>) {
        match item.as_table_like() {
            Some(table) => table.iter().for_each(|(key, item)| walk(&format!("{path}.{key}"), item, all)),
            None => {
                let value = item.as_value().map(|value| value.clone().decorated("", "").to_string());
                all.push(format!("{path} = {}", value.unwrap_or_default()));
            }
        }
    }
    let mut all = Vec::new();
    walk("", document.as_item(), &mut all);
    all.sort();
    all
}

fn find<'a>(document: &'a mut DocumentMut, section: &str) -> Option<&'a mut dyn TableLike> {
    match section {
        "" => Some(document.as_table_mut()),
        _ => document.get_mut(section)?.as_table_like_mut(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Edit, edit};

    fn set(text: &str, name: &str, value: &str) -> String {
        edit(text, name, &Edit::Set(value.into())).unwrap()
    }

    #[test]
    fn set_keeps_comments_and_order() {
        let text = "# top\n[server] # s\n# l\nlisten = \"a\" # why\n\n[log]\nlevel = \"info\"\n";
        assert_eq!(set(text, "server.listen", "b"), text.replace("\"a\"", "\"b\""));
        let added = set(text, "log.keep", "b");
        assert_eq!(added, format!("{text}keep = \"b\"\n"));
        assert_eq!(set(text, "env.A", "b"), format!("{text}\n[env]\nA = \"b\"\n"));
        assert_eq!(set("", "log.level", "b"), "[log]\nlevel = \"b\"\n");
        assert_eq!(set(text, "env-file", "/b").replace("env-file = \"/b\"\n", ""), text);
    }

    #[test]
    fn set_goes_below_its_comment() {
        let text = "[server]\n# Where.\n#listen = \"a\"\n\n# Names.\n#hosts = []\n\n[log]\n#listen = 1";
        let expected = text.replace("#listen = \"a\"\n", "#listen = \"a\"\nlisten = \"b\"\n");
        assert_eq!(set(text, "server.listen", "b"), expected);
        assert_eq!(set("[log]\n#level = 1", "log.level", "b"), "[log]\n#level = 1\nlevel = \"b\"\n");
        let inside = "[log]\nx = '''\n#level = 1\n'''\n";
        assert_eq!(set(inside, "log.level", "b"), format!("{inside}level = \"b\"\n"));
    }

    #[test]
    fn dotted_and_inline_tables_stay_what_they_are() {
        assert_eq!(set("server.listen = \"a\"\n", "server.listen", "b"), "server.listen = \"b\"\n");
        assert_eq!(set("log = { level = \"a\" }\n", "log.level", "b"), "log = { level = \"b\" }\n");
        let unset = |text: &str| edit(text, "log.level", &Edit::Unset).unwrap();
        assert_eq!(unset("log.level = 1\nlog.keep = 2\n"), "log.keep = 2\n");
        assert_eq!(unset("log = { level = 1, keep = 2 }\n").replace(' ', ""), "log={keep=2}\n");
    }

    #[test]
    fn unset_keeps_the_comments_above() {
        let text = "[log]\n# how much\nlevel = \"\"\"\na\n\"\"\" # x\n# files\nkeep = 1\n";
        assert_eq!(edit(text, "log.level", &Edit::Unset).unwrap(), "[log]\n# how much\n# files\nkeep = 1\n");
        assert_eq!(edit(text, "log.none", &Edit::Unset).unwrap(), text);
    }

    #[test]
    fn a_new_section_takes_no_comments_of_another_and_goes_without_a_trace() {
        let template = crate::config::TEMPLATE;
        let with_env = set(template, "env.FOO", "x");
        assert_eq!(with_env, format!("{template}\n[env]\nFOO = \"x\"\n"));
        let unset = |text: &str, name: &str| edit(text, name, &Edit::Unset).unwrap();
        assert_eq!(unset(&with_env, "env.FOO"), template);
        let both = set(&with_env, "log.level", "debug");
        assert_eq!(unset(&both, "env.FOO"), set(template, "log.level", "debug"));
        assert_eq!(unset("[env]\nA = 1\n\n[log]\nkeep = 1\n", "env.A"), "[log]\nkeep = 1\n");
        let explained = ["# Mine.\n[env]\n", "[env] # mine\n", "[env]\n# Mine.\n", "x = 1\n[env]\n"];
        for text in explained {
            assert_eq!(unset(&format!("{text}A = 1\n"), "env.A"), text);
        }
        assert_eq!(set("[a]\n# c", "log.level", "b"), "[a]\n# c\n\n[log]\nlevel = \"b\"\n");
    }

    #[test]
    fn line_ends_stay() {
        assert_eq!(set("[log]\r\nlevel = \"a\" # x\r\n", "log.level", "b"), "[log]\r\nlevel = \"b\" # x\r\n");
    }
}
