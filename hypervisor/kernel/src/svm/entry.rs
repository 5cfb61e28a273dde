//! The way into the guest and back.
//!
//! VMRUN itself switches rax, rsp, rip, rflags, control registers and the visible segments; VMLOAD and VMSAVE do
//! FS, GS, TR, LDTR and the system-call MSRs; the other general registers are moved here.
//!
//! Host interrupts stay off throughout: the global interrupt flag is clear between CLGI and STGI, and IF is set
//! only inside, so that a host interrupt ends the guest's run (INTR intercept) instead of being taken here.

#![allow(unsafe_code, reason = "VMRUN")]

use alloc::boxed::Box;
use core::arch::global_asm;

use tenon_core::frame::Maddr;
use tenon_core::guest_cpu::{Gpr, Gprs};

use super::vmcb::Vmcb;
use crate::mm::pages;

global_asm!(
    ".pushsection .text.svm_enter, \"ax\"",
    ".global svm_enter",
    "svm_enter:",
    ".irp register, rbx, rbp, r12, r13, r14, r15, rsi, rdx",
    "push \\register",
    ".endr",
    "mov rax, rdi",
    "clgi",
    "sti",
    "mov rcx, [rdx + 1*8]",
    "mov rbx, [rdx + 3*8]",
    "mov rbp, [rdx + 5*8]",
    "mov rsi, [rdx + 6*8]",
    "mov rdi, [rdx + 7*8]",
    ".irp number, 8, 9, 10, 11, 12, 13, 14, 15",
    "mov r\\number, [rdx + \\number*8]",
    ".endr",
    "mov rdx, [rdx + 2*8]",
    "vmload rax",
    "vmrun rax",
    "vmsave rax",
    "mov rax, [rsp]",
    "mov [rax + 1*8], rcx",
    "mov [rax + 2*8], rdx",
    "mov [rax + 3*8], rbx",
    "mov [rax + 5*8], rbp",
    "mov [rax + 6*8], rsi",
    "mov [rax + 7*8], rdi",
    ".irp number, 8, 9, 10, 11, 12, 13, 14, 15",
    "mov [rax + \\number*8], r\\number",
    ".endr",
    "mov rax, [rsp + 8]",
    "vmload rax",
    "cli",
    "stgi",
    "add rsp, 16",
    ".irp register, r15, r14, r13, r12, rbp, rbx",
    "pop \\register",
    ".endr",
    "ret",
    ".popsection",
);

unsafe extern "C" {
    fn svm_enter(vmcb: Maddr, host_vmcb: Maddr, gprs: *mut Gprs);
}

/// Runs the guest until its next exit.
///
/// `host_vmcb` holds this CPU's own VMSAVE state.
pub fn enter(vmcb: &mut Box<Vmcb>, host_vmcb: Maddr, gprs: &mut Gprs) {
    let save = &mut vmcb.save;
    save.rax = gprs.get(Gpr::Rax);
    save.rsp = gprs.get(Gpr::Rsp);
    save.rip = gprs.rip;
    save.rflags = gprs.rflags;
    // SAFETY: SVM is on and HSAVE is set on this CPU (a `SvmCpu` exists, see `cpu.rs`, and gave `host_vmcb`). The
    // VMCB is exclusively borrowed and confines the guest: nested paging is on with a p2m that maps no frame of
    // Tenon's private memory, the permission maps cover its ports and MSRs, and `SvmVcpu` only ever writes states
    // that keep those intercepts. The assembly keeps the C ABI's callee-saved registers and the stack.
    unsafe { svm_enter(pages::maddr(vmcb), host_vmcb, gprs) };
    let save = &vmcb.save;
    gprs.set(Gpr::Rax, save.rax);
    gprs.set(Gpr::Rsp, save.rsp);
    gprs.rip = save.rip;
    gprs.rflags = save.rflags;
}
