//! What was found, as tables.

use crate::bench::measure::median;

/// One number, and what it should be.
pub(super) struct Row {
    what: &'static str,
    ours: String,
    by_hand: String,
    ratio: String,
    aim: String,
    verdict: &'static str,
}

impl Row {
    /// Medians, and the median of how many times that of the hand ours is, run by run: a machine that is busy for a while
    /// slows both.
    pub(super) fn ratio(what: &'static str, ours: &[f64], theirs: &[f64], most: f64) -> Row {
        let (own, other) = (median(ours.to_vec()), median(theirs.to_vec()));
        let ratio = median(ours.iter().zip(theirs).map(|(own, other)| own / other).collect());
        Row {
            what,
            ours: format!("{own:.2} ({})", range(ours)),
            by_hand: format!("{other:.2} ({})", range(theirs)),
            ratio: format!("{ratio:.2}×"),
            aim: format!("at most {most}×"),
            verdict: verdict(ratio <= most),
        }
    }

    /// As `ratio`, where it is our number that must not be above.
    pub(super) fn beside(what: &'static str, ours: &[f64], theirs: &[f64], most: f64) -> Row {
        let row = Row::ratio(what, ours, theirs, f64::INFINITY);
        let verdict = verdict(median(ours.to_vec()) <= most);
        Row { aim: format!("at most {most}"), verdict, ..row }
    }

    /// As `ratio`, where nothing is aimed at.
    pub(super) fn plain(what: &'static str, ours: &[f64], theirs: &[f64]) -> Row {
        Row { aim: String::new(), verdict: "", ..Row::ratio(what, ours, theirs, f64::INFINITY) }
    }

    pub(super) fn median(what: &'static str, ours: &[f64], most: Option<f64>) -> Row {
        let row = Row::limit(what, median(ours.to_vec()), most, 2);
        Row { ours: format!("{} ({})", row.ours, range(ours)), ..row }
    }

    pub(super) fn limit(what: &'static str, number: f64, most: Option<f64>, digits: usize) -> Row {
        Row {
            what,
            ours: format!("{number:.digits$}"),
            by_hand: String::new(),
            ratio: String::new(),
            aim: most.map_or(String::new(), |most| format!("at most {most}")),
            verdict: most.map_or("", |most| verdict(number <= most)),
        }
    }
}

fn verdict(good: bool) -> &'static str {
    if good { "within" } else { "ABOVE" }
}

/// The best and the worst.
fn range(numbers: &[f64]) -> String {
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let most = numbers.iter().copied().fold(0.0, f64::max);
    format!("{least:.2}–{most:.2}")
}

#[derive(Default)]
pub(super) struct Report {
    rows: Vec<Row>,
    steps: Vec<(&'static str, f64)>,
    words: Vec<String>,
    /// Requests that got no answer, where somebody asked all the time.
    pub refused: u64,
}

impl Report {
    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// The median of each step by hand; every run has the same steps.
    pub(super) fn by_hand(&mut self, runs: &[Vec<(&'static str, f64)>]) {
        let Some(first) = runs.first() else { return };
        let of = |index: usize| median(runs.iter().map(|run| run[index].1).collect());
        self.steps = first.iter().enumerate().map(|(index, (name, _))| (*name, of(index))).collect();
    }

    /// What the launcher said of its own steps.
    pub(super) fn last_words(&mut self, words: &str) {
        let steps = words.lines().filter_map(|line| line.trim().strip_prefix("Ready "));
        self.words = steps.map(str::to_owned).collect();
    }

    pub(super) fn text(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let Row { what, ours, by_hand, ratio, aim, verdict } = row;
            vec![
                (*what).to_owned(),
                ours.clone(),
                by_hand.clone(),
                ratio.clone(),
                aim.clone(),
                (*verdict).to_owned(),
            ]
        });
        let mut text = crate::table::markdown(&["what", "ours", "by hand", "ratio", "aim", ""], rows);
        if !self.steps.is_empty() {
            let steps: Vec<String> =
                self.steps.iter().map(|(name, time)| format!("{name} {time:.2} s")).collect();
            text.push_str(&format!("\nFrom nothing, by hand: {}.\n", steps.join(", ")));
        }
        if self.refused > 0 {
            text.push_str(&format!("\n{} requests got NO answer.\n", self.refused));
        }
        if !self.words.is_empty() {
            text.push_str(&format!(
                "Ours, in the last run, some at the same time: {}.\n",
                self.words.join(", ")
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_with_its_verdicts() {
        let mut report = Report::default();
        report.add(Row::ratio("start, s", &[1.0, 1.2, 1.1], &[1.0, 1.0, 1.0], 1.15));
        report.add(Row::ratio("all, s", &[1.0], &[1.0], 0.8));
        report.add(Row::limit("memory, MB", 6.321, Some(8.0), 2));
        report.add(Row::limit("wake-ups", 0.5, None, 1));
        report.by_hand(&[vec![("unpack", 0.1), ("serve", 1.0)], vec![("unpack", 0.3), ("serve", 1.2)]]);
        report.last_words("   Unpacked x\n       Ready the database in 0.6 s\n");
        insta::assert_snapshot!(report.text());
    }
}
