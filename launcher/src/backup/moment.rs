//! Moments as backups write them down: UTC, to the second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `2026-11-23T06:50:00Z`
pub fn text(time: SystemTime) -> String {
    crate::supervise::log::timestamp(time)
}

/// `20261123T065000Z`, for names of files.
pub fn compact(time: SystemTime) -> String {
    text(time).replace(['-', ':'], "")
}

/// What `text` has written; nothing else.
pub fn parse(moment: &str) -> Option<SystemTime> {
    let number = |from: usize, to: usize| moment.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Howard Hinnant's days-from-civil, for dates after 1970.
    let year = year - u64::from(month <= 2);
    let of_year = (153 * if month > 2 { month - 3 } else { month + 9 } + 2) / 5 + day - 1;
    let of_era = year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + of_year;
    let days = (year / 400 * 146_097 + of_era).checked_sub(719_468)?;
    let time = UNIX_EPOCH + Duration::from_secs(days * 86_400 + hour * 3600 + minute * 60 + second);
    (text(time) == moment).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        for seconds in [0, 951_782_399, 951_868_799, 1_709_164_800, 1_795_416_600, 4_107_542_399] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(parse(&text(time)), Some(time), "{}", text(time));
        }
        assert_eq!(compact(UNIX_EPOCH + Duration::from_secs(1_795_416_600)), "20261123T065000Z");
        for wrong in [
            "",
            "2026-02-30T00:00:00Z",
            "2026-11-23T06:50:00+01:00",
            "2026-11-23",
            "1969-12-31T23:59:59Z",
            "2026-11-23T06:50:00Zé",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
