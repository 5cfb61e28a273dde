//! A guest's nodes in xenstore: the ones that xl writes for a PVH guest, so that guests and stock tools find
//! what they look for.

use crate::config::{GuestConfig, Uuid};
use crate::xs_client::{Client, StoreError};

/// Who may do what with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// The guest has no business here.
    Hidden,
    /// The guest may read.
    GuestReads,
    /// The guest owns it.
    GuestOwns,
}

impl Access {
    fn permissions(self, domain: u16) -> Vec<String> {
        match self {
            Self::Hidden => vec!["n0".into()],
            Self::GuestReads => vec!["n0".into(), format!("r{domain}")],
            Self::GuestOwns => vec![format!("n{domain}")],
        }
    }
}

/// A page and an event channel that a guest shares with a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The guest frame.
    pub gfn: u64,
    /// The guest's port.
    pub port: u32,
}

/// What the nodes say.
#[derive(Clone, Copy, Debug)]
pub struct Nodes<'a> {
    /// The domain.
    pub domain: u16,
    /// The guest's UUID.
    pub uuid: Uuid,
    /// The guest.
    pub config: &'a GuestConfig,
    /// Its way to xenstore.
    pub store: Link,
    /// Its console.
    pub console: Link,
}

impl Nodes<'_> {
    /// Writes all nodes at once, and then connects the guest to xenstore.
    ///
    /// # Errors
    /// As the daemon says; then nothing was written.
    pub fn publish(&self, client: &mut Client) -> Result<(), StoreError> {
        let nodes = self.nodes();
        client.transaction(|client, tx| {
            // Left by an earlier domain of the same number whose tools were killed.
            client.remove(tx, &format!("/local/domain/{}", self.domain))?;
            for (path, access, value) in &nodes {
                match value {
                    Some(value) => client.write(tx, path, value)?,
                    None => client.mkdir(tx, path)?,
                }
                // Everything else inherits what its parent says.
                if let Some(access) = access {
                    client.set_permissions(tx, path, &access.permissions(self.domain))?;
                }
            }
            Ok(())
        })?;
        client.introduce(self.domain, self.store.gfn, self.store.port)
    }

    /// Path, access where it differs from the parent's, and value of every node, parents first.
    fn nodes(&self) -> Vec<(String, Option<Access>, Option<String>)> {
        use Access::{GuestOwns, GuestReads, Hidden};
        let Self { domain, uuid, config, store, console } = self;
        let (own, vm) = (format!("/local/domain/{domain}"), format!("/vm/{uuid}"));
        let libxl = format!("/libxl/{domain}");
        let backend = format!("/local/domain/0/backend/console/{domain}/0");
        let mut nodes = Vec::new();
        let mut add = |path: String, access: Option<Access>, value: Option<&str>| {
            nodes.push((path, access, value.map(str::to_owned)));
        };

        add(own.clone(), Some(GuestReads), None);
        add(vm.clone(), Some(GuestReads), None);
        add(libxl.clone(), Some(Hidden), None);
        add(format!("{libxl}/type"), None, Some("pvh"));
        add(format!("{libxl}/dm-version"), None, Some("qemu_xen"));
        for node in ["cpu", "memory", "device", "control", "console", "store"] {
            add(format!("{own}/{node}"), Some(GuestReads), None);
        }
        for node in ["control/shutdown", "control/sysrq", "data", "drivers", "feature", "attr", "error"] {
            add(format!("{own}/{node}"), Some(GuestOwns), None);
        }
        for node in ["poweroff", "reboot", "suspend", "s3", "s4"] {
            add(format!("{own}/control/feature-{node}"), Some(GuestOwns), None);
        }
        for (node, value) in [
            ("vm", vm.as_str()),
            ("name", &config.name),
            ("domid", &domain.to_string()),
            ("control/platform-feature-multiprocessor-suspend", "1"),
            ("control/platform-feature-xs_reset_watches", "1"),
            // Linux takes this for the memory that it has found at its start, and any difference to the target for
            // what it is to give back. What it may grow to is the hypervisor's to enforce.
            ("memory/static-max", &(config.memory * 1024).to_string()),
            ("memory/target", &(config.memory * 1024).to_string()),
            ("store/ring-ref", &store.gfn.to_string()),
            ("store/port", &store.port.to_string()),
            ("console/backend", &backend),
            ("console/backend-id", "0"),
            ("console/limit", "1048576"),
            ("console/type", "xenconsoled"),
            ("console/output", "pty"),
            ("console/tty", ""),
            ("console/ring-ref", &console.gfn.to_string()),
            ("console/port", &console.port.to_string()),
        ] {
            add(format!("{own}/{node}"), None, Some(value));
        }
        for vcpu in 0..config.maxvcpus {
            let online = if vcpu < config.vcpus { "online" } else { "offline" };
            add(format!("{own}/cpu/{vcpu}/availability"), None, Some(online));
        }
        add(format!("{vm}/name"), None, Some(&config.name));
        add(format!("{vm}/uuid"), None, Some(&uuid.to_string()));
        add(backend.clone(), Some(GuestReads), None);
        for (node, value) in [
            ("frontend", format!("{own}/console").as_str()),
            ("frontend-id", &domain.to_string()),
            ("online", "1"),
            ("state", "1"),
            ("protocol", "vt100"),
        ] {
            add(format!("{backend}/{node}"), None, Some(value));
        }
        nodes
    }
}

/// Removes a guest's nodes and disconnects it.
///
/// # Errors
/// As the daemon says.
pub fn withdraw(client: &mut Client, domain: u16, uuid: Uuid) -> Result<(), StoreError> {
    client.transaction(|client, tx| {
        let own = format!("/local/domain/{domain}");
        // A guest that runs again under the same UUID has its /vm node replaced already.
        let vm = format!("/vm/{uuid}");
        let is_ours = client.find(tx, &format!("{own}/vm"))?.is_some_and(|path| path == vm);
        if is_ours {
            client.remove(tx, &vm)?;
        }
        client.remove(tx, &own)?;
        client.remove(tx, &format!("/libxl/{domain}"))?;
        for kind in client.directory(tx, "/local/domain/0/backend").unwrap_or_default() {
            client.remove(tx, &format!("/local/domain/0/backend/{kind}/{domain}"))?;
        }
        Ok(())
    })?;
    client.release(domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{State, tests_record};

    #[test]
    fn parents_come_first_and_the_guest_owns_only_its_own() {
        let mut record = tests_record(State::Running);
        record.config.maxmem = 2 * record.config.memory;
        let link = Link { gfn: 0xfeffc, port: 1 };
        let nodes =
            Nodes { domain: 5, uuid: record.uuid, config: &record.config, store: link, console: link };
        let nodes = nodes.nodes();
        for (i, (path, access, _)) in nodes.iter().enumerate() {
            assert!(nodes[..i].iter().all(|(earlier, ..)| earlier != path), "{path} twice");
            if *access == Some(Access::GuestOwns) {
                assert!(path.starts_with("/local/domain/5/"));
            }
        }
        let value = |wanted: &str| {
            nodes.iter().find(|(path, ..)| path == wanted).and_then(|(.., value)| value.clone()).unwrap()
        };
        assert_eq!(value("/local/domain/5/name"), "web");
        assert_eq!(value("/local/domain/5/memory/target"), "65536");
        assert_eq!(value("/local/domain/5/memory/static-max"), "65536", "it would give back all it has");
        assert_eq!(value("/local/domain/5/cpu/0/availability"), "online");
    }
}
