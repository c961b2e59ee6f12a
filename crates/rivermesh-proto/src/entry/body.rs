//! The part of an entry that follows the header, and its bounds.

use std::{
    fmt,
    marker::PhantomData,
    net::{IpAddr, SocketAddr},
};

use iroh_base::{RelayUrl, TransportAddr};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, SeqAccess, Visitor},
};

use super::{Entry, EntryError, RELAY_URL, StreamAdvert};
use crate::{NetworkId, NodeId, limits};

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    name: &'a str,
    #[serde(borrow, deserialize_with = "list::<_, _, { limits::TAGS }>")]
    tags: Vec<&'a str>,
    #[serde(borrow, deserialize_with = "list::<_, _, { limits::ADDRS }>")]
    addrs: Vec<Addr<'a>>,
    #[serde(deserialize_with = "list::<_, _, { limits::STREAMS }>")]
    streams: Vec<StreamAdvert>,
    instance: u64,
    refresh_s: u16,
}

/// Our own form of a transport address, so that what is signed does not change with iroh's types.
#[derive(Serialize, Deserialize)]
enum Addr<'a> {
    Relay(&'a str),
    V4([u8; 4], u16),
    V6([u8; 16], u16),
}

/// Checks an entry against its limits and encodes what follows the header.
pub(super) fn encode_entry(entry: &Entry) -> Result<Vec<u8>, EntryError> {
    check_text("name", &entry.name, limits::NODE_NAME, true)?;
    check_count("tags", entry.tags.len(), limits::TAGS)?;
    for tag in &entry.tags {
        check_text("tag", tag, limits::TAG, false)?;
    }
    check_count("addresses", entry.addrs.len(), limits::ADDRS)?;
    check_count("streams", entry.streams.len(), limits::STREAMS)?;
    let mut streams = entry.streams.clone();
    streams.sort_by(|a, b| a.name.cmp(&b.name));
    check_streams(&streams)?;
    let body = Body {
        name: &entry.name,
        tags: entry.tags.iter().map(String::as_str).collect(),
        addrs: entry.addrs.iter().map(Addr::of).collect::<Result<_, _>>()?,
        streams,
        instance: entry.instance,
        refresh_s: entry.refresh_s,
    };
    postcard::to_stdvec(&body).map_err(|_| EntryError::Malformed("cannot be encoded"))
}

/// Decodes what follows the header. Everything is checked, the signature aside.
pub(super) fn decode_entry(
    network: NetworkId,
    node: NodeId,
    revision: u64,
    rest: &[u8],
) -> Result<Entry, EntryError> {
    let (body, trailing) = postcard::take_from_bytes::<Body<'_>>(rest)
        .map_err(|_| EntryError::Malformed("not the fields of an entry"))?;
    if !trailing.is_empty() {
        return Err(EntryError::Malformed("trailing bytes"));
    }
    // Numbers and sets can be written in more than one way; only one of them is taken, so that the
    // bytes identify the record.
    if body.tags.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(EntryError::Malformed("tags out of order"));
    }
    let again = postcard::to_stdvec(&body).map_err(|_| EntryError::Malformed("not canonical"))?;
    if again != rest {
        return Err(EntryError::Malformed("not canonical"));
    }
    check_text("name", body.name, limits::NODE_NAME, true)?;
    for tag in &body.tags {
        check_text("tag", tag, limits::TAG, false)?;
    }
    if body.streams.windows(2).any(|p| p[0].name > p[1].name) {
        return Err(EntryError::Malformed("streams out of order"));
    }
    check_streams(&body.streams)?;
    Ok(Entry {
        network,
        node,
        name: body.name.to_owned(),
        tags: body.tags.into_iter().map(str::to_owned).collect(),
        addrs: body
            .addrs
            .into_iter()
            .map(Addr::into_transport)
            .collect::<Result<_, _>>()?,
        streams: body.streams,
        instance: body.instance,
        revision,
        refresh_s: body.refresh_s,
    })
}

/// Reads a list of at most `MAX` elements.
///
/// The list grows as its elements are read, so that a length that the input claims takes no memory.
pub(crate) fn list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct List<T, const MAX: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MAX} elements")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = seq.next_element()? {
                if items.len() == MAX {
                    return Err(de::Error::invalid_length(MAX + 1, &self));
                }
                items.push(item);
            }
            Ok(items)
        }
    }

    deserializer.deserialize_seq(List::<T, MAX>(PhantomData))
}

impl<'a> Addr<'a> {
    fn of(addr: &'a TransportAddr) -> Result<Self, EntryError> {
        match addr {
            TransportAddr::Relay(url) => {
                let url: &str = url.as_str();
                check_text("relay URL", url, RELAY_URL, false)?;
                Ok(Self::Relay(url))
            }
            TransportAddr::Ip(addr) => Ok(match addr.ip() {
                IpAddr::V4(ip) => Self::V4(ip.octets(), addr.port()),
                IpAddr::V6(ip) => Self::V6(ip.octets(), addr.port()),
            }),
            other => Err(EntryError::UnsupportedAddr(other.to_string())),
        }
    }

    fn into_transport(self) -> Result<TransportAddr, EntryError> {
        Ok(match self {
            Self::Relay(text) => {
                check_text("relay URL", text, RELAY_URL, false)?;
                let url: RelayUrl = text
                    .parse()
                    .map_err(|_| EntryError::Malformed("relay URL"))?;
                if url.as_str() != text {
                    return Err(EntryError::Malformed("relay URL is not canonical"));
                }
                TransportAddr::Relay(url)
            }
            Self::V4(ip, port) => TransportAddr::Ip(SocketAddr::new(ip.into(), port)),
            Self::V6(ip, port) => TransportAddr::Ip(SocketAddr::new(ip.into(), port)),
        })
    }
}

fn check_count(what: &'static str, got: usize, max: usize) -> Result<(), EntryError> {
    if got > max {
        return Err(EntryError::TooMany { what, got, max });
    }
    Ok(())
}

fn check_text(what: &'static str, text: &str, max: usize, empty: bool) -> Result<(), EntryError> {
    if text.len() > max {
        let got = text.len();
        return Err(EntryError::TooLong { what, got, max });
    }
    if (text.is_empty() && !empty) || text.chars().any(char::is_control) {
        let text = text.to_owned();
        return Err(EntryError::BadText { what, text });
    }
    Ok(())
}

fn check_streams(sorted: &[StreamAdvert]) -> Result<(), EntryError> {
    match sorted.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(EntryError::DuplicateStream(pair[0].name.clone())),
        None => Ok(()),
    }
}
