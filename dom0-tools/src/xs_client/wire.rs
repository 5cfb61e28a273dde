//! Packets of the xenstore protocol (`public/io/xs_wire.h`), whole and checked.

use std::io::{self, Read, Write};

use hypercall_abi::Plain;
use hypercall_abi::io::xs_wire::SockMsg;

pub use crate::xenstore::wire::Kind;
use crate::xenstore::wire::PAYLOAD_MAX;

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
    if len > PAYLOAD_MAX {
        let message = format!("a xenstore request of {len} bytes; the protocol's limit is {PAYLOAD_MAX}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let header = SockMsg { kind: kind as u32, req_id: request, tx_id: tx, len: len as u32 };
    let mut packet = Vec::from(header.as_bytes());
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
    let mut header = SockMsg::default();
    from.read_exact(header.as_bytes_mut())?;
    let len = header.len as usize;
    if len > PAYLOAD_MAX {
        let message = format!("xenstored announced {len} bytes; the protocol's limit is {PAYLOAD_MAX}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut payload = vec![0; len];
    from.read_exact(&mut payload)?;
    Ok(Packet { kind: header.kind, request: header.req_id, payload })
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
