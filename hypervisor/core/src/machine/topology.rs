//! How the id of a local APIC is made of thread, core, cache and socket (SDM volume 3, 9.9.3; AMD64 manual 3, appendix
//! E.5).

/// Where a CPU is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuPlace {
    /// The core, within its socket.
    pub core: u32,
    /// The last-level cache, within the machine.
    pub cache: u32,
    /// The socket.
    pub socket: u32,
}

impl CpuPlace {
    /// Whether two CPUs are threads of one core.
    pub fn same_core(&self, other: &Self) -> bool {
        (self.core, self.socket) == (other.core, other.socket)
    }
}

/// How many bits of an APIC id are below what each part of it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApicIdLayout {
    /// Threads of a core.
    thread_bits: u32,
    /// Threads under one last-level cache.
    cache_bits: u32,
    /// Threads of a socket.
    package_bits: u32,
}

/// What CPUID says of a leaf and a subleaf.
type Leaf = [u32; 4];

fn bits(count: u32) -> u32 {
    count.max(1).next_power_of_two().trailing_zeros()
}

impl ApicIdLayout {
    /// What CPUID says, as any of the machine's CPUs answers it.
    pub fn read(cpuid: impl Fn(u32, u32) -> Leaf) -> Self {
        let [max, ..] = cpuid(0, 0);
        let [max_extended, ..] = cpuid(0x8000_0000, 0);
        let basic = |leaf, subleaf| if leaf <= max { cpuid(leaf, subleaf) } else { [0; 4] };
        let extended = |leaf, subleaf| if leaf <= max_extended { cpuid(leaf, subleaf) } else { [0; 4] };
        let (thread_bits, package_bits) = threads_and_package(basic, extended);
        let cache_bits = cache(|subleaf| basic(4, subleaf)).or_else(|| {
            let has_leaf = extended(0x8000_0001, 0)[2] >> 22 & 1 != 0;
            has_leaf.then(|| cache(|subleaf| extended(0x8000_001d, subleaf))).flatten()
        });
        Self { thread_bits, cache_bits: cache_bits.unwrap_or(package_bits), package_bits }
    }

    /// The place that an id names.
    pub fn place(self, apic: u32) -> CpuPlace {
        let above = |bits: u32| apic.checked_shr(bits).unwrap_or(0);
        let within = apic & !u32::MAX.checked_shl(self.package_bits).unwrap_or(0);
        CpuPlace {
            core: within.checked_shr(self.thread_bits).unwrap_or(0),
            cache: above(self.cache_bits),
            socket: above(self.package_bits),
        }
    }
}

fn threads_and_package(basic: impl Fn(u32, u32) -> Leaf, extended: impl Fn(u32, u32) -> Leaf) -> (u32, u32) {
    let threads = basic(0xb, 0);
    if threads[1] & 0xffff != 0 {
        return (threads[0] & 0x1f, basic(0xb, 1)[0] & 0x1f);
    }
    let [_, ids, _, features] = basic(1, 0);
    let [_, _, sizes, _] = extended(0x8000_0008, 0);
    let package_bits = match (sizes >> 12 & 0xf, features >> 28 & 1) {
        (0, 0) => 0,
        (0, _) => bits(ids >> 16 & 0xff),
        (size, _) => size,
    };
    // With AMD's topology extensions a core says how many threads it has; before, it had one.
    let thread_bits = match extended(0x8000_0001, 0)[2] >> 22 & 1 {
        0 => package_bits.saturating_sub(bits((sizes & 0xff) + 1)),
        _ => bits((extended(0x8000_001e, 0)[1] >> 8 & 0xff) + 1),
    };
    (thread_bits, package_bits)
}

/// The bits below the name of the last-level cache; both vendors describe caches in the same way.
fn cache(leaf: impl Fn(u32) -> Leaf) -> Option<u32> {
    const MOST_CACHES: u32 = 8;
    let caches = (0..MOST_CACHES).map(leaf).take_while(|[kind, ..]| kind & 0x1f != 0);
    let last = caches.max_by_key(|[kind, ..]| kind >> 5 & 7)?;
    Some(bits((last[0] >> 14 & 0xfff) + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(leaves: &[(u32, u32, Leaf)]) -> ApicIdLayout {
        ApicIdLayout::read(|leaf, subleaf| {
            let found = leaves.iter().find(|(l, s, _)| (*l, *s) == (leaf, subleaf));
            found.map_or([0; 4], |(.., answer)| *answer)
        })
    }

    /// Two sockets of four cores of two threads; two cores share a cache.
    #[test]
    fn with_the_topology_leaf() {
        let layout = layout(&[
            (0, 0, [0xb, 0, 0, 0]),
            (0xb, 0, [1, 2, 0x100, 0]),
            (0xb, 1, [3, 8, 0x201, 0]),
            (4, 0, [1 << 14 | 1 << 5 | 1, 0, 0, 0]),
            (4, 1, [3 << 14 | 3 << 5 | 3, 0, 0, 0]),
        ]);
        assert_eq!(layout.place(0b1110), CpuPlace { core: 3, cache: 3, socket: 1 });
        assert_eq!(layout.place(0b0011), CpuPlace { core: 1, cache: 0, socket: 0 });
        assert!(layout.place(6).same_core(&layout.place(7)) && !layout.place(6).same_core(&layout.place(14)));
    }

    #[test]
    fn as_amd_has_it_without_that() {
        let common = [(0, 0, [1, 0, 0, 0]), (1, 0, [0, 8 << 16, 0, 1 << 28])];
        let size = (0x8000_0008, 0, [0, 0, 4 << 12 | 7, 0]);
        let zen = [
            (0x8000_0000, 0, [0x8000_001e, 0, 0, 0]),
            (0x8000_0001, 0, [0, 0, 1 << 22, 0]),
            size,
            (0x8000_001d, 0, [7 << 14 | 3 << 5 | 3, 0, 0, 0]),
            (0x8000_001e, 0, [0, 1 << 8, 0, 0]),
        ];
        let zen = layout(&[&common[..], &zen].concat());
        assert_eq!(zen, ApicIdLayout { thread_bits: 1, cache_bits: 3, package_bits: 4 });
        let old = layout(
            &[&common[..], &[(0x8000_0000, 0, [0x8000_0008, 0, 0, 0]), (0x8000_0008, 0, [0, 0, 7, 0])]]
                .concat(),
        );
        assert_eq!(old, ApicIdLayout { thread_bits: 0, cache_bits: 3, package_bits: 3 });
    }

    #[test]
    fn of_nothing_at_all() {
        assert_eq!(layout(&[]).place(5), CpuPlace { core: 0, cache: 5, socket: 5 });
    }
}
