//! Which features of the CPU a guest may use, word by word.
//!
//! These are allow lists: a feature that is not named here stays hidden, so that a CPU newer than Tenon cannot
//! show a guest state that nobody saves. Bit names are those of the SDM and APM, and of Xen's `cpufeatureset.h`.

const fn bits(list: &[u32]) -> u32 {
    let (mut word, mut i) = (0, 0);
    while i < list.len() {
        word |= 1 << list[i];
        i += 1;
    }
    word
}

/// Leaf 1 EDX: FPU VME DE PSE TSC MSR PAE MCE CX8, APIC, SEP MTRR PGE MCA CMOV PAT PSE36, CLFLUSH, MMX FXSR SSE
/// SSE2 SS. Hidden: debug store, thermal MSRs.
pub(super) const LEAF1_EDX: u32 =
    bits(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 19, 23, 24, 25, 26, 27]);
pub(super) const APIC: u32 = 1 << 9;
pub(super) const HTT: u32 = 1 << 28;

/// Leaf 1 ECX: SSE3 PCLMULQDQ, SSSE3, FMA CX16, PCID, SSE4.1 SSE4.2, MOVBE POPCNT, AES XSAVE, AVX F16C RDRAND.
/// Hidden: MONITOR, VMX, SMX, SpeedStep, performance and debug MSRs.
pub(super) const LEAF1_ECX: u32 = bits(&[0, 1, 9, 12, 13, 17, 19, 20, 22, 23, 25, 26, 28, 29, 30]);
pub(super) const X2APIC: u32 = 1 << 21;
pub(super) const TSC_DEADLINE: u32 = 1 << 24;
pub(super) const XSAVE: u32 = 1 << 26;
pub(super) const OSXSAVE: u32 = 1 << 27;
pub(super) const HYPERVISOR: u32 = 1 << 31;
/// FMA, AVX, F16C.
pub(super) const LEAF1_ECX_NEEDS_AVX: u32 = bits(&[12, 28, 29]);

/// Leaf 7.0 EBX: FSGSBASE, BMI1, AVX2, x87 FDP rule, SMEP BMI2 ERMS INVPCID, no FPU selectors, AVX512F/DQ, RDSEED
/// ADX SMAP, IFMA, CLFLUSHOPT CLWB, AVX512CD, SHA, AVX512BW/VL. Hidden: TSC_ADJUST, SGX, TSX, MPX, QoS, tracing.
pub(super) const LEAF7_EBX: u32 =
    bits(&[0, 3, 5, 6, 7, 8, 9, 10, 13, 16, 17, 18, 19, 20, 21, 23, 24, 28, 29, 30, 31]);
/// AVX2 and AVX-512.
pub(super) const LEAF7_EBX_NEEDS_AVX: u32 = bits(&[5]) | LEAF7_EBX_AVX512;
/// The AVX-512 features.
pub(super) const LEAF7_EBX_AVX512: u32 = bits(&[16, 17, 21, 28, 30, 31]);

/// Leaf 7.0 ECX: PREFETCHWT1, VBMI, UMIP, PKU, VBMI2, GFNI VAES VPCLMULQDQ VNNI BITALG, VPOPCNTDQ,
/// CLDEMOTE, MOVDIRI MOVDIR64B. Hidden: five-level paging, CET, enqueue stores, and RDPID, because TSC_AUX is not
/// switched with the vCPU.
pub(super) const LEAF7_ECX: u32 = bits(&[0, 1, 2, 3, 6, 8, 9, 10, 11, 12, 14, 25, 27, 28]);
pub(super) const PKU: u32 = 1 << 3;
pub(super) const OSPKE: u32 = 1 << 4;
/// VAES, VPCLMULQDQ.
pub(super) const LEAF7_ECX_NEEDS_AVX: u32 = bits(&[9, 10]) | LEAF7_ECX_AVX512;
/// VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ.
pub(super) const LEAF7_ECX_AVX512: u32 = bits(&[1, 6, 11, 12, 14]);

/// Leaf 7.0 EDX: FSRM, MD_CLEAR, SERIALIZE. Hidden: what needs `SPEC_CTRL` and `PRED_CMD`.
pub(super) const LEAF7_EDX: u32 = bits(&[4, 10, 14]);

/// Leaf 7.1 EAX: fast short string operations.
pub(super) const LEAF7_1_EAX: u32 = bits(&[10, 11, 12]);
/// Leaf 7.1 EAX: AVX-VNNI; the AVX-512 one is BF16.
pub(super) const LEAF7_1_EAX_AVX: u32 = bits(&[4]);
pub(super) const LEAF7_1_EAX_AVX512: u32 = bits(&[5]);

/// Leaf 0xd.1 EAX: XSAVEOPT, XSAVEC, XGETBV with ECX=1. Hidden: XSAVES.
pub(super) const XSAVE_EXTRAS: u32 = bits(&[0, 1, 2]);

/// Leaf 0x80000001 EDX: SYSCALL, NX, MMXEXT, FXSR, FFXSR, 1 GiB pages, LM, 3DNow. Hidden: RDTSCP, as RDPID.
pub(super) const EXT1_EDX: u32 = bits(&[11, 20, 22, 25, 26, 29, 30, 31]);
/// The bits of leaf 0x80000001 EDX that repeat leaf 1 EDX on AMD CPUs.
pub(super) const EXT1_EDX_COMMON: u32 = bits(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 23, 24]);

/// Leaf 0x80000001 ECX: LAHF, CR8 in 32-bit mode, ABM SSE4A MISALIGNSSE PREFETCH, TBM. Hidden: SVM, extended
/// APIC, IBS, SKINIT, watchdog, LWP, node ids, topology extensions, performance counters, MONITORX.
pub(super) const EXT1_ECX: u32 = bits(&[0, 4, 5, 6, 7, 8, 21]);
/// XOP, FMA4.
pub(super) const EXT1_ECX_NEEDS_AVX: u32 = bits(&[11, 16]);
pub(super) const CMP_LEGACY: u32 = 1 << 1;

/// Leaf 0x80000007 EDX: invariant TSC.
pub(super) const INVARIANT_TSC: u32 = 1 << 8;

/// Leaf 0x80000008 EBX: CLZERO, FPU error pointers, and what says "not vulnerable". Hidden: IBPB, IBRS, STIBP
/// and their hints, SSBD, PSFD, which need the MSRs.
pub(super) const EXT8_EBX: u32 = bits(&[0, 2, 20, 26, 29]);

/// Leaf 0x80000021 EAX: LFENCE serializes, null selector clears base, SRSO_NO twice.
pub(super) const EXT21_EAX: u32 = bits(&[2, 6, 29, 30]);

/// Leaf 6 EAX: the APIC timer never stops. The virtual one never does.
pub(super) const ARAT: u32 = 1 << 2;
