//! Changing stacks.
#![allow(unsafe_code, reason = "sets the stack pointer")]

/// Goes on in `next` on another stack; nothing on the present one is used again.
///
/// # Safety
/// `top` is the top of a mapped stack that nobody uses.
pub unsafe fn switch_to<T>(top: u64, next: extern "C" fn(&'static T) -> !, argument: &'static T) -> ! {
    // SAFETY: the caller's promise. The zeros end backtraces and stand for the return address.
    unsafe {
        core::arch::asm!(
            "mov rsp, {top}",
            "xor ebp, ebp",
            "push rbp",
            "push rbp",
            "push rbp",
            "jmp {next}",
            top = in(reg) top,
            next = in(reg) next,
            in("rdi") argument,
            options(noreturn)
        );
    }
}
