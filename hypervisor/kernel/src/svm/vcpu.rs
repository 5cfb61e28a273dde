//! A vCPU on AMD-V.

use alloc::boxed::Box;

use raw_cpuid::CpuId;
use tenon_core::fallible::NoMemory;
use tenon_core::frame::Mfn;
use tenon_core::guest_cpu::bits::{CR0_PE, EFER_LMA};
use tenon_core::guest_cpu::{ControlRegs, CpuMode, Event, Exit, Gprs, GuestCpu, SystemState};
use x86_64::registers::model_specific::EferFlags;
use x86_64::registers::rflags::RFlags;

use super::vmcb::{
    EVENT_EXCEPTION, EVENT_HAS_ERROR, EVENT_INTERRUPT, EVENT_NMI, EVENT_SOFTWARE, EVENT_TYPE_MASK,
    EVENT_VALID, EVENT_VECTOR_MASK, Intercepts1, Intercepts2, TlbControl, V_IGN_TPR, V_INTR_MASKING,
    V_INTR_PRIORITY, V_INTR_VECTOR_SHIFT, V_IRQ, Vmcb,
};
use super::{cpu, entry, exits, permissions};
use crate::guest::{SwitchedState, Tags, permissions::io_maps};
use crate::mm::pages;

/// The vectors below are exceptions.
const FIRST_INTERRUPT: u64 = 32;
const RFLAGS_IF: u64 = RFlags::INTERRUPT_FLAG.bits();
const RFLAGS_VM: u64 = RFlags::VIRTUAL_8086_MODE.bits();
const EFER_SVME: u64 = EferFlags::SECURE_VIRTUAL_MACHINE_ENABLE.bits();
const CS_L: u16 = 1 << 9;
const CS_D: u16 = 1 << 10;

/// The state of one vCPU on AMD-V.
pub struct SvmVcpu {
    vmcb: Box<Vmcb>,
    gprs: Gprs,
    switched: SwitchedState,
    /// The CPU that it was switched in on last.
    cpu: Option<&'static cpu::SvmCpu>,
    /// The generation of its TLB tag.
    tag_from: u64,
    /// The vector of an external interrupt that the guest has not taken yet.
    interrupt: Option<u8>,
    /// An NMI was delivered and its IRET has not been seen.
    in_nmi: bool,
    has_next_rip: bool,
}

impl SvmVcpu {
    /// A vCPU in the state after INIT, with no ports and no nested page table yet.
    pub fn new() -> Result<Self, NoMemory> {
        let mut vmcb = pages::zeroed::<Vmcb>()?;
        let control = &mut vmcb.control;
        control.intercept_cr = exits::INTERCEPTED_CONTROL_REGISTERS;
        control.intercept_exceptions = exits::INTERCEPTED_EXCEPTIONS;
        // The other two come and go with what waits to be injected.
        control.intercepts1 = Intercepts1::all() - Intercepts1::VINTR - Intercepts1::IRET;
        control.intercepts2 = Intercepts2::all();
        control.iopm_base = io_maps().ok_or(NoMemory)?.no_ports.0;
        control.msrpm_base = permissions::msrs().ok_or(NoMemory)?.0;
        control.v_intr = V_INTR_MASKING;
        control.np_enable = 1;
        let mut vcpu = Self {
            vmcb,
            gprs: Gprs::default(),
            switched: SwitchedState::new()?,
            cpu: None,
            tag_from: Tags::NONE,
            interrupt: None,
            in_nmi: false,
            has_next_rip: CpuId::new().get_svm_info().is_some_and(|svm| svm.has_nrip()),
        };
        vcpu.set_system(&SystemState::after_init(0));
        vcpu.gprs.rflags = 2;
        Ok(vcpu)
    }

    /// Gives the coming entry a TLB tag that is this CPU's and current.
    #[inline]
    fn tag(&mut self, cpu: &cpu::SvmCpu) {
        let control = &mut self.vmcb.control;
        control.tlb_control = TlbControl::KEEP;
        if self.tag_from != cpu.tags.generation() {
            let (tag, flush) = cpu.tags.fresh();
            control.asid = tag;
            if flush {
                control.tlb_control = TlbControl::FLUSH_ALL;
            }
            self.tag_from = cpu.tags.generation();
        }
    }

