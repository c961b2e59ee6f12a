//! Credentials and their times as people read them.

use rivermesh_proto::ticket::{Credential, Kind, Ticket};

use super::now_s;

/// What a ticket says, in a line: which one it is, by whom, for whom, for what, until when, through how
/// many hands.
pub(super) fn ticket(ticket: &Ticket) -> String {
    let (terms, now_s) = (ticket.terms(), now_s());
    let id = ticket.links().last().map(|link| link.id.to_string());
    let left = match terms.expires_s.checked_sub(now_s) {
        Some(left) if left > 0 => format!("{} left", span(left)),
        _ => format!("over for {}", span(now_s.saturating_sub(terms.expires_s))),
    };
    let passed = match ticket.links().len() - 1 {
        0 => String::new(),
        1 => ", passed on once".to_owned(),
        times => format!(", passed on {times} times"),
    };
    format!(
        "ticket {} by authority {}, for node {} to {} {}, until {} ({left}){passed}",
        id.unwrap_or_default(),
        ticket.authority().fmt_short(),
        terms.audience.fmt_short(),
        terms.rights,
        terms.pattern,
        date(terms.expires_s),
    )
}

/// What somebody has shown, in a line. Of a token, which may be a secret, nothing is told.
pub(crate) fn shown(credential: &Credential) -> String {
    match credential.kind() {
        Kind::Ticket => match Ticket::decode(credential.as_bytes()) {
            Ok(read) => ticket(&read),
            Err(error) => format!("a ticket that cannot be read ({error})"),
        },
        Kind::Jwt => "a token of an identity provider".to_owned(),
        _ => "something that is no ticket".to_owned(),
    }
}

/// A second since 1970 as a date and time in UTC: `2026-11-21 19:30:00 UTC`.
#[must_use]
pub fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Year, month and day of a number of days since 1970 (Howard Hinnant: "chrono-Compatible Low-Level
/// Date Algorithms", `civil_from_days`; here for days from 1970 on).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

/// A number of seconds in its two largest units: `1 h 5 min`.
#[must_use]
pub fn span(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)];
    let first = units.iter().position(|(_, unit)| seconds >= *unit);
    let Some(first) = first else {
        return "0 s".to_owned();
    };
    let (name, unit) = units[first];
    let mut text = format!("{} {name}", seconds / unit);
    if let Some((name, smaller)) = units.get(first + 1)
        && seconds % unit / smaller > 0
    {
        text += &format!(" {} {name}", seconds % unit / smaller);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_799, "2000-02-29 23:59:59 UTC"),
            (1_800_000_000, "2027-01-15 08:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }

    #[test]
    fn spans() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (3600, "1 h"),
            (3661, "1 h 1 min"),
            (90_000, "1 d 1 h"),
            (86_460, "1 d"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
