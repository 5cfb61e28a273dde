//! A vCPU on VT-x.

#![allow(unsafe_code, reason = "writes the VMCS")]

use core::arch::asm;

use tenon_core::fallible::NoMemory;
use tenon_core::frame::Mfn;
use tenon_core::guest_cpu::bits::{CR0_PE, EFER_LMA};
use tenon_core::guest_cpu::{ControlRegs, CpuMode, Event, Exit, Gpr, Gprs, GuestCpu, SystemState};
use x86_64::registers::rflags::RFlags;

use super::cpu::{VmxCpu, capabilities, write_host_state};
use super::events::{NMI, Pending, VECTOR};
use super::exits::{ControlAccess, DEBUG, MACHINE_CHECK, UNBLOCKED_NMI};
use super::fields::{Field, Primary};
use super::loose::{LooseRegisters, cr2, note_debug_causes};
use super::state::{CR0_HOST, CR4_HOST};
use super::tlb::Translations;
use super::vmcs::{Current, Vmcs};
use super::{check, cpu, entry, exits, permissions, state};
use crate::guest::{SwitchedState, permissions::io_maps};

const RFLAGS_TF: u64 = RFlags::TRAP_FLAG.bits();
const RFLAGS_VM: u64 = RFlags::VIRTUAL_8086_MODE.bits();
const RFLAGS_FIXED: u64 = 2;
/// CF to OF, NT, RF to ID.
const RFLAGS_KNOWN: u64 = 0x003f_7fd5;
const CS_L: u64 = 1 << 13;
const CS_D: u64 = 1 << 14;
/// Causes of a debug exception, as in DR6: breakpoints, a debug register's use, a single step.
const DEBUG_CAUSES: u64 = 0x600f;
const SINGLE_STEP: u64 = 1 << 14;
/// DR7: a use of the debug registers is an exception.
const GENERAL_DETECT: u64 = 1 << 13;

/// The state of one vCPU on VT-x.
pub struct VmxVcpu {
    vmcs: Vmcs,
    gprs: Gprs,
    /// Those of the general registers that the VMCS holds, as it has them.
    written: Written,
    switched: SwitchedState,
    /// Up to date while the vCPU is switched out.
    loose: LooseRegisters,
    /// The CPU that it is switched in on.
    cpu: Option<&'static VmxCpu>,
    /// The CPU that the VMCS's host state is of.
    home: Option<u32>,
    /// The same of the stack pointer.
    host_rsp: u64,
    translations: Translations,
    pending: Pending,
    /// CR0 as the guest sees it, in the bits that are the host's.
    cr0_shadow: u64,
    /// The last exit's.
    reason: u32,
    /// What the last exit was, if the reason does not tell.
    told: Exit,
}

#[derive(Default)]
struct Written {
    rip: u64,
    rsp: u64,
    rflags: u64,
}

impl VmxVcpu {
    /// A vCPU in the state after INIT, with no ports and no nested page table yet.
    pub fn new() -> Result<Self, NoMemory> {
        use Field::*;
        let has = capabilities().ok_or(NoMemory)?;
        let vmcs = Vmcs::new()?;
        let (ports, msrs) = (io_maps().ok_or(NoMemory)?.no_ports, permissions::msrs().ok_or(NoMemory)?);
        let current = vmcs.current();
        for (field, value) in [
            (PinControls, has.pin.into()),
            (PrimaryControls, has.primary.into()),
            (SecondaryControls, has.secondary.into()),
            (ExitControls, has.exit.into()),
            (EntryControls, has.entry.into()),
            (ExceptionBitmap, exits::WATCHED_EXCEPTIONS.into()),
            (PageFaultErrorMask, 0),
            (PageFaultErrorMatch, 0),
            (Cr3TargetCount, 0),
            (ExitMsrStoreCount, 0),
            (ExitMsrLoadCount, 0),
            (EntryMsrLoadCount, 0),
            (EntryEvent, 0),
            (TscOffset, 0),
            (IoBitmapA, ports.0),
            (IoBitmapB, ports.0 + 4096),
            (MsrBitmap, msrs.0),
            (Cr0Mask, CR0_HOST),
            (Cr4Mask, CR4_HOST),
            (Cr4Shadow, 0),
            (LinkPointer, u64::MAX),
            (HostRip, entry::exit_address()),
            (GuestDebugctl, 0),
            (GuestActivity, 0),
            (GuestInterruptibility, 0),
            (GuestPendingDebug, 0),
            (GuestRip, 0),
            (GuestRsp, 0),
            (GuestRflags, RFLAGS_FIXED),
        ] {
            // SAFETY: these are the controls that confine a guest, and where its exits lead.
            unsafe { current.write(field, value) };
        }
        drop(current);
        let mut vcpu = Self {
            vmcs,
            gprs: Gprs { rflags: RFLAGS_FIXED, ..Gprs::default() },
            written: Written { rflags: RFLAGS_FIXED, ..Written::default() },
            switched: SwitchedState::new()?,
            loose: LooseRegisters::default(),
            cpu: None,
            home: None,
            host_rsp: 0,
            translations: Translations::new(has),
            pending: Pending::new(Primary::from_bits_retain(has.primary)),
            cr0_shadow: 0,
            reason: 0,
            told: Exit::Shutdown,
        };
        vcpu.set_system(&SystemState::after_init(0));
        Ok(vcpu)
    }