    /// Hands the interrupt that waits to the CPU, as a virtual interrupt. If V_IRQ is in use for the interrupt window, it is
    /// injected as an event instead, as soon as the guest can take it.
    ///
    /// To the guest it is the same. QEMU 7.2 needs the first way: it forgets that it has delivered an injected interrupt,
    /// and delivers it again, if something makes it leave its inner loop before the next exit.
    #[inline]
    fn offer_interrupt(&mut self) {
        let Some(vector) = self.interrupt else { return };
        if self.vmcb.control.v_intr & V_IRQ == 0 {
            self.vmcb.control.v_intr = V_INTR_MASKING
                | V_IRQ
                | V_IGN_TPR
                | V_INTR_PRIORITY
                | u64::from(vector) << V_INTR_VECTOR_SHIFT;
        } else if self.is_open() {
            self.vmcb.control.event_inj = EVENT_VALID | EVENT_INTERRUPT | u64::from(vector);
            self.interrupt = None;
        }
    }

    /// Finds out whether the guest has taken the interrupt that it was offered.
    #[inline]
    fn withdraw_interrupt(&mut self) {
        let control = &mut self.vmcb.control;
        if self.interrupt.is_some() && !control.intercepts1.contains(Intercepts1::VINTR) {
            if control.v_intr & V_IRQ == 0 {
                self.interrupt = None;
            }
            control.v_intr = V_INTR_MASKING;
        }
    }

    /// Keeps an event whose delivery the exit interrupted, so that the next entry repeats it. A software interrupt is
    /// not kept: its instruction runs again. QEMU calls an external interrupt an exception.
    #[inline]
    fn keep_interrupted_event(&mut self) {
        let control = &mut self.vmcb.control;
        let info = control.exit_int_info;
        control.event_inj = 0;
        if info & EVENT_VALID == 0 || info & EVENT_TYPE_MASK == EVENT_SOFTWARE {
            return;
        }
        let vector = info & EVENT_VECTOR_MASK;
        if info & EVENT_TYPE_MASK == EVENT_INTERRUPT || vector >= FIRST_INTERRUPT {
            self.interrupt = Some(vector as u8);
        } else {
            control.event_inj = info;
        }
    }

    /// Interrupts are let in, and nothing else is being injected.
    fn is_open(&self) -> bool {
        let control = &self.vmcb.control;
        self.gprs.rflags & RFLAGS_IF != 0
            && control.interrupt_shadow & 1 == 0
            && control.event_inj & EVENT_VALID == 0
    }
}

impl GuestCpu for SvmVcpu {
    fn gprs(&self) -> &Gprs {
        &self.gprs
    }

    fn gprs_mut(&mut self) -> &mut Gprs {
        &mut self.gprs
    }

    fn switch_in(&mut self) {
        self.cpu = cpu::this();
        self.switched.load();
    }

    fn switch_out(&mut self) {
        self.switched.save();
    }

    #[inline]
    fn enter(&mut self) {
        let Some(cpu) = self.cpu else {
            self.vmcb.control.exit_code = exits::INVALID.into();
            return;
        };
        self.tag(cpu);
        self.offer_interrupt();
        entry::enter(&mut self.vmcb, cpu.host_vmcb, &mut self.gprs);
        self.withdraw_interrupt();
        self.keep_interrupted_event();
        if self.vmcb.control.exit_code == exits::IRET {
            self.in_nmi = false;
            self.vmcb.control.intercepts1.remove(Intercepts1::IRET);
        }
    }

    #[inline(always)]
    fn exit(&self) -> Exit {
        exits::decode(&self.vmcb.control, self.gprs.rip)
    }

    fn exit_code(&self) -> u64 {
        self.vmcb.control.exit_code
    }

    fn can_take_interrupt(&self) -> bool {
        self.interrupt.is_none() && self.is_open()
    }

    fn can_take_nmi(&self) -> bool {
        let control = &self.vmcb.control;
        !self.in_nmi && control.interrupt_shadow & 1 == 0 && control.event_inj & EVENT_VALID == 0
    }

    fn inject(&mut self, event: Event) {
        let control = &mut self.vmcb.control;
        control.event_inj = EVENT_VALID
            | match event {
                Event::Interrupt(vector) => {
                    self.interrupt = Some(vector.0);
                    return;
                }
                Event::Nmi => {
                    self.in_nmi = true;
                    control.intercepts1.insert(Intercepts1::IRET);
                    EVENT_NMI | 2
                }
                Event::Exception { vector, error: None } => EVENT_EXCEPTION | u64::from(vector),
                Event::Exception { vector, error: Some(code) } => {
                    EVENT_EXCEPTION | EVENT_HAS_ERROR | u64::from(vector) | u64::from(code) << 32
                }
            };
    }

