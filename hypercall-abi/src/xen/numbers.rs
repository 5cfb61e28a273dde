//! Numbers: hypercalls, virtual interrupts, domain ids, assists, start-of-day flags.

use crate::layout::{constants, flags};

/// A domain's 16-byte name for the tools (`xen_domain_handle_t`).
pub type DomainHandle = [u8; 16];

constants! {
    /// PV only.
    HYPERCALL_SET_TRAP_TABLE: u32 = 0, "__HYPERVISOR_set_trap_table";
    /// PV only.
    HYPERCALL_MMU_UPDATE: u32 = 1, "__HYPERVISOR_mmu_update";
    /// PV only.
    HYPERCALL_SET_GDT: u32 = 2, "__HYPERVISOR_set_gdt";
    /// PV only.
    HYPERCALL_STACK_SWITCH: u32 = 3, "__HYPERVISOR_stack_switch";
    /// PV only.
    HYPERCALL_SET_CALLBACKS: u32 = 4, "__HYPERVISOR_set_callbacks";
    /// PV only.
    HYPERCALL_FPU_TASKSWITCH: u32 = 5, "__HYPERVISOR_fpu_taskswitch";
    /// The scheduler call's first form.
    HYPERCALL_SCHED_OP_COMPAT: u32 = 6, "__HYPERVISOR_sched_op_compat";
    /// [`platform`](crate::platform).
    HYPERCALL_PLATFORM_OP: u32 = 7, "__HYPERVISOR_platform_op";
    /// PV only.
    HYPERCALL_SET_DEBUGREG: u32 = 8, "__HYPERVISOR_set_debugreg";
    /// PV only.
    HYPERCALL_GET_DEBUGREG: u32 = 9, "__HYPERVISOR_get_debugreg";
    /// PV only.
    HYPERCALL_UPDATE_DESCRIPTOR: u32 = 10, "__HYPERVISOR_update_descriptor";
    /// [`memory`](crate::memory).
    HYPERCALL_MEMORY_OP: u32 = 12, "__HYPERVISOR_memory_op";
    /// Several calls at once: an array of [`MulticallEntry`](super::MulticallEntry) and its length.
    HYPERCALL_MULTICALL: u32 = 13, "__HYPERVISOR_multicall";
    /// PV only.
    HYPERCALL_UPDATE_VA_MAPPING: u32 = 14, "__HYPERVISOR_update_va_mapping";
    /// The caller's timer: absolute system time in ns, 0 stops it.
    HYPERCALL_SET_TIMER_OP: u32 = 15, "__HYPERVISOR_set_timer_op";
    /// The event channel call's first form.
    HYPERCALL_EVENT_CHANNEL_OP_COMPAT: u32 = 16, "__HYPERVISOR_event_channel_op_compat";
    /// [`version`](crate::version).
    HYPERCALL_XEN_VERSION: u32 = 17, "__HYPERVISOR_xen_version";
    /// [`CONSOLEIO_WRITE`] and [`CONSOLEIO_READ`].
    HYPERCALL_CONSOLE_IO: u32 = 18, "__HYPERVISOR_console_io";
    /// The physdev call's first form.
    HYPERCALL_PHYSDEV_OP_COMPAT: u32 = 19, "__HYPERVISOR_physdev_op_compat";
    /// [`grant_table`](crate::grant_table).
    HYPERCALL_GRANT_TABLE_OP: u32 = 20, "__HYPERVISOR_grant_table_op";
    /// Switches a `VMASST_TYPE_*` on or off.
    HYPERCALL_VM_ASSIST: u32 = 21, "__HYPERVISOR_vm_assist";
    /// PV only.
    HYPERCALL_UPDATE_VA_MAPPING_OTHERDOMAIN: u32 = 22, "__HYPERVISOR_update_va_mapping_otherdomain";
    /// PV only.
    HYPERCALL_IRET: u32 = 23, "__HYPERVISOR_iret";
    /// [`vcpu`](crate::vcpu).
    HYPERCALL_VCPU_OP: u32 = 24, "__HYPERVISOR_vcpu_op";
    /// PV only.
    HYPERCALL_SET_SEGMENT_BASE: u32 = 25, "__HYPERVISOR_set_segment_base";
    /// PV only.
    HYPERCALL_MMUEXT_OP: u32 = 26, "__HYPERVISOR_mmuext_op";
    /// Security modules.
    HYPERCALL_XSM_OP: u32 = 27, "__HYPERVISOR_xsm_op";
    /// PV only.
    HYPERCALL_NMI_OP: u32 = 28, "__HYPERVISOR_nmi_op";
    /// [`sched`](crate::sched).
    HYPERCALL_SCHED_OP: u32 = 29, "__HYPERVISOR_sched_op";
    /// PV only.
    HYPERCALL_CALLBACK_OP: u32 = 30, "__HYPERVISOR_callback_op";
    /// Profiling.
    HYPERCALL_XENOPROF_OP: u32 = 31, "__HYPERVISOR_xenoprof_op";
    /// [`event_channel`](crate::event_channel).
    HYPERCALL_EVENT_CHANNEL_OP: u32 = 32, "__HYPERVISOR_event_channel_op";
    /// [`physdev`](crate::physdev).
    HYPERCALL_PHYSDEV_OP: u32 = 33, "__HYPERVISOR_physdev_op";
    /// [`hvm`](crate::hvm).
    HYPERCALL_HVM_OP: u32 = 34, "__HYPERVISOR_hvm_op";
    /// [`sysctl`](crate::sysctl).
    HYPERCALL_SYSCTL: u32 = 35, "__HYPERVISOR_sysctl";
    /// [`domctl`](crate::domctl).
    HYPERCALL_DOMCTL: u32 = 36, "__HYPERVISOR_domctl";
    /// Crash kernels.
    HYPERCALL_KEXEC_OP: u32 = 37, "__HYPERVISOR_kexec_op";
    /// Transcendent memory, long gone.
    HYPERCALL_TMEM_OP: u32 = 38, "__HYPERVISOR_tmem_op";
    /// Argo messages.
    HYPERCALL_ARGO_OP: u32 = 39, "__HYPERVISOR_argo_op";
    /// Performance counters.
    HYPERCALL_XENPMU_OP: u32 = 40, "__HYPERVISOR_xenpmu_op";
    /// Device models.
    HYPERCALL_DM_OP: u32 = 41, "__HYPERVISOR_dm_op";
    /// The hypervisor's tree of settings.
    HYPERCALL_HYPFS_OP: u32 = 42, "__HYPERVISOR_hypfs_op";
    /// First of the eight numbers left to the architecture.
    HYPERCALL_ARCH_0: u32 = 48, "__HYPERVISOR_arch_0";
    /// Last of the eight numbers left to the architecture.
    HYPERCALL_ARCH_7: u32 = 55, "__HYPERVISOR_arch_7";

    /// Per vCPU: the timer fired or the time base moved.
    VIRQ_TIMER: u32 = 0, "VIRQ_TIMER";
    /// Per vCPU: a request to dump state.
    VIRQ_DEBUG: u32 = 1, "VIRQ_DEBUG";
    /// Global: input on the emergency console.
    VIRQ_CONSOLE: u32 = 2, "VIRQ_CONSOLE";
    /// Global: some domain changed its state (shut down, died).
    VIRQ_DOM_EXC: u32 = 3, "VIRQ_DOM_EXC";
    /// Global: the trace buffer has records.
    VIRQ_TBUF: u32 = 4, "VIRQ_TBUF";
    /// Global: a domain paused for its debugger.
    VIRQ_DEBUGGER: u32 = 6, "VIRQ_DEBUGGER";
    /// Per vCPU: a profiling sample.
    VIRQ_XENOPROF: u32 = 7, "VIRQ_XENOPROF";
    /// Global: the hypervisor's console ring grew.
    VIRQ_CON_RING: u32 = 8, "VIRQ_CON_RING";
    /// Global: a physical CPU came or went.
    VIRQ_PCPU_STATE: u32 = 9, "VIRQ_PCPU_STATE";
    /// Global: a memory event.
    VIRQ_MEM_EVENT: u32 = 10, "VIRQ_MEM_EVENT";
    /// Global: an Argo message.
    VIRQ_ARGO: u32 = 11, "VIRQ_ARGO";
    /// Global: the hypervisor runs low on memory.
    VIRQ_ENOMEM: u32 = 12, "VIRQ_ENOMEM";
    /// Per vCPU: a performance counter overflowed.
    VIRQ_XENPMU: u32 = 13, "VIRQ_XENPMU";
    /// First of the architecture's own; on x86 the machine check.
    VIRQ_ARCH_0: u32 = 16, "VIRQ_ARCH_0";
    /// How many virtual interrupts there are.
    NR_VIRQS: u32 = 24, "NR_VIRQS";

    /// From here on, domain ids are names with a meaning.
    DOMID_FIRST_RESERVED: u16 = 0x7ff0, "DOMID_FIRST_RESERVED";
    /// The caller itself.
    DOMID_SELF: u16 = 0x7ff0, "DOMID_SELF";
    /// The owner of I/O memory.
    DOMID_IO: u16 = 0x7ff1, "DOMID_IO";
    /// The hypervisor, for the memory that it shares.
    DOMID_XEN: u16 = 0x7ff2, "DOMID_XEN";
    /// The owner of shared copy-on-write pages.
    DOMID_COW: u16 = 0x7ff3, "DOMID_COW";
    /// Nobody.
    DOMID_INVALID: u16 = 0x7ff4, "DOMID_INVALID";
    /// The idle domain.
    DOMID_IDLE: u16 = 0x7fff, "DOMID_IDLE";
    /// The bits of a domain id.
    DOMID_MASK: u16 = 0x7fff, "DOMID_MASK";

    /// Writes `count` bytes of a buffer to the console.
    CONSOLEIO_WRITE: u32 = 0, "CONSOLEIO_write";
    /// Reads up to `count` bytes from the console into a buffer.
    CONSOLEIO_READ: u32 = 1, "CONSOLEIO_read";

    /// Switches an assist on.
    VMASST_CMD_ENABLE: u32 = 0, "VMASST_CMD_enable";
    /// Switches an assist off.
    VMASST_CMD_DISABLE: u32 = 1, "VMASST_CMD_disable";
    /// PV only.
    VMASST_TYPE_4GB_SEGMENTS: u32 = 0, "VMASST_TYPE_4gb_segments";
    /// PV only.
    VMASST_TYPE_4GB_SEGMENTS_NOTIFY: u32 = 1, "VMASST_TYPE_4gb_segments_notify";
    /// PV only.
    VMASST_TYPE_WRITABLE_PAGETABLES: u32 = 2, "VMASST_TYPE_writable_pagetables";
    /// PV only.
    VMASST_TYPE_PAE_EXTENDED_CR3: u32 = 3, "VMASST_TYPE_pae_extended_cr3";
    /// PV only.
    VMASST_TYPE_ARCHITECTURAL_IOPL: u32 = 4, "VMASST_TYPE_architectural_iopl";
    /// Mark updates of a runstate area with [`RUNSTATE_UPDATE`](crate::vcpu::RUNSTATE_UPDATE).
    VMASST_TYPE_RUNSTATE_UPDATE_FLAG: u32 = 5, "VMASST_TYPE_runstate_update_flag";
    /// PV only.
    VMASST_TYPE_M2P_STRICT: u32 = 32, "VMASST_TYPE_m2p_strict";

    /// vCPUs that have a place in the shared info page; the others register theirs.
    LEGACY_MAX_VCPUS: u32 = 32, "XEN_LEGACY_MAX_VCPUS";
    /// The newest interface these layouts describe.
    LATEST_INTERFACE_VERSION: u32 = 0x0004_0e00, "__XEN_LATEST_INTERFACE_VERSION__";
    /// Writing a byte here puts it on the hypervisor's console.
    HVM_DEBUGCONS_IOPORT: u16 = 0xe9, "XEN_HVM_DEBUGCONS_IOPORT";
}

