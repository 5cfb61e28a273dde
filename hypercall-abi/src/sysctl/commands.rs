//! The commands and what each takes.

use crate::layout::constants;

constants! {
    /// [`Sysctl::interface_version`](super::Sysctl::interface_version).
    INTERFACE_VERSION: u32 = 0x15, "XEN_SYSCTL_INTERFACE_VERSION";

    /// [`ReadConsole`](super::ReadConsole).
    READCONSOLE: u32 = 1, "XEN_SYSCTL_readconsole";
    /// [`TbufOp`](super::TbufOp).
    TBUF_OP: u32 = 2, "XEN_SYSCTL_tbuf_op";
    /// [`PhysInfo`](super::PhysInfo).
    PHYSINFO: u32 = 3, "XEN_SYSCTL_physinfo";
    /// [`SchedId`](super::SchedId).
    SCHED_ID: u32 = 4, "XEN_SYSCTL_sched_id";
    /// Performance counters.
    PERFC_OP: u32 = 5, "XEN_SYSCTL_perfc_op";
    /// [`GetDomainInfoList`](super::GetDomainInfoList).
    GETDOMAININFOLIST: u32 = 6, "XEN_SYSCTL_getdomaininfolist";
    /// [`DebugKeys`](super::DebugKeys).
    DEBUG_KEYS: u32 = 7, "XEN_SYSCTL_debug_keys";
    /// [`GetCpuInfo`](super::GetCpuInfo).
    GETCPUINFO: u32 = 8, "XEN_SYSCTL_getcpuinfo";
    /// [`AvailHeap`](super::AvailHeap).
    AVAILHEAP: u32 = 9, "XEN_SYSCTL_availheap";
    /// [`GetPmStat`](super::GetPmStat).
    GET_PMSTAT: u32 = 10, "XEN_SYSCTL_get_pmstat";
    /// [`CpuHotplug`](super::CpuHotplug).
    CPU_HOTPLUG: u32 = 11, "XEN_SYSCTL_cpu_hotplug";
    /// [`PmOp`](super::PmOp).
    PM_OP: u32 = 12, "XEN_SYSCTL_pm_op";
    /// Taking pages out of use.
    PAGE_OFFLINE_OP: u32 = 14, "XEN_SYSCTL_page_offline_op";
    /// Lock profiles.
    LOCKPROF_OP: u32 = 15, "XEN_SYSCTL_lockprof_op";
    /// [`CpuTopoInfo`](super::CpuTopoInfo).
    CPUTOPOINFO: u32 = 16, "XEN_SYSCTL_cputopoinfo";
    /// [`NumaInfo`](super::NumaInfo).
    NUMAINFO: u32 = 17, "XEN_SYSCTL_numainfo";
    /// [`CpupoolOp`](super::CpupoolOp).
    CPUPOOL_OP: u32 = 18, "XEN_SYSCTL_cpupool_op";
    /// [`SchedulerOp`](super::SchedulerOp).
    SCHEDULER_OP: u32 = 19, "XEN_SYSCTL_scheduler_op";
    /// Coverage.
    COVERAGE_OP: u32 = 20, "XEN_SYSCTL_coverage_op";
    /// [`PsrCmtOp`](super::PsrCmtOp).
    PSR_CMT_OP: u32 = 21, "XEN_SYSCTL_psr_cmt_op";
    /// [`PciTopoInfo`](super::PciTopoInfo).
    PCITOPOINFO: u32 = 22, "XEN_SYSCTL_pcitopoinfo";
    /// [`PsrAlloc`](super::PsrAlloc).
    PSR_ALLOC: u32 = 23, "XEN_SYSCTL_psr_alloc";
    /// [`CpuLevellingCaps`](super::CpuLevellingCaps).
    GET_CPU_LEVELLING_CAPS: u32 = 25, "XEN_SYSCTL_get_cpu_levelling_caps";
    /// [`CpuFeatureset`](super::CpuFeatureset).
    GET_CPU_FEATURESET: u32 = 26, "XEN_SYSCTL_get_cpu_featureset";
    /// Live patches.
    LIVEPATCH_OP: u32 = 27, "XEN_SYSCTL_livepatch_op";
    /// [`CpuPolicy`](super::CpuPolicy).
    GET_CPU_POLICY: u32 = 29, "XEN_SYSCTL_get_cpu_policy";
}