    fn forget_events(&mut self) {
        self.interrupt = None;
        self.in_nmi = false;
        let control = &mut self.vmcb.control;
        control.event_inj = 0;
        control.interrupt_shadow = 0;
        control.v_intr = V_INTR_MASKING;
        control.intercepts1.remove(Intercepts1::VINTR | Intercepts1::IRET);
    }

    fn request_interrupt_window(&mut self, wanted: bool) {
        let control = &mut self.vmcb.control;
        if wanted {
            control.v_intr |= V_IRQ | V_IGN_TPR;
            control.intercepts1.insert(Intercepts1::VINTR);
        } else {
            control.v_intr &= !(V_IRQ | V_IGN_TPR);
            control.intercepts1.remove(Intercepts1::VINTR);
        }
    }

    fn instruction_len(&self) -> Option<u8> {
        let next = self.vmcb.control.next_rip;
        let len = next.wrapping_sub(self.gprs.rip);
        (self.has_next_rip && (1..=15).contains(&len)).then_some(len as u8)
    }

    #[inline]
    fn skip(&mut self, len: u8) {
        let rip = self.gprs.rip.wrapping_add(u64::from(len));
        let long = self.vmcb.save.cs_is_64_bit();
        self.gprs.rip = if long { rip } else { rip & 0xffff_ffff };
        self.vmcb.control.interrupt_shadow = 0;
    }

    fn control(&self) -> ControlRegs {
        let save = &self.vmcb.save;
        let mode = if save.cr0 & CR0_PE == 0 || self.gprs.rflags & RFLAGS_VM != 0 {
            CpuMode::Real
        } else if save.cs_is_64_bit() {
            CpuMode::Bits64
        } else if save.segments.cs.attributes & CS_D != 0 {
            CpuMode::Bits32
        } else {
            CpuMode::Bits16
        };
        ControlRegs {
            cr0: save.cr0,
            cr2: save.cr2,
            cr3: save.cr3,
            cr4: save.cr4,
            efer: save.efer & !EFER_SVME,
            cpl: save.cpl,
            mode,
        }
    }

    fn system(&self) -> SystemState {
        let s = &self.vmcb.save;
        SystemState {
            segments: s.segments,
            cr0: s.cr0,
            cr2: s.cr2,
            cr3: s.cr3,
            cr4: s.cr4,
            efer: s.efer & !EFER_SVME,
            dr6: s.dr6,
            dr7: s.dr7,
            pat: s.g_pat,
            entry: s.entry,
        }
    }

    fn set_system(&mut self, state: &SystemState) {
        let s = &mut self.vmcb.save;
        s.segments = state.segments;
        s.cpl = (state.segments.ss.attributes >> 5 & 3) as u8;
        s.cr0 = state.cr0;
        s.cr2 = state.cr2;
        s.cr3 = state.cr3;
        s.cr4 = state.cr4;
        s.efer = state.efer | EFER_SVME;
        s.dr6 = state.dr6;
        s.dr7 = state.dr7;
        s.g_pat = state.pat;
        s.entry = state.entry;
        self.flush_tlb();
    }

    fn set_xcr0(&mut self, value: u64) -> bool {
        self.switched.set_xcr0(value)
    }

    fn xcr0(&self) -> u64 {
        self.switched.xcr0()
    }

    fn hypercall_instruction(&self) -> [u8; 3] {
        // VMMCALL
        [0x0f, 0x01, 0xd9]
    }

    fn set_tsc_offset(&mut self, offset: u64) {
        self.vmcb.control.tsc_offset = offset;
    }

    fn flush_tlb(&mut self) {
        self.tag_from = Tags::NONE;
    }

    fn set_nested_root(&mut self, root: Mfn) {
        self.vmcb.control.n_cr3 = root.addr().0;
        self.flush_tlb();
    }

    fn allow_hardware_ports(&mut self) {
        if let Some(maps) = io_maps() {
            self.vmcb.control.iopm_base = maps.hardware_ports.0;
        }
    }
}

impl super::vmcb::Save {
    fn cs_is_64_bit(&self) -> bool {
        self.efer & EFER_LMA != 0 && self.segments.cs.attributes & CS_L != 0
    }
}
