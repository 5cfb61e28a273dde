//! Who the hypervisor is, and what it says to calls that nobody defined and pointers that lead nowhere.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::String;

use test_guests::abi::arch::*;
use test_guests::abi::errno::Errno;
use test_guests::abi::features;
use test_guests::abi::guest;
use test_guests::abi::plain::Plain;
use test_guests::abi::version::*;
use test_guests::abi::xen::*;
use test_guests::call::{self, refused};
use test_guests::paging::{self, NON_CANONICAL, PAGE, Page, UNMAPPED};
use test_guests::suite::Outcome;
use test_guests::{boot_info, check, check_eq, cpu, guest};

mod wild;

guest!(
    "abi-version",
    [
        start_info,
        cpuid_leaves,
        version_numbers,
        version_texts,
        version_structures,
        version_bad_arguments,
        feature_bits,
        hypercall_page_fills,
        unknown_calls,
        wild::efault,
        wild::page_crossing,
        wild::every_call,
    ]
);

fn start_info() -> Outcome {
    let info = boot_info::start_info();
    check_eq!(info.magic, test_guests::abi::start_info::MAGIC);
    let map = boot_info::memory_map();
    check!(!map.is_empty());
    let asked = boot_info::e820()?;
    check!(map.len() == asked.len(), "{} ranges at the start, {} when asked", map.len(), asked.len());
    for (entry, next) in map.iter().zip(map.iter().skip(1)) {
        check!(entry.addr + entry.size <= next.addr, "{entry:x?} before {next:x?}");
    }
    let here = (boot_info::start_info as fn() -> _) as usize as u64;
    check!(boot_info::is_ram(here), "the kernel at {here:#x} is not in the map's RAM");
    Ok(())
}

fn cpuid_leaves() -> Outcome {
    let Some(base) = guest::cpuid_base() else { unreachable!("the entry found it") };
    let first = cpu::cpuid(base, 0);
    check!(first.eax >= base + 4, "highest leaf {:#x}", first.eax);
    check_eq!(cpu::cpuid(base + 1, 0).eax >> 16, 4);
    let pages = cpu::cpuid(base + 2, 0);
    check_eq!(pages.eax, 1);
    check!(pages.ebx & 0xffff_f000 == 0x4000_0000, "MSR {:#x}", pages.ebx);
    let hvm = cpu::cpuid(base + 4, 0);
    let flags = CpuidHvmFeatures::from_bits_retain(hvm.eax);
    check!(flags.contains(CpuidHvmFeatures::VCPU_ID_PRESENT), "{flags:?}");
    check_eq!(hvm.ebx, 0, "vCPU id");
    if flags.contains(CpuidHvmFeatures::DOMID_PRESENT) {
        check_eq!(hvm.ecx == 0, boot_info::is_dom0(), "domain id {}", hvm.ecx);
    }
    // The hypervisor bit, and a guest that is told of no virtualization of its own.
    check!(cpu::cpuid(1, 0).ecx & 1 << 31 != 0);
    check_eq!(cpu::cpuid(1, 0).ecx & 1 << 5, 0, "VMX");
    check_eq!(cpu::cpuid(0x8000_0001, 0).ecx & 1 << 2, 0, "SVM");
    Ok(())
}

fn version_numbers() -> Outcome {
    let version = call::any(HYPERCALL_XEN_VERSION, &[OP_VERSION.into()])?;
    check_eq!(version, 4 << 16 | 17);
    let base = guest::cpuid_base().unwrap_or_default();
    check_eq!(version, u64::from(cpu::cpuid(base + 1, 0).eax), "CPUID says otherwise");
    check_eq!(call::any(HYPERCALL_XEN_VERSION, &[OP_PAGESIZE.into(), 0])?, PAGE);
    Ok(())
}

fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    String::from_utf8(bytes[..end].into()).ok()
}

fn version_texts() -> Outcome {
    let mut extra = [0xff_u8; EXTRAVERSION_LEN];
    call::version(OP_EXTRAVERSION, &mut extra)?;
    check!(text(&extra).is_some(), "{extra:?}");
    let mut capabilities = [0xff_u8; CAPABILITIES_INFO_LEN];
    call::version(OP_CAPABILITIES, &mut capabilities)?;
    let told = text(&capabilities).unwrap_or_default();
    check!(told.contains("hvm-3.0-x86_64"), "{told:?}");
    let mut changeset = [0xff_u8; CHANGESET_INFO_LEN];
    call::version(OP_CHANGESET, &mut changeset)?;
    check!(text(&changeset).is_some());
    let mut line = [0xff_u8; COMMANDLINE_LEN];
    match call::version(OP_COMMANDLINE, &mut line) {
        Ok(_) => check!(text(&line).is_some()),
        // Xen tells a guest only that it is denied.
        answer => check!(!boot_info::is_dom0() && answer == refused(Errno::EPERM), "{answer:?}"),
    }
    Ok(())
}