flags! {
    /// What a starting domain is told about itself (`start_info.flags`).
    struct StartFlags: u32 {
        /// The domain may use privileged calls.
        const PRIVILEGED = 1 << 0, "SIF_PRIVILEGED";
        /// The domain is the first control domain.
        const INITDOMAIN = 1 << 1, "SIF_INITDOMAIN";
        /// `mod_start` is a multiboot module.
        const MULTIBOOT_MOD = 1 << 2, "SIF_MULTIBOOT_MOD";
        /// `mod_start` is a frame number.
        const MOD_START_PFN = 1 << 3, "SIF_MOD_START_PFN";
        /// The tools understand a virtually mapped p2m list.
        const VIRT_P2M_4TOOLS = 1 << 4, "SIF_VIRT_P2M_4TOOLS";
        /// Power management options.
        const PM_MASK = 0xff << 8, "SIF_PM_MASK";
    }

    /// Properties of a [`VcpuTimeInfo`](super::VcpuTimeInfo).
    struct PvclockFlags: u8 {
        /// Times read on different vCPUs never run backwards.
        const TSC_STABLE = 1 << 0, "XEN_PVCLOCK_TSC_STABLE_BIT";
        /// The guest was stopped for a while.
        const GUEST_STOPPED = 1 << 1, "XEN_PVCLOCK_GUEST_STOPPED";
    }
}
