//! Creating a domain.

use hypercall_abi::domctl::{
    ArchDomainConfig, CreateDomain, CreateFlags, Domctl, EmulationFlags, GRANT_VERSION_MASK, MaxVcpus,
    MiscFlags,
};

use core::sync::atomic::Ordering;

use super::{Call, Machine, On, Outcome, Result, ensure, refuse};
use crate::cpuid::Policy;
use crate::domain::{Domain, DomainConfig};
use crate::gnttab::Version;
use crate::hv_log;
use crate::ids::DomId;

/// Pages of grant entries of a domain that asks for the default, as Xen's.
const GRANT_FRAMES: u32 = 64;
/// Pages of map tracking of a domain that asks for the default, as Xen's.
const MAPTRACK_FRAMES: u32 = 1024;
/// Pages of nested page tables for each vCPU, before the tools set a limit.
const TABLES_PER_VCPU: u32 = 256;
/// The most pages of either that a domain may have: 16 MiB of the hypervisor's memory.
const MAX_TABLE_FRAMES: u32 = 4096;

/// The flags that mean something for a PVH guest. `OOS_OFF` is about shadow paging, `XS_DOMAIN` is a mark for the tools.
const FLAGS: CreateFlags =
    CreateFlags::HVM.union(CreateFlags::HAP).union(CreateFlags::OOS_OFF).union(CreateFlags::XS_DOMAIN);

pub(super) fn create<M: Machine>(call: &mut Call<'_, M>, ctl: &mut Domctl) -> Result {
    let wanted: CreateDomain = ctl.payload();
    let config = check(&wanted)?;
    let hv = call.hv;
    hv.bury_the_dead();
    let asked = Some(DomId(ctl.domain)).filter(|id| *id != DomId::ZERO && id.is_real());
    let Some(id) = asked.or_else(|| hv.free_id()) else { refuse!(ENOMEM, "every domain number is in use") };
    let is_free = hv.domain(id).is_none() && hv.machine.table().owned_by(id) == 0;
    ensure!(is_free, EEXIST, "domain number {} is in use", id.0);
    let policy = Policy::for_domain(hv.machine, hv.stable_tsc, id, config.max_vcpus);
    let domain = Domain::new(hv.machine, id, config, policy, None)?;
    domain.pool.store(wanted.cpupool_id, Ordering::Relaxed);
    // Until the tools set another limit, what their own rule gives a domain with little memory.
    domain.memory.set_max_tables(TABLES_PER_VCPU * (config.max_vcpus + 1));
    // The tools let it run when it is built.
    hv.pause_domain(&domain);
    ensure!(hv.add_domain(&domain)?, EEXIST, "domain number {} is in use", id.0);
    hv_log!(hv, Debug, "{id} created, {} vCPUs", config.max_vcpus);
    ctl.domain = id.0;
    Ok(Outcome::OK)
}

/// Checks what the tools ask for, and says what of it there is not.
fn check(wanted: &CreateDomain) -> Result<DomainConfig> {
    let flags = wanted.flags;
    if !flags.contains(CreateFlags::HVM) {
        refuse!(EINVAL, "a classic paravirtualized domain: Tenon runs PVH domains only");
    }
    if !flags.contains(CreateFlags::HAP) {
        refuse!(EINVAL, "a domain without nested paging (hap): Tenon has no shadow paging");
    }
    for (flag, what) in [
        (CreateFlags::S3_INTEGRITY, "measured suspend"),
        (CreateFlags::IOMMU, "device assignment (passthrough)"),
        (CreateFlags::NESTED_VIRT, "nested virtualization"),
        (CreateFlags::VPMU, "virtual performance counters"),
    ] {
        ensure!(!flags.contains(flag), EINVAL, "{what} is not supported");
    }
    let unknown = flags.difference(FLAGS);
    ensure!(unknown.is_empty(), EINVAL, "domain flags {:#x} are not known", unknown.bits());
    ensure!(wanted.iommu_opts.is_empty(), EINVAL, "IOMMU options for a domain without device assignment");
    ensure!(wanted.vmtrace_size == 0, EINVAL, "processor trace is not supported");
    if wanted.grant_opts & !GRANT_VERSION_MASK != 0 {
        refuse!(EINVAL, "grant options {:#x} are not known", wanted.grant_opts);
    }
    let max_grant_version = match wanted.grant_opts & GRANT_VERSION_MASK {
        1 => Version::One,
        2 => Version::Two,
        version => refuse!(EINVAL, "grant table version {version} (max_grant_version): there are 1 and 2"),
    };
    check_arch(&wanted.arch)?;
    Ok(DomainConfig {
        handle: wanted.handle,
        max_vcpus: wanted.max_vcpus,
        max_evtchn_port: wanted.max_evtchn_port,
        max_grant_frames: frames(wanted.max_grant_frames, GRANT_FRAMES, "max_grant_frames")?,
        max_grant_version,
        max_maptrack_frames: frames(wanted.max_maptrack_frames, MAPTRACK_FRAMES, "max_maptrack_frames")?,
        flags: flags.bits(),
        max_frames: 0,
    })
}

fn check_arch(arch: &ArchDomainConfig) -> Result<()> {
    let emulated = arch.emulation_flags;
    if emulated != EmulationFlags::LAPIC {
        refuse!(
            EINVAL,
            "emulated devices {:#x}: a PVH domain has the local APIC ({:#x}) and nothing else",
            emulated.bits(),
            EmulationFlags::LAPIC.bits()
        );
    }
    let unknown = arch.misc_flags.difference(MiscFlags::MSR_RELAXED);
    ensure!(unknown.is_empty(), EINVAL, "architecture flags {:#x} are not known", unknown.bits());
    if arch.misc_flags.contains(MiscFlags::MSR_RELAXED) {
        refuse!(EOPNOTSUPP, "reading unknown MSRs as zero (msr_relaxed) is not supported");
    }
    Ok(())
}

/// A number of pages; negative asks for the default.
fn frames(wanted: i32, default: u32, what: &str) -> Result<u32> {
    match u32::try_from(wanted) {
        Err(_) => Ok(default),
        Ok(frames) if frames <= MAX_TABLE_FRAMES => Ok(frames),
        Ok(frames) => refuse!(EINVAL, "{what} is {frames} pages; {MAX_TABLE_FRAMES} are the most"),
    }
}

/// Creation has made the vCPUs already; the tools still say how many they want.
pub(super) fn max_vcpus<M: Machine>(on: &On<'_, M>, MaxVcpus { max }: MaxVcpus) -> Result<()> {
    let Domain { id, config, .. } = &*on.domain;
    ensure!(max == config.max_vcpus, EINVAL, "{id} was created with {} vCPUs, not {max}", config.max_vcpus);
    Ok(())
}

impl<M: Machine> Domain<M> {
    /// What is emulated for it, as the tools read it back.
    pub(super) fn arch_config(&self) -> ArchDomainConfig {
        let emulation_flags = match &self.hardware {
            Some(_) => EmulationFlags::LAPIC | EmulationFlags::IOAPIC | EmulationFlags::VPCI,
            None => EmulationFlags::LAPIC,
        };
        ArchDomainConfig { emulation_flags, ..ArchDomainConfig::default() }
    }
}
