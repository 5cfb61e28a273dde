use super::*;
use crate::guest_cpu::Gprs as Cpu;
use iced_x86::Mnemonic;
use proptest::prelude::*;
use std::vec::Vec;

/// A device register, and memory that answers with its offset.
#[derive(Default)]
struct Device {
    value: u64,
    writes: Vec<(Width, u64)>,
    stores: Vec<(Segment, u64, u64)>,
    loaded_from: Option<Segment>,
    fails: bool,
}

impl Bus for Device {
    type Error = ();
    fn read(&mut self, _: Width) -> Result<u64, ()> {
        if self.fails { Err(()) } else { Ok(self.value) }
    }
    fn write(&mut self, width: Width, value: u64) -> Result<(), ()> {
        assert_eq!(value & !width.mask(), 0);
        self.writes.push((width, value));
        if self.fails { Err(()) } else { Ok(()) }
    }
    fn load(&mut self, segment: Segment, offset: u64, width: Width) -> Result<u64, ()> {
        self.loaded_from = Some(segment);
        Ok(offset & width.mask())
    }
    fn store(&mut self, segment: Segment, offset: u64, _: Width, value: u64) -> Result<(), ()> {
        self.stores.push((segment, offset, value));
        Ok(())
    }
}

fn cpu() -> Cpu {
    Cpu { gpr: core::array::from_fn(|i| 0x1111_1111_1111_1111 * i as u64), rip: 0x1000, rflags: 2 }
}

fn run(bytes: &[u8], code: CpuMode, value: u64, is_write: bool) -> (Cpu, Device) {
    let (mut cpu, mut device) = (cpu(), Device { value, ..Device::default() });
    let instruction = decode(bytes, code).unwrap();
    assert_eq!(usize::from(instruction.length), bytes.len());
    execute(&instruction, &mut cpu, &mut device, is_write).unwrap();
    (cpu, device)
}

use CpuMode::{Bits16, Bits32, Bits64};
use Width::{Byte, Dword, Qword, Word};

#[test]
fn loads() {
    let v = 0xffee_ddcc_bbaa_9988;
    // (bytes, register, its value afterwards)
    for (bytes, register, expected) in [
        (&[0x8b, 0x00][..], 0, 0xbbaa_9988),                   // mov eax,[rax]
        (&[0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0], 0, v),         // mov rax,[abs32]
        (&[0x66, 0x8b, 0x48, 0x10], 1, 0x1111_1111_1111_9988), // mov cx,[rax+16]
        (&[0x8a, 0x60, 0x01], 0, 0x8800),                      // mov ah,[rax+1]
        (&[0x40, 0x8a, 0x60, 0x01], 4, 0x4444_4444_4444_4488), // mov spl,[rax+1]
        (&[0x44, 0x8b, 0x80, 0, 1, 0, 0], 8, 0xbbaa_9988),     // mov r8d,[rax+256]
        (&[0x0f, 0xb6, 0x08], 1, 0x88),                        // movzx ecx,byte [rax]
        (&[0x0f, 0xb7, 0x08], 1, 0x9988),                      // movzx ecx,word [rax]
        (&[0x48, 0x0f, 0xbe, 0x08], 1, 0xffff_ffff_ffff_ff88), // movsx rcx,byte [rax]
        (&[0x0f, 0xbf, 0x08], 1, 0xffff_9988),                 // movsx ecx,word [rax]
        (&[0x48, 0x63, 0x08], 1, 0xffff_ffff_bbaa_9988),       // movsxd rcx,dword [rax]
        (&[0xa1, 1, 2, 3, 4, 5, 6, 7, 8], 0, 0xbbaa_9988),     // mov eax,[moffs64]
    ] {
        let (cpu, _) = run(bytes, Bits64, v, false);
        assert_eq!(cpu.gpr[register], expected, "{bytes:x?}");
        assert_eq!(cpu.rip, 0x1000 + bytes.len() as u64);
    }
    assert_eq!(run(&[0xa1, 1, 2, 3, 4], Bits32, v, false).0.gpr[0], 0xbbaa_9988);
    assert_eq!(run(&[0x8b, 0x0e, 1, 2], Bits16, v, false).0.gpr[1], 0x1111_1111_1111_9988);
}

