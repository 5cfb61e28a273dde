//! What the tests drive: a hypervisor with a control domain whose paging is off, so that linear addresses are physical.

use core::cell::Cell;
use std::boxed::Box;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::vec::Vec;

use hypercall_abi::abi::{Handle64, X64};
use hypercall_abi::domctl::{
    self, ArchDomainConfig, CreateDomain, CreateFlags, Domctl, EmulationFlags, HvmContext, MaxMem,
};
use hypercall_abi::errno::Errno;
use hypercall_abi::hvm::{
    HwCpu, SAVE_CODE_END, SAVE_MAGIC, SAVE_VERSION, SaveDescriptor, SaveHeader, SaveRecord,
};
use hypercall_abi::memory::{self, Reservation};
use hypercall_abi::plain::{Plain, bytes_of};
use hypercall_abi::platform::PlatformOp;
use hypercall_abi::sysctl::Sysctl;
use hypercall_abi::xen as nr;

use crate::cpuid::Policy;
use crate::dom0_map::{Dom0Map, Span};
use crate::domain::{Domain, DomainConfig, NestedTlb, VcpuRef};
use crate::frame::Maddr;
use crate::frame::{Gaddr, Gfn, Mfn, PAGE_SIZE};
use crate::frames::{FrameRef, Frames};
use crate::gnttab::Version;
use crate::guest_cpu::{CpuMode, Gpr, GuestCpu};
use crate::hardware::{HardwareDomain, IoApic};
use crate::hypervisor::Hypervisor;
use crate::ids::{DomId, VcpuId};
use crate::machine::test::{Ended, TestMachine};
use crate::machine::{CpuMask, MachineEnd};
use crate::memory_map::MemoryMap;
use crate::sched::Cpus;
use crate::sync::{Class, Lock};
use crate::vioapic::VirtualIoApic;

/// RAM of the machine, in frames: enough for some 2 MiB runs even when pages that are left lie about.
pub const RAM: usize = 8192;
/// What a guest may call with some success.
pub const GUEST_CALLS: [u32; 12] = [
    nr::HYPERCALL_MEMORY_OP,
    nr::HYPERCALL_EVENT_CHANNEL_OP,
    nr::HYPERCALL_GRANT_TABLE_OP,
    nr::HYPERCALL_VCPU_OP,
    nr::HYPERCALL_SCHED_OP,
    nr::HYPERCALL_HVM_OP,
    nr::HYPERCALL_XEN_VERSION,
    nr::HYPERCALL_CONSOLE_IO,
    nr::HYPERCALL_PHYSDEV_OP,
    nr::HYPERCALL_VM_ASSIST,
    nr::HYPERCALL_SET_TIMER_OP,
    nr::HYPERCALL_MULTICALL,
];
/// RAM of the control domain: a power of two.
const CONTROL_ORDER: u32 = 9;
/// RAM of a guest, as an order of frames.
const GUEST_ORDER: u32 = 9;
/// Where a caller's arguments are put, in its own memory.
const SCRATCH: u64 = 0x10_0000;
/// Memory that a caller's arguments may take.
const SCRATCH_BYTES: u64 = 0x8_0000;
/// More steps than any call should take.
const MAX_STEPS: u32 = 100_000;
/// A vCPU's instruction pointer before a call.
const RIP: u64 = 0x1000;

/// A machine with a hypervisor and a control domain.
pub struct Rig {
    pub machine: TestMachine,
    pub hv: Hypervisor<TestMachine>,
    /// The control domain's first vCPU.
    pub control: Caller,
}

/// A vCPU that makes hypercalls, and the memory for their arguments.
pub struct Caller {
    pub vcpu: VcpuRef<TestMachine>,
    next: Cell<u64>,
}

impl Caller {
    pub fn new(vcpu: VcpuRef<TestMachine>) -> Self {
        Self { vcpu, next: Cell::new(SCRATCH) }
    }

    pub fn domain(&self) -> &Arc<Domain<TestMachine>> {
        self.vcpu.domain()
    }

