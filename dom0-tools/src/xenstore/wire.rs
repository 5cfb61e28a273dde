//! The wire protocol's messages (`xs_wire.h`): a header of four little-endian words and a payload.
//!
//! Pure and total: any bytes decode to a message, to "more is needed" or to [`TooLong`], and nothing is allocated
//! beyond [`PAYLOAD_MAX`] bytes for a message that has arrived whole.

use hypercall_abi::errno::Errno;
use hypercall_abi::io::xs_wire;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// Bytes of a header (`struct xsd_sockmsg`).
pub const HEADER_LEN: usize = size_of::<xs_wire::SockMsg>();
/// Most bytes of a payload (`XENSTORE_PAYLOAD_MAX`); a longer one ends the connection.
pub const PAYLOAD_MAX: usize = xs_wire::PAYLOAD_MAX;

macro_rules! kinds {
    ($($name:ident = $number:ident, $what:literal;)*) => {
        /// The type of a message (`enum xsd_sockmsg_type`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[repr(u32)]
        pub enum Kind {
            $(#[doc = $what] $name = xs_wire::$number,)*
        }

        impl Kind {
            /// The type of that number, if there is one.
            #[must_use]
            pub fn from_number(number: u32) -> Option<Self> {
                match number {
                    $(xs_wire::$number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    Control = CONTROL, "A command to the daemon itself.";
    Directory = DIRECTORY, "List the children of a node.";
    Read = READ, "Read a node's value.";
    GetPerms = GET_PERMS, "Read a node's permissions.";
    Watch = WATCH, "Set a watch.";
    Unwatch = UNWATCH, "Take a watch away.";
    TransactionStart = TRANSACTION_START, "Open a transaction.";
    TransactionEnd = TRANSACTION_END, "Commit or drop a transaction.";
    Introduce = INTRODUCE, "Connect to a domain.";
    Release = RELEASE, "Disconnect from a domain.";
    GetDomainPath = GET_DOMAIN_PATH, "Name a domain's home path.";
    Write = WRITE, "Write a node's value.";
    Mkdir = MKDIR, "Make sure that a node is there.";
    Rm = RM, "Remove a node.";
    SetPerms = SET_PERMS, "Set a node's permissions.";
    WatchEvent = WATCH_EVENT, "From the daemon: a watch was triggered.";
    Error = ERROR, "From the daemon: a request was refused.";
    IsDomainIntroduced = IS_DOMAIN_INTRODUCED, "Whether a domain is connected.";
    Resume = RESUME, "Report a domain's next shutdown again.";
    SetTarget = SET_TARGET, "Give a device model its domain's rights.";
    ResetWatches = RESET_WATCHES, "Drop all watches and transactions of the caller.";
    DirectoryPart = DIRECTORY_PART, "List children piecewise.";
}

/// A message from a client, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The type's number as sent; it may be none that exists.
    pub kind: u32,
    /// Chosen by the client, echoed in the reply.
    pub req_id: u32,
    /// The transaction, 0 for none.
    pub tx_id: u32,
    /// The payload.
    pub payload: Vec<u8>,
}

/// A message to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its type.
    pub kind: Kind,
    /// The request's number; 0 in events.
    pub req_id: u32,
    /// The request's transaction; 0 in events.
    pub tx_id: u32,
    /// The payload, at most [`PAYLOAD_MAX`] bytes.
    pub payload: Rc<[u8]>,
}

/// A header announces more payload than a message may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong(pub u32);

/// How many bytes the message at the start of `bytes` has, header included; `None` while the header is incomplete.
pub fn message_len(bytes: &[u8]) -> Result<Option<usize>, TooLong> {
    let Some(header) = bytes.first_chunk::<HEADER_LEN>() else { return Ok(None) };
    let payload = word(header, 12);
    if payload > PAYLOAD_MAX as u32 {
        return Err(TooLong(payload));
    }
    Ok(Some(HEADER_LEN + payload as usize))
}

/// Takes the message at the start of `bytes` if it is there whole, with its length.
pub fn decode(bytes: &[u8]) -> Result<Option<(Request, usize)>, TooLong> {
    let Some(len) = message_len(bytes)? else { return Ok(None) };
    let (Some(header), Some(payload)) = (bytes.first_chunk::<HEADER_LEN>(), bytes.get(HEADER_LEN..len))
    else {
        return Ok(None);
    };
    let request = Request {
        kind: word(header, 0),
        req_id: word(header, 4),
        tx_id: word(header, 8),
        payload: payload.to_vec(),
    };
    Ok(Some((request, len)))
}

fn word(header: &[u8; HEADER_LEN], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

impl Message {
    /// The reply of success to a request.
    #[must_use]
    pub fn reply(request: &Request, kind: Kind, payload: impl Into<Rc<[u8]>>) -> Self {
        Self { kind, req_id: request.req_id, tx_id: request.tx_id, payload: payload.into() }
    }

    /// The refusal of a request.
    #[must_use]
    pub fn error(request: &Request, errno: Errno) -> Self {
        Self::reply(request, Kind::Error, format!("{errno:?}\0").into_bytes())
    }

    /// A watch event.
    #[must_use]
    pub fn event(path: &str, token: &[u8]) -> Self {
        let payload: Vec<u8> = [path.as_bytes(), b"\0", token, b"\0"].concat();
        Self { kind: Kind::WatchEvent, req_id: 0, tx_id: 0, payload: payload.into() }
    }

    /// Bytes on the wire.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        HEADER_LEN + self.payload.len()
    }

    /// The bytes of the message from `skip` on.
    #[must_use]
    pub fn encode_from(&self, skip: usize) -> Vec<u8> {
        let words = [self.kind as u32, self.req_id, self.tx_id, self.payload.len() as u32];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend_from_slice(&self.payload);
        bytes.drain(..skip.min(bytes.len()));
        bytes
    }
}

impl Request {
    /// The bytes on the wire, as a client sends them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let words = [self.kind, self.req_id, self.tx_id, self.payload.len() as u32];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// The payload as exactly one string with its terminator.
    #[must_use]
    pub fn one_string(&self) -> Option<&[u8]> {
        match self.payload.split_last() {
            Some((0, text)) if !text.contains(&0) => Some(text),
            _ => None,
        }
    }

    /// The payload as strings, each terminated.
    #[must_use]
    pub fn strings(&self) -> Option<Vec<&[u8]>> {
        match self.payload.split_last() {
            Some((0, texts)) => Some(texts.split(|&byte| byte == 0).collect()),
            _ => None,
        }
    }

    /// The payload as one string and what follows its terminator.
    #[must_use]
    pub fn string_and_rest(&self) -> Option<(&[u8], &[u8])> {
        let end = self.payload.iter().position(|&byte| byte == 0)?;
        Some((&self.payload[..end], &self.payload[end + 1..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn replies_in_bytes() {
        let request = Request { kind: 2, req_id: 7, tx_id: 9, payload: b"/\0".to_vec() };
        let error = Message::error(&request, Errno::ENOENT).encode_from(0);
        assert_eq!(error, b"\x10\0\0\0\x07\0\0\0\x09\0\0\0\x07\0\0\0ENOENT\0");
        assert_eq!(Message::event("a", b"t").payload[..], *b"a\0t\0");
        assert_eq!(Message::event("a", b"t").encode_from(18), b"t\0");
    }

    #[test]
    fn strings() {
        let request = |payload: &[u8]| Request { kind: 0, req_id: 0, tx_id: 0, payload: payload.to_vec() };
        assert_eq!(request(b"a\0").one_string(), Some(&b"a"[..]));
        assert_eq!(request(b"a\0b\0").one_string(), None);
        assert_eq!(request(b"a").one_string(), None);
        assert_eq!(request(b"").one_string(), None);
        assert_eq!(request(b"a\0\0").strings(), Some(vec![&b"a"[..], &b""[..]]));
        assert_eq!(request(b"a\0b").strings(), None);
        assert_eq!(request(b"a\0b\0c").string_and_rest(), Some((&b"a"[..], &b"b\0c"[..])));
        assert_eq!(request(b"a").string_and_rest(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_decode(bytes in proptest::collection::vec(any::<u8>(), 0..6000)) {
            match decode(&bytes) {
                Ok(Some((request, len))) => {
                    prop_assert!(len <= bytes.len() && len <= HEADER_LEN + PAYLOAD_MAX);
                    prop_assert_eq!(request.encode(), &bytes[..len]);
                    let _ = (request.one_string(), request.strings(), request.string_and_rest());
                }
                Ok(None) => prop_assert!(bytes.len() < HEADER_LEN + PAYLOAD_MAX),
                Err(TooLong(len)) => prop_assert!(len as usize > PAYLOAD_MAX),
            }
        }

        #[test]
        fn requests_round_trip(
            words in any::<[u32; 3]>(),
            payload in proptest::collection::vec(any::<u8>(), 0..=PAYLOAD_MAX),
            more in any::<Vec<u8>>(),
        ) {
            let [kind, req_id, tx_id] = words;
            let request = Request { kind, req_id, tx_id, payload };
            let mut bytes = request.encode();
            let len = bytes.len();
            prop_assert_eq!(decode(&bytes[..len - 1]), Ok(None));
            bytes.extend(more);
            prop_assert_eq!(decode(&bytes), Ok(Some((request, len))));
        }
    }
}