#[test]
fn stores() {
    for (bytes, expected) in [
        (&[0x89, 0x08][..], (Dword, 0x1111_1111)),
        (&[0x48, 0x89, 0x08], (Qword, 0x1111_1111_1111_1111)),
        (&[0x66, 0x89, 0x08], (Word, 0x1111)),
        (&[0x88, 0x38], (Byte, 0x33)),
        (&[0xc6, 0x00, 0xfe], (Byte, 0xfe)),
        (&[0xc7, 0x00, 4, 3, 2, 0x81], (Dword, 0x8102_0304)),
        (&[0x48, 0xc7, 0x00, 4, 3, 2, 0x81], (Qword, 0xffff_ffff_8102_0304)),
        (&[0x66, 0xc7, 0x00, 4, 3], (Word, 0x0304)),
        (&[0x0f, 0xc3, 0x08], (Dword, 0x1111_1111)),
        (&[0xa3, 1, 2, 3, 4, 5, 6, 7, 8], (Dword, 0)),
    ] {
        assert_eq!(run(bytes, Bits64, 0, true).1.writes, [expected], "{bytes:x?}");
    }
}

#[test]
fn read_modify_write() {
    for (bytes, value, written, carry, zero) in [
        (&[0x81, 0x08, 0, 0, 1, 0][..], 1, Some(0x1_0001), false, false), // or dword [rax],0x10000
        (&[0x83, 0x20, 0xfe], 1, Some(0), false, true),                   // and dword [rax],-2
        (&[0x80, 0x30, 0xff], 0x0f, Some(0xf0), false, false),            // xor byte [rax],-1
        (&[0x83, 0x28, 0x02], 1, Some(0xffff_ffff), true, false),         // sub dword [rax],2
        (&[0x01, 0x08], 0xf000_0000, Some(0x0111_1111), true, false),     // add [rax],ecx
        (&[0x83, 0x38, 0x05], 5, None, false, true),                      // cmp dword [rax],5
        (&[0xf7, 0x00, 1, 0, 0, 0], 2, None, false, true),                // test dword [rax],1
        (&[0x85, 0x08], 0x10, None, false, false),                        // test [rax],ecx
        (&[0xff, 0x00], 0xffff_ffff, Some(0), false, true),               // inc dword [rax]
        (&[0xfe, 0x08], 1, Some(0), false, true),                         // dec byte [rax]
        (&[0xf7, 0x10], 0, Some(0xffff_ffff), false, false),              // not dword [rax]
        (&[0xf0, 0x0f, 0xba, 0x28, 0x05], 0, Some(0x20), false, false),   // lock bts dword [rax],5
        (&[0x0f, 0xa3, 0x08], 0x0002_0000, None, true, false),            // bt [rax],ecx (bit 17)
    ] {
        let (cpu, device) = run(bytes, Bits64, value, true);
        assert_eq!(device.writes.first().map(|w| w.1), written, "{bytes:x?}");
        assert_eq!(cpu.rflags & 1 != 0, carry, "carry of {bytes:x?}");
        assert_eq!(cpu.rflags & 0x40 != 0, zero, "zero of {bytes:x?}");
    }
    let (cpu, device) = run(&[0x87, 0x08], Bits64, 7, true);
    assert_eq!((cpu.gpr[1], device.writes.as_slice()), (7, &[(Dword, 0x1111_1111)][..]));
    let (cpu, _) = run(&[0x23, 0x08], Bits64, 0xf0, false);
    assert_eq!(cpu.gpr[1], 0x10);
}

