//! `platform_op` (`public/platform.h`): the control domain and the machine's firmware.

use hypercall_abi::abi::Abi;
use hypercall_abi::errno::Errno;
use hypercall_abi::platform as abi;
use hypercall_abi::platform::PlatformOp;
use hypercall_abi::sched::SHUTDOWN_POWEROFF;

use super::command::{Command, command};
use super::sysctl::pool::once_done;
use super::{Call, Machine, Outcome, Refused, Result, ensure, refuse};
use crate::ids::CpuId;

const SECOND: u64 = 1_000_000_000;
/// ACPI's state of being off.
const SOFT_OFF: u32 = 5;

pub(super) fn platform_op<A: Abi, M: Machine>(call: &mut Call<'_, M>) -> Result {
    command(call, run::<A, M>)
}

fn run<A: Abi, M: Machine>(call: &mut Call<'_, M>, op: &mut PlatformOp) -> Result {
    match op.cmd {
        abi::SETTIME32 => {
            let time: abi::Settime32 = op.payload();
            set_time(call, time.secs.into(), time.nsecs, time.system_time)?;
        }
        abi::SETTIME64 => {
            let time: abi::Settime64 = op.payload();
            ensure!(time.mbz == 0, EINVAL, "a reserved field is {:#x}", time.mbz);
            set_time(call, time.secs, time.nsecs, time.system_time)?;
        }
        abi::GET_CPUINFO => op.with(|info| cpu_info(call, info))?,
        abi::GET_CPU_VERSION => op.with(|version| cpu_version(call, version))?,
        abi::CPU_ONLINE => call.hv.switch_cpu_on(CpuId(op.payload::<abi::CpuOl>().cpuid))?,
        abi::CPU_OFFLINE => return cpu_offline(call, CpuId(op.payload::<abi::CpuOl>().cpuid)),
        abi::ENTER_ACPI_SLEEP => sleep(call, op.payload())?,
        abi::FIRMWARE_INFO => {
            let info: abi::FirmwareInfo<A> = op.payload();
            firmware(info.kind, info.index)?;
        }
        cmd => return unsupported(cmd),
    }
    Ok(Outcome::OK)
}

/// What Tenon does not do, with the number that kernels expect for it.
fn unsupported(cmd: u32) -> Result {
    let (errno, what) = match cmd {
        abi::ADD_MEMTYPE | abi::DEL_MEMTYPE | abi::READ_MEMTYPE => {
            (Errno::ENOSYS, "MTRRs are each vCPU's own, and memory types follow the firmware's")
        }
        abi::MICROCODE_UPDATE => (Errno::ENOSYS, "microcode is left to the firmware"),
        abi::PLATFORM_QUIRK => (Errno::ENOSYS, "flaws of the machine are not told this way"),
        abi::EFI_RUNTIME_CALL => (Errno::EOPNOTSUPP, "EFI runtime services are not used"),
        abi::CHANGE_FREQ | abi::GETIDLETIME => (Errno::ENOSYS, "domain 0 does not set CPU frequencies"),
        abi::SET_PROCESSOR_PMINFO => (Errno::ENOSYS, "CPU power states are left to the firmware"),
        abi::CPU_HOTADD => (Errno::EOPNOTSUPP, "CPUs are not added at run time"),
        abi::MEM_HOTADD => (Errno::EOPNOTSUPP, "memory is not added at run time"),
        abi::CORE_PARKING => (Errno::EOPNOTSUPP, "CPUs are not parked"),
        abi::RESOURCE_OP => (Errno::EOPNOTSUPP, "MSRs of the machine are not passed on"),
        abi::GET_SYMBOL => (Errno::ENOSYS, "symbols are in backtraces only"),
        _ => refuse!(ENOSYS, "platform_op {cmd} is not known"),
    };
    Err(Refused::new(errno, format_args!("platform_op {cmd}: {what}")))
}