    /// The way in has failed before it left the host.
    #[cold]
    fn not_entered(vmcs: &Current<'_>) -> Exit {
        log::error!("VM entry failed: {}", vmcs.error());
        Exit::InvalidState(vmcs.error().0.into())
    }

    /// The CPU has refused the guest's state.
    #[cold]
    fn refused(vmcs: &Current<'_>, reason: u32) -> Exit {
        let failure = exits::entry_failure(reason);
        match check::guest_state(vmcs) {
            Ok(()) => log::error!("VM entry failed by {failure}; no field is known to be wrong"),
            Err(offence) => log::error!("VM entry failed by {failure}: {offence}"),
        }
        Exit::InvalidState((reason & !exits::ENTRY_FAILED).into())
    }

    /// An exit by an exception or by an NMI of the host's.
    #[cold]
    fn exception(vmcs: &Current<'_>, pending: &mut Pending) -> Exit {
        let info = vmcs.read(Field::ExitEvent) as u32;
        if info & 7 << 8 == NMI {
            // SAFETY: the NMI's handler, which ends with the IRET that lets the next one in.
            unsafe { asm!("int 2") };
            return Exit::Nmi;
        }
        pending.nmi_unblocked(u64::from(info) & UNBLOCKED_NMI != 0);
        match (info & VECTOR) as u8 {
            MACHINE_CHECK => Exit::MachineCheck,
            DEBUG => {
                let causes = vmcs.read(Field::Qualification) & DEBUG_CAUSES;
                note_debug_causes(causes);
                // SAFETY: guest state; what the delivery would have done.
                unsafe { vmcs.write(Field::GuestDr7, vmcs.read(Field::GuestDr7) & !GENERAL_DETECT) };
                // A shadow would want the single step pending beside what is delivered.
                pending.end_shadow();
                Exit::Reflect(Event::Exception { vector: DEBUG, error: None })
            }
            vector @ exits::ALIGNMENT_CHECK => Exit::Reflect(Event::Exception { vector, error: Some(0) }),
            _ => Exit::Unknown(info.into()),
        }
    }

    /// An access to a control register. One to CR0 runs again, with the guest's wish in the shadow: then the CPU itself does
    /// the rest.
    #[cold]
    fn control_register(vmcs: &Current<'_>, gprs: &Gprs, cr0_shadow: &mut u64) -> Exit {
        let access = ControlAccess::decode(vmcs, gprs, mode(vmcs, gprs.rflags) == CpuMode::Bits64);
        if let ControlAccess::Cr0(value) = access {
            *cr0_shadow = value;
            // SAFETY: what the guest reads.
            unsafe { vmcs.write(Field::Cr0Shadow, value) };
        }
        access.into()
    }

    fn loose(&self) -> LooseRegisters {
        if self.cpu.is_some() { LooseRegisters::save() } else { self.loose }
    }
}

