//! Kernel files: any bytes are a kernel or are refused. The first byte says how the rest is wrapped, so that the fuzzer
//! need not find every magic number by itself.
#![no_main]

use guest_image::{Image, Layout, Request, unpack};
use hypercall_abi::start_info::{HvmMemmapTableEntry, MEMMAP_TYPE_RAM};
use hypercall_abi::xen::StartFlags;
use libfuzzer_sys::fuzz_target;

/// What a caller allows a packed kernel to become.
const LIMIT: usize = 1 << 20;
/// What packed files begin with: gzip, xz, lzma, lz4, zstd.
const MAGICS: [&[u8]; 5] =
    [b"\x1f\x8b\x08\0\0\0\0\0\0\x03", b"\xfd7zXZ\0", b"\x5d\0\0\0", b"\x02\x21\x4c\x18", b"\x28\xb5\x2f\xfd"];
const SECTOR: usize = 512;

fuzz_target!(|input: &[u8]| {
    let Some((how, rest)) = input.split_first() else { return };
    match how % 8 {
        0 => whole(rest),
        1 => elf(rest),
        2 => elf(&[b"\x7fELF\x02\x01\x01".as_slice(), rest].concat()),
        packed => {
            let magic = MAGICS[usize::from(packed) % MAGICS.len()];
            // Half of them unpack to as much as may be.
            let len = if how & 0x80 == 0 { (LIMIT as u32).to_le_bytes().to_vec() } else { Vec::new() };
            whole(&bzimage(&[magic, rest, &len].concat()));
        }
    }
});

/// A setup header with a payload behind it.
fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 2 * SECTOR];
    file[0x1f1] = 1;
    file[0x202..0x206].copy_from_slice(b"HdrS");
    file[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    file[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    file.extend_from_slice(payload);
    file
}

fn whole(file: &[u8]) {
    match unpack(file, LIMIT) {
        Ok(image) => {
            assert!(image.len() <= LIMIT.max(file.len()));
            elf(&image);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn elf(bytes: &[u8]) {
    let Ok(image) = Image::parse(bytes) else { return };
    let extent = image.extent();
    assert!(extent.end <= 1 << 32 && extent.contains(&image.entry()));
    let ram = |addr, size| HvmMemmapTableEntry { addr, size, kind: MEMMAP_TYPE_RAM, reserved: 0 };
    let memory_map = [ram(0, 0x9_f000), ram(0x10_0000, 0x3ff0_0000)];
    let request = Request {
        memory_map: &memory_map,
        initrd_len: 0x12345,
        command_line: b"console=hvc0",
        flags: StartFlags::empty(),
        rsdp: 0,
    };
    let Ok(layout) = Layout::new(&image, &request) else { return };
    let initrd = layout.initrd.clone().unwrap_or(0..0);
    let places = [&layout.kernel, &layout.start_info, &initrd];
    for (i, place) in places.into_iter().enumerate() {
        let in_ram = |ram: &HvmMemmapTableEntry| ram.addr <= place.start && place.end <= ram.addr + ram.size;
        assert!(memory_map.iter().any(in_ram), "{place:x?} is not memory");
        for other in &places[i + 1..] {
            assert!(place.end <= other.start || other.end <= place.start, "{place:x?} and {other:x?}");
        }
    }
}
