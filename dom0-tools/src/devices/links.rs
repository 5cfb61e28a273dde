//! Network interfaces of domain 0, as its kernel tells of them and changes them (rtnetlink(7)).
//!
//! Messages are made and read by functions of their own; [`Links`] carries them.

use std::io;
use std::os::fd::OwnedFd;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable, Nla, NlasIterator,
};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::config::Mac;

// Messages (`linux/rtnetlink.h`).
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;

// Attributes (`linux/if_link.h`).
const ADDRESS: u16 = 1;
const NAME: u16 = 3;
const MTU: u16 = 4;
const MASTER: u16 = 10;
const LINK_INFO: u16 = 18;
/// In `LINK_INFO`: what kind of interface it is, a text.
const INFO_KIND: u16 = 1;
const BRIDGE: &[u8] = b"bridge\0";

/// `IFF_UP` (`linux/if.h`).
const UP: u32 = 1;
/// `struct ifinfomsg`: family, type, index, flags, which of the flags are to change.
const INFO: usize = 16;

/// More than the kernel puts into one part of an answer (`NLMSG_GOODSIZE`, or 32 KiB at most).
const ANSWER: usize = 64 << 10;

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bridge {
    /// Its number among the interfaces.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The largest packet that it carries, bytes.
    pub mtu: u32,
}

/// What an interface is to be from now on.
#[derive(Clone, Debug, Default)]
pub(super) struct Change<'a> {
    /// Its name.
    pub name: Option<&'a str>,
    /// Its hardware address.
    pub address: Option<Mac>,
    /// Its largest packet, bytes.
    pub mtu: Option<u32>,
    /// The number of the bridge that it belongs to.
    pub bridge: Option<u32>,
    /// It is switched on.
    pub up: bool,
}

/// A connection to the kernel.
#[derive(Debug)]
pub(super) struct Links {
    socket: OwnedFd,
    /// The number of the latest request, which its answers carry, too.
    sequence: u32,
}

impl Links {
    /// Connects.
    ///
    /// # Errors
    /// As the system says.
    pub fn open() -> io::Result<Self> {
        // Without a protocol it is rtnetlink.
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// The bridges that there are.
    ///
    /// # Errors
    /// As the system says.
    pub fn bridges(&mut self) -> io::Result<Vec<Bridge>> {
        let mut bridges = Vec::new();
        self.ask(ask_for_bridges(), |link| bridges.extend(bridge(&link)))?;
        Ok(bridges)
    }

    /// Changes the interface of number `index`.
    ///
    /// # Errors
    /// As the system says.
    pub fn change(&mut self, index: u32, change: &Change<'_>) -> io::Result<()> {
        self.ask(ask_to_change(index, change), |_| {})
    }

    /// Sends a request and takes its answers in, up to the last one.
    fn ask(&mut self, request: Request, mut link: impl FnMut(LinkMessage)) -> io::Result<()> {
        self.sequence += 1;
        rustix::net::send(&self.socket, &request.bytes(self.sequence), SendFlags::empty())?;
        let mut buffer = vec![0; ANSWER];
        loop {
            let (length, _) = rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::empty())?;
            if take_in(&buffer[..length], self.sequence, &mut link)? {
                return Ok(());
            }
        }
    }
}

/// A message about one interface, or all.
#[derive(Debug)]
struct LinkMessage {
    kind: u16,
    index: u32,
    flags: u32,
    attributes: Vec<DefaultNla>,
}

impl LinkMessage {
    fn value(&self, kind: u16) -> Option<Vec<u8>> {
        self.attributes.iter().find(|attribute| attribute.kind() == kind).map(value)
    }
}

fn value(attribute: &DefaultNla) -> Vec<u8> {
    let mut value = vec![0; attribute.value_len()];
    attribute.emit_value(&mut value);
    value
}

fn attributes(bytes: &[u8]) -> Result<Vec<DefaultNla>, DecodeError> {
    NlasIterator::new(bytes)
        .map(|nla| nla.map(|nla| DefaultNla::new(nla.kind(), nla.value().to_vec())))
        .collect()
}