fn version_structures() -> Outcome {
    let mut compile = CompileInfo::zeroed();
    call::version(OP_COMPILE_INFO, &mut compile)?;
    check!(text(&compile.compiler).is_some() && text(&compile.compile_date).is_some());
    let mut platform: PlatformParameters = PlatformParameters::zeroed();
    call::version(OP_PLATFORM_PARAMETERS, &mut platform)?;
    let mut handle: DomainHandle = [0xff; 16];
    call::version(OP_GUEST_HANDLE, &mut handle)?;
    check!(handle != [0xff; 16]);
    Ok(())
}

fn version_bad_arguments() -> Outcome {
    for op in [11_u32, 63, 0x8000_0000, u32::MAX] {
        check_eq!(call::version(op, &mut [0_u8; 4096]), refused(Errno::ENOSYS), "op {op:#x}");
    }
    let mut info = FeatureInfo { submap_idx: 1000, submap: 0 };
    check_eq!(call::version(OP_GET_FEATURES, &mut info), refused(Errno::EINVAL));
    Ok(())
}

fn feature_bits() -> Outcome {
    let mut info = FeatureInfo { submap_idx: 0, submap: 0 };
    call::version(OP_GET_FEATURES, &mut info)?;
    let has = |bit: u32| info.submap & 1 << bit != 0;
    check!(has(features::AUTO_TRANSLATED_PHYSMAP));
    check!(has(features::HVM_CALLBACK_VECTOR));
    check!(has(features::HVM_SAFE_PVCLOCK));
    check!(has(features::MEMORY_OP_VNODE_SUPPORTED));
    check_eq!(has(features::DOM0), boot_info::is_dom0());
    Ok(())
}

/// The page's entries are made for any frame, also a second one.
#[allow(unsafe_code, reason = "the page is code")]
fn hypercall_page_fills() -> Outcome {
    let page = Page::new();
    page.fill(0xcc);
    let base = guest::cpuid_base().unwrap_or_default();
    let msr = cpu::cpuid(base + 2, 0).ebx;
    cpu::wrmsr(msr, page.address())?;
    check!(page.get::<u32>(17 * 32) != 0xcccc_cccc, "the page is not filled");
    let result: u64;
    // SAFETY: the page holds the hypervisor's code now, and this call has no buffer.
    unsafe {
        core::arch::asm!("call {entry}", entry = in(reg) page.address() + 17 * 32, inout("rdi") 0_u64 => _,
            inout("rsi") 0_u64 => _, lateout("rax") result, lateout("rcx") _, lateout("r11") _, lateout("rdx") _);
    }
    check_eq!(result >> 16, 4);
    // There is no second page.
    let trap = cpu::wrmsr(msr, page.address() | 1);
    check!(trap.is_err_and(|trap| trap.vector == test_guests::trap::PROTECTION), "{trap:?}");
    // Nor one where there is no RAM.
    if let Some(hole) = boot_info::hole(1) {
        check!(cpu::wrmsr(msr, hole).is_err(), "a page at {hole:#x}");
    }
    Ok(())
}

/// Numbers that no call has, and calls that only other kinds of guests have.
fn unknown_calls() -> Outcome {
    let paravirtual = [
        HYPERCALL_SET_TRAP_TABLE,
        HYPERCALL_MMU_UPDATE,
        HYPERCALL_SET_GDT,
        HYPERCALL_STACK_SWITCH,
        HYPERCALL_SET_CALLBACKS,
        HYPERCALL_SET_DEBUGREG,
        HYPERCALL_UPDATE_DESCRIPTOR,
        HYPERCALL_SET_SEGMENT_BASE,
    ];
    for call in (43..48).chain(56..64).chain(paravirtual) {
        check_eq!(call::any(call, &[UNMAPPED; 5]), refused(Errno::ENOSYS), "call {call}");
    }
    // Beyond the page only the register counts.
    for call in [64_u64, 1000, 0xffff_ffff, 0x1_0000_0011, u64::MAX] {
        let result = by_register(call);
        check!(result == Errno::ENOSYS.to_result() || call == 0x1_0000_0011, "call {call:#x}: {result:#x}");
    }
    Ok(())
}

/// A call whose number does not come from the page.
#[allow(unsafe_code, reason = "the instruction that makes hypercalls")]
fn by_register(call: u64) -> i64 {
    let result;
    // What follows `mov eax, NUMBER`, 5 bytes, in the page's first entry.
    let instruction = guest::hypercall_page() as u64 + 5;
    // SAFETY: numbers without a call do nothing; the hypervisor keeps all registers but RAX.
    unsafe {
        core::arch::asm!("call {instruction}", instruction = in(reg) instruction, inlateout("rax") call => result,
            in("rdi") 0, in("rsi") 0, in("rdx") 0);
    }
    result
}

/// Addresses that hypercalls must refuse to read or write.
const BAD: [u64; 4] = [UNMAPPED, NON_CANONICAL, u64::MAX, 0xffff_8000_0000_0000];

/// Two pages of the window, the first one mapped: the end of the first is the last readable byte.
fn edge() -> u64 {
    paging::map(0, Page::new().address(), paging::PRESENT | paging::WRITABLE);
    paging::map(1, 0, 0);
    paging::WINDOW + PAGE
}
