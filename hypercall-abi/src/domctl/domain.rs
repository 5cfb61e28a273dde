//! A domain as a whole: creating it, asking about it, its time and its peers.

use crate::layout::{constants, flags, structs};
use crate::xen::{CtlBitmap, DomainHandle};

constants! {
    /// [`GetDomainInfo::max_vcpu_id`] of a domain that has no vCPU.
    INVALID_MAX_VCPU_ID: u32 = !0, "XEN_INVALID_MAX_VCPU_ID";
    /// Where [`DomInf`]'s shutdown reason begins.
    DOMINF_SHUTDOWN_SHIFT: u32 = 16, "XEN_DOMINF_shutdownshift";
    /// How wide it is, as a mask.
    DOMINF_SHUTDOWN_MASK: u32 = 255, "XEN_DOMINF_shutdownmask";
    /// The bits of [`CreateDomain::grant_opts`] with the highest grant table version.
    GRANT_VERSION_MASK: u32 = 0xf, "XEN_DOMCTL_GRANT_version_mask";

    /// [`SendTrigger::trigger`]: an NMI.
    SENDTRIGGER_NMI: u32 = 0, "XEN_DOMCTL_SENDTRIGGER_NMI";
    /// [`SendTrigger::trigger`]: a reset.
    SENDTRIGGER_RESET: u32 = 1, "XEN_DOMCTL_SENDTRIGGER_RESET";
    /// [`SendTrigger::trigger`]: INIT.
    SENDTRIGGER_INIT: u32 = 2, "XEN_DOMCTL_SENDTRIGGER_INIT";
    /// [`SendTrigger::trigger`]: the power button.
    SENDTRIGGER_POWER: u32 = 3, "XEN_DOMCTL_SENDTRIGGER_POWER";
    /// [`SendTrigger::trigger`]: the sleep button.
    SENDTRIGGER_SLEEP: u32 = 4, "XEN_DOMCTL_SENDTRIGGER_SLEEP";
}

flags! {
    /// [`CreateDomain::flags`].
    struct CreateFlags: u32 {
        /// Hardware virtualization: PVH and HVM.
        const HVM = 1 << 0, "XEN_DOMCTL_CDF_hvm";
        /// Nested paging.
        const HAP = 1 << 1, "XEN_DOMCTL_CDF_hap";
        /// Measured for suspend.
        const S3_INTEGRITY = 1 << 2, "XEN_DOMCTL_CDF_s3_integrity";
        /// Shadow paging: no out-of-sync pages.
        const OOS_OFF = 1 << 3, "XEN_DOMCTL_CDF_oos_off";
        /// This is the xenstore domain.
        const XS_DOMAIN = 1 << 4, "XEN_DOMCTL_CDF_xs_domain";
        /// Devices may be assigned.
        const IOMMU = 1 << 5, "XEN_DOMCTL_CDF_iommu";
        /// Nested virtualization.
        const NESTED_VIRT = 1 << 6, "XEN_DOMCTL_CDF_nested_virt";
        /// Performance counters.
        const VPMU = 1 << 7, "XEN_DOMCTL_CDF_vpmu";
    }

    /// [`CreateDomain::iommu_opts`].
    struct IommuOptions: u32 {
        /// The IOMMU has its own page tables.
        const NO_SHAREPT = 1 << 0, "XEN_DOMCTL_IOMMU_no_sharept";
    }

    /// [`ArchDomainConfig::emulation_flags`]: devices that the hypervisor emulates.
    struct EmulationFlags: u32 {
        /// The local APIC.
        const LAPIC = 1 << 0, "XEN_X86_EMU_LAPIC";
        /// The HPET.
        const HPET = 1 << 1, "XEN_X86_EMU_HPET";
        /// Power management.
        const PM = 1 << 2, "XEN_X86_EMU_PM";
        /// The clock.
        const RTC = 1 << 3, "XEN_X86_EMU_RTC";
        /// The I/O APIC.
        const IOAPIC = 1 << 4, "XEN_X86_EMU_IOAPIC";
        /// The interrupt controllers.
        const PIC = 1 << 5, "XEN_X86_EMU_PIC";
        /// VGA memory.
        const VGA = 1 << 6, "XEN_X86_EMU_VGA";
        /// An IOMMU.
        const IOMMU = 1 << 7, "XEN_X86_EMU_IOMMU";
        /// The interval timer.
        const PIT = 1 << 8, "XEN_X86_EMU_PIT";
        /// Physical interrupts through event channels.
        const USE_PIRQ = 1 << 9, "XEN_X86_EMU_USE_PIRQ";
        /// PCI.
        const VPCI = 1 << 10, "XEN_X86_EMU_VPCI";
    }

    /// [`ArchDomainConfig::misc_flags`].
    struct MiscFlags: u32 {
        /// Unknown MSRs read as 0 and ignore writes.
        const MSR_RELAXED = 1 << 0, "XEN_X86_MSR_RELAXED";
    }

    /// [`GetDomainInfo::flags`]; the shutdown reason is in bits 23:16.
    struct DomInf: u32 {
        /// Being destroyed.
        const DYING = 1 << 0, "XEN_DOMINF_dying";
        /// Hardware virtualization.
        const HVM_GUEST = 1 << 1, "XEN_DOMINF_hvm_guest";
        /// Shut down.
        const SHUTDOWN = 1 << 2, "XEN_DOMINF_shutdown";
        /// Paused by the tools.
        const PAUSED = 1 << 3, "XEN_DOMINF_paused";
        /// No vCPU has anything to do.
        const BLOCKED = 1 << 4, "XEN_DOMINF_blocked";
        /// A vCPU runs.
        const RUNNING = 1 << 5, "XEN_DOMINF_running";
        /// A debugger holds it.
        const DEBUGGED = 1 << 6, "XEN_DOMINF_debugged";
        /// This is the xenstore domain.
        const XS_DOMAIN = 1 << 7, "XEN_DOMINF_xs_domain";
        /// Nested paging.
        const HAP = 1 << 8, "XEN_DOMINF_hap";
    }
}

