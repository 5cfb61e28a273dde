//! The guests of this host: the hypervisor's domains, with the names that the tools gave them.

use std::fmt;
use std::io;

use crate::config::Uuid;
use crate::registry::{Record, Registry, State};
use crate::xen::domain::DomainInfo;
use crate::xen::error::XenError;
use crate::xen::hypercall::Xen;
use crate::xs_client::{Client, Tx};

/// A domain and what is known of it.
#[derive(Clone, Debug)]
pub struct Domain {
    /// The hypervisor's account.
    pub info: DomainInfo,
    /// Its name: from its record, or else from xenstore, or else `domain-ID`.
    pub name: String,
    /// Its record, if `tenon create` made it.
    pub record: Option<Record>,
}

/// Access to everything that knows about guests.
#[derive(Debug)]
pub struct Host {
    /// The hypervisor.
    pub xen: Xen,
    /// The records.
    pub registry: Registry,
}

/// Why guests could not be listed, or one not be found.
#[derive(Debug)]
pub enum HostError {
    /// The hypervisor or the way to it.
    Xen(XenError),
    /// The records.
    Registry(io::Error),
    /// There is no such domain.
    NoSuchDomain(String),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xen(e) => e.fmt(f),
            Self::Registry(e) => write!(f, "cannot read the records of guests: {e}"),
            Self::NoSuchDomain(wanted) => write!(f, "there is no domain {wanted:?} (see `tenon list`)"),
        }
    }
}

impl std::error::Error for HostError {}

impl From<XenError> for HostError {
    fn from(e: XenError) -> Self {
        Self::Xen(e)
    }
}

impl Host {
    /// Opens the way to the hypervisor.
    ///
    /// # Errors
    /// If this is not domain 0, or not root.
    pub fn open() -> Result<Self, XenError> {
        Ok(Self { xen: Xen::open()?, registry: Registry::default() })
    }

    /// Every domain, by number.
    ///
    /// # Errors
    /// If the hypervisor or the records cannot be asked. A missing xenstore daemon is no error.
    pub fn domains(&self) -> Result<Vec<Domain>, HostError> {
        let (mut records, _) = self.registry.all().map_err(HostError::Registry)?;
        let mut store = Client::connect().ok();
        let mut domains = Vec::new();
        for info in self.xen.domains()? {
            let record =
                records.iter().position(|r| r.uuid == info.uuid).map(|found| records.swap_remove(found));
            let name = match &record {
                Some(record) => record.config.name.clone(),
                None => stored_name(store.as_mut(), info.id),
            };
            domains.push(Domain { info, name, record });
        }
        Ok(domains)
    }

    /// The domain that an administrator means by `wanted`: a number, a name or a UUID. Among domains of one
    /// name, one that is not dying is meant.
    ///
    /// # Errors
    /// [`HostError::NoSuchDomain`], or as for [`Host::domains`].
    pub fn find(&self, wanted: &str) -> Result<Domain, HostError> {
        let mut domains = self.domains()?;
        domains.sort_by_key(|domain| domain.info.flags.dying);
        let uuid: Option<Uuid> = wanted.parse().ok();
        let is_meant = |domain: &Domain| match wanted.parse::<u16>() {
            Ok(id) => domain.info.id == id,
            Err(_) => domain.name == wanted || uuid == Some(domain.info.uuid),
        };
        domains.into_iter().find(is_meant).ok_or_else(|| HostError::NoSuchDomain(wanted.to_owned()))
    }

    /// The domain of a record, preferring one that is not dying.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn domain_of(&self, uuid: Uuid) -> Result<Option<DomainInfo>, XenError> {
        let mut domains = self.xen.domains()?;
        domains.retain(|domain| domain.uuid == uuid && domain.id != 0);
        domains.sort_by_key(|domain| domain.flags.dying);
        Ok(domains.into_iter().next())
    }
}

impl Domain {
    /// The state in one word; a restart under way is one, too.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self.record.as_ref().map(|r| &r.state) {
            Some(State::Restarting | State::SettingAside { .. }) => "restarting",
            Some(State::Building { by }) if by.is_alive() => "building",
            _ => self.info.state(),
        }
    }
}

fn stored_name(store: Option<&mut Client>, id: u16) -> String {
    let stored = store.and_then(|store| store.find(Tx::NONE, &format!("/local/domain/{id}/name")).ok()?);
    match stored {
        Some(name) if !name.is_empty() => name,
        _ if id == 0 => "Domain-0".into(),
        _ => format!("domain-{id}"),
    }
}
