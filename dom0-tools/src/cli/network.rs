//! `tenon network-attach`, `network-detach`, `network-list`.

use clap::Args;
use serde::Serialize;

use super::device::{self, DetachArgs};
use super::exit::{Exit, Failure};
use super::output;
use crate::config::{Mac, Nic};
use crate::devices::nic::{self, Card};
use crate::devices::{self, DeviceError, Listed, State};
use crate::host::Host;

#[derive(Debug, Args)]
pub struct AttachArgs {
    /// A name, a number or a UUID.
    domain: String,
    /// The card, as a guest file has it: "mac=00:16:3e:00:00:01,bridge=xenbr0"; without any, one on xenbr0. Words of
    /// their own may stand for the commas.
    #[arg(value_name = "CARD")]
    card: Vec<String>,
}

/// A network card of a guest.
#[derive(Debug, Serialize)]
struct Row {
    number: u32,
    mac: String,
    state: State,
    backend_state: State,
    interface: Option<String>,
    bridge: Option<String>,
    queues: Option<usize>,
}

impl Row {
    fn of(listed: &Listed) -> Self {
        let interface = nic::interface(listed.address);
        let is_connected = listed.back_state == State::Connected;
        Self {
            number: listed.address.id,
            mac: listed.back.get("mac").cloned().unwrap_or_default(),
            state: listed.front_state,
            backend_state: listed.back_state,
            bridge: interface.as_deref().and_then(nic::bridge_of),
            queues: interface.as_deref().filter(|_| is_connected).and_then(nic::queues_of),
            interface,
        }
    }
}

fn mac_of(listed: &Listed) -> Option<Mac> {
    listed.back.get("mac")?.parse().ok()
}

/// Gives a guest a network card.
pub fn attach(args: &AttachArgs, json: bool) -> Result<(), Failure> {
    let text = args.card.join(",");
    let mut nic = Nic::parse(&text).map_err(|rule| Failure::new(Exit::Usage, format!("{text:?}: {rule}")))?;
    let host = Host::open()?;
    let domain = device::guest(&host, &args.domain)?;
    let cards = devices::of_domain(domain.info.id, "vif")?;
    let free = (0..).find(|number| cards.iter().all(|card| card.address.id != *number));
    nic.id = nic.id.or(free);
    if let Some(mac) = nic.mac.filter(|mac| cards.iter().any(|card| mac_of(card) == Some(*mac))) {
        return Err(DeviceError::Taken { what: format!("network card {mac}") }.into());
    }
    let card = Card::new(&nic, 0, domain.info.uuid);
    device::give(&host, &domain, &card, json, |config| {
        config.nics.retain(|other| other.id != nic.id);
        config.nics.push(nic.clone());
    })
}

/// Takes a network card from a guest.
pub fn detach(args: &DetachArgs, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let domain = device::guest(&host, &args.domain)?;
    let label = format!("network card {}", args.device);
    let cards = devices::of_domain(domain.info.id, "vif")?;
    let mac: Option<Mac> = args.device.parse().ok();
    let is_meant = |card: &&Listed| match mac {
        Some(mac) => mac_of(card) == Some(mac),
        None => args.device.parse() == Ok(card.address.id),
    };
    let found = cards.iter().find(is_meant);
    let card = found.ok_or_else(|| DeviceError::NoSuchDevice { what: label.clone() })?;
    device::take(&host, &domain, card, &label, args, json, |config| {
        config.nics.retain(|other| other.id != Some(card.address.id));
    })
}

/// Lists a guest's network cards.
pub fn list(wanted: &str, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let domain = host.find(wanted)?;
    let listed = devices::of_domain(domain.info.id, "vif")?;
    let rows: Vec<Row> = listed.iter().map(Row::of).collect();
    if json {
        return output::json(&rows);
    }
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let rows: Vec<[String; 6]> = rows
        .into_iter()
        .map(|row| {
            [
                row.number.to_string(),
                row.mac,
                row.state.to_string(),
                or_none(row.interface),
                or_none(row.bridge),
                or_none(row.queues.map(|queues| queues.to_string())),
            ]
        })
        .collect();
    output::table(["NUMBER", "MAC", "STATE", "INTERFACE", "BRIDGE", "QUEUES"], &rows)
}