structs! {
    /// The x86 part of a domain's configuration (`public/arch-x86/xen.h`).
    struct ArchDomainConfig = "struct xen_arch_domainconfig" {
        emulation_flags: EmulationFlags,
        misc_flags: MiscFlags,
    }

    /// A new domain.
    struct CreateDomain = "struct xen_domctl_createdomain" {
        /// A security label.
        ssidref: u32,
        /// The tools' name for it.
        handle: DomainHandle,
        flags: CreateFlags,
        iommu_opts: IommuOptions,
        max_vcpus: u32,
        /// The highest event channel port.
        max_evtchn_port: u32,
        /// Pages of its grant table; negative for the default.
        max_grant_frames: i32,
        /// Pages of its table of mapped grants; negative for the default.
        max_maptrack_frames: i32,
        /// The highest grant table version.
        grant_opts: u32,
        /// Bytes of processor trace for each vCPU.
        vmtrace_size: u32,
        cpupool_id: u32,
        arch: ArchDomainConfig,
    }

    /// What a domain is and has.
    struct GetDomainInfo = "struct xen_domctl_getdomaininfo" {
        /// Its id.
        domain: u16,
        /// Zero.
        pad1: u16,
        flags: DomInf,
        /// Pages that it has.
        tot_pages: u64,
        /// Pages that it may have.
        max_pages: u64,
        /// Pages claimed for it.
        outstanding_pages: u64,
        /// Pages shared.
        shr_pages: u64,
        /// Pages paged out.
        paged_pages: u64,
        /// The shared info page's frame.
        shared_info_frame: u64,
        /// CPU time of all its vCPUs, in ns.
        cpu_time: u64,
        nr_online_vcpus: u32,
        /// The highest vCPU's id, or [`INVALID_MAX_VCPU_ID`].
        max_vcpu_id: u32,
        /// A security label.
        ssidref: u32,
        /// The tools' name for it.
        handle: DomainHandle,
        cpupool: u32,
        /// Width of guest-physical addresses.
        gpaddr_bits: u8,
        /// Zero.
        pad2: [u8; 7],
        arch_config: ArchDomainConfig,
    }

    /// How many vCPUs the domain may have.
    struct MaxVcpus = "struct xen_domctl_max_vcpus" {
        max: u32,
    }

    /// The tools' name for the domain.
    struct SetDomainHandle = "struct xen_domctl_setdomainhandle" {
        handle: DomainHandle,
    }

    /// Whether a debugger is attached.
    struct SetDebugging = "struct xen_domctl_setdebugging" {
        enable: u8,
    }

    /// NUMA nodes that the domain prefers.
    struct NodeAffinity = "struct xen_domctl_nodeaffinity" {
        nodemap: CtlBitmap,
    }

    /// Seconds by which the domain's wall clock differs from UTC.
    struct SetTimeOffset = "struct xen_domctl_settimeoffset" {
        time_offset_seconds: i64,
    }

    /// How the domain's TSC behaves.
    struct TscInfo = "struct xen_domctl_tsc_info" {
        /// 0 emulated if necessary, 1 emulated, 2 native, 3 native with TSC_AUX.
        tsc_mode: u32,
        /// Its frequency.
        gtsc_khz: u32,
        /// How often the domain was moved.
        incarnation: u32,
        /// Zero.
        pad: u32,
        /// Nanoseconds that its clock shows.
        elapsed_nsec: u64,
    }

    /// Sends something to a vCPU.
    struct SendTrigger = "struct xen_domctl_sendtrigger" {
        /// `SENDTRIGGER_*`.
        trigger: u32,
        vcpu: u32,
    }

    /// The port to notify when the domain is paused for its debugger.
    struct Subscribe = "struct xen_domctl_subscribe" {
        /// The caller's port; 0 ends it.
        port: u32,
    }

    /// The domain that this one serves as device model.
    struct SetTarget = "struct xen_domctl_set_target" {
        target: u16,
    }

    /// The global virtual interrupt that the domain handles from now on.
    struct SetVirqHandler = "struct xen_domctl_set_virq_handler" {
        virq: u32,
    }

    /// Switches a listener on or off.
    struct VmEventOp = "struct xen_domctl_vm_event_op" {
        op: u32,
        mode: u32,
        /// Out: the port, or the version.
        u: u32,
    }

    /// Width of the domain's addresses.
    struct AddressSize = "struct xen_domctl_address_size" {
        /// 32 or 64.
        size: u32,
    }
}

impl GetDomainInfo {
    /// Why the domain shut down (`SHUTDOWN_*` of `sched`); meaningful with [`DomInf::SHUTDOWN`].
    #[must_use]
    pub const fn shutdown_reason(&self) -> u32 {
        self.flags.bits() >> DOMINF_SHUTDOWN_SHIFT & DOMINF_SHUTDOWN_MASK
    }
}
