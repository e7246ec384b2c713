//! Columns of text that line up.

/// A table with a heading and one line a row, for people.
pub(crate) fn render(heading: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut lines = vec![heading.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows);
    let mut widths = vec![0; heading.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            row.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// The same as a Markdown table, for pages.
pub(crate) fn markdown(heading: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}\n", heading.join(" | "), " --- |".repeat(heading.len()));
    for row in rows {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["ü".into(), "x".into()], vec!["long".into(), String::new()]];
        assert_eq!(render(&["a", "b"], rows), "a     b\nü     x\nlong\n");
    }

    #[test]
    fn markdown_has_a_rule() {
        assert_eq!(markdown(&["a", "b"], [vec!["1".into(), "2".into()]]), "| a | b |\n| --- | --- |\n| 1 | 2 |\n");
    }
}
