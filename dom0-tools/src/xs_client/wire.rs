//! Packets of the xenstore protocol (`public/io/xs_wire.h`), whole and checked.

use std::io::{self, Read, Write};

/// What a packet asks for or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Names below a node.
    Directory = 1,
    /// A node's value.
    Read = 2,
    /// A node's permissions.
    GetPerms = 3,
    /// Registers a watch.
    Watch = 4,
    /// Removes a watch.
    Unwatch = 5,
    /// Opens a transaction.
    TransactionStart = 6,
    /// Commits or aborts a transaction.
    TransactionEnd = 7,
    /// Connects a domain.
    Introduce = 8,
    /// Disconnects a domain.
    Release = 9,
    /// Where a domain's own nodes are.
    GetDomainPath = 10,
    /// Sets a node's value.
    Write = 11,
    /// Makes an empty node.
    Mkdir = 12,
    /// Removes a node and everything below.
    Rm = 13,
    /// Sets a node's permissions.
    SetPerms = 14,
    /// A watch fired.
    WatchEvent = 15,
    /// The request was refused; the payload names the error.
    Error = 16,
    /// Whether a domain is connected.
    IsDomainIntroduced = 17,
}

/// The longest payload that either side sends.
pub const MAX_PAYLOAD: usize = 4096;

/// Bytes of a packet's header: kind, request, transaction, length.
pub const HEADER: usize = 16;

/// A received packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The raw `Kind`: a newer store may know more than we do.
    pub kind: u32,
    /// The request that this answers.
    pub request: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Sends a request.
///
/// # Errors
/// `InvalidInput` if the payload is over the protocol's limit; otherwise what the socket says.
pub fn send(to: &mut impl Write, kind: Kind, request: u32, tx: u32, payload: &[&[u8]]) -> io::Result<()> {
    let len: usize = payload.iter().map(|part| part.len()).sum();
    if len > MAX_PAYLOAD {
        let message = format!("a xenstore request of {len} bytes; the protocol's limit is {MAX_PAYLOAD}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut packet = Vec::with_capacity(HEADER + len);
    for word in [kind as u32, request, tx, len as u32] {
        packet.extend(word.to_le_bytes());
    }
    for part in payload {
        packet.extend_from_slice(part);
    }
    to.write_all(&packet)
}

/// Receives a packet, waiting for all of it.
///
/// # Errors
/// `InvalidData` if it announces more than the protocol's limit; otherwise what the socket says.
pub fn receive(from: &mut impl Read) -> io::Result<Packet> {
    let mut header = [0; HEADER];
    from.read_exact(&mut header)?;
    let word = |i: usize| u32::from_le_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]);
    let len = word(12) as usize;
    if len > MAX_PAYLOAD {
        let message = format!("xenstored announced {len} bytes; the protocol's limit is {MAX_PAYLOAD}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut payload = vec![0; len];
    from.read_exact(&mut payload)?;
    Ok(Packet { kind: word(0), request: word(4), payload })
}

/// The parts of a payload that zero bytes end.
pub fn strings(payload: &[u8]) -> impl Iterator<Item = String> {
    let body = payload.strip_suffix(&[0]).unwrap_or(payload);
    let empty = payload.is_empty();
    body.split(|b| *b == 0).filter(move |_| !empty).map(|part| String::from_utf8_lossy(part).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_of_strings() {
        assert_eq!(strings(b"a\0bc\0").collect::<Vec<_>>(), ["a", "bc"]);
        assert_eq!(strings(b"a\0\0").collect::<Vec<_>>(), ["a", ""]);
        assert_eq!(strings(b"").count(), 0);
    }

    proptest! {
        #[test]
        fn what_is_sent_is_received(request: u32, payload in prop::collection::vec(any::<u8>(), 0..4096)) {
            let mut wire = Vec::new();
            let (head, tail) = payload.split_at(payload.len() / 2);
            send(&mut wire, Kind::Write, request, 0, &[head, tail]).unwrap();
            let packet = receive(&mut wire.as_slice()).unwrap();
            prop_assert_eq!(packet, Packet { kind: Kind::Write as u32, request, payload });
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = receive(&mut bytes.as_slice());
        }
    }
}
