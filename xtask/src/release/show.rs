//! Plans and states as people read them.

use jiff::Timestamp;

use super::live::word;
use super::plan_file::{Part, Plan, Stage, Verdict, short};
use crate::table;

pub(super) fn plan(plan: &Plan) -> String {
    let mut rows = Vec::new();
    for part in &plan.channels {
        let name = word(part.channel).to_owned();
        if let Some(paused) = &part.paused {
            let why = format!("{} (since {})", paused.why, paused.since);
            rows.push(vec![name, "paused".into(), why]);
            continue;
        }
        if let Some(stage) = part.live.release {
            let action = match stage {
                _ if !part.live.foreign.is_empty() => "conflict",
                Stage::Absent => "create",
                Stage::Draft => "publish",
                Stage::Published => "same",
            };
            rows.push(vec![name.clone(), action.into(), format!("release {}", plan.tag)]);
            let foreign = part.live.foreign.iter();
            rows.extend(foreign.map(|what| vec![name.clone(), "conflict".into(), what.clone()]));
        }
        for item in &part.items {
            let live = item.live.as_deref().filter(|live| *live != item.content);
            let live = live.map_or(String::new(), |live| format!(", now {}", short(live)));
            let what = format!("{} {}{live}", item.name, short(&item.content));
            rows.push(vec![name.clone(), item.action.word().into(), what]);
        }
    }
    table::render(&["channel", "action", "what"], rows)
}

/// One line of `release status`.
pub(super) fn state(
    part: &Part,
    verdict: Verdict,
    trouble: Option<&str>,
    version: &str,
    now: Timestamp,
) -> Vec<String> {
    let newest = part.live.newest.clone().unwrap_or_else(|| "nothing".into());
    let (right, all) = (
        part.items.iter().filter(|item| item.live.as_ref() == Some(&item.content)).count(),
        part.items.len(),
    );
    let paused = part.paused.as_ref().map(|paused| format!("{} (since {})", paused.why, paused.since));
    let note = match verdict {
        Verdict::Current => format!("{all} of {all} with the right digest"),
        Verdict::Paused => paused.unwrap_or_default(),
        Verdict::Behind if part.live.is_ending(now) => {
            let end = part.live.valid_until.unwrap_or_default();
            format!("apt believes the index until {end} only: `cargo xtask repo sign`")
        }
        Verdict::Behind if part.live.release == Some(Stage::Draft) => format!("{version} is a draft"),
        Verdict::Behind => format!("{right} of {all} of {version}"),
        Verdict::WrongDigest => {
            let wrong =
                part.items.iter().find(|item| item.live.as_ref().is_some_and(|live| *live != item.content));
            wrong.map_or(String::new(), |item| {
                format!(
                    "{} is {}, not {}",
                    item.name,
                    short(item.live.as_deref().unwrap_or_default()),
                    short(&item.content)
                )
            })
        }
        Verdict::Unreachable => trouble.unwrap_or_default().replace('\n', "; "),
    };
    let newest = if verdict == Verdict::Unreachable { "?".into() } else { newest };
    vec![word(part.channel).into(), word_of(verdict).into(), newest, note]
}

pub(super) const STATE: [&str; 4] = ["channel", "state", "newest", "what"];

pub(super) fn word_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Current => "current",
        Verdict::Paused => "paused",
        Verdict::Behind => "behind",
        Verdict::WrongDigest => "wrong digest",
        Verdict::Unreachable => "unreachable",
    }
}