/// What the guest's code segment and EFER make of an instruction stream.
#[inline(always)]
fn mode(vmcs: &Current<'_>, rflags: u64) -> CpuMode {
    let rights = vmcs.read(Field::GuestCsRights);
    if rights & CS_L != 0 && vmcs.read(Field::GuestEfer) & EFER_LMA != 0 {
        CpuMode::Bits64
    } else if vmcs.read(Field::GuestCr0) & CR0_PE == 0 || rflags & RFLAGS_VM != 0 {
        CpuMode::Real
    } else if rights & CS_D != 0 {
        CpuMode::Bits32
    } else {
        CpuMode::Bits16
    }
}

impl Written {
    /// Writes what has changed.
    #[inline(always)]
    fn write(&mut self, vmcs: &Current<'_>, gprs: &mut Gprs) {
        gprs.rflags = gprs.rflags & RFLAGS_KNOWN | RFLAGS_FIXED;
        let rsp = gprs.get(Gpr::Rsp);
        // SAFETY: guest state.
        unsafe {
            if gprs.rip != self.rip {
                vmcs.write(Field::GuestRip, gprs.rip);
            }
            if rsp != self.rsp {
                vmcs.write(Field::GuestRsp, rsp);
            }
            if gprs.rflags != self.rflags {
                vmcs.write(Field::GuestRflags, gprs.rflags);
            }
        }
    }

    #[inline(always)]
    fn read(&mut self, vmcs: &Current<'_>, gprs: &mut Gprs) {
        *self = Self {
            rip: vmcs.read(Field::GuestRip),
            rsp: vmcs.read(Field::GuestRsp),
            rflags: vmcs.read(Field::GuestRflags),
        };
        gprs.rip = self.rip;
        gprs.set(Gpr::Rsp, self.rsp);
        gprs.rflags = self.rflags;
    }
}

impl GuestCpu for VmxVcpu {
    fn gprs(&self) -> &Gprs {
        &self.gprs
    }

    fn gprs_mut(&mut self) -> &mut Gprs {
        &mut self.gprs
    }

    fn switch_in(&mut self) {
        self.vmcs.load();
        self.cpu = cpu::this();
        let here = self.cpu.map(|cpu| cpu.id);
        if self.home != here {
            self.home = here;
            write_host_state(&self.vmcs.current());
            self.translations.forget();
        }
        self.switched.load();
        self.loose.load();
    }

    fn switch_out(&mut self) {
        self.loose = LooseRegisters::save();
        self.switched.save();
        self.vmcs.clear();
        self.cpu = None;
    }

    #[inline]
    fn enter(&mut self) {
        let Some(cpu) = self.cpu else {
            self.reason = exits::ENTRY_FAILED;
            return;
        };
        let vmcs = self.vmcs.current();
        self.translations.prepare(&vmcs, cpu);
        self.written.write(&vmcs, &mut self.gprs);
        self.pending.offer(&vmcs, self.gprs.rflags);
        if cfg!(debug_assertions)
            && let Err(offence) = check::guest_state(&vmcs)
        {
            log::error!("the next VM entry fails: {offence}");
        }
        if entry::enter(&vmcs, &mut self.gprs, &mut self.host_rsp, self.vmcs.launched.get()).is_err() {
            self.reason = exits::ENTRY_FAILED;
            self.told = Self::not_entered(&vmcs);
            return;
        }
        self.vmcs.launched.set(true);
        self.reason = vmcs.read(Field::ExitReason) as u32;
        self.written.read(&vmcs, &mut self.gprs);
        self.pending.take_in(&vmcs);
        match self.reason {
            exits::EXCEPTION => self.told = Self::exception(&vmcs, &mut self.pending),
            exits::CONTROL_REGISTER => {
                self.told = Self::control_register(&vmcs, &self.gprs, &mut self.cr0_shadow);
            }
            exits::NMI_WINDOW => self.pending.nmi_is_over(),
            exits::EPT_VIOLATION => {
                self.pending.nmi_unblocked(vmcs.read(Field::Qualification) & UNBLOCKED_NMI != 0);
            }
            reason if reason & exits::ENTRY_FAILED != 0 => self.told = Self::refused(&vmcs, reason),
            _ => {}
        }
    }

