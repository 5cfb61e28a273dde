//! No two guests write the same disk, nor does one read what another writes.

use std::path::Path;

use super::backing::resolve;
use super::error::DeviceError;
use super::xenbus::Kind;
use crate::lifecycle::decide::Activity;
use crate::xen::hypercall::Xen;
use crate::xs_client::{Tx, with_daemon};

/// A disk that some domain has.
struct Holder {
    domain: u16,
    vdev: String,
    target: String,
    read_only: bool,
}

/// Refuses `target` for domain `domain` if another domain has it and one of the two may write. Domains that have
/// stopped do neither.
///
/// # Errors
/// [`DeviceError::Shared`], or as the hypervisor and the daemon say.
pub(super) fn check(xen: &Xen, domain: u16, target: &Path, read_only: bool) -> Result<(), DeviceError> {
    let path = resolve(target)?;
    let holders = with_daemon(|client| {
        let mut holders = Vec::new();
        for kind in [Kind::KernelDisk, Kind::UserlandDisk] {
            let all = format!("/local/domain/0/backend/{}", kind.back());
            for owner in client.names(Tx::NONE, &all)? {
                let Ok(id) = owner.parse() else { continue };
                for device in client.names(Tx::NONE, &format!("{all}/{owner}"))? {
                    let mut node = |name| client.find(Tx::NONE, &format!("{all}/{owner}/{device}/{name}"));
                    let (Some(target), mode) = (node("params")?, node("mode")?) else { continue };
                    let read_only = mode.as_deref() == Some("r");
                    let vdev = node("dev")?.unwrap_or(device);
                    holders.push(Holder { domain: id, vdev, target, read_only });
                }
            }
        }
        Ok(holders)
    })?;
    let holders = holders.ok_or(DeviceError::NoStore)?;
    let domains = xen.domains()?;
    let runs = |id| {
        let found = domains.iter().find(|domain| domain.id == id);
        found.is_some_and(|domain| matches!(domain.activity(), Activity::Live | Activity::Unstarted))
    };
    let conflict = holders.into_iter().find(|holder| {
        holder.domain != domain
            && !(holder.read_only && read_only)
            && Path::new(&holder.target).canonicalize().is_ok_and(|other| other == path)
            && runs(holder.domain)
    });
    match conflict {
        Some(Holder { domain, vdev, .. }) => Err(DeviceError::Shared { path, domain, vdev }),
        None => Ok(()),
    }
}