    /// Sets aside memory for an argument.
    pub fn room(&self, bytes: usize) -> u64 {
        let at = self.next.get();
        let end = (at + bytes as u64).next_multiple_of(16);
        if end > SCRATCH + SCRATCH_BYTES {
            self.next.set(SCRATCH);
            return self.room(bytes);
        }
        self.next.set(end);
        at
    }

    /// Puts a value into memory.
    pub fn put<T: Plain>(&self, value: &T) -> u64 {
        self.put_all(core::slice::from_ref(value))
    }

    /// Puts values into memory, one after the other.
    pub fn put_all<T: Plain>(&self, values: &[T]) -> u64 {
        let at = self.room(size_of_val(values));
        self.write(at, bytes_of(values));
        at
    }

    pub fn write(&self, at: u64, bytes: &[u8]) {
        self.domain().memory.write(Gaddr(at), bytes).expect("the caller's memory");
    }

    /// The value at an address.
    pub fn get<T: Plain>(&self, at: u64) -> T {
        let mut value = T::zeroed();
        let tlb = NestedTlb::default();
        let memory = self.domain().memory.vcpu_view(&tlb);
        for (at, byte) in (at..).zip(value.as_bytes_mut()) {
            memory.read(Gaddr(at), core::slice::from_mut(byte)).expect("the caller's memory");
        }
        drop(memory);
        value
    }

    /// Values at an address.
    pub fn get_all<T: Plain>(&self, at: u64, count: usize) -> Vec<T> {
        (0..count).map(|i| self.get(at + (i * size_of::<T>()) as u64)).collect()
    }

    /// 64-bit or 32-bit kernel code from now on.
    pub fn run_in(&self, mode: CpuMode) {
        self.vcpu.context.lock().guest.run_in(mode);
    }
}

/// The result of a refusal.
pub const fn no(errno: Errno) -> i64 {
    errno.to_result()
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}

impl Rig {
    pub fn new() -> Self {
        let machine = TestMachine::new(RAM);
        let hv =
            Hypervisor::new(machine, true, CpuMask::first(machine.cpus()), CpuMask(0)).expect("host heap");
        let config = DomainConfig {
            handle: [0; 16],
            max_vcpus: 2,
            max_evtchn_port: 4095,
            max_grant_frames: 4,
            max_grant_version: Version::Two,
            max_maptrack_frames: 4,
            flags: 0,
            max_frames: 1 << CONTROL_ORDER,
        };
        let host = Box::leak(Box::new(MemoryMap::default()));
        let ram = Span { start: 0, end: (PAGE_SIZE as u64) << CONTROL_ORDER };
        let map = Dom0Map::new(host, Vec::from([ram]), Span { start: 0, end: 0 }, Vec::new());
        let pins = VirtualIoApic::new(0, 0, 24);
        let io_apic = IoApic { base: Maddr(0xfec0_0000), state: Lock::new(Class::IoApic, pins) };
        let hardware = HardwareDomain::new(map, Vec::from([io_apic]), Vec::new()).expect("host heap");
        let hardware = Box::new(hardware);
        let policy = Policy::for_domain(machine, true, DomId::ZERO, config.max_vcpus);
        let domain =
            Domain::new(machine, DomId::ZERO, config, policy, Some(hardware)).expect("a control domain");
        hv.add_domain(&domain).expect("room for a domain");
        FrameRef::claim_ram_run(machine, DomId::ZERO, Mfn(0), CONTROL_ORDER, config.max_frames)
            .expect("RAM for the control domain");
        domain.memory.map_run(Gfn(0), Mfn(0), CONTROL_ORDER, || ()).expect("tables");
        let control = Caller::new(domain.vcpu(VcpuId(0)).expect("a first vCPU"));
        control.run_in(CpuMode::Bits64);
        hv.bring_up(&control.vcpu);
        Self { machine, hv, control }
    }

    /// Makes a hypercall until it is done.
    pub fn call(&self, who: &Caller, number: u32, args: &[u64]) -> i64 {
        match self.try_call(who, number, args) {
            Ok(result) => result,
            Err(how) => panic!("the machine ended: {how:?}"),
        }
    }