#[test]
fn string_operations_do_one_element() {
    let code = [0xf3, 0xa5]; // rep movsd
    let mut cpu = cpu();
    cpu.gpr[1] = 2;
    (cpu.gpr[6], cpu.gpr[7]) = (0x100, 0x200);
    let mut device = Device { value: 9, ..Device::default() };
    let instruction = decode(&code, Bits64).unwrap();
    execute(&instruction, &mut cpu, &mut device, true).unwrap();
    assert_eq!((cpu.gpr[1], cpu.gpr[6], cpu.gpr[7], cpu.rip), (1, 0x104, 0x204, 0x1000));
    execute(&instruction, &mut cpu, &mut device, false).unwrap();
    assert_eq!((cpu.gpr[1], cpu.gpr[6], cpu.gpr[7], cpu.rip), (0, 0x108, 0x208, 0x1002));
    assert_eq!((device.writes.as_slice(), device.loaded_from), (&[(Dword, 0x100)][..], Some(Segment::Ds)));
    assert_eq!(device.stores, [(Segment::Es, 0x204, 9)]);
    cpu.rip = 0x1000;
    execute(&instruction, &mut cpu, &mut device, true).unwrap();
    assert_eq!((cpu.gpr[1], cpu.rip, device.writes.len()), (0, 0x1002, 1));

    cpu.rflags |= DIRECTION_FLAG;
    execute(&decode(&[0xaa], Bits64).unwrap(), &mut cpu, &mut device, true).unwrap();
    assert_eq!((cpu.gpr[7], device.writes.last()), (0x207, Some(&(Byte, 0))));
}

const DIRECTION_FLAG: u64 = 1 << 10;

#[test]
fn refusals_have_names() {
    assert_eq!(decode(&[0x8b], Bits64), Err(Unsupported::Truncated));
    assert_eq!(decode(&[], Bits64), Err(Unsupported::Truncated));
    assert_eq!(decode(&[0x66; 14], Bits64), Err(Unsupported::Truncated));
    assert_eq!(decode(&[0x66; 15], Bits64), Err(Unsupported::Invalid));
    assert_eq!(decode(&[0x66; 20], Bits64), Err(Unsupported::Invalid));
    assert_eq!(decode(&[0x8b, 0xc0], Bits64), Err(Unsupported::NoMemoryOperand(Mnemonic::Mov)));
    for (bytes, mnemonic) in [
        (&[0x0f, 0x10, 0x00][..], Mnemonic::Movups),
        (&[0xff, 0x30], Mnemonic::Push),
        (&[0x8c, 0x18], Mnemonic::Mov), // mov [rax],ds
        (&[0x8e, 0x18], Mnemonic::Mov), // mov ds,[rax]
        (&[0xf2, 0x0f, 0x10, 0x00], Mnemonic::Movsd),
        (&[0x0f, 0xb1, 0x08], Mnemonic::Cmpxchg),
        (&[0xf3, 0x6d], Mnemonic::Insd),
        (&[0xf3, 0xa6], Mnemonic::Cmpsb),
        (&[0x0f, 0x01, 0x38], Mnemonic::Invlpg),
        (&[0x0f, 0x01, 0x10], Mnemonic::Lgdt),
    ] {
        assert_eq!(decode(bytes, Bits64), Err(Unsupported::Instruction(mnemonic)));
    }
    for bytes in [
        &[0x82, 0x08, 0x01][..],               // or byte [rax],1, but for 64-bit mode
        &[0xc6, 0x08, 0x01],                   // group 11 has one member
        &[0xf0, 0x89, 0x08],                   // lock mov [rax],ecx
        &[0xf0, 0x83, 0x38, 0x01],             // lock cmp dword [rax],1
        &[0x66, 0x0f, 0xc3, 0x08],             // movnti with a prefix
        &[0x0f, 0xba, 0x00, 0x01],             // group 8 starts with its fifth
        &[0xc5, 0xf8, 0x10, 0x00],             // vmovups xmm0,[rax]
        &[0x62, 0xf1, 0x7c, 0x48, 0x10, 0x00], // vmovups zmm0,[rax]
    ] {
        assert_eq!(decode(bytes, Bits64), Err(Unsupported::Invalid), "{bytes:x?}");
    }
    assert!(decode(&[0x82, 0x08, 0x01], Bits32).is_ok());
    let message = std::format!("{}", Unsupported::Instruction(Mnemonic::Movups));
    assert_eq!(message, "Movups is not emulated on device registers");
}

