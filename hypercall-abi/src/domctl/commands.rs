//! The commands and what each takes.

use crate::layout::constants;

constants! {
    /// [`Domctl::interface_version`](super::Domctl::interface_version).
    INTERFACE_VERSION: u32 = 0x15, "XEN_DOMCTL_INTERFACE_VERSION";

    /// [`CreateDomain`](super::CreateDomain); `domain` is the wanted id, or one that is not real for any.
    CREATEDOMAIN: u32 = 1, "XEN_DOMCTL_createdomain";
    /// No argument; may have to be repeated.
    DESTROYDOMAIN: u32 = 2, "XEN_DOMCTL_destroydomain";
    /// No argument; pauses nest.
    PAUSEDOMAIN: u32 = 3, "XEN_DOMCTL_pausedomain";
    /// No argument.
    UNPAUSEDOMAIN: u32 = 4, "XEN_DOMCTL_unpausedomain";
    /// Fills a [`GetDomainInfo`](super::GetDomainInfo); of the first domain with this id or a higher one.
    GETDOMAININFO: u32 = 5, "XEN_DOMCTL_getdomaininfo";
    /// [`VcpuAffinity`](super::VcpuAffinity).
    SETVCPUAFFINITY: u32 = 9, "XEN_DOMCTL_setvcpuaffinity";
    /// [`ShadowOp`](super::ShadowOp).
    SHADOW_OP: u32 = 10, "XEN_DOMCTL_shadow_op";
    /// [`MaxMem`](super::MaxMem).
    MAX_MEM: u32 = 11, "XEN_DOMCTL_max_mem";
    /// [`VcpuContext`](super::VcpuContext).
    SETVCPUCONTEXT: u32 = 12, "XEN_DOMCTL_setvcpucontext";
    /// [`VcpuContext`](super::VcpuContext).
    GETVCPUCONTEXT: u32 = 13, "XEN_DOMCTL_getvcpucontext";
    /// [`GetVcpuInfo`](super::GetVcpuInfo).
    GETVCPUINFO: u32 = 14, "XEN_DOMCTL_getvcpuinfo";
    /// [`MaxVcpus`](super::MaxVcpus).
    MAX_VCPUS: u32 = 15, "XEN_DOMCTL_max_vcpus";
    /// [`SchedulerOp`](super::SchedulerOp).
    SCHEDULER_OP: u32 = 16, "XEN_DOMCTL_scheduler_op";
    /// [`SetDomainHandle`](super::SetDomainHandle).
    SETDOMAINHANDLE: u32 = 17, "XEN_DOMCTL_setdomainhandle";
    /// [`SetDebugging`](super::SetDebugging).
    SETDEBUGGING: u32 = 18, "XEN_DOMCTL_setdebugging";
    /// [`IrqPermission`](super::IrqPermission).
    IRQ_PERMISSION: u32 = 19, "XEN_DOMCTL_irq_permission";
    /// [`IomemPermission`](super::IomemPermission).
    IOMEM_PERMISSION: u32 = 20, "XEN_DOMCTL_iomem_permission";
    /// [`IoportPermission`](super::IoportPermission).
    IOPORT_PERMISSION: u32 = 21, "XEN_DOMCTL_ioport_permission";
    /// [`HypercallInit`](super::HypercallInit).
    HYPERCALL_INIT: u32 = 22, "XEN_DOMCTL_hypercall_init";
    /// [`SetTimeOffset`](super::SetTimeOffset).
    SETTIMEOFFSET: u32 = 24, "XEN_DOMCTL_settimeoffset";
    /// [`VcpuAffinity`](super::VcpuAffinity).
    GETVCPUAFFINITY: u32 = 25, "XEN_DOMCTL_getvcpuaffinity";
    /// Not on x86.
    REAL_MODE_AREA: u32 = 26, "XEN_DOMCTL_real_mode_area";
    /// No argument: a domain that shut down goes on.
    RESUMEDOMAIN: u32 = 27, "XEN_DOMCTL_resumedomain";
    /// [`SendTrigger`](super::SendTrigger).
    SENDTRIGGER: u32 = 28, "XEN_DOMCTL_sendtrigger";
    /// [`Subscribe`](super::Subscribe).
    SUBSCRIBE: u32 = 29, "XEN_DOMCTL_subscribe";
    /// [`HvmContext`](super::HvmContext).
    GETHVMCONTEXT: u32 = 33, "XEN_DOMCTL_gethvmcontext";
    /// [`HvmContext`](super::HvmContext).
    SETHVMCONTEXT: u32 = 34, "XEN_DOMCTL_sethvmcontext";
    /// [`AddressSize`](super::AddressSize).
    SET_ADDRESS_SIZE: u32 = 35, "XEN_DOMCTL_set_address_size";
    /// [`AddressSize`](super::AddressSize).
    GET_ADDRESS_SIZE: u32 = 36, "XEN_DOMCTL_get_address_size";
    /// [`AssignDevice`](super::AssignDevice).
    ASSIGN_DEVICE: u32 = 37, "XEN_DOMCTL_assign_device";
    /// [`BindPtIrq`](super::BindPtIrq).
    BIND_PT_IRQ: u32 = 38, "XEN_DOMCTL_bind_pt_irq";
    /// [`MemoryMapping`](super::MemoryMapping).
    MEMORY_MAPPING: u32 = 39, "XEN_DOMCTL_memory_mapping";
    /// [`IoportMapping`](super::IoportMapping).
    IOPORT_MAPPING: u32 = 40, "XEN_DOMCTL_ioport_mapping";
    /// [`ExtVcpuContext`](super::ExtVcpuContext).
    SET_EXT_VCPUCONTEXT: u32 = 42, "XEN_DOMCTL_set_ext_vcpucontext";
    /// [`ExtVcpuContext`](super::ExtVcpuContext).
    GET_EXT_VCPUCONTEXT: u32 = 43, "XEN_DOMCTL_get_ext_vcpucontext";
    /// Obsolete.
    SET_OPT_FEATURE: u32 = 44, "XEN_DOMCTL_set_opt_feature";
    /// [`AssignDevice`](super::AssignDevice).
    TEST_ASSIGN_DEVICE: u32 = 45, "XEN_DOMCTL_test_assign_device";
    /// [`SetTarget`](super::SetTarget).
    SET_TARGET: u32 = 46, "XEN_DOMCTL_set_target";
    /// [`AssignDevice`](super::AssignDevice).
    DEASSIGN_DEVICE: u32 = 47, "XEN_DOMCTL_deassign_device";
    /// [`BindPtIrq`](super::BindPtIrq).
    UNBIND_PT_IRQ: u32 = 48, "XEN_DOMCTL_unbind_pt_irq";
    /// [`GetDeviceGroup`](super::GetDeviceGroup).
    GET_DEVICE_GROUP: u32 = 50, "XEN_DOMCTL_get_device_group";
    /// [`DebugOp`](super::DebugOp).
    DEBUG_OP: u32 = 54, "XEN_DOMCTL_debug_op";
    /// [`HvmContextPartial`](super::HvmContextPartial).
    GETHVMCONTEXT_PARTIAL: u32 = 55, "XEN_DOMCTL_gethvmcontext_partial";
    /// [`VmEventOp`](super::VmEventOp).
    VM_EVENT_OP: u32 = 56, "XEN_DOMCTL_vm_event_op";
    /// [`MemSharingOp`](super::MemSharingOp).
    MEM_SHARING_OP: u32 = 57, "XEN_DOMCTL_mem_sharing_op";
    /// [`TscInfo`](super::TscInfo).
    GETTSCINFO: u32 = 59, "XEN_DOMCTL_gettscinfo";
    /// [`TscInfo`](super::TscInfo).
    SETTSCINFO: u32 = 60, "XEN_DOMCTL_settscinfo";
    /// [`GetPageFrameInfo3`](super::GetPageFrameInfo3).
    GETPAGEFRAMEINFO3: u32 = 61, "XEN_DOMCTL_getpageframeinfo3";
    /// [`VcpuExtState`](super::VcpuExtState).
    SETVCPUEXTSTATE: u32 = 62, "XEN_DOMCTL_setvcpuextstate";
    /// [`VcpuExtState`](super::VcpuExtState).
    GETVCPUEXTSTATE: u32 = 63, "XEN_DOMCTL_getvcpuextstate";
    /// A byte: whether a listener is required.
    SET_ACCESS_REQUIRED: u32 = 64, "XEN_DOMCTL_set_access_required";
    /// [`AuditP2m`](super::AuditP2m).
    AUDIT_P2M: u32 = 65, "XEN_DOMCTL_audit_p2m";
    /// [`SetVirqHandler`](super::SetVirqHandler).
    SET_VIRQ_HANDLER: u32 = 66, "XEN_DOMCTL_set_virq_handler";
    /// A guest frame (`u64`).
    SET_BROKEN_PAGE_P2M: u32 = 67, "XEN_DOMCTL_set_broken_page_p2m";
    /// [`NodeAffinity`](super::NodeAffinity).
    SETNODEAFFINITY: u32 = 68, "XEN_DOMCTL_setnodeaffinity";
    /// [`NodeAffinity`](super::NodeAffinity).
    GETNODEAFFINITY: u32 = 69, "XEN_DOMCTL_getnodeaffinity";
    /// [`CacheFlush`](super::CacheFlush).
    CACHEFLUSH: u32 = 71, "XEN_DOMCTL_cacheflush";
    /// [`VcpuMsrs`](super::VcpuMsrs).
    GET_VCPU_MSRS: u32 = 72, "XEN_DOMCTL_get_vcpu_msrs";
    /// [`VcpuMsrs`](super::VcpuMsrs).
    SET_VCPU_MSRS: u32 = 73, "XEN_DOMCTL_set_vcpu_msrs";
    /// [`Vnuma`](super::Vnuma).
    SETVNUMAINFO: u32 = 74, "XEN_DOMCTL_setvnumainfo";
    /// Cache monitoring.
    PSR_CMT_OP: u32 = 75, "XEN_DOMCTL_psr_cmt_op";
    /// Monitoring of events.
    MONITOR_OP: u32 = 77, "XEN_DOMCTL_monitor_op";
    /// Cache allocation.
    PSR_ALLOC: u32 = 78, "XEN_DOMCTL_psr_alloc";
    /// No argument.
    SOFT_RESET: u32 = 79, "XEN_DOMCTL_soft_reset";
    /// Not on x86.
    VUART_OP: u32 = 81, "XEN_DOMCTL_vuart_op";
    /// [`CpuPolicy`](super::CpuPolicy).
    GET_CPU_POLICY: u32 = 82, "XEN_DOMCTL_get_cpu_policy";
    /// [`CpuPolicy`](super::CpuPolicy).
    SET_CPU_POLICY: u32 = 83, "XEN_DOMCTL_set_cpu_policy";
    /// Processor trace.
    VMTRACE_OP: u32 = 84, "XEN_DOMCTL_vmtrace_op";
    /// [`PagingMempool`](super::PagingMempool).
    GET_PAGING_MEMPOOL_SIZE: u32 = 85, "XEN_DOMCTL_get_paging_mempool_size";
    /// [`PagingMempool`](super::PagingMempool).
    SET_PAGING_MEMPOOL_SIZE: u32 = 86, "XEN_DOMCTL_set_paging_mempool_size";
    /// Debugger: memory.
    GDBSX_GUESTMEMIO: u32 = 1000, "XEN_DOMCTL_gdbsx_guestmemio";
    /// Debugger: pause a vCPU.
    GDBSX_PAUSEVCPU: u32 = 1001, "XEN_DOMCTL_gdbsx_pausevcpu";
    /// Debugger: let a vCPU go on.
    GDBSX_UNPAUSEVCPU: u32 = 1002, "XEN_DOMCTL_gdbsx_unpausevcpu";
    /// Debugger: what happened.
    GDBSX_DOMSTATUS: u32 = 1003, "XEN_DOMCTL_gdbsx_domstatus";
}
