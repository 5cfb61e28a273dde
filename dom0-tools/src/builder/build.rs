//! Creating a domain, step by step. Whatever fails, nothing of the domain is left.

use std::path::Path;

use guest_image::Image;
use hypercall_abi::Plain;
use hypercall_abi::domctl::SCHEDULER_NULL;
use hypercall_abi::errno::Errno;
use hypercall_abi::grant_table::{EntryFlags, EntryV1, RESERVED_CONSOLE, RESERVED_XENSTORE};
use hypercall_abi::hvm::{PARAM_CONSOLE_EVTCHN, PARAM_CONSOLE_PFN, PARAM_STORE_EVTCHN, PARAM_STORE_PFN};
use hypercall_abi::memory::{RESOURCE_GRANT_TABLE, RESOURCE_GRANT_TABLE_ID_SHARED};

use super::error::BuildError;
use super::layout::{CONSOLE_GFN, ExtentRun, HOLE_START, PAGE, XENSTORE_GFN};
use super::plan::{Piece, Plan};
use super::store::{Link, Nodes, withdraw};
use super::{kernel, vcpu};
use crate::balloon::{self, Autoballoon};
use crate::config::{CpuSet, GuestConfig, Uuid};
use crate::devices::attach::attach;
use crate::devices::nic::{self, Card};
use crate::pools;
use crate::xen::error::XenError;
use crate::xen::hypercall::Xen;
use crate::xen::mapping::Mapping;
use crate::xs_client::{Client, Tx, with_daemon};

/// The domain that both daemons run in.
const DOM0: u16 = 0;
/// Memory that a guest may have beyond its RAM: the special pages, the ACPI tables, and what xl allows, KiB.
pub(crate) const SLACK_KIB: u64 = 1024;
/// Guest frames mapped at once while its memory is filled.
const MAP_FRAMES: u64 = 2048;

/// A domain that was built and is still paused.
#[derive(Clone, Copy, Debug)]
pub struct Built {
    /// The domain.
    pub domain: u16,
    /// Whether a xenstore daemon knows of it.
    pub in_store: bool,
    /// Whether its weight and its cap, if it was given any, have an effect.
    pub has_shares: bool,
}

/// Creates a domain for the guest `config`, ready to be unpaused.
///
/// # Errors
/// The first thing that failed; then there is no such domain.
pub fn build(
    xen: &Xen,
    uuid: Uuid,
    config: &GuestConfig,
    cache: &Path,
    room: Autoballoon,
) -> Result<Built, BuildError> {
    let elf = kernel::load(&config.kernel, cache)?;
    let image =
        Image::parse(&elf).map_err(|cause| BuildError::Kernel { path: config.kernel.clone(), cause })?;
    let ramdisk = config.ramdisk.as_deref().map(kernel::ramdisk).transpose()?;
    let plan = Plan::new(config, &image, ramdisk.as_deref())
        .map_err(|cause| BuildError::Layout { memory: config.memory, cause })?;

    let why = balloon::make_room(xen, needed(&plan), room)?;
    if xen.free_pages()? < needed(&plan) {
        return Err(too_little(xen, config, &plan, why));
    }
    let pool = pools::find(xen, config.pool.as_deref().unwrap_or("0")).map_err(BuildError::Pool)?;
    let cards: Vec<Card<'_>> =
        (0..).zip(&config.nics).map(|(number, nic)| Card::new(nic, number, uuid)).collect();
    cards.iter().try_for_each(Card::check).map_err(BuildError::Device)?;
    let domain = Unfinished { xen, id: xen.create_domain(uuid, config, pool.info.id)?, uuid };
    let has_shares = schedule(&domain, config, &pool.info.cpus)?;
    fill(&domain, config, &plan)?;
    let (store, console) = link(xen, domain.id)?;
    let nodes = Nodes { domain: domain.id, uuid, config, store, console };
    let told = with_daemon(|client| nodes.publish(client)).map_err(BuildError::Store)?;
    for disk in &config.disks {
        attach(xen, domain.id, disk).map_err(BuildError::Device)?;
    }
    for card in &cards {
        attach(xen, domain.id, card).map_err(BuildError::Device)?;
    }
    Ok(Built { domain: domain.finish(), in_store: told.is_some(), has_shares })
}

/// Pages of a guest at its start: its RAM, the ACPI tables, and those that it shares with the daemons.
fn needed(plan: &Plan<'_>) -> u64 {
    plan.ram.frames() + plan.acpi_pages + 2
}

fn too_little(xen: &Xen, config: &GuestConfig, plan: &Plan<'_>, why: Option<String>) -> BuildError {
    let free = xen.free_pages().unwrap_or_default();
    let short = needed(plan).saturating_sub(free).div_ceil(256);
    BuildError::Memory { wanted: config.memory, free: free >> 8, short, why }
}

/// A domain that is destroyed unless it is finished.
struct Unfinished<'a> {
    xen: &'a Xen,
    id: u16,
    uuid: Uuid,
}

impl Unfinished<'_> {
    fn finish(self) -> u16 {
        std::mem::ManuallyDrop::new(self).id
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // The error that led here is the one worth reporting. Should even this fail, the record of the guest
        // stays, and whoever looks at it next tries again.
        let _ = self.xen.destroy_domain(self.id);
        nic::undo(self.id, None);
        let _ = with_daemon(|client| withdraw(client, self.id, self.uuid));
    }
}

