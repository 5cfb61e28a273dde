//! Network cards.
//!
//! Linux's xen-netback makes an interface for each card in domain 0 (`vifDOMAIN.NUMBER`), and lets the guest use it once
//! the node `hotplug-status` says `connected` (`public/io/netif.h`). In between the tools put it on its bridge
//! themselves, or have the guest file's script do what it does.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::driver::NETBACK;
use super::error::DeviceError;
use super::links::{Bridge, Change, Links};
use super::list::of_domain;
use super::script::{self, Action};
use super::xenbus::{Address, Kind};
use super::{Device, Nodes};
use crate::config::{Mac, Nic, Uuid};
use crate::xen::hypercall::Xen;
use crate::xs_client::{Client, Tx, with_daemon};

/// The other end's hardware address: the highest that there is, so that a bridge never takes it for its own.
const BACK_MAC: Mac = Mac([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff]);
/// What the node `script` says where there is none: xen-netback wants the node, and others who find it may run it.
const NO_SCRIPT: &str = "/bin/true";

/// A card that has its number and its address.
#[derive(Clone, Debug)]
pub struct Card<'a> {
    /// What was said of it.
    pub nic: &'a Nic,
    /// Its number among the guest's cards.
    pub number: u32,
    /// Its hardware address.
    pub mac: Mac,
}

impl<'a> Card<'a> {
    /// Card `number` of the guest `uuid`, unless `nic` says which it is.
    #[must_use]
    pub fn new(nic: &'a Nic, number: u32, uuid: Uuid) -> Self {
        let number = nic.id.unwrap_or(number);
        Self { nic, number, mac: nic.mac.unwrap_or_else(|| Mac::generated(uuid, number)) }
    }

    /// Looks whether domain 0 has what the card needs.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self) -> Result<(), DeviceError> {
        self.plan().map(|_| ())
    }

    fn plan(&self) -> Result<Plan, DeviceError> {
        if let Some(name) = &self.nic.vifname
            && is_taken(name)?
        {
            return Err(DeviceError::InterfaceTaken(name.clone()));
        }
        if let Some(path) = &self.nic.script {
            let failed = |cause| DeviceError::Target { path: path.clone(), cause };
            return match fs::metadata(path).map_err(failed)?.is_file() {
                true => Ok(Plan::Script(path.clone())),
                false => Err(failed(io::ErrorKind::IsADirectory.into())),
            };
        }
        let mut bridges = Links::open()?.bridges()?;
        match bridges.iter().position(|bridge| bridge.name == self.nic.bridge) {
            Some(found) => Ok(Plan::Bridge(bridges.swap_remove(found))),
            None => {
                let bridges = bridges.into_iter().map(|bridge| bridge.name).collect();
                Err(DeviceError::NoBridge { wanted: self.nic.bridge.clone(), bridges })
            }
        }
    }
}

/// How the other end is set up.
#[derive(Debug)]
enum Plan {
    /// It is put on this bridge.
    Bridge(Bridge),
    /// This program does it.
    Script(PathBuf),
}

/// What is known of a card that is being attached.
#[derive(Debug)]
pub struct Held {
    plan: Plan,
    is_set_up: Cell<bool>,
}

impl Device for Card<'_> {
    type Held = Held;

    fn address(&self, domain: u16) -> Address {
        Address { domain, kind: Kind::Nic, id: self.number }
    }

    fn label(&self) -> String {
        format!("network card {}", self.number)
    }

    fn open(&self, _: &Xen, _: u16) -> Result<(Held, Nodes), DeviceError> {
        NETBACK.ensure()?;
        let plan = self.plan()?;
        let nodes = self.nodes(&plan);
        Ok((Held { plan, is_set_up: Cell::new(false) }, nodes))
    }

    fn settle(&self, client: &mut Client, address: Address, held: &Held) -> Result<bool, DeviceError> {
        if !held.is_set_up.get() {
            let Some(name) = interface(address) else { return Ok(false) };
            match &held.plan {
                Plan::Bridge(bridge) => match self.join(&name, bridge) {
                    // The interface that has the name, or had this number before, is on its way out.
                    Err(e) if is_passing(&e) => return Ok(false),
                    joined => joined.map_err(|cause| DeviceError::Interface {
                        name,
                        bridge: bridge.name.clone(),
                        cause,
                    })?,
                },
                Plan::Script(path) => script::run(path, Action::Online, address)?,
            }
            held.is_set_up.set(true);
        }
        client.write(Tx::NONE, &format!("{}/hotplug-status", address.back()), "connected")?;
        Ok(true)
    }
}

