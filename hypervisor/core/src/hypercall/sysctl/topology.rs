//! CPUs, nodes, and how idle they are. There is one node, whatever the machine has.

use hypercall_abi::abi::Word;
use hypercall_abi::physdev::PciDevice;
use hypercall_abi::sysctl::{CpuInfo, CpuTopo, CpuTopoInfo, GetCpuInfo, MemInfo, NumaInfo, PciTopoInfo};

use super::host::ram_pages;
use super::{Call, Machine, Result, refuse};
use crate::frame::PAGE_SIZE;
use crate::ids::CpuId;

/// The distance of a node to itself.
const NEAR: u32 = 10;
/// Devices handled by one call.
const MAX_DEVICES: u32 = 256;

/// How an APIC id is made of thread, core and socket.
pub(super) struct Topology<M> {
    machine: M,
    thread_bits: u32,
    package_bits: u32,
}

impl<M: Machine> Topology<M> {
    /// What CPUID says (SDM volume 3, 9.9.3; AMD64 manual 3, appendix E.5).
    pub(super) fn of(machine: M) -> Self {
        let [max, ..] = machine.cpuid(0, 0);
        let threads = if max >= 0xb { machine.cpuid(0xb, 0) } else { [0; 4] };
        if threads[1] & 0xffff != 0 {
            let [package, ..] = machine.cpuid(0xb, 1);
            return Self { machine, thread_bits: threads[0] & 0x1f, package_bits: package & 0x1f };
        }
        let [_, ids, _, features] = machine.cpuid(1, 0);
        let has_ids = features >> 28 & 1 != 0;
        let bits = |count: u32| count.max(1).next_power_of_two().trailing_zeros();
        let package_bits = if has_ids { bits(ids >> 16 & 0xff) } else { 0 };
        let [max_extended, ..] = machine.cpuid(0x8000_0000, 0);
        let cores = if max_extended >= 0x8000_0008 { machine.cpuid(0x8000_0008, 0)[2] & 0xff } else { 0 };
        Self { machine, thread_bits: package_bits.saturating_sub(bits(cores + 1)), package_bits }
    }

    /// Core (within its socket) and socket of a CPU.
    pub(super) fn place(&self, cpu: CpuId) -> (u32, u32) {
        let id = self.machine.cpu_ids(cpu).apic;
        let within = id & ((1u32 << self.package_bits) - 1);
        (within >> self.thread_bits, id >> self.package_bits)
    }

    /// Threads of a core and cores of a socket, as the first CPU has them.
    pub(super) fn shape(&self) -> (u32, u32) {
        let (core, socket) = self.place(CpuId(0));
        let all = || (0..self.machine.cpus()).map(|cpu| self.place(CpuId(cpu)));
        let threads = all().filter(|place| *place == (core, socket)).count().max(1);
        let in_socket = all().filter(|place| place.1 == socket).count();
        (threads as u32, (in_socket / threads).max(1) as u32)
    }
}

pub(super) fn cpus<M: Machine>(call: &Call<'_, M>, op: &mut CpuTopoInfo) -> Result<()> {
    let count = call.hv.machine.cpus();
    if op.cputopo.is_null() {
        op.num_cpus = count;
        return Ok(());
    }
    let topology = Topology::of(call.hv.machine);
    let places = (0..count).map(|cpu| topology.place(CpuId(cpu)));
    let places = places.map(|(core, socket)| CpuTopo { core, socket, node: 0 });
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
