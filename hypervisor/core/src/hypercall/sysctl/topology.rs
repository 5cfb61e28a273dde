//! CPUs, nodes, and how idle they are. There is one node, whatever the machine has.

use hypercall_abi::abi::Word;
use hypercall_abi::physdev::PciDevice;
use hypercall_abi::sysctl::{CpuInfo, CpuTopo, CpuTopoInfo, GetCpuInfo, MemInfo, NumaInfo, PciTopoInfo};
use hypercall_abi::sysctl::{INVALID_CORE_ID, INVALID_NODE_ID, INVALID_SOCKET_ID};

use super::host::ram_pages;
use super::{Call, Machine, Result, refuse};
use crate::frame::PAGE_SIZE;
use crate::ids::CpuId;

/// The distance of a node to itself.
const NEAR: u32 = 10;
/// Devices handled by one call.
const MAX_DEVICES: u32 = 256;

/// Threads of a core and cores of a socket, as the first CPU has them.
pub(super) fn shape<M: Machine>(machine: M) -> (u32, u32) {
    let first = machine.place(CpuId(0));
    let all = || (0..machine.cpus()).map(|cpu| machine.place(CpuId(cpu)));
    let threads = all().filter(|place| place.same_core(&first)).count().max(1);
    let in_socket = all().filter(|place| place.socket == first.socket).count();
    (threads as u32, (in_socket / threads).max(1) as u32)
}

pub(super) fn cpus<M: Machine>(call: &Call<'_, M>, op: &mut CpuTopoInfo) -> Result<()> {
    let count = call.hv.machine.cpus();
    if op.cputopo.is_null() {
        op.num_cpus = count;
        return Ok(());
    }
    let online = call.hv.online();
    let places = (0..count).map(CpuId).map(|cpu| {
        let place = call.hv.machine.place(cpu);
        if online.contains(cpu) {
            CpuTopo { core: place.core, socket: place.socket, node: 0 }
        } else {
            CpuTopo { core: INVALID_CORE_ID, socket: INVALID_SOCKET_ID, node: INVALID_NODE_ID }
        }
    });
    op.num_cpus = call.write_all(op.cputopo.get(), op.num_cpus, places)?;
    Ok(())
}

pub(super) fn nodes<M: Machine>(call: &Call<'_, M>, op: &mut NumaInfo) -> Result<()> {
    let wants = |handle: u64| handle != 0 && op.num_nodes != 0;
    if wants(op.meminfo.get()) {
        let machine = call.hv.machine;
        let bytes = |pages: u64| pages * PAGE_SIZE as u64;
        let info =
            MemInfo { memsize: bytes(ram_pages(machine)), memfree: bytes(machine.table().free_frames()) };
        call.write(op.meminfo.get(), &info)?;
    }
    if wants(op.distance.get()) {
        call.write(op.distance.get(), &NEAR)?;
    }
    op.num_nodes = 1;
    Ok(())
}

pub(super) fn devices<M: Machine>(call: &Call<'_, M>, op: &mut PciTopoInfo) -> Result<()> {
    if op.devs.is_null() || op.nodes.is_null() {
        refuse!(EINVAL, "no list of devices or no room for their nodes");
    }
    op.num_devs = op.num_devs.min(MAX_DEVICES);
    for i in 0..op.num_devs.into() {
        let _device: PciDevice = call.read_element(op.devs.get(), i)?;
        call.write_element(op.nodes.get(), i, &0u32)?;
    }
    Ok(())
}

pub(super) fn idle<M: Machine>(call: &Call<'_, M>, op: &mut GetCpuInfo) -> Result<()> {
    let cpus = (0..call.hv.machine.cpus()).map(CpuId);
    let times = cpus.map(|cpu| CpuInfo { idletime: call.hv.sched.idle_time(cpu) });
    op.nr_cpus = call.write_all(op.info.get(), op.max_cpus, times)?;
    Ok(())
}