impl Card<'_> {
    fn nodes(&self, plan: &Plan) -> Nodes {
        let (nic, mac, number) = (self.nic, self.mac.to_string(), self.number.to_string());
        let script = nic.script.as_deref().unwrap_or(Path::new(NO_SCRIPT));
        let mtu = nic.mtu.or(match plan {
            Plan::Bridge(bridge) => Some(bridge.mtu),
            Plan::Script(_) => None,
        });
        let mut front =
            vec![("handle", number), ("mac", mac.clone()), ("trusted", u8::from(nic.trusted).to_string())];
        let mut back = vec![
            ("script", script.display().to_string()),
            ("mac", mac),
            ("bridge", nic.bridge.clone()),
            ("type", "vif".into()),
            // While it is there and empty, xen-netback waits.
            ("hotplug-status", String::new()),
        ];
        if let Some(mtu) = mtu {
            front.push(("mtu", mtu.to_string()));
            back.push(("mtu", mtu.to_string()));
        }
        back.extend(nic.vifname.clone().map(|name| ("vifname", name)));
        back.extend(nic.ip.clone().map(|ip| ("ip", ip)));
        back.extend(nic.rate.map(|rate| ("rate", format!("{},{}", rate.bytes, rate.interval_us))));
        Nodes { front, back }
    }

    /// Puts the interface on its bridge and switches it on.
    fn join(&self, interface: &str, bridge: &Bridge) -> io::Result<()> {
        let index = fs::read_to_string(interface_directory(interface).join("ifindex"))?;
        let index = index.trim().parse().map_err(io::Error::other)?;
        let change = Change {
            name: self.nic.vifname.as_deref(),
            address: Some(BACK_MAC),
            mtu: Some(self.nic.mtu.unwrap_or(bridge.mtu)),
            bridge: Some(bridge.index),
            up: true,
        };
        Links::open()?.change(index, &change)
    }
}

impl Mac {
    /// The address of a card that was given none: in the range that is Xen's, and always the same for the same card of
    /// the same guest.
    #[must_use]
    pub fn generated(guest: Uuid, number: u32) -> Self {
        let mut hash = crc32fast::Hasher::new();
        hash.update(&guest.0);
        hash.update(&number.to_le_bytes());
        let [_, a, b, c] = hash.finalize().to_be_bytes();
        Self([0x00, 0x16, 0x3e, a & 0x7f, b, c])
    }
}

/// Whether an interface could not be changed because one comes or goes just now: it is tried again.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound)
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

fn interface_directory(name: &str) -> PathBuf {
    Path::new("/sys/class/net").join(name)
}

/// Whether domain 0 has an interface of this name to stay: one of a card that has gone from xenstore will go, too.
fn is_taken(name: &str) -> Result<bool, DeviceError> {
    let directory = interface_directory(name);
    if !directory.exists() {
        return Ok(false);
    }
    let device = fs::read_link(directory.join("device")).ok();
    let device = device.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    // `vif-DOMAIN-NUMBER`.
    let card = device.and_then(|device| device.strip_prefix("vif-")?.split_once('-'));
    let Some((domain, number)) = card else { return Ok(true) };
    let back = format!("/local/domain/0/backend/vif/{domain}/{number}");
    Ok(with_daemon(|client| client.find(Tx::NONE, &back))?.flatten().is_some())
}

/// The name of a card's interface in domain 0, whatever it was renamed to.
#[must_use]
pub fn interface(address: Address) -> Option<String> {
    let mut names = fs::read_dir(format!("{}/net", address.sysfs())).ok()?;
    names.next()?.ok()?.file_name().into_string().ok()
}

/// The bridge that an interface is on.
#[must_use]
pub fn bridge_of(interface: &str) -> Option<String> {
    let bridge = fs::read_link(interface_directory(interface).join("master")).ok()?;
    Some(bridge.file_name()?.to_str()?.to_owned())
}

/// How many queues an interface has; with xen-netback as many as the guest asked for, once it is connected.
#[must_use]
pub fn queues_of(interface: &str) -> Option<usize> {
    let queues = fs::read_dir(interface_directory(interface).join("queues")).ok()?;
    Some(queues.flatten().filter(|queue| queue.file_name().as_encoded_bytes().starts_with(b"rx-")).count())
}