/// Makes the vCPUs, and says where they run and how much; gives whether the hypervisor listens to the latter.
fn schedule(domain: &Unfinished<'_>, config: &GuestConfig, pool: &CpuSet) -> Result<bool, BuildError> {
    let Unfinished { xen, id, .. } = *domain;
    xen.max_vcpus(id, config.maxvcpus)?;
    if !config.cpus.is_empty() {
        for (vcpu, list) in (0..).zip(&config.cpus) {
            let cpus = list.on(pool).map_err(|cause| BuildError::Cpus { list: list.clone(), cause })?;
            xen.pin(id, vcpu, &cpus)?;
        }
    }
    if config.cpu_weight.is_some() || config.cap.is_some() {
        // Guest files go on working under `sched=null`, as they do with xl.
        if xen.scheduler()? == SCHEDULER_NULL {
            return Ok(false);
        }
        xen.set_shares(id, config.cpu_weight, config.cap)?;
    }
    Ok(true)
}

fn fill(domain: &Unfinished<'_>, config: &GuestConfig, plan: &Plan<'_>) -> Result<(), BuildError> {
    let Unfinished { xen, id, .. } = *domain;
    xen.set_paging_memory(id, paging_mib(config))?;
    xen.max_mem(id, config.maxmem * 1024 + SLACK_KIB)?;
    // From here on nobody takes its memory away while it is filled.
    xen.claim(id, needed(plan))
        .map_err(|e| if e.is(Errno::ENOMEM) { too_little(xen, config, plan, None) } else { e.into() })?;

    let page = |first, count| ExtentRun { first, order: 0, count };
    let shared = [page(HOLE_START / PAGE, plan.acpi_pages), page(XENSTORE_GFN, 1), page(CONSOLE_GFN, 1)];
    for run in plan.ram.extents().into_iter().chain(shared) {
        xen.populate(id, run).map_err(|cause| {
            let free = xen.physinfo().map_or(0, |host| host.free_pages >> 8);
            BuildError::Populate { wanted: config.memory, free, cause }
        })?;
    }
    xen.claim(id, 0)?;
    for piece in &plan.pieces {
        write(xen, id, piece)?;
    }
    xen.set_memory_map(id, &plan.map)?;
    let signature = std::arch::x86_64::__cpuid(1).eax;
    xen.set_hvm_context(id, &vcpu::records(plan.entry, plan.start_info, signature))?;
    Ok(())
}

/// The memory that xl sets aside for a guest's nested page tables, MiB.
fn paging_mib(config: &GuestConfig) -> u32 {
    let kib = 4 * (256 * u64::from(config.maxvcpus) + 2 * config.maxmem);
    u32::try_from(kib.div_ceil(1024)).unwrap_or(u32::MAX)
}

/// Copies a piece to guest memory; its pages are mapped only meanwhile.
fn write(xen: &Xen, domain: u16, piece: &Piece<'_>) -> Result<(), XenError> {
    let mut address = piece.address;
    let mut rest = &*piece.bytes;
    while !rest.is_empty() {
        let (first, offset) = (address / PAGE, address % PAGE);
        let count = (MAP_FRAMES * PAGE - offset).min(rest.len() as u64);
        let gfns: Vec<u64> = (first..(address + count).div_ceil(PAGE)).collect();
        let (now, later) = rest.split_at(count as usize);
        Mapping::foreign(xen.privcmd(), domain, &gfns)?.write(offset as usize, now);
        rest = later;
        address += count;
    }
    Ok(())
}

/// Sets up the pages and event channels between the guest and the two daemons, and lets the daemons map the
/// pages by the grant references that are reserved for them.
fn link(xen: &Xen, domain: u16) -> Result<(Link, Link), XenError> {
    let grants = Mapping::resource(
        xen.privcmd(),
        domain,
        RESOURCE_GRANT_TABLE.into(),
        RESOURCE_GRANT_TABLE_ID_SHARED,
        1,
    )?;
    let link = |gfn: u64, pfn_param, port_param, reference: u32| {
        let port = xen.alloc_unbound(domain, DOM0)?;
        xen.set_param(domain, pfn_param, gfn)?;
        xen.set_param(domain, port_param, port.into())?;
        let entry = EntryV1 { flags: EntryFlags::PERMIT_ACCESS, domid: DOM0, frame: gfn as u32 };
        grants.write(reference as usize * size_of::<EntryV1>(), entry.as_bytes());
        Ok(Link { gfn, port })
    };
    let store = link(XENSTORE_GFN, PARAM_STORE_PFN, PARAM_STORE_EVTCHN, RESERVED_XENSTORE)?;
    let console = link(CONSOLE_GFN, PARAM_CONSOLE_PFN, PARAM_CONSOLE_EVTCHN, RESERVED_CONSOLE)?;
    Ok((store, console))
}

/// Tells a xenstore daemon that was started after the guest was created. Returns whether it had to be told.
///
/// # Errors
/// As the hypervisor and the daemon say.
pub fn publish_late(
    xen: &Xen,
    client: &mut Client,
    domain: u16,
    uuid: Uuid,
    config: &GuestConfig,
) -> Result<bool, BuildError> {
    let port = |param| Ok::<_, XenError>(xen.param(domain, param)? as u32);
    let known = client.find(Tx::NONE, &format!("/local/domain/{domain}/domid")).map_err(BuildError::Store)?;
    if known.is_some() {
        return Ok(false);
    }
    let store = Link { gfn: XENSTORE_GFN, port: port(PARAM_STORE_EVTCHN)? };
    let console = Link { gfn: CONSOLE_GFN, port: port(PARAM_CONSOLE_EVTCHN)? };
    let nodes = Nodes { domain, uuid, config, store, console };
    nodes.publish(client).map_err(BuildError::Store)?;
    Ok(true)
}