    #[inline(always)]
    fn exit(&self) -> Exit {
        exits::decode(&self.vmcs.current(), self.reason).unwrap_or(self.told)
    }

    fn exit_code(&self) -> u64 {
        self.reason.into()
    }

    fn can_take_interrupt(&self) -> bool {
        self.pending.can_take_interrupt(self.gprs.rflags)
    }

    fn can_take_nmi(&self) -> bool {
        self.pending.can_take_nmi()
    }

    fn inject(&mut self, event: Event) {
        let vmcs = &self.vmcs;
        self.pending.inject(event, || vmcs.current().read(Field::GuestCr0) & CR0_PE != 0);
    }

    fn forget_events(&mut self) {
        self.pending.forget();
        // SAFETY: guest state.
        unsafe { self.vmcs.current().write(Field::GuestPendingDebug, 0) };
    }

    fn request_interrupt_window(&mut self, wanted: bool) {
        self.pending.want_window(wanted);
    }

    fn instruction_len(&self) -> Option<u8> {
        Some(self.vmcs.current().read(Field::InstructionLength) as u8)
    }

    #[inline]
    fn skip(&mut self, len: u8) {
        let next = self.gprs.rip.wrapping_add(u64::from(len));
        // Only 64-bit code gets here from above 4 GiB.
        let wraps = self.gprs.rip <= u32::MAX.into() && next > u32::MAX.into();
        self.gprs.rip =
            if wraps && self.control().mode != CpuMode::Bits64 { next & 0xffff_ffff } else { next };
        self.pending.end_shadow();
        if self.gprs.rflags & RFLAGS_TF != 0 {
            // SAFETY: guest state: the trap that follows the instruction.
            unsafe { self.vmcs.current().write(Field::GuestPendingDebug, SINGLE_STEP) };
        }
    }

    #[inline]
    fn control(&self) -> ControlRegs {
        let vmcs = self.vmcs.current();
        ControlRegs {
            cr0: vmcs.read(Field::GuestCr0) & !CR0_HOST | self.cr0_shadow & CR0_HOST,
            cr2: if self.cpu.is_some() { cr2() } else { self.loose.cr2 },
            cr3: vmcs.read(Field::GuestCr3),
            cr4: vmcs.read(Field::GuestCr4) & !CR4_HOST,
            efer: vmcs.read(Field::GuestEfer),
            cpl: (vmcs.read(Field::GuestSsRights) >> 5 & 3) as u8,
            mode: mode(&vmcs, self.gprs.rflags),
        }
    }

    fn system(&self) -> SystemState {
        state::read(&self.vmcs.current(), &self.loose(), self.cr0_shadow)
    }

    fn set_system(&mut self, state: &SystemState) {
        state::write(&self.vmcs.current(), state);
        self.cr0_shadow = state.cr0;
        self.loose = LooseRegisters::new(state.cr2, state.dr6, &state.entry);
        if self.cpu.is_some() {
            self.loose.load();
        }
        self.translations.forget_linear();
    }

    fn set_xcr0(&mut self, value: u64) -> bool {
        self.switched.set_xcr0(value)
    }

    fn xcr0(&self) -> u64 {
        self.switched.xcr0()
    }

    fn hypercall_instruction(&self) -> [u8; 3] {
        // VMCALL
        [0x0f, 0x01, 0xc1]
    }

    fn set_tsc_offset(&mut self, offset: u64) {
        // SAFETY: it moves the guest's time only.
        unsafe { self.vmcs.current().write(Field::TscOffset, offset) };
    }

    fn flush_tlb(&mut self) {
        self.translations.forget();
    }

    fn set_nested_root(&mut self, root: Mfn) {
        self.translations.set_root(&self.vmcs.current(), root);
    }

    fn allow_hardware_ports(&mut self) {
        let Some(maps) = io_maps() else { return };
        let vmcs = self.vmcs.current();
        // SAFETY: domain 0 owns the devices; the map leaves out what it shares with Tenon.
        unsafe {
            vmcs.write(Field::IoBitmapA, maps.hardware_ports.0);
            vmcs.write(Field::IoBitmapB, maps.hardware_ports.0 + 4096);
        }
    }
}
