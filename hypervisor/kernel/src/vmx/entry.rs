//! The way into the guest and back.
//!
//! An entry switches rsp, rip, rflags, control registers and segments; the other general registers are moved here. Host
//! interrupts stay off throughout: the guest's do not matter to them, one that comes ends its run (external-interrupt
//! exiting) and stays pending.

#![allow(unsafe_code, reason = "VMLAUNCH and VMRESUME")]

use core::arch::global_asm;

use tenon_core::guest_cpu::Gprs;

use super::fields::Field;
use super::vmcs::Current;

global_asm!(
    ".pushsection .text.vmx_enter, \"ax\"",
    ".global vmx_enter",
    "vmx_enter:",
    ".irp register, rbx, rbp, r12, r13, r14, r15, rdi",
    "push \\register",
    ".endr",
    // The stack is nearly always as deep as last time.
    "cmp rsp, [rsi]",
    "je 2f",
    "mov [rsi], rsp",
    "mov eax, {host_rsp}",
    "vmwrite rax, rsp",
    "2:",
    "test edx, edx",
    "mov rax, [rdi]",
    "mov rcx, [rdi + 1*8]",
    "mov rdx, [rdi + 2*8]",
    "mov rbx, [rdi + 3*8]",
    "mov rbp, [rdi + 5*8]",
    "mov rsi, [rdi + 6*8]",
    ".irp number, 8, 9, 10, 11, 12, 13, 14, 15",
    "mov r\\number, [rdi + \\number*8]",
    ".endr",
    "mov rdi, [rdi + 7*8]",
    "jz 3f",
    "vmresume",
    "jmp 4f",
    "3: vmlaunch",
    // Not reached but by an entry that has failed before it left the host.
    "4: mov eax, 1",
    "jmp 5f",
    ".global vmx_exit",
    "vmx_exit:",
    "push rdi",
    "mov rdi, [rsp + 8]",
    "mov [rdi], rax",
    "mov [rdi + 1*8], rcx",
    "mov [rdi + 2*8], rdx",
    "mov [rdi + 3*8], rbx",
    "mov [rdi + 5*8], rbp",
    "mov [rdi + 6*8], rsi",
    ".irp number, 8, 9, 10, 11, 12, 13, 14, 15",
    "mov [rdi + \\number*8], r\\number",
    ".endr",
    "pop [rdi + 7*8]",
    "xor eax, eax",
    "5: add rsp, 8",
    ".irp register, r15, r14, r13, r12, rbp, rbx",
    "pop \\register",
    ".endr",
    "ret",
    ".popsection",
    host_rsp = const Field::HostRsp as u32,
);

unsafe extern "C" {
    fn vmx_enter(gprs: *mut Gprs, host_rsp: *mut u64, launched: u32) -> u32;
    static vmx_exit: [u8; 0];
}

/// The VM entry failed before it left the host: [`Current::error`] says why.
pub struct Failed;

/// Runs the guest until its next exit. `host_rsp` is what the VMCS has for that.
#[inline(always)]
pub fn enter(vmcs: &Current<'_>, gprs: &mut Gprs, host_rsp: &mut u64, launched: bool) -> Result<(), Failed> {
    let _ = vmcs;
    // SAFETY: the VMCS is current, its host state is this CPU's (`VmxVcpu::switch_in`), and it confines the guest: EPT is
    // on with a p2m that maps no frame of Tenon's private memory, the bitmaps cover its ports and MSRs, and `VmxVcpu` only
    // ever writes states that keep those exits. The assembly keeps the C ABI's callee-saved registers and the stack.
    match unsafe { vmx_enter(gprs, host_rsp, launched.into()) } {
        0 => Ok(()),
        _ => Err(Failed),
    }
}

/// Where exits go on.
pub fn exit_address() -> u64 {
    &raw const vmx_exit as u64
}