impl NetlinkSerializable for LinkMessage {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        INFO + self.attributes.as_slice().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer[..4].fill(0);
        for (place, word) in [(4, self.index), (8, self.flags), (12, self.flags)] {
            buffer[place..place + 4].copy_from_slice(&word.to_ne_bytes());
        }
        self.attributes.as_slice().emit(&mut buffer[INFO..]);
    }
}

impl NetlinkDeserializable for LinkMessage {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        let (info, rest) = payload
            .split_first_chunk::<INFO>()
            .ok_or_else(|| DecodeError::buffer_too_small(payload.len(), INFO))?;
        let [_, index, flags, _] =
            [0, 4, 8, 12].map(|at| u32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]));
        Ok(Self { kind: header.message_type, index, flags, attributes: attributes(rest)? })
    }
}

/// A message to the kernel, not numbered yet.
struct Request {
    flags: u16,
    message: LinkMessage,
}

impl Request {
    fn bytes(self, sequence: u32) -> Vec<u8> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | self.flags;
        header.sequence_number = sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(self.message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }
}

/// The kernel leaves out what is no bridge.
fn ask_for_bridges() -> Request {
    let mut kind = vec![0; 4 + BRIDGE.len().next_multiple_of(4)];
    DefaultNla::new(INFO_KIND, BRIDGE.to_vec()).emit(&mut kind);
    let attributes = vec![DefaultNla::new(LINK_INFO, kind)];
    Request { flags: NLM_F_DUMP, message: LinkMessage { kind: GET_LINK, index: 0, flags: 0, attributes } }
}

/// All of it in one message: the kernel goes from the address and the MTU over the name and the bridge to the switch.
fn ask_to_change(index: u32, change: &Change<'_>) -> Request {
    let attributes = [
        change.address.map(|mac| DefaultNla::new(ADDRESS, mac.0.to_vec())),
        change.mtu.map(|mtu| DefaultNla::new(MTU, mtu.to_ne_bytes().to_vec())),
        change.name.map(|name| DefaultNla::new(NAME, [name.as_bytes(), &[0]].concat())),
        change.bridge.map(|bridge| DefaultNla::new(MASTER, bridge.to_ne_bytes().to_vec())),
    ];
    let attributes = attributes.into_iter().flatten().collect();
    let flags = if change.up { UP } else { 0 };
    Request { flags: NLM_F_ACK, message: LinkMessage { kind: SET_LINK, index, flags, attributes } }
}

/// Reads one part of the answers to request `sequence`. Returns whether it was the last one.
fn take_in(mut part: &[u8], sequence: u32, mut link: impl FnMut(LinkMessage)) -> io::Result<bool> {
    while !part.is_empty() {
        let message = NetlinkMessage::<LinkMessage>::deserialize(part).map_err(io::Error::other)?;
        // Messages begin at multiples of four bytes.
        let length = (message.header.length as usize).next_multiple_of(4);
        part = part.get(length..).unwrap_or_default();
        if message.header.sequence_number != sequence {
            continue;
        }
        match message.payload {
            NetlinkPayload::Error(answer) if answer.code.is_none() => return Ok(true),
            NetlinkPayload::Error(answer) => return Err(answer.to_io()),
            NetlinkPayload::Done(done) if done.code < 0 => {
                return Err(io::Error::from_raw_os_error(-done.code));
            }
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::InnerMessage(found) if found.kind == NEW_LINK => link(found),
            _ => {}
        }
    }
    Ok(false)
}