    /// The same, where the call may end the machine.
    pub fn try_call(&self, who: &Caller, number: u32, args: &[u64]) -> Result<i64, MachineEnd> {
        let caught = panic::catch_unwind(AssertUnwindSafe(|| self.run(who, number, args)));
        caught.map_err(|payload| match payload.downcast::<Ended>() {
            Ok(ended) => ended.0,
            Err(other) => panic::resume_unwind(other),
        })
    }

    fn run(&self, who: &Caller, number: u32, args: &[u64]) -> i64 {
        let mut guard = who.vcpu.context.lock_as(Class::Context);
        let context = &mut *guard;
        let wide = context.is_64_bit();
        let gprs = context.guest.gprs_mut();
        let registers = if wide {
            [Gpr::Rdi, Gpr::Rsi, Gpr::Rdx, Gpr::R10, Gpr::R8, Gpr::R9]
        } else {
            [Gpr::Rbx, Gpr::Rcx, Gpr::Rdx, Gpr::Rsi, Gpr::Rdi, Gpr::Rbp]
        };
        for (register, value) in registers.into_iter().zip(args.iter().copied().chain([0; 6])) {
            gprs.set(register, value);
        }
        gprs.set(Gpr::Rax, number.into());
        gprs.rip = RIP;
        for _ in 0..MAX_STEPS {
            crate::hypercall::handle(&self.hv, &who.vcpu, context);
            let gprs = context.guest.gprs();
            if gprs.rip != RIP {
                let result = gprs.get(Gpr::Rax);
                return if wide { result as i64 } else { i64::from(result as i32) };
            }
        }
        panic!("hypercall {number} with {args:x?} never ends");
    }

    /// Makes a call whose argument is one structure in memory, in and out. For calls with an operation number.
    pub fn op<T: Plain>(&self, who: &Caller, number: u32, op: u32, arg: &mut T) -> i64 {
        let at = who.put(arg);
        let result = self.call(who, number, &[op.into(), at]);
        *arg = who.get(at);
        result
    }

    pub fn domctl(&self, ctl: &mut Domctl) -> i64 {
        let at = self.control.put(ctl);
        let result = self.call(&self.control, nr::HYPERCALL_DOMCTL, &[at]);
        *ctl = self.control.get(at);
        result
    }

    /// A domctl with an argument; gives back what became of the argument.
    pub fn ctl<T: Plain>(&self, cmd: u32, domain: u16, arg: T) -> Result<T, i64> {
        let mut ctl = Domctl::new(cmd, domain, arg);
        match self.domctl(&mut ctl) {
            0 => Ok(ctl.payload()),
            result => Err(result),
        }
    }

    pub fn sysctl<T: Plain>(&self, cmd: u32, arg: T) -> Result<T, i64> {
        let at = self.control.put(&Sysctl::new(cmd, arg));
        match self.call(&self.control, nr::HYPERCALL_SYSCTL, &[at]) {
            0 => Ok(self.control.get::<Sysctl>(at).payload()),
            result => Err(result),
        }
    }

    pub fn platform<T: Plain>(&self, cmd: u32, arg: T) -> Result<T, i64> {
        let at = self.control.put(&PlatformOp::new(cmd, arg));
        match self.call(&self.control, nr::HYPERCALL_PLATFORM_OP, &[at]) {
            0 => Ok(self.control.get::<PlatformOp>(at).payload()),
            result => Err(result),
        }
    }

    /// What the tools ask for when they create a guest.
    pub fn config(vcpus: u32) -> CreateDomain {
        CreateDomain {
            handle: *b"sixteen byte uid",
            flags: CreateFlags::HVM | CreateFlags::HAP | CreateFlags::OOS_OFF,
            max_vcpus: vcpus,
            max_evtchn_port: 1023,
            max_grant_frames: 4,
            max_maptrack_frames: 4,
            grant_opts: 2,
            arch: ArchDomainConfig { emulation_flags: EmulationFlags::LAPIC, ..ArchDomainConfig::default() },
            ..CreateDomain::default()
        }
    }

