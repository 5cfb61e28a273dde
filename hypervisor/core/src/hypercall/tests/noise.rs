//! Guests, and a control domain gone mad, that call with anything: nothing panics, every call ends, and when the guests are
//! gone nothing of theirs is left.

use hypercall_abi::xen as nr;
use hypercall_abi::{domctl, platform, sysctl};
use proptest::prelude::*;
use std::vec::Vec;

use super::rig::*;
use crate::frame::Gaddr;
use crate::guest_cpu::CpuMode;
use crate::ids::DomId;

/// Calls of one case.
const CALLS: usize = if cfg!(miri) { 20 } else { 400 };
/// Where the callers' structures are.
const ARENA: u64 = 0x2_0000;
/// Bytes of it.
const ARENA_BYTES: u64 = 0x4000;

/// A small generator; a case is one seed.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        // Splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn of(&mut self, choices: &[u64]) -> u64 {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn address(&mut self) -> u64 {
        match self.below(8) {
            0 => (512 << 12) - self.below(64),
            1 => self.next(),
            _ => ARENA + self.below(ARENA_BYTES),
        }
    }

    /// Something that a field may well hold, or should not.
    fn value(&mut self) -> u64 {
        match self.below(10) {
            0..=2 => self.below(8),
            3 => self.below(64),
            4 => self.of(&[0x7ff0, 0x7ff1, 0x7ff4, 1, 2, 3, 0xffff]),
            5 => self.below(0x400),
            6 | 7 => self.address(),
            8 => self.of(&[u64::MAX, i64::MAX as u64, u32::MAX.into(), 1 << 31, 1 << 40, 1 << 52, 0x1000]),
            _ => self.next(),
        }
    }

    fn number(&mut self) -> u32 {
        let privileged = [nr::HYPERCALL_PLATFORM_OP, nr::HYPERCALL_DOMCTL, nr::HYPERCALL_SYSCTL];
        let known: Vec<u64> = GUEST_CALLS.into_iter().chain(privileged).map(u64::from).collect();
        match self.below(30) {
            0 => self.next() as u32,
            _ => self.of(&known) as u32,
        }
    }

    /// Fills the arena with words of all sizes that may mean something.
    fn fill(&mut self, who: &Caller) {
        let mut bytes = Vec::with_capacity(ARENA_BYTES as usize);
        while bytes.len() < ARENA_BYTES as usize {
            let value = self.value();
            match self.below(4) {
                0 => bytes.extend_from_slice(&(value as u16).to_le_bytes()),
                1 => bytes.extend_from_slice(&(value as u32).to_le_bytes()),
                _ => bytes.extend_from_slice(&value.to_le_bytes()),
            }
        }
        // The caller may have given that memory away.
        let _ = who.domain().memory.write(Gaddr(ARENA), &bytes);
    }

    /// The first words of a command whose version is right.
    fn command(&mut self, number: u32, at: u64, who: &Caller) {
        let (commands, version) = match number {
            nr::HYPERCALL_DOMCTL => (90, domctl::INTERFACE_VERSION),
            nr::HYPERCALL_SYSCTL => (32, sysctl::INTERFACE_VERSION),
            nr::HYPERCALL_PLATFORM_OP => (66, platform::INTERFACE_VERSION),
            _ => return,
        };
        let words = [self.below(commands) as u32, version, self.below(5) as u32];
        let _ = who.domain().memory.write(Gaddr(at), hypercall_abi::plain::bytes_of(&words));
    }
}

fn one_call(rig: &Rig, noise: &mut Noise, who: &Caller) -> bool {
    if noise.below(4) == 0 {
        noise.fill(who);
    }
    let number = noise.number();
    let mut args: [u64; 6] = core::array::from_fn(|_| noise.value());
    // Most calls take an operation and a structure, some only the structure.
    if noise.below(4) != 0 {
        args[1] = noise.address();
        args[0] = noise.below(36);
    }
    if matches!(number, nr::HYPERCALL_DOMCTL | nr::HYPERCALL_SYSCTL | nr::HYPERCALL_PLATFORM_OP) {
        args[0] = ARENA + noise.below(ARENA_BYTES / 8) * 8;
        noise.command(number, args[0], who);
    }
    if number == nr::HYPERCALL_MULTICALL {
        // Longer ones are only more of the same.
        args[1] = noise.below(40);
    }
    rig.try_call(who, number, &args).is_ok()
}

fn mode(noise: &mut Noise) -> CpuMode {
    if noise.below(3) == 0 { CpuMode::Bits32 } else { CpuMode::Bits64 }
}

/// A case is long, so a few do for every day; `PROPTEST_CASES` asks for more (or, under Miri, fewer).
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    let unset = std::env::var_os("PROPTEST_CASES").is_none();
    ProptestConfig { cases: if unset { 12 } else { config.cases }, ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn guests_hurt_only_themselves(seed: u64) {
        let mut noise = Noise(seed);
        let rig = Rig::new();
        rig.destroy(rig.create(1));
        let before = rig.holdings();
        let control = rig.control.domain().memory.frames();
        let guests: Vec<Caller> = (0..2).map(|i| rig.guest(1 + i)).collect();
        for _ in 0..CALLS {
            let who = &guests[noise.below(2) as usize];
            if noise.below(100) == 0 {
                who.run_in(mode(&mut noise));
            }
            rig.machine.advance(noise.below(1_000_000));
            prop_assert!(one_call(&rig, &mut noise, who), "a guest ended the machine");
        }
        prop_assert_eq!(rig.control.domain().memory.frames(), control);
        prop_assert_eq!(rig.call(&rig.control, nr::HYPERCALL_XEN_VERSION, &[0]), 4 << 16 | 17);
        let ids: Vec<u16> = guests.iter().map(|guest| guest.domain().id.0).collect();
        drop(guests);
        ids.into_iter().for_each(|id| rig.destroy(id));
        prop_assert_eq!(rig.holdings(), before);
    }

    #[test]
    fn a_mad_control_domain_gets_answers(seed: u64) {
        let mut noise = Noise(seed);
        let rig = Rig::new();
        let guests: Vec<Caller> = (0..2).map(|_| rig.guest(2)).collect();
        for _ in 0..CALLS {
            rig.machine.advance(noise.below(1_000_000));
            if !one_call(&rig, &mut noise, &rig.control) {
                break;
            }
            let guest = &guests[noise.below(2) as usize];
            if guest.domain().life.is_alive() {
                one_call(&rig, &mut noise, guest);
            }
        }
        // Whatever was created can be destroyed.
        let mut from = DomId(1);
        while let Some(domain) = rig.hv.domain_from(from) {
            from = DomId(domain.id.0 + 1);
            while rig.hv.destroy_step(&domain) == crate::p2m::Progress::More {}
        }
    }
}
