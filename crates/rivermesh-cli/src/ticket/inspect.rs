//! A ticket in plain words.

use std::fmt::Write;

use color_eyre::eyre::Result;
use rivermesh::{
    NetworkId,
    admission::{RevocationList, Ticket, date, span},
};

use crate::{
    failure::{Usage, in_one_line},
    join::DEFAULT_NETWORK,
    text::plural,
};

/// What a ticket or a revocation list says, and whether it is good: rightly signed, in its time, and
/// of the network that was named, and on none of these lists.
pub(super) fn describe(
    text: &str,
    (network, revoked): (Option<&str>, &[RevocationList]),
    now_s: u64,
) -> Result<(String, bool)> {
    if let Ok(list) = text.parse::<RevocationList>() {
        return Ok(list_in_words(&list, network));
    }
    match text.parse::<Ticket>() {
        Ok(ticket) => {
            let (mut text, mut good) = ticket_in_words(&ticket, network, now_s);
            for list in revoked.iter().filter(|list| list.covers(&ticket)) {
                let number = list.revoking().number;
                text += &format!("revoked  BY LIST {number} of its authority\n");
                good = false;
            }
            Ok((text, good))
        }
        Err(error) => {
            let why = in_one_line(&error);
            Err(Usage(format!("neither a ticket nor a revocation list: {why}")).into())
        }
    }
}

fn ticket_in_words(ticket: &Ticket, network: Option<&str>, now_s: u64) -> (String, bool) {
    let terms = ticket.terms();
    let (said, is_right) = network_in_words(ticket.network(), network);
    let mut text = String::new();
    let mut line = |line: String| {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{line}");
    };
    let streams = if terms.pattern.as_str().ends_with('*') {
        format!("all streams {}", terms.pattern)
    } else {
        format!("the stream {}", terms.pattern)
    };
    line(format!("allows   to {} {streams}", terms.rights));
    line(format!("to       node {}, and nobody else", terms.audience));
    line(format!("in       {said}"));
    line(format!("from     {}", date(terms.not_before_s)));
    let (state, in_time) = if now_s < terms.not_before_s {
        (
            format!("begins in {}", span(terms.not_before_s - now_s)),
            false,
        )
    } else if now_s < terms.expires_s {
        (format!("{} left", span(terms.expires_s - now_s)), true)
    } else {
        (format!("over for {}", span(now_s - terms.expires_s)), false)
    };
    line(format!("until    {} ({state})", date(terms.expires_s)));
    line(match terms.delegations {
        0 => "further  it may not be passed on".to_owned(),
        n => format!("further  it may be passed on {}", plural(n.into(), "time")),
    });
    line("through".to_owned());
    let mut signer = format!("authority {}", ticket.authority());
    for (n, link) in ticket.links().iter().enumerate() {
        let terms = &link.terms;
        line(format!(
            "  {}. {signer}\n     to node {}: {} {}, until {}\n     id {}, made {}",
            n + 1,
            terms.audience,
            terms.rights,
            terms.pattern,
            date(terms.expires_s),
            link.id,
            date(link.issued_s),
        ));
        signer = format!("node {}", terms.audience);
    }
    let is_signed = ticket.is_signed();
    line(if is_signed {
        "signed   rightly; whether that authority is trusted is for each peer to say".to_owned()
    } else {
        "signed   WRONGLY: nobody will take it".to_owned()
    });
    (text, is_right && in_time && is_signed)
}

fn list_in_words(list: &RevocationList, network: Option<&str>) -> (String, bool) {
    let revoking = list.revoking();
    let (said, is_right) = network_in_words(list.network(), network);
    let mut text = format!(
        "revokes  tickets by authority {}\nin       {said}\nnumber   {}; only the highest counts\n",
        list.authority(),
        revoking.number,
    );
    if revoking.before_s > 0 {
        text += &format!(
            "all      that were issued before {}\n",
            date(revoking.before_s)
        );
    }
    for id in &revoking.ids {
        text += &format!("id       {id}\n");
    }
    (text, is_right)
}

fn network_in_words(network: NetworkId, named: Option<&str>) -> (String, bool) {
    match named {
        None if NetworkId::of(DEFAULT_NETWORK) == network => {
            (format!("the network {DEFAULT_NETWORK:?}"), true)
        }
        None => (
            format!("the network with id {network}; --network checks its name"),
            true,
        ),
        Some(name) if NetworkId::of(name) == network => (format!("the network {name:?}"), true),
        Some(name) => (
            format!("ANOTHER network than {name:?}, with id {network}"),
            false,
        ),
    }
}

#[cfg(test)]
mod tests;