    /// An empty domain.
    pub fn create(&self, vcpus: u32) -> u16 {
        let mut ctl = Domctl::new(domctl::CREATEDOMAIN, 0, Self::config(vcpus));
        assert_eq!(self.domctl(&mut ctl), 0);
        ctl.domain
    }

    /// A guest with 512 frames from frame 0 on and a limit of twice that, its first vCPU on, paused once.
    pub fn guest(&self, vcpus: u32) -> Caller {
        let id = self.create(vcpus);
        self.ctl(domctl::MAX_MEM, id, MaxMem { max_memkb: 8 << GUEST_ORDER }).expect("a limit");
        let list = self.control.put(&0u64);
        let mut populate = Reservation::<X64> {
            extent_start: Handle64::from_raw(list),
            nr_extents: 1,
            extent_order: GUEST_ORDER,
            domid: id,
            ..Reservation::default()
        };
        let result = self.op(&self.control, nr::HYPERCALL_MEMORY_OP, memory::POPULATE_PHYSMAP, &mut populate);
        assert_eq!(result, 1);
        self.load(id, &records(&pvh_cpu())).expect("registers");
        let vcpu = self.hv.domain(DomId(id)).and_then(|domain| domain.vcpu(VcpuId(0)));
        let caller = Caller::new(vcpu.expect("a first vCPU"));
        caller.run_in(CpuMode::Bits64);
        caller
    }

    /// Loads save records into a domain.
    pub fn load(&self, id: u16, records: &[u8]) -> Result<(), i64> {
        let buffer = Handle64::from_raw(self.control.put_all(records));
        let arg = HvmContext { size: records.len() as u32, buffer, ..HvmContext::default() };
        self.ctl(domctl::SETHVMCONTEXT, id, arg).map(drop)
    }

    /// Destroys a domain and checks that it is gone.
    pub fn destroy(&self, id: u16) {
        assert_eq!(self.ctl(domctl::DESTROYDOMAIN, id, [0u64; 0]), Ok([]));
    }

    /// Free frames and live tables: what must be the same when guests have come and gone.
    pub fn holdings(&self) -> (u64, usize) {
        (self.machine.table().free_frames(), self.machine.live_tables())
    }
}

/// A CPU record for a PVH entry, as libxc makes it.
pub fn pvh_cpu() -> HwCpu {
    HwCpu {
        rip: 0x10_0000,
        rbx: 0x5000,
        cr0: 0x11,
        dr6: 0xffff_0ff0,
        dr7: 0x400,
        cs_limit: u32::MAX,
        ds_limit: u32::MAX,
        es_limit: u32::MAX,
        ss_limit: u32::MAX,
        tr_limit: 0x67,
        cs_arbytes: 0xc9b,
        ds_arbytes: 0xc93,
        es_arbytes: 0xc93,
        ss_arbytes: 0xc93,
        tr_arbytes: 0x8b,
        ..HwCpu::default()
    }
}

/// A stream with a header, one record for vCPU 0, and an end.
pub fn records<R: SaveRecord>(record: &R) -> Vec<u8> {
    let mut stream = Vec::new();
    put_record(
        &mut stream,
        0,
        &SaveHeader { magic: SAVE_MAGIC, version: SAVE_VERSION, ..SaveHeader::default() },
    );
    put_record(&mut stream, 0, record);
    end_records(&mut stream);
    stream
}

pub fn put_record<R: SaveRecord>(stream: &mut Vec<u8>, instance: u16, record: &R) {
    let descriptor = SaveDescriptor { typecode: R::CODE, instance, length: size_of::<R>() as u32 };
    stream.extend_from_slice(descriptor.as_bytes());
    stream.extend_from_slice(record.as_bytes());
}

pub fn end_records(stream: &mut Vec<u8>) {
    stream.extend_from_slice(SaveDescriptor { typecode: SAVE_CODE_END, instance: 0, length: 0 }.as_bytes());
}
