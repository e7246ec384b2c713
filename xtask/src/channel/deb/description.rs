//! The manifest's description in the form of Debian Policy 5.6.13: paragraphs are wrapped by whoever shows them, list
//! items are indented and so left as they are.

/// Bytes in a line. cargo-deb breaks lines of 79 and more, and would lose the indentation of an item's second line.
const WIDTH: usize = 76;

/// The extended description, without the leading space of each line (cargo-deb puts it) and without a last line break.
pub(super) fn extended(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut block = String::new();
    for line in text.lines().map(str::trim_end).chain([""]) {
        if line.is_empty() || line.starts_with("- ") {
            flush(&mut block, &mut lines);
        }
        if line.is_empty() {
            if lines.last().is_some_and(|last| !last.is_empty()) {
                lines.push(String::new());
            }
        } else {
            if !block.is_empty() {
                block.push(' ');
            }
            block.push_str(line.trim_start());
        }
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.join("\n")
}

fn flush(block: &mut String, lines: &mut Vec<String>) {
    let (first, rest) = if block.starts_with("- ") { (" ", "   ") } else { ("", "") };
    let mut line = String::from(first);
    let mut empty = true;
    for word in block.split_whitespace() {
        if !empty && line.len() + 1 + word.len() > WIDTH {
            lines.push(std::mem::replace(&mut line, String::from(rest)));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    if !empty {
        lines.push(line);
    }
    block.clear();
}

#[cfg(test)]
mod tests {
    use super::extended;

    #[test]
    fn paragraphs_and_items() {
        let text = "One two\nthree.\n\n\nList:\n\n- an item that is so long that it cannot stand in one line, as the \
                    width of a line is\n  limited\n- two\n";
        insta::assert_snapshot!(extended(text), @r"
        One two three.

        List:

         - an item that is so long that it cannot stand in one line, as the width of
           a line is limited
         - two
        ");
    }

    #[test]
    fn nothing_is_lost_and_no_line_is_long() {
        let text = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. ".repeat(9);
        let extended = extended(&text);
        assert!(extended.lines().all(|line| line.len() <= super::WIDTH));
        assert_eq!(extended.replace('\n', " "), text.trim_end());
    }
}