/// Has the scripts of a domain's cards undo what they did: of all of them, or of one. The cards are still in xenstore,
/// and go whatever happens here: what a script fails at is told on standard error.
pub fn undo(domain: u16, only: Option<Address>) {
    let Ok(cards) = of_domain(domain, Kind::Nic.front()) else { return };
    for card in cards.iter().filter(|card| only.is_none_or(|address| card.address == address)) {
        let Some(script) = card.back.get("script").filter(|script| *script != NO_SCRIPT) else { continue };
        if let Err(e) = script::run(Path::new(script), Action::Offline, card.address) {
            eprintln!("network card {} of domain {domain}: {e}", card.address.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn generated_addresses_are_xens_and_stay() {
        let guest = Uuid([7; 16]);
        let all: HashSet<Mac> = (0..256).map(|number| Mac::generated(guest, number)).collect();
        assert_eq!(all.len(), 256, "no two cards of a guest share one");
        assert!(all.iter().all(|mac| mac.0[..3] == [0x00, 0x16, 0x3e] && mac.0[3] < 0x80));
        assert_eq!(Mac::generated(guest, 3), Mac::generated(guest, 3));
        assert_ne!(Mac::generated(guest, 0), Mac::generated(Uuid([8; 16]), 0));
        let nic = Nic::parse("devid=3").unwrap();
        assert_eq!(Card::new(&nic, 0, guest).mac, Mac::generated(guest, 3));
    }

    fn node<'a>(nodes: &'a [(&'static str, String)], wanted: &str) -> Option<&'a str> {
        nodes.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_halves_say_what_the_drivers_look_for() {
        let nic = Nic::parse("mac=00:16:3e:00:00:01,bridge=lan0,rate=10Mb/s,trusted=0,ip=10.0.0.1").unwrap();
        let card = Card::new(&nic, 4, Uuid([7; 16]));
        let nodes = card.nodes(&Plan::Bridge(Bridge { index: 3, name: "lan0".into(), mtu: 9000 }));
        let both = [("mac", "00:16:3e:00:00:01"), ("mtu", "9000")];
        for (name, value) in both.into_iter().chain([("handle", "4"), ("trusted", "0")]) {
            assert_eq!(node(&nodes.front, name), Some(value), "{name}");
        }
        let back = [("script", NO_SCRIPT), ("bridge", "lan0"), ("type", "vif"), ("rate", "62500,50000")];
        for (name, value) in both.into_iter().chain(back).chain([("ip", "10.0.0.1"), ("hotplug-status", "")])
        {
            assert_eq!(node(&nodes.back, name), Some(value), "{name}");
        }
        let nic = Nic::parse("script=vif-route,vifname=web0").unwrap();
        let script = PathBuf::from("/etc/xen/scripts/vif-route");
        assert_eq!(nic.script.as_ref(), Some(&script));
        let nodes = Card::new(&nic, 0, Uuid([7; 16])).nodes(&Plan::Script(script));
        assert_eq!(node(&nodes.back, "script"), Some("/etc/xen/scripts/vif-route"));
        assert_eq!(node(&nodes.back, "vifname"), Some("web0"));
        assert_eq!(node(&nodes.front, "mtu"), None);
    }

    #[test]
    fn a_missing_bridge_is_refused_by_name() {
        let nic = Nic::parse("bridge=nosuchbridge").unwrap();
        let refusal = Card::new(&nic, 0, Uuid([7; 16])).check().unwrap_err().to_string();
        assert!(refusal.contains("\"nosuchbridge\""), "{refusal}");
    }

    #[test]
    fn an_interfaces_name_is_taken_once() {
        let nic = Nic::parse("vifname=lo").unwrap();
        let refusal = Card::new(&nic, 0, Uuid([7; 16])).check().unwrap_err().to_string();
        assert!(refusal.contains("\"lo\""), "{refusal}");
    }

    #[test]
    fn a_missing_script_is_refused() {
        let nic = Nic::parse("script=/nosuch/vif-script").unwrap();
        let refusal = Card::new(&nic, 0, Uuid([7; 16])).check().unwrap_err().to_string();
        assert!(refusal.starts_with("/nosuch/vif-script: "), "{refusal}");
    }
}