fn bridge(link: &LinkMessage) -> Option<Bridge> {
    let info = attributes(&link.value(LINK_INFO)?).ok()?;
    let is_bridge = info.iter().any(|part| part.kind() == INFO_KIND && value(part) == BRIDGE);
    let mut name = link.value(NAME)?;
    name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
    let mtu = u32::from_ne_bytes(link.value(MTU)?.try_into().ok()?);
    is_bridge.then_some(Bridge { index: link.index, name: String::from_utf8(name).ok()?, mtu })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A netlink message as the kernel lays it out.
    fn message(kind: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((16 + payload.len() as u32).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(2u16.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend(payload);
        bytes
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((4 + value.len() as u16).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// `struct ifinfomsg`: family, type, index, flags, mask.
    fn info(index: u32, flags: u32) -> Vec<u8> {
        [
            [0, 0].as_slice(),
            &0u16.to_ne_bytes(),
            &index.to_ne_bytes(),
            &flags.to_ne_bytes(),
            &flags.to_ne_bytes(),
        ]
        .concat()
    }

    /// `RTM_NEWLINK` (16) with `IFLA_IFNAME` (3), `IFLA_MTU` (4) and `IFLA_LINKINFO` (18), in it `IFLA_INFO_KIND` (1).
    fn new_link(sequence: u32, index: u32, name: &str, mtu: u32, kind: Option<&str>) -> Vec<u8> {
        let zero = |text: &str| [text.as_bytes(), &[0]].concat();
        let mut payload =
            [info(index, 1), attribute(3, &zero(name)), attribute(4, &mtu.to_ne_bytes())].concat();
        if let Some(kind) = kind {
            payload.extend(attribute(18, &attribute(1, &zero(kind))));
        }
        message(16, sequence, &payload)
    }

    fn read(part: &[u8], sequence: u32) -> (Vec<Bridge>, io::Result<bool>) {
        let mut bridges = Vec::new();
        let end = take_in(part, sequence, |link| bridges.extend(bridge(&link)));
        (bridges, end)
    }

    #[test]
    fn a_change_is_one_message() {
        let change = Change {
            name: Some("web0"),
            address: Some(Mac([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff])),
            mtu: Some(9000),
            bridge: Some(3),
            up: true,
        };
        let bytes = ask_to_change(7, &change).bytes(5);
        let payload = [
            info(7, 1),
            attribute(1, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff]),
            attribute(4, &9000u32.to_ne_bytes()),
            attribute(3, b"web0\0"),
            attribute(10, &3u32.to_ne_bytes()),
        ];
        let mut expected = message(19, 5, &payload.concat());
        expected[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
        assert_eq!(bytes, expected);
        let nothing = ask_to_change(7, &Change::default()).bytes(1);
        assert_eq!(nothing[16..], info(7, 0));
    }

    #[test]
    fn bridges_are_asked_for_by_kind() {
        let bytes = ask_for_bridges().bytes(1);
        assert_eq!(bytes[4..6], 18u16.to_ne_bytes());
        assert_eq!(bytes[6..8], (NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
        assert!(bytes.windows(6).any(|window| window == b"bridge"));
    }

    #[test]
    fn bridges_are_found_among_the_answers() {
        let mut part = new_link(9, 3, "xenbr0", 1500, Some("bridge"));
        part.extend(new_link(9, 4, "eth0", 1500, None));
        part.extend(new_link(9, 5, "dummy0", 1500, Some("dummy")));
        part.extend(new_link(8, 6, "stale", 1500, Some("bridge")));
        let (bridges, end) = read(&part, 9);
        assert_eq!(bridges, [Bridge { index: 3, name: "xenbr0".into(), mtu: 1500 }]);
        assert!(!end.unwrap(), "more is to come");
        assert!(read(&message(3, 9, &0i32.to_ne_bytes()), 9).1.unwrap());
        assert!(read(&message(3, 9, &[]), 9).1.unwrap());
    }

    #[test]
    fn an_error_is_the_systems() {
        let refusal = |code: i32| message(2, 4, &[&code.to_ne_bytes()[..], &[0; 16]].concat());
        assert_eq!(read(&refusal(-17), 4).1.unwrap_err().raw_os_error(), Some(17));
        assert!(read(&refusal(0), 4).1.unwrap());
        assert!(!read(&refusal(-17), 5).1.unwrap(), "an answer to another request");
        assert_eq!(read(&message(3, 4, &(-16i32).to_ne_bytes()), 4).1.unwrap_err().raw_os_error(), Some(16));
    }

    #[test]
    fn half_a_message_is_an_error() {
        let link = new_link(1, 3, "xenbr0", 1500, Some("bridge"));
        assert!(read(&link[..20], 1).1.is_err());
    }

    #[test]
    fn the_kernel_of_this_machine_answers() {
        let mut links = Links::open().unwrap();
        let bridges = links.bridges().unwrap();
        assert!(bridges.iter().all(|bridge| bridge.index > 0), "{bridges:?}");
        // No interface has the number 2^31 - 1.
        let refused = links.change(i32::MAX.cast_unsigned(), &Change { up: true, ..Change::default() });
        assert!(refused.is_err());
    }
}