#[test]
fn prefixes_and_code_sizes() {
    // (bytes, code, operand bytes, address bytes, repeats)
    for (bytes, code, width, address, repeat) in [
        (&[0xf3, 0xa5][..], Bits64, Dword, Qword, true),
        (&[0xf2, 0xa4], Bits64, Byte, Qword, true),
        (&[0x67, 0xf3, 0xa5], Bits64, Dword, Dword, true),
        (&[0xf3, 0x48, 0xab], Bits64, Qword, Qword, true),
        (&[0x48, 0xf3, 0xab], Bits64, Dword, Qword, true), // REX in front of a prefix has no effect
        (&[0x66, 0xad], Bits64, Word, Qword, false),
        (&[0xab], Bits32, Dword, Dword, false),
        (&[0x67, 0xab], Bits32, Dword, Word, false),
        (&[0xa5], Bits16, Word, Word, false),
        (&[0x66, 0x67, 0xf3, 0xad], Bits16, Dword, Dword, true),
    ] {
        let found = decode(bytes, code).unwrap();
        assert_eq!((found.width, found.address, found.repeat), (width, address, repeat), "{bytes:x?}");
        assert_eq!(usize::from(found.length), bytes.len());
    }
    // (bytes, code, operand bytes)
    for (bytes, code, width) in [
        (&[0x67, 0xa1, 1, 2, 3, 4][..], Bits64, Dword),
        (&[0x48, 0xa3, 1, 2, 3, 4, 5, 6, 7, 8], Bits64, Qword),
        (&[0xa0, 1, 2], Bits16, Byte),
        (&[0x66, 0x67, 0xa1, 1, 2, 3, 4], Bits16, Dword),
        (&[0x67, 0x89, 0x0e, 1, 2], Bits32, Dword),
        (&[0x66, 0x63, 0x08], Bits64, Word),        // movsxd cx,word [rax]
        (&[0x48, 0x0f, 0xc3, 0x08], Bits64, Qword), // movnti [rax],rcx
        (&[0xf0, 0x48, 0x0f, 0xab, 0x08], Bits64, Qword), // lock bts [rax],rcx
        (&[0xf3, 0x89, 0x08], Bits64, Dword),       // no XRELEASE: just a prefix
        (&[0x66, 0xf7, 0x40, 1, 2, 3], Bits64, Word), // test word [rax+1],0x302
    ] {
        let found = decode(bytes, code).unwrap();
        assert_eq!((usize::from(found.length), found.width), (bytes.len(), width), "{bytes:x?}");
        assert!(!found.repeat);
    }
    // (prefix, code, segment that MOVS reads)
    for (prefix, code, segment) in [
        (0x2e, Bits32, Segment::Cs),
        (0x26, Bits32, Segment::Es),
        (0x36, Bits16, Segment::Ss),
        (0x3e, Bits16, Segment::Ds),
        (0x64, Bits64, Segment::Fs),
        (0x65, Bits64, Segment::Gs),
        (0x2e, Bits64, Segment::Cs),
    ] {
        let device = run(&[prefix, 0xa4], code, 0, true).1;
        assert_eq!(device.loaded_from, Some(segment), "{prefix:#x}");
    }
}

