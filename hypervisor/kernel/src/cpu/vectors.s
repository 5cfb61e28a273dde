# Entries of all interrupt vectors. Each pushes a zero where the CPU pushes no error code, then its number, and joins
# the common path, which completes a cpu::interrupt::Frame on the stack.

.section .text.vectors, "ax"
.balign 16
.global interrupt_stubs
interrupt_stubs:
.set vector, 0
.rept 256
    .balign 16
    .if vector != 8 && vector != 10 && vector != 11 && vector != 12 && vector != 13 && vector != 14 && vector != 17 && vector != 21 && vector != 29 && vector != 30
    push 0
    .endif
    push vector
    jmp interrupt_common
    .set vector, vector + 1
.endr

interrupt_common:
.irp register, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
    push \register
.endr
    cld
    mov rdi, rsp
    call interrupt_entry
.irp register, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax
    pop \register
.endr
    add rsp, 16                             # vector and error code
    iretq