/// The wall clock was so many seconds when the system time was that.
fn set_time<M: Machine>(call: &Call<'_, M>, seconds: u64, nanoseconds: u32, system_time: u64) -> Result<()> {
    let base = seconds.checked_mul(SECOND).and_then(|ns| ns.checked_add(nanoseconds.into()));
    let base = base.and_then(|ns| ns.checked_sub(system_time)).filter(|_| u64::from(nanoseconds) < SECOND);
    let Some(base) = base else {
        refuse!(EINVAL, "{seconds} s and {nanoseconds} ns at system time {system_time} ns")
    };
    call.hv.set_wall_clock(base);
    Ok(())
}

fn cpu_info<M: Machine>(call: &Call<'_, M>, info: &mut abi::Pcpuinfo) -> Result<()> {
    let cpus = call.hv.machine.cpus();
    info.max_present = cpus.saturating_sub(1);
    if info.xen_cpuid < cpus {
        let ids = call.hv.machine.cpu_ids(CpuId(info.xen_cpuid));
        (info.apic_id, info.acpi_id) = (ids.apic, ids.acpi);
        let is_on = call.hv.online().contains(CpuId(info.xen_cpuid));
        info.flags = if is_on { abi::PcpuFlags::ONLINE } else { abi::PcpuFlags::empty() };
    } else {
        info.flags = abi::PcpuFlags::INVALID;
    }
    Ok(())
}

fn cpu_offline<M: Machine>(call: &Call<'_, M>, cpu: CpuId) -> Result {
    ensure!(cpu.0 != 0, EOPNOTSUPP, "{cpu} started the machine: it stays on");
    Ok(once_done(call.hv.switch_cpu_off(cpu)?))
}

/// All CPUs are taken to be of the same model.
fn cpu_version<M: Machine>(call: &Call<'_, M>, version: &mut abi::PcpuVersion) -> Result<()> {
    let cpus = call.hv.machine.cpus();
    version.max_present = cpus.saturating_sub(1);
    if version.xen_cpuid >= cpus {
        // As with Xen, a CPU that is not there has no vendor.
        version.vendor_id = [0; 12];
        (version.family, version.model, version.stepping) = (0, 0, 0);
        return Ok(());
    }
    let [_, b, c, d] = call.hv.machine.cpuid(0, 0);
    for (to, from) in version.vendor_id.iter_mut().zip([b, d, c].iter().flat_map(|word| word.to_le_bytes())) {
        *to = from;
    }
    let [signature, ..] = call.hv.machine.cpuid(1, 0);
    let (family, model) = (signature >> 8 & 0xf, signature >> 4 & 0xf);
    version.family = if family == 0xf { family + (signature >> 20 & 0xff) } else { family };
    version.model = if family >= 6 { model | signature >> 12 & 0xf0 } else { model };
    version.stepping = signature & 0xf;
    Ok(())
}

fn sleep<M: Machine>(call: &Call<'_, M>, sleep: abi::EnterAcpiSleep) -> Result<()> {
    if sleep.sleep_state != SOFT_OFF {
        refuse!(EOPNOTSUPP, "sleep state S{}: the machine can only be switched off (S5)", sleep.sleep_state);
    }
    call.hv.shutdown_domain(call.domain(), SHUTDOWN_POWEROFF);
    Ok(())
}

/// Nothing was asked of the firmware at boot that could be told here: no disks, no screen, no EFI tables.
fn firmware(kind: u32, index: u32) -> Result<()> {
    match kind {
        abi::FW_DISK_INFO
        | abi::FW_DISK_MBR_SIGNATURE
        | abi::FW_VBEDDC_INFO
        | abi::FW_EFI_INFO
        | abi::FW_KBD_SHIFT_FLAGS => refuse!(ESRCH, "firmware information {kind}.{index} was not collected"),
        _ => refuse!(EINVAL, "firmware information {kind} is not known"),
    }
}
