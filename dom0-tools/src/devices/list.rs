//! The devices that a guest has.

use std::collections::BTreeMap;

use super::error::DeviceError;
use super::xenbus::{Address, Kind, State};
use crate::xs_client::{Client, StoreError, Tx, with_daemon};

/// A device as xenstore has it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Which it is.
    pub address: Address,
    /// What the guest's half says.
    pub front_state: State,
    /// What domain 0's half says.
    pub back_state: State,
    /// The nodes that the tools wrote for domain 0's half, and what it added.
    pub back: BTreeMap<String, String>,
    /// The guest's half's own.
    pub front: BTreeMap<String, String>,
}

/// The devices of domain `domain` whose front halves are in directory `front` (`vbd`, `vif`), by number.
///
/// # Errors
/// As the daemon says, or that there is none.
pub fn of_domain(domain: u16, front: &str) -> Result<Vec<Listed>, DeviceError> {
    let listed = with_daemon(|client| {
        let mut listed = Vec::new();
        for kind in Kind::ALL.into_iter().filter(|kind| kind.front() == front) {
            // Domain 0's side: what a guest does to its own nodes hides nothing from an administrator.
            let all = format!("/local/domain/0/backend/{}/{domain}", kind.back());
            for id in client.names(Tx::NONE, &all)? {
                let Ok(id) = id.parse() else { continue };
                let address = Address { domain, kind, id };
                listed.push(Listed {
                    address,
                    front_state: Address::state(client, Tx::NONE, &address.front())?,
                    back_state: Address::state(client, Tx::NONE, &address.back())?,
                    back: nodes(client, &address.back())?,
                    front: nodes(client, &address.front())?,
                });
            }
        }
        Ok(listed)
    })?;
    let mut listed = listed.ok_or(DeviceError::NoStore)?;
    listed.sort_by_key(|device| device.address.id);
    Ok(listed)
}

fn nodes(client: &mut Client, path: &str) -> Result<BTreeMap<String, String>, StoreError> {
    let mut nodes = BTreeMap::new();
    for name in client.names(Tx::NONE, path)? {
        if let Some(value) = client.find(Tx::NONE, &format!("{path}/{name}"))? {
            nodes.insert(name, value);
        }
    }
    Ok(nodes)
}