#[test]
fn byte_registers() {
    // mov [rax],r8 without REX: AL, CL, DL, BL, AH, CH, DH, BH; with it: SPL to DIL.
    for (register, expected) in [(0, 0), (1, 0x11), (3, 0x33), (4, 0), (5, 0x11), (7, 0x33)] {
        let bytes = [0x88, register << 3];
        assert_eq!(run(&bytes, Bits64, 0, true).1.writes, [(Byte, expected)]);
    }
    for (register, expected) in [(1, 0x11), (4, 0x44), (5, 0x55), (7, 0x77)] {
        let bytes = [0x40, 0x88, register << 3];
        assert_eq!(run(&bytes, Bits64, 0, true).1.writes, [(Byte, expected)]);
    }
    assert_eq!(run(&[0x8a, 0x38], Bits64, 0xff, false).0.gpr[3], 0x3333_3333_3333_ff33); // mov bh,[rax]
    assert_eq!(run(&[0x44, 0x8a, 0x38], Bits64, 0xf0, false).0.gpr[15], 0xffff_ffff_ffff_fff0); // mov r15b,[rax]
}

fn length_of_any(bytes: &[u8], mode: CpuMode) -> Option<u8> {
    use Exiting::{Cpuid, Hlt, Rdmsr, Vmmcall, Wbinvd, Wrmsr, Xsetbv};
    let all = [Cpuid, Vmmcall, Hlt, Rdmsr, Wrmsr, Wbinvd, Xsetbv];
    all.into_iter().find_map(|what| length_of(what, bytes, mode))
}

#[test]
fn lengths() {
    for (bytes, what, length) in [
        (&[0x0f, 0xa2, 0xff][..], Exiting::Cpuid, 2),
        (&[0x66, 0x48, 0x0f, 0xa2], Exiting::Cpuid, 4),
        (&[0x0f, 0x01, 0xd9], Exiting::Vmmcall, 3),
        (&[0xf3, 0x0f, 0x01, 0xd9], Exiting::Vmmcall, 4),
        (&[0x0f, 0x09], Exiting::Wbinvd, 2),
        (&[0xf3, 0x0f, 0x09], Exiting::Wbinvd, 3),
        (&[0xf2, 0x0f, 0x30], Exiting::Wrmsr, 3),
        (&[0xf4], Exiting::Hlt, 1),
        (&[0x0f, 0x32], Exiting::Rdmsr, 2),
        (&[0x3e, 0x0f, 0x30], Exiting::Wrmsr, 3),
        (&[0x0f, 0x01, 0xd1], Exiting::Xsetbv, 3),
    ] {
        assert_eq!(length_of(what, bytes, Bits64), Some(length), "{bytes:x?}");
        let other = if what == Exiting::Hlt { Exiting::Cpuid } else { Exiting::Hlt };
        assert_eq!(length_of(other, bytes, Bits64), None);
    }
    let others: [&[u8]; 18] = [
        &[0x90],
        &[0x0f],
        &[0x0f, 0x01, 0xc1],
        &[0x0f, 0x06],
        &[0x0f, 0x01, 0x20],
        &[0x0f, 0x33],
        &[0x0f, 0x01, 0xc8],
        &[0x0f, 0x01, 0xc9],
        &[0x0f, 0x08],
        &[0xe6, 0x80],
        &[0x66, 0xef],
        &[0xf3, 0x6e],
        &[0x0f, 0x31],
        &[0x0f, 0x01, 0xf9],
        &[0xf3, 0x90],
        &[0x0f, 0x01, 0x7c, 0x24, 0x08],
        &[0x44, 0x0f, 0x22, 0xc0],
        &[0x0f, 0x23, 0xf8],
    ];
    for bytes in others {
        assert_eq!(length_of_any(bytes, Bits64), None, "{bytes:x?}");
    }
}

