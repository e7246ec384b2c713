//! What a way back says where it is refused: what would be lost, as far as that is known.

use super::back::Since;
use crate::failure::{Exit, Failure};
use crate::transaction::{Kept, Kind};

/// The refusal, where something would be lost, whatever tables show of it.
pub fn refusal(losses: &[String], since: Since, kept: &Kept, version: &str) -> Failure {
    const SHOWN: usize = 20;
    let mut lines: Vec<String> = losses.iter().take(SHOWN).cloned().collect();
    if losses.len() > SHOWN {
        lines.push(format!("and {} tables more", losses.len() - SHOWN));
    }
    let upgrade = kept.kind == Kind::Upgrade;
    lines.push(match upgrade {
        true => "rights, views, functions, settings and logins were not compared one by one".to_owned(),
        false => format!(
            "what it was cannot be told: what is kept aside is what the {} has replaced",
            kept.kind.name()
        ),
    });
    // PostgreSQL counts also what was not committed.
    let written = match &since {
        Since::Rows(1) => "up to 1 row was inserted, changed or removed".to_owned(),
        Since::Nothing | Since::Rows(0) => "tables, views, settings or files were changed".to_owned(),
        Since::Rows(count) => format!("up to {count} rows were inserted, changed or removed"),
        Since::Unknown { .. } if losses.is_empty() => {
            "it is not known whether something was written".to_owned()
        }
        Since::Unknown { .. } => "it is not known how much was written".to_owned(),
    };
    let lost = if let Since::Unknown { why, transactions } = &since {
        lines.insert(0, format!("why: {why}"));
        if let Some(count) = transactions {
            lines.push(format!(
                "transactions that were begun since, with PostgreSQL's own, starts and sessions: {count}"
            ));
        }
        if losses.is_empty() { "whatever was" } else { "that, and whatever else was" }
    } else {
        "that"
    };
    let differ = match losses.len() {
        _ if !upgrade => String::new(),
        0 => ", and no table differs from the copy".to_owned(),
        1 => ", and 1 table differs".to_owned(),
        count => format!(", and {count} tables differ"),
    };
    let what = kept.kind.name();
    Failure::new(format!("{written} since the {what}{differ}; going back to Mathesar {version} would lose {lost}"))
        .exit(Exit::Refused)
        .cause(lines.join("\n             "))
        .help("go back all the same: `mathesar rollback --discard-newer` (the present data are kept aside until the next upgrade or restore)")
        .help("make a backup before: `mathesar backup create`")
}

/// Refuses where somebody has written after that was looked at, or may have.
pub(super) fn meanwhile(since: Since) -> Result<(), Failure> {
    let failure = match since {
        Since::Nothing => return Ok(()),
        Since::Rows(_) => Failure::new("somebody has written meanwhile"),
        Since::Unknown { why, .. } => {
            Failure::new("it is not known whether somebody has written meanwhile").cause(why)
        }
    };
    Err(failure.exit(Exit::Refused).help(
        "see what would be lost: `mathesar rollback`; go back all the same: `mathesar rollback --discard-newer`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::Part;

    fn said(since: Since, losses: &[&str], kind: Kind) -> String {
        let kept = Kept {
            id: "one".to_owned(),
            kind,
            release: Some("1.0.0-a".to_owned()),
            replaced_by: "2.0.0-b".to_owned(),
            at: 0,
            parts: vec![Part::Database],
            xid: Some(700),
            written: None,
        };
        let losses: Vec<String> = losses.iter().map(|line| (*line).to_owned()).collect();
        let failure = refusal(&losses, since, &kept, "1.0.0");
        assert_eq!(failure.exit, Exit::Refused);
        assert!(failure.helps()[0].contains("`mathesar rollback --discard-newer`"));
        failure.whole()
    }

    /// What is counted was perhaps not committed, and what is not known is not said to be.
    #[test]
    fn a_refusal_says_what_is_known() {
        for (since, wanted) in [
            (
                Since::Rows(1),
                "up to 1 row was inserted, changed or removed since the upgrade, and 1 table differs; going back to Mathesar 1.0.0 would lose that",
            ),
            (Since::Rows(2), "up to 2 rows were inserted"),
            (Since::Rows(2).at_least(5), "up to 5 rows were inserted"),
            (Since::Rows(0), "tables, views, settings or files were changed since the upgrade"),
        ] {
            let said = said(since, &["people.public.cats: 1 row"], Kind::Upgrade);
            assert!(said.contains(wanted), "{said}");
            assert!(!said.contains("not known"), "{said}");
        }
        let unknown = || Since::Unknown { why: "it has crashed".to_owned(), transactions: Some(12) };
        let after_upgrade = said(unknown(), &[], Kind::Upgrade);
        let known_in_part = said(unknown(), &["people.public.cats: 1 row"], Kind::Upgrade);
        let after_restore = said(unknown(), &[], Kind::Restore);
        for (said, wanted) in [
            (
                &after_upgrade,
                "it is not known whether something was written since the upgrade, and no table differs from the copy; going back to Mathesar 1.0.0 would lose whatever was",
            ),
            (&after_upgrade, "why: it has crashed"),
            (
                &known_in_part,
                "it is not known how much was written since the upgrade, and 1 table differs; going back to Mathesar 1.0.0 would lose that, and whatever else was",
            ),
            (&known_in_part, "people.public.cats: 1 row"),
            (&after_upgrade, "starts and sessions: 12"),
            (&after_restore, "written since the restore; going back"),
            (&after_restore, "what it was cannot be told"),
        ] {
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
        meanwhile(Since::Nothing).unwrap();
        let failure = meanwhile(unknown()).unwrap_err();
        assert!(failure.whole().ends_with("has written meanwhile: it has crashed"), "{failure:?}");
        assert!(failure.helps()[0].contains("`mathesar rollback --discard-newer`"));
    }
}
