//! A vCPU that is registers in memory. What it "executes" is a script of exits.

use std::collections::VecDeque;

use crate::frame::Mfn;
use crate::guest_cpu::{ControlRegs, CpuMode, Event, Exit, Gprs, GuestCpu, SystemState};

const RFLAGS_IF: u64 = 1 << 9;
const CR0_PE: u64 = 1;
const CS_L: u16 = 1 << 9;
const CS_D: u16 = 1 << 10;

/// A vCPU of the test machine. Its mode is what the code segment says, whatever paging says, so that tests can make
/// 64-bit hypercalls with linear addresses that are physical.
#[derive(Debug, Default)]
pub struct TestGuest {
    gprs: Gprs,
    system: SystemState,
    xcr0: u64,
    /// The TSC's offset.
    pub tsc_offset: u64,
    /// What the next entry delivers.
    pub injected: Option<Event>,
    /// An interrupt window was asked for.
    pub window: bool,
    /// The nested root.
    pub root: Option<Mfn>,
    /// All ports are open.
    pub has_ports: bool,
    /// What the coming entries end with. When nothing is left, a host interrupt.
    pub script: VecDeque<Exit>,
    exit: Option<Exit>,
    /// How often it was entered, which is also what it says of its last exit.
    pub entries: u32,
}

impl TestGuest {
    /// In the state after INIT.
    pub fn new() -> Self {
        Self {
            gprs: Gprs { rflags: 2, ..Gprs::default() },
            system: SystemState::after_init(0),
            xcr0: 1,
            ..Self::default()
        }
    }

    /// Makes it a 64-bit or 32-bit kernel with paging off.
    pub fn run_in(&mut self, mode: CpuMode) {
        self.system = SystemState::pvh_entry();
        if mode == CpuMode::Bits64 {
            self.system.segments.cs.attributes = self.system.segments.cs.attributes & !CS_D | CS_L;
        }
    }
}

impl GuestCpu for TestGuest {
    fn gprs(&self) -> &Gprs {
        &self.gprs
    }

    fn gprs_mut(&mut self) -> &mut Gprs {
        &mut self.gprs
    }

    fn switch_in(&mut self) {}

    fn switch_out(&mut self) {}

    fn enter(&mut self) {
        self.entries += 1;
        self.injected = None;
        self.exit = self.script.pop_front();
    }

    fn exit(&self) -> Exit {
        self.exit.unwrap_or(Exit::Interrupt)
    }

    fn exit_code(&self) -> u64 {
        self.entries.into()
    }

    fn can_take_interrupt(&self) -> bool {
        self.gprs.rflags & RFLAGS_IF != 0 && self.injected.is_none()
    }

    fn can_take_nmi(&self) -> bool {
        self.injected.is_none()
    }

    fn inject(&mut self, event: Event) {
        self.injected = Some(event);
    }

    fn forget_events(&mut self) {
        self.injected = None;
        self.window = false;
    }

    fn request_interrupt_window(&mut self, wanted: bool) {
        self.window = wanted;
    }

    fn instruction_len(&self) -> Option<u8> {
        Some(3)
    }

    fn skip(&mut self, len: u8) {
        self.gprs.rip = self.gprs.rip.wrapping_add(len.into());
    }

    fn control(&self) -> ControlRegs {
        let s = &self.system;
        let mode = match s.segments.cs.attributes {
            _ if s.cr0 & CR0_PE == 0 => CpuMode::Real,
            attributes if attributes & CS_L != 0 => CpuMode::Bits64,
            attributes if attributes & CS_D != 0 => CpuMode::Bits32,
            _ => CpuMode::Bits16,
        };
        let cpl = (s.segments.ss.attributes >> 5 & 3) as u8;
        ControlRegs { cr0: s.cr0, cr2: s.cr2, cr3: s.cr3, cr4: s.cr4, efer: s.efer, cpl, mode }
    }

    fn system(&self) -> SystemState {
        self.system
    }

    fn set_system(&mut self, state: &SystemState) {
        self.system = *state;
    }

    fn set_xcr0(&mut self, value: u64) -> bool {
        let known = value & !0b111 == 0 && value & 1 != 0;
        if known {
            self.xcr0 = value;
        }
        known
    }

    fn xcr0(&self) -> u64 {
        self.xcr0
    }

    fn set_tsc_offset(&mut self, offset: u64) {
        self.tsc_offset = offset;
    }

    fn flush_tlb(&mut self) {}

    fn hypercall_instruction(&self) -> [u8; 3] {
        [0x0f, 0x01, 0xd9]
    }

    fn set_nested_root(&mut self, root: Mfn) {
        self.root = Some(root);
    }

    fn allow_hardware_ports(&mut self) {
        self.has_ports = true;
    }
}
