//! Which lines are wanted.

use clap::ValueEnum;

/// Who has said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// The launcher itself: steps, starts, ends, failures
    Launcher,
    /// The database
    Postgresql,
    /// The web server, and Mathesar in it
    Gunicorn,
}

impl Source {
    const ALL: [Source; 3] = [Source::Launcher, Source::Postgresql, Source::Gunicorn];

    pub fn name(self) -> &'static str {
        match self {
            Source::Launcher => "launcher",
            Source::Postgresql => "postgresql",
            Source::Gunicorn => "gunicorn",
        }
    }

    /// Whose line of the journal it is, where the time and the unit stand elsewhere; what nobody is named for is the launcher's.
    pub fn of_message(message: &str) -> Source {
        let named =
            |source: &Source| message.strip_prefix(source.name()).is_some_and(|rest| rest.starts_with(": "));
        Source::ALL.into_iter().find(named).unwrap_or(Source::Launcher)
    }
}

/// Time, source and text of a line; none for one that the launcher has not written.
pub fn parse(line: &[u8]) -> Option<(&str, Source, &str)> {
    let line = std::str::from_utf8(line).ok()?;
    let (time, message) = line.split_once(' ')?;
    let (source, text) = message.split_once(": ").or_else(|| Some((message.strip_suffix(':')?, "")))?;
    let source = Source::ALL.into_iter().find(|known| known.name() == source)?;
    is_time(time).then_some((time, source, text))
}

/// `2026-11-23T06:50:00Z`: so written, the order of texts is that of times.
fn is_time(text: &str) -> bool {
    let shape = b"0000-00-00T00:00:00Z";
    text.len() == shape.len()
        && text.bytes().zip(shape).all(|(byte, like)| match like {
            b'0' => byte.is_ascii_digit(),
            _ => byte == *like,
        })
}

#[derive(Debug, Clone, Default)]
pub struct Select {
    pub source: Option<Source>,
    /// As the log writes times.
    pub since: Option<String>,
}

impl Select {
    pub fn wants(&self, line: &[u8]) -> bool {
        match self.source {
            Some(source) => parse(line).is_some_and(|(_, found, _)| found == source),
            None => true,
        }
    }

    pub fn is_too_old(&self, line: &[u8]) -> bool {
        match (&self.since, parse(line)) {
            (Some(since), Some((time, _, _))) => time < since.as_str(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let line = b"2026-11-23T06:50:00Z gunicorn: [12] listening: on 3";
        assert_eq!(parse(line), Some(("2026-11-23T06:50:00Z", Source::Gunicorn, "[12] listening: on 3")));
        assert_eq!(
            parse(b"2026-11-23T06:50:00Z launcher:"),
            Some(("2026-11-23T06:50:00Z", Source::Launcher, ""))
        );
        for foreign in ["", "x", "2026-11-23 launcher: x", "2026-11-23T06:50:00Z cron: x", "launcher: x y"] {
            assert_eq!(parse(foreign.as_bytes()), None, "{foreign}");
        }
        assert_eq!(Source::of_message("postgresql: LOG: x"), Source::Postgresql);
        assert_eq!(Source::of_message("error: postgresql: x"), Source::Launcher);
    }
}
