//! Texts that people read, and words that they search by.

use super::super::problem::did_you_mean;
use super::{Fault, Outcome};

/// One line that says something.
pub(super) fn line(text: &str) -> Outcome {
    if text.trim().is_empty() {
        return Err(Fault::new("the value is empty", "expected one line of text"));
    }
    if text.contains('\n') {
        return Err(Fault::new("a line break in a one-line value", "expected one line of text"));
    }
    if text.trim() != text {
        return Err(Fault::new("white space around the value", "expected none at either end")
            .help(format!("`{}`", text.trim())));
    }
    Ok(())
}

/// Debian Policy 3.4.1 and Developer's Reference 6.2.2 (under 80 characters, no article, no full stop, not the name
/// again); rpmlint's summary-too-long and summary-ended-with-dot say the same.
pub(super) fn summary(text: &str) -> Outcome {
    line(text)?;
    let mut faults = Vec::new();
    let length = text.chars().count();
    if length >= 80 {
        let cut = text.char_indices().nth(79).map_or(0, |(at, _)| at);
        let label = format!("{length} characters, 79 at most");
        faults.push(Fault::new("the summary is too long", label).at(cut..text.len()));
    }
    let first = text.split(' ').next().unwrap_or_default();
    if matches!(first.to_lowercase().as_str(), "a" | "an" | "the") {
        let rest = text[first.len()..].trim_start();
        let fault = Fault::new("the summary begins with an article", "no article here");
        faults.push(fault.at(0..first.len()).help(format!("`{rest}`")));
    }
    if let Some(rest) = text.strip_suffix('.') {
        let fault = Fault::new("the summary ends with a full stop", "no full stop here");
        faults.push(fault.at(rest.len()..text.len()));
    }
    Fault::all(faults)
}

/// Debian Policy 3.4.2: an extended description is there, and no tabs are in it (refused everywhere here).
pub(super) fn description(text: &str) -> Outcome {
    if text.trim().is_empty() {
        return Err(Fault::new("the description is empty", "expected paragraphs"));
    }
    let indented = text.split_inclusive('\n').scan(0, |at, line| {
        *at += line.len();
        Some((*at - line.len(), line.trim_end_matches('\n')))
    });
    for (at, line) in indented {
        if line.starts_with(' ') {
            return Err(Fault::new("an indented line in the description", "paragraphs and `- ` items only")
                .at(at..at + line.len()));
        }
    }
    Ok(())
}

/// Desktop Menu Specification, "Registered Categories": the main ones, then the additional ones that could fit.
pub(super) fn category(text: &str) -> Outcome {
    if MAIN_CATEGORIES.contains(&text) || ADDITIONAL_CATEGORIES.contains(&text) {
        return Ok(());
    }
    let fault = Fault::new(format!("unknown category `{text}`"), "not registered by freedesktop.org");
    let known = MAIN_CATEGORIES.iter().chain(ADDITIONAL_CATEGORIES).copied();
    Err(match did_you_mean(text, known) {
        Some(offer) => fault.help(format!("did you mean `{offer}`?")),
        None => fault.help("https://specifications.freedesktop.org/menu-spec/latest/category-registry.html"),
    })
}

/// A desktop entry must have one of these (Desktop Menu Specification, "Main Categories").
pub(in super::super) const MAIN_CATEGORIES: &[&str] = &[
    "AudioVideo",
    "Audio",
    "Video",
    "Development",
    "Education",
    "Game",
    "Graphics",
    "Network",
    "Office",
    "Science",
    "Settings",
    "System",
    "Utility",
];

const ADDITIONAL_CATEGORIES: &[&str] = &[
    "Building",
    "Debugger",
    "IDE",
    "GUIDesigner",
    "Profiling",
    "RevisionControl",
    "Translation",
    "Calendar",
    "ContactManagement",
    "Database",
    "Dictionary",
    "Chart",
    "Email",
    "Finance",
    "FlowChart",
    "PDA",
    "ProjectManagement",
    "Presentation",
    "Spreadsheet",
    "WordProcessor",
    "Publishing",
    "Viewer",
    "TextTools",
    "DesktopSettings",
    "FileTransfer",
    "News",
    "WebBrowser",
    "WebDevelopment",
    "RemoteAccess",
    "DataVisualization",
    "ComputerScience",
    "Economy",
    "Engineering",
    "Literature",
    "Math",
    "NumericalAnalysis",
    "ParallelComputing",
    "Documentation",
    "Core",
    "FileTools",
    "FileManager",
    "Filesystem",
    "Monitor",
    "Security",
    "Accessibility",
    "Calculator",
    "Clock",
    "TextEditor",
    "Archiving",
    "Compression",
    "GNOME",
    "GTK",
    "KDE",
    "Qt",
    "XFCE",
    "Java",
    "ConsoleOnly",
];

/// Desktop Entry Specification, "Keywords": the list is parted by semicolons (AppStream's and PyPI's by commas).
pub(super) fn keyword(text: &str) -> Outcome {
    line(text)?;
    match text.find([';', ',']) {
        Some(at) => {
            Err(Fault::new(format!("bad keyword `{text}`"), "parts a list of keywords").at(at..at + 1))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::title;
    use super::*;

    #[test]
    fn summaries() {
        assert_eq!(title(summary("spreadsheet-like web interface")), "fine");
        assert_eq!(title(summary(&"x".repeat(79))), "fine");
        for bad in ["", " x", "a thing", "The thing", "thing.", "a\nb", &"ü".repeat(80)] {
            assert_ne!(title(summary(bad)), "fine", "{bad}");
        }
    }

    #[test]
    fn descriptions() {
        assert_eq!(title(description("One.\n\n- a\n- b\n")), "fine");
        for bad in ["", "\n\n", " one", "one\n  two"] {
            assert_ne!(title(description(bad)), "fine", "{bad}");
        }
    }
}