#[test]
fn a_failing_bus_changes_nothing() {
    for bytes in [&[0x8b, 0x00][..], &[0x89, 0x08], &[0xff, 0x00], &[0x87, 0x08], &[0xf3, 0xab], &[0xad]] {
        let mut device = Device { fails: true, ..Device::default() };
        let mut after = cpu();
        assert_eq!(execute(&decode(bytes, Bits64).unwrap(), &mut after, &mut device, true), Err(()));
        assert_eq!(after, cpu(), "{bytes:x?}");
    }
}

/// Opcode maps are wide: sixteen times the cases that are asked for.
fn many() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.saturating_mul(16), ..usual }
}

fn code_size() -> impl Strategy<Value = CpuMode> {
    prop_oneof![Just(Bits16), Just(Bits32), Just(Bits64)]
}

/// Bytes that are an instruction more often than plain noise is.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let prefix = prop::sample::select(&[0x66u8, 0x67, 0xf0, 0xf3, 0x2e, 0x65, 0x48, 0x44, 0x4f][..]);
    let opcode = prop_oneof![
        any::<u8>().prop_map(|b| [b].to_vec()),
        any::<u8>().prop_map(|b| [0x0f, b].to_vec()),
        Just([0x0f, 0x01].to_vec()),
    ];
    (prop::collection::vec(prefix, 0..3), opcode, prop::collection::vec(any::<u8>(), 0..14))
        .prop_map(|(p, o, rest)| [p, o, rest].concat())
}

proptest! {
    #![proptest_config(many())]

    #[test]
    fn any_bytes_are_safe(bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..20), likely()],
                          code in code_size(), value: u64, gpr: [u64; 16], rflags: u64, is_write: bool) {
        if let Some(length) = length_of_any(&bytes, code) {
            prop_assert!((1..=bytes.len().min(15)).contains(&usize::from(length)));
        }
        if let Some((_, length)) = cr8_operand(&bytes, code) {
            prop_assert!((1..=bytes.len().min(15)).contains(&usize::from(length)));
        }
        if let Ok(instruction) = decode(&bytes, code) {
            let length = usize::from(instruction.length);
            prop_assert!((1..=bytes.len().min(15)).contains(&length));
            // All of it was looked at, and nothing behind it.
            prop_assert_eq!(decode(&bytes[..length], code), Ok(instruction));
            prop_assert_eq!(decode(&bytes[..length - 1], code), Err(Unsupported::Truncated));
            let mut cpu = Cpu { gpr, rip: u64::MAX, rflags };
            let mut device = Device { value, ..Device::default() };
            let _ = execute(&instruction, &mut cpu, &mut device, is_write);
        }
    }
}

#[test]
fn registers_of_cr8_moves() {
    let of = |bytes: &[u8], code| cr8_operand(bytes, code).map(|(gpr, len)| (gpr as usize, len));
    // MOV RAX, CR8; MOV CR8, R15; the mode bits do not count.
    assert_eq!(of(&[0x44, 0x0f, 0x20, 0xc0], CpuMode::Bits64), Some((0, 4)));
    assert_eq!(of(&[0x45, 0x0f, 0x22, 0xc7], CpuMode::Bits64), Some((15, 4)));
    assert_eq!(of(&[0x44, 0x0f, 0x22, 0x03], CpuMode::Bits64), Some((3, 4)));
    // LOCK MOV CR0, ECX is MOV CR8, ECX; 0x41 is no prefix in 32-bit code.
    assert_eq!(of(&[0xf0, 0x0f, 0x22, 0xc1], CpuMode::Bits32), Some((1, 4)));
    assert_eq!(of(&[0x41, 0x0f, 0x22, 0xc1], CpuMode::Bits32), None);
    for cut in [&[0x44, 0x0f, 0x20][..], &[0x44, 0x0f], &[0x0f, 0x21, 0xc0], &[]] {
        assert_eq!(of(cut, CpuMode::Bits64), None, "{cut:x?}");
    }
}
