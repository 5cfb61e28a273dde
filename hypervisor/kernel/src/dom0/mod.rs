//! Building domain 0: a stock Linux kernel, started through its PVH entry, on the machine's own memory.
//!
//! Guest frame and machine frame are the same number throughout, so that devices can do DMA for it without an IOMMU.

mod load;
mod memory;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use guest_image::{Image, ImageError, Layout, LayoutError, Request};
use hypercall_abi::xen::StartFlags;
use tenon_core::cpuid::Policy;
use tenon_core::dom0_acpi::{Dom0Tables, HostTable, NoMadt};
use tenon_core::dom0_map::{Dom0Map, Span, TooManyEntries};
use tenon_core::domain::{BuildError, Domain, DomainConfig};
use tenon_core::frame::{Gaddr, Maddr, PAGE_SIZE};
use tenon_core::gnttab::Version;
use tenon_core::guest_cpu::{Gpr, Gprs, GuestCpu, SystemState};
use tenon_core::hardware::{HardwareDomain, IoApic};
use tenon_core::hypervisor::Hypervisor;
use tenon_core::ids::{DomId, PoolId};
use tenon_core::sync::{Class, Lock};
use tenon_core::vioapic::{VirtualIoApic, WINDOW};
use tenon_core::vlapic::APIC_PAGE;

use crate::acpi::acpi;
use crate::apic::io;
use crate::boot::BootInfo;
use crate::host::{self, Backend, Host};
use crate::iommu;
use load::Parts;
use memory::Memory;

/// The most event channel ports that domain 0 may open: what the FIFO ABI has.
const MAX_PORTS: u32 = (1 << 17) - 1;

tenon_core::errors! {
    /// Why domain 0 cannot be built.
    #[derive(Debug)]
    pub enum Dom0Error {
        /// The boot loader passed no module.
        NoKernel => "domain 0: the boot loader passed no kernel: name it as the first module";
        /// The kernel image.
        Image(why: ImageError) => "domain 0: kernel: {why}";
        /// The kernel does not fit its memory.
        Layout(why: LayoutError) => "domain 0: kernel: {why}";
        /// The machine has too little memory, or it is too scattered.
        Memory(what: String) => "domain 0: {what}";
        /// The domain itself.
        Build(why: BuildError) => "domain 0: {why}";
    }
    passes on {
        /// Its devices cannot be confined.
        Iommu(iommu::Failed);
        /// The memory map is too long to be told.
        Map(TooManyEntries);
        /// The machine's ACPI tables.
        Acpi(NoMadt);
    }
}

/// Builds domain 0 and lets its first vCPU run.
pub fn build<B: Backend>(hv: &Hypervisor<Host<B>>, info: &'static BootInfo) -> Result<(), Dom0Error> {
    let parts = Parts::take(info)?;
    let elf = guest_image::unpack(&parts.kernel, load::MAX_KERNEL).map_err(Dom0Error::Image)?;
    let image = Image::parse(&elf).map_err(Dom0Error::Image)?;

    let vcpus = vcpu_count(hv, info);
    let host_tables: Vec<HostTable<'_>> =
        acpi().tables.iter().map(|t| HostTable { address: t.address, bytes: &t.bytes }).collect();
    let tables = Dom0Tables::new(&host_tables, vcpus, true, |name, passed| {
        let name = String::from_utf8_lossy(&name).into_owned();
        log::debug!("ACPI table {name}: {}", if passed { "passed to domain 0" } else { "kept" });
    })?;

    let memory = Memory::claim(hv.machine, info, tables.size() as u64).map_err(Dom0Error::Memory)?;
    let map = Dom0Map::new(&info.firmware_map, memory.spans(), memory.acpi, emulated_windows());
    let entries = map.entries()?;
    let line = command_line(parts.command_line);
    let request = Request {
        memory_map: &entries,
        initrd_len: parts.initrd.as_ref().map_or(0, |initrd| initrd.len() as u64),
        command_line: line.as_bytes(),
        flags: StartFlags::PRIVILEGED | StartFlags::INITDOMAIN,
        rsdp: memory.acpi.start,
    };
    for entry in &entries {
        log::debug!("domain 0 map {:#x}+{:#x} {}", entry.addr, entry.size, entry.kind);
    }
    let layout = Layout::new(&image, &request).map_err(Dom0Error::Layout)?;

    let reserved = iommu::reserved(&map);
    let domain = create(hv, vcpus, &memory, map)?;
    let devices = iommu::Devices::of(&domain.memory)?;
    memory.give(&domain).map_err(Dom0Error::Memory)?;
    devices.reach(&domain.memory, &reserved)?;
    let put = |at: u64, bytes: &[u8]| {
        domain.memory.write(Gaddr(at), bytes).map_err(|fault| Dom0Error::Memory(fault.to_string()))
    };
    // What the segments do not fill is zero already.
    for segment in image.segments() {
        put(segment.paddr.wrapping_add(layout.offset), segment.data)?;
    }
    if let (Some(at), Some(initrd)) = (&layout.initrd, &parts.initrd) {
        put(at.start, initrd)?;
    }
    put(layout.start_info.start, &layout.start_info_bytes(&request))?;
    put(memory.acpi.start, &tables.place(Gaddr(memory.acpi.start)))?;
    *domain.memory_map.lock() =
        entries.iter().map(|e| tenon_core::hypercall::memory::e820(e.addr, e.size, e.kind)).collect();
    log::info!(
        "domain 0: {} vCPUs, {} MiB, kernel at {:#x}-{:#x}, initrd {} KiB, \"{line}\"",
        vcpus,
        memory.frames() >> 8,
        layout.kernel.start,
        layout.kernel.end,
        request.initrd_len >> 10
    );
    drop(parts);
    devices.confine()?;
    start(hv, &domain, &layout);
    Ok(())
}

fn vcpu_count<B: Backend>(hv: &Hypervisor<Host<B>>, info: &BootInfo) -> u32 {
    let cpus = hv.sched.pool_cpus(PoolId::ZERO).0.count_ones();
    let (min, max) = info.options.dom0_max_vcpus;
    cpus.max(min.unwrap_or(1)).min(max.unwrap_or(u32::MAX)).clamp(1, tenon_core::domain::MAX_VCPUS)
}

/// The kernel's command line: as given, and the bounce buffers that DMA needs while nothing translates for it.
fn command_line(given: &str) -> String {
    if iommu::is_used() {
        return String::from(given);
    }
    log::warn!(
        "no IOMMU is used: a device of domain 0 can reach all memory, Tenon's and the guests' included"
    );
    log::warn!("domain 0 bounces DMA to other domains' memory (swiotlb=force)");
    if given.split_whitespace().any(|word| word.starts_with("swiotlb=")) {
        return String::from(given);
    }
    format!("{given} swiotlb=force")
}

/// What is never mapped into domain 0: what Tenon emulates or keeps.
fn emulated_windows() -> Vec<Span> {
    let page = PAGE_SIZE as u64;
    let window = |at: Maddr, len: u64| Span { start: at.0, end: at.0 + len };
    let mut windows: Vec<Span> = io::all().map(|(apic, _)| window(apic.address, u64::from(WINDOW))).collect();
    windows.push(window(Maddr(APIC_PAGE), page));
    windows.extend(host::config_windows().map(|space| space.range()).map(|(at, len)| window(Maddr(at), len)));
    windows.extend(acpi().hpet.map(|at| window(at, page)));
    windows.extend(iommu::registers().map(|(at, len)| window(at, len)));
    windows
}

fn create<B: Backend>(
    hv: &Hypervisor<Host<B>>,
    vcpus: u32,
    memory: &Memory,
    map: Dom0Map<'static>,
) -> Result<Arc<Domain<Host<B>>>, Dom0Error> {
    let io_apics = io::all()
        .map(|(apic, lines)| IoApic {
            base: apic.address,
            state: Lock::new(Class::IoApic, VirtualIoApic::new(apic.id, apic.gsi_base, lines as usize)),
        })
        .collect();
    let config_space = host::config_windows().collect();
    let config = DomainConfig {
        handle: [0; 16],
        max_vcpus: vcpus,
        max_evtchn_port: MAX_PORTS,
        max_grant_frames: 64,
        max_grant_version: Version::Two,
        max_maptrack_frames: 1024,
        flags: 0,
        max_frames: memory.frames().min(u64::from(u32::MAX)) as u32,
    };
    let hardware = Box::new(
        HardwareDomain::new(map, io_apics, config_space)
            .map_err(|_| Dom0Error::Build(BuildError::OutOfMemory))?,
    );
    let policy = Policy::for_domain(hv.machine, hv.stable_tsc, DomId::ZERO, vcpus);
    let domain =
        Domain::new(hv.machine, DomId::ZERO, config, policy, Some(hardware)).map_err(Dom0Error::Build)?;
    hv.add_domain(&domain).map_err(Dom0Error::Build)?;
    Ok(domain)
}

/// Sets the first vCPU to the kernel's entry point and switches it on.
fn start<B: Backend>(hv: &Hypervisor<Host<B>>, domain: &Arc<Domain<Host<B>>>, layout: &Layout) {
    let Some(vcpu) = domain.vcpu_refs().next() else { return };
    let mut context = vcpu.context.lock();
    context.guest.set_system(&SystemState::pvh_entry());
    let mut gprs = Gprs { rip: layout.entry, rflags: 2, ..Gprs::default() };
    gprs.set(Gpr::Rbx, layout.start_info.start);
    *context.guest.gprs_mut() = gprs;
    drop(context);
    tenon_core::shared::publish_wall_clock(hv, domain);
    hv.bring_up(&vcpu);
}
