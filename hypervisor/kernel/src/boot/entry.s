# Multiboot headers and the way from 32-bit protected mode into Rust.
#
# The loader leaves us in flat 32-bit protected mode, paging off, interrupts off, EAX = magic, EBX = the address of
# its information. Until paging is on, code runs at its physical address: symbols are taken minus VIRT.
# The tables below map the first 4 GiB three times (identity, direct map; image: first 1 GiB) with 2 MiB pages.
# mm::paging replaces them before anything else than the start-up has run.

.set VIRT, 0xffffffff80000000

.section .multiboot, "a"
.balign 8
multiboot1:
    .long 0x1badb002
    .long 0x00000003                        # modules on page boundaries; memory map wanted
    .long -(0x1badb002 + 0x00000003)

.balign 8
multiboot2:
    .long 0xe85250d6
    .long 0                                 # i386, protected mode
    .long multiboot2_end - multiboot2
    .long -(0xe85250d6 + (multiboot2_end - multiboot2))

    .balign 8
    .word 4, 1                              # console flags, optional: EGA text is understood
    .long 12
    .long 2

    .balign 8
    .word 5, 1                              # framebuffer, optional: any mode
    .long 20
    .long 0, 0, 0

    .balign 8
    .word 6, 0                              # modules on page boundaries
    .long 8

    .balign 8
    .word 0, 0                              # end
    .long 8
multiboot2_end:

.section .text.entry, "ax"
.code32
.global entry32
entry32:
    cli
    cld
    mov esp, offset boot_stack_top - VIRT
    mov ebp, eax
    mov esi, ebx

    mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    jb no_long_mode
    mov eax, 0x80000001
    cpuid
    bt edx, 29
    jnc no_long_mode

    mov eax, cr4
    or eax, 0x20                            # PAE
    mov cr4, eax
    mov eax, offset boot_pml4 - VIRT
    mov cr3, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x100                           # LME
    wrmsr
    mov eax, cr0
    or eax, 0x80010001                      # PG, WP, PE
    and eax, 0x9fffffff                     # caches on
    mov cr0, eax

    lgdt [boot_gdt_pointer - VIRT]
    push 8
    mov eax, offset entry64 - VIRT
    push eax
    retf

no_long_mode:
    mov esi, offset no_long_mode_text - VIRT
    mov edi, 0xb8000
    mov ah, 0x4f
1:  lodsb
    test al, al
    jz 2f
    stosw
    mov dx, 0x3f8
    out dx, al
    jmp 1b
2:  hlt
    jmp 2b

.code64
entry64:
    mov rax, offset entry_high
    jmp rax
entry_high:
    lgdt [boot_gdt_pointer_high]            # the identity map will go
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    mov rsp, offset boot_stack_top
    mov edi, ebp
    mov esi, esi
    xor ebp, ebp
    push rbp                                # the end of every backtrace
    push rbp
    call boot_main
    ud2

.section .rodata.boot, "a"
no_long_mode_text:
    .asciz "Tenon needs a 64-bit CPU."
.balign 8
boot_gdt:
    .quad 0
    .quad 0x00209b0000000000                # 64-bit code
boot_gdt_pointer:
    .word 15
    .long boot_gdt - VIRT
boot_gdt_pointer_high:
    .word 15
    .quad boot_gdt

.section .data.boot, "aw"
.set LARGE, 0x83                            # present, writable, large
.set TABLE, 3 - VIRT                        # present, writable, at the table's physical address
.balign 4096
boot_pml4:
    .quad boot_pdpt + TABLE
    .skip 255 * 8
    .quad boot_pdpt + TABLE
    .skip 254 * 8
    .quad boot_pdpt_image + TABLE
boot_pdpt:
    .quad boot_pd + TABLE, boot_pd + 0x1000 + TABLE, boot_pd + 0x2000 + TABLE, boot_pd + 0x3000 + TABLE
    .skip 508 * 8
boot_pdpt_image:
    .skip 510 * 8
    .quad boot_pd + TABLE
    .skip 8
boot_pd:
.set page, 0
.rept 2048
    .quad page + LARGE
    .set page, page + 0x200000
.endr

.section .bss.boot, "aw", @nobits
.balign 4096
.global boot_stack_bottom
boot_stack_bottom:
    .skip 131072                            # memory maps are built on it, at 6 KiB each
.global boot_stack_top
boot_stack_top:
