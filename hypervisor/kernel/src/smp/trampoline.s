# A CPU's way from the STARTUP message into Rust. smp::trampoline copies this to a page below 1 MiB, fills in the
# words that it cannot know, and maps that page executable at its physical address in page tables made for this alone.

.section .rodata.trampoline, "a"
.global trampoline_start
.global trampoline_end
.global trampoline_words

.code16
trampoline_start:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    xorl %ebx, %ebx
    movw %ax, %bx
    shll $4, %ebx                           # the page's physical address
    leal (gdt - trampoline_start)(%ebx), %eax
    movl %eax, gdt_base - trampoline_start
    leal (protected - trampoline_start)(%ebx), %eax
    movl %eax, far_protected - trampoline_start
    leal (long - trampoline_start)(%ebx), %eax
    movl %eax, far_long - trampoline_start
    lgdtl gdt_pointer - trampoline_start
    movl %cr0, %eax
    orl $1, %eax                            # PE
    movl %eax, %cr0
    ljmpl *(far_protected - trampoline_start)

.code32
protected:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %ss
    movl %cr4, %eax
    orl $0x20, %eax                         # PAE
    movl %eax, %cr4
    movl (root - trampoline_start)(%ebx), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl (efer - trampoline_start)(%ebx), %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80010001, %eax                   # PG, WP, PE
    andl $0x9fffffff, %eax                  # caches on
    movl %eax, %cr0
    ljmpl *(far_long - trampoline_start)(%ebx)

.code64
long:
    movl %ebx, %ebx
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %ss
    movq (stack - trampoline_start)(%rbx), %rsp
    movq (cpu - trampoline_start)(%rbx), %rdi
    movq (entry - trampoline_start)(%rbx), %rax
    xorl %ebp, %ebp
    pushq %rbp                              # the end of every backtrace
    pushq %rbp
    pushq %rbp                              # as if called: the entry never returns
    jmpq *%rax

.balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff                # 32-bit code
    .quad 0x00cf93000000ffff                # data
    .quad 0x00209b0000000000                # 64-bit code

# The words that Rust fills in, in this order.
.balign 8
trampoline_words:
root:           .quad 0
efer:           .quad 0
stack:          .quad 0
cpu:            .quad 0
entry:          .quad 0
# Those that depend on where the page is.
far_protected:  .long 0
                .long 0x08
far_long:       .long 0
                .long 0x18
gdt_pointer:    .word 31
gdt_base:       .long 0
                .word 0
trampoline_end:
