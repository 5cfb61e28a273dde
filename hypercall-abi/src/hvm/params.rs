//! Parameters of a domain (`public/hvm/params.h`).

use crate::layout::{constants, flags};

constants! {
    /// How event upcalls reach vCPU 0: the kind in bits 63:56 (`CALLBACK_TYPE_*`), the rest as it says.
    PARAM_CALLBACK_IRQ: u32 = 0, "HVM_PARAM_CALLBACK_IRQ";
    /// The xenstore page's guest frame.
    PARAM_STORE_PFN: u32 = 1, "HVM_PARAM_STORE_PFN";
    /// The guest's port for xenstore.
    PARAM_STORE_EVTCHN: u32 = 2, "HVM_PARAM_STORE_EVTCHN";
    /// Obsolete.
    PARAM_PAE_ENABLED: u32 = 4, "HVM_PARAM_PAE_ENABLED";
    /// The default ioreq server's synchronous page.
    PARAM_IOREQ_PFN: u32 = 5, "HVM_PARAM_IOREQ_PFN";
    /// The default ioreq server's buffered page.
    PARAM_BUFIOREQ_PFN: u32 = 6, "HVM_PARAM_BUFIOREQ_PFN";
    /// Which Viridian enlightenments there are.
    PARAM_VIRIDIAN: u32 = 9, "HVM_PARAM_VIRIDIAN";
    /// How missed timer ticks are made up for: `TIMER_MODE_*`.
    PARAM_TIMER_MODE: u32 = 10, "HVM_PARAM_TIMER_MODE";
    /// Whether there is an HPET.
    PARAM_HPET_ENABLED: u32 = 11, "HVM_PARAM_HPET_ENABLED";
    /// The identity page table for guests without paging, on CPUs that need one.
    PARAM_IDENT_PT: u32 = 12, "HVM_PARAM_IDENT_PT";
    /// Obsolete.
    PARAM_DM_DOMAIN: u32 = 13, "HVM_PARAM_DM_DOMAIN";
    /// The ACPI sleep state; 0 or 3.
    PARAM_ACPI_S_STATE: u32 = 14, "HVM_PARAM_ACPI_S_STATE";
    /// The task state segment for real mode, on CPUs that need one.
    PARAM_VM86_TSS: u32 = 15, "HVM_PARAM_VM86_TSS";
    /// Whether periodic timers are aligned.
    PARAM_VPT_ALIGN: u32 = 16, "HVM_PARAM_VPT_ALIGN";
    /// The console page's guest frame.
    PARAM_CONSOLE_PFN: u32 = 17, "HVM_PARAM_CONSOLE_PFN";
    /// The guest's port for the console.
    PARAM_CONSOLE_EVTCHN: u32 = 18, "HVM_PARAM_CONSOLE_EVTCHN";
    /// Where the ACPI power management ports are: 0 or 1.
    PARAM_ACPI_IOPORTS_LOCATION: u32 = 19, "HVM_PARAM_ACPI_IOPORTS_LOCATION";
    /// Obsolete.
    PARAM_MEMORY_EVENT_CR0: u32 = 20, "HVM_PARAM_MEMORY_EVENT_CR0";
    /// Obsolete.
    PARAM_MEMORY_EVENT_CR3: u32 = 21, "HVM_PARAM_MEMORY_EVENT_CR3";
    /// Obsolete.
    PARAM_MEMORY_EVENT_CR4: u32 = 22, "HVM_PARAM_MEMORY_EVENT_CR4";
    /// Obsolete.
    PARAM_MEMORY_EVENT_INT3: u32 = 23, "HVM_PARAM_MEMORY_EVENT_INT3";
    /// Obsolete.
    PARAM_NESTEDHVM: u32 = 24, "HVM_PARAM_NESTEDHVM";
    /// Obsolete.
    PARAM_MEMORY_EVENT_SINGLE_STEP: u32 = 25, "HVM_PARAM_MEMORY_EVENT_SINGLE_STEP";
    /// The default ioreq server's port for buffered requests.
    PARAM_BUFIOREQ_EVTCHN: u32 = 26, "HVM_PARAM_BUFIOREQ_EVTCHN";
    /// The ring page of the pager.
    PARAM_PAGING_RING_PFN: u32 = 27, "HVM_PARAM_PAGING_RING_PFN";
    /// The ring page of the monitor.
    PARAM_MONITOR_RING_PFN: u32 = 28, "HVM_PARAM_MONITOR_RING_PFN";
    /// The ring page of memory sharing.
    PARAM_SHARING_RING_PFN: u32 = 29, "HVM_PARAM_SHARING_RING_PFN";
    /// Obsolete.
    PARAM_MEMORY_EVENT_MSR: u32 = 30, "HVM_PARAM_MEMORY_EVENT_MSR";
    /// The shutdown reason that a triple fault reports.
    PARAM_TRIPLE_FAULT_REASON: u32 = 31, "HVM_PARAM_TRIPLE_FAULT_REASON";
    /// The first page for ioreq servers.
    PARAM_IOREQ_SERVER_PFN: u32 = 32, "HVM_PARAM_IOREQ_SERVER_PFN";
    /// How many pages there are for ioreq servers.
    PARAM_NR_IOREQ_SERVER_PAGES: u32 = 33, "HVM_PARAM_NR_IOREQ_SERVER_PAGES";
    /// Where the VM generation id is.
    PARAM_VM_GENERATION_ID_ADDR: u32 = 34, "HVM_PARAM_VM_GENERATION_ID_ADDR";
    /// Who may use alternative guest-physical maps.
    PARAM_ALTP2M: u32 = 35, "HVM_PARAM_ALTP2M";
    /// Width of the FPU's saved instruction pointer in bytes: 8, 4, or 0 for automatic.
    PARAM_X87_FIP_WIDTH: u32 = 36, "HVM_PARAM_X87_FIP_WIDTH";
    /// [`PARAM_VM86_TSS`] with the size in the high half.
    PARAM_VM86_TSS_SIZED: u32 = 37, "HVM_PARAM_VM86_TSS_SIZED";
    /// Machine check capabilities.
    PARAM_MCA_CAP: u32 = 38, "HVM_PARAM_MCA_CAP";
    /// How many parameters there are.
    NR_PARAMS: u32 = 39, "HVM_NR_PARAMS";

    /// The bits of [`PARAM_CALLBACK_IRQ`] that hold the kind.
    CALLBACK_IRQ_TYPE_MASK: u64 = 0xff00_0000_0000_0000, "HVM_PARAM_CALLBACK_IRQ_TYPE_MASK";
    /// Bits 55:0 are a global interrupt; 0 means none.
    CALLBACK_TYPE_GSI: u8 = 0, "HVM_PARAM_CALLBACK_TYPE_GSI";
    /// A PCI interrupt: domain 47:32, bus 31:16, device and function 15:8, pin 1:0.
    CALLBACK_TYPE_PCI_INTX: u8 = 1, "HVM_PARAM_CALLBACK_TYPE_PCI_INTX";
    /// Bits 7:0 are a vector.
    CALLBACK_TYPE_VECTOR: u8 = 2, "HVM_PARAM_CALLBACK_TYPE_VECTOR";

    /// Time stands still while ticks are missing.
    TIMER_MODE_DELAY_FOR_MISSED_TICKS: u64 = 0, "HVMPTM_delay_for_missed_ticks";
    /// Missed ticks come in a burst.
    TIMER_MODE_NO_DELAY_FOR_MISSED_TICKS: u64 = 1, "HVMPTM_no_delay_for_missed_ticks";
    /// Missed ticks are lost.
    TIMER_MODE_NO_MISSED_TICKS_PENDING: u64 = 2, "HVMPTM_no_missed_ticks_pending";
    /// Missed ticks collapse into one.
    TIMER_MODE_ONE_MISSED_TICK_PENDING: u64 = 3, "HVMPTM_one_missed_tick_pending";
}

flags! {
    /// [`PARAM_MCA_CAP`].
    struct McaCapabilities: u64 {
        /// Machine checks of one CPU only.
        const LMCE = 1 << 0, "XEN_HVM_MCA_CAP_LMCE";
    }
}
