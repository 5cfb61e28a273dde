//! Hypercalls of two guests, 64-bit and 32-bit, with any number, arguments and memory: each comes back, the machine goes
//! on, the control domain keeps what it has, and when the guests are gone nothing of theirs is left.
#![no_main]

use arbitrary::Arbitrary;
use hypercall_abi::xen as nr;
use libfuzzer_sys::fuzz_target;
use tenon_core::frame::Gaddr;
use tenon_core::guest_cpu::CpuMode;
use tenon_core::hypercall::rig::{Caller, GUEST_CALLS, Rig};

#[derive(Arbitrary, Debug)]
enum Act {
    /// A guest writes its own memory.
    Write {
        by: bool,
        at: u8,
        bytes: Vec<u8>,
    },
    /// A structure of words, as most arguments are.
    Fill {
        by: bool,
        at: u8,
        words: Vec<Value>,
    },
    Mode {
        of: bool,
        wide: bool,
    },
    Wait(u32),
    /// Most calls take an operation and a structure.
    Call {
        by: bool,
        number: u8,
        op: u8,
        at: u8,
        args: [Value; 3],
    },
    Any {
        by: bool,
        number: u32,
        args: [Value; 5],
    },
}

#[derive(Arbitrary, Debug)]
enum Value {
    Small(u8),
    /// An address in the arena.
    Here(u8),
    /// A domain with a name: itself, nobody, the first guest.
    Special(u8),
    Half(u32),
    Any(u64),
}

/// Where the guests' structures are.
const ARENA: u64 = 0x2_0000;
/// Most structures are smaller than what lies between two places.
const PLACE: u64 = 64;
const SPECIAL: [u64; 6] = [0x7ff0, 0x7ff1, 0x7ff4, u64::MAX, 1 << 63, 0x1f_f000];
/// What one input may do: more is only slower.
const MOST_ACTS: usize = 200;
/// Entries of a multicall: longer ones are more of the same.
const MOST_CALLS: u64 = 64;

std::thread_local! {
    /// One machine serves all inputs, since a machine of the tests is never freed. Each input leaves it as it was.
    static RIG: Rig = {
        let rig = Rig::new();
        // What the first domain makes for good.
        rig.destroy(rig.create(1));
        rig
    };
}

fuzz_target!(|acts: Vec<Act>| {
    RIG.with(|rig| run(rig, &acts));
});

fn run(rig: &Rig, acts: &[Act]) {
    let before = rig.holdings();
    let control = rig.control.domain().memory.frames();
    let guests = [rig.guest(1), rig.guest(2)];
    let who = |by: bool| &guests[usize::from(by)];
    for act in acts.iter().take(MOST_ACTS) {
        match act {
            Act::Write { by, at, bytes } => write(who(*by), *at, bytes),
            Act::Fill { by, at, words } => {
                let words: Vec<u8> = words.iter().flat_map(|word| bytes_of(word)).collect();
                write(who(*by), *at, &words);
            }
            Act::Mode { of, wide } => {
                who(*of).run_in(if *wide { CpuMode::Bits64 } else { CpuMode::Bits32 });
            }
            Act::Wait(ns) => rig.machine.advance((*ns).into()),
            Act::Call { by, number, op, at, args } => {
                let [second, third, fourth] = args.each_ref().map(value);
                let number = GUEST_CALLS[usize::from(*number) % GUEST_CALLS.len()];
                let (op, structure) = (u64::from(*op), place(*at));
                let args = match number {
                    nr::HYPERCALL_MULTICALL => [structure, second % MOST_CALLS, 0, 0, 0],
                    // These have a number between the operation and the structure.
                    nr::HYPERCALL_VCPU_OP | nr::HYPERCALL_CONSOLE_IO => [op, second, structure, third, 0],
                    _ => [op, structure, second, third, fourth],
                };
                call(rig, who(*by), number, &args);
            }
            Act::Any { by, number, args } if *number != nr::HYPERCALL_MULTICALL => {
                call(rig, who(*by), *number, &args.each_ref().map(value));
            }
            Act::Any { .. } => {}
        }
    }
    assert_eq!(rig.control.domain().memory.frames(), control);
    let ids = guests.each_ref().map(|guest| guest.domain().id.0);
    drop(guests);
    ids.into_iter().for_each(|id| rig.destroy(id));
    assert_eq!(rig.holdings(), before, "a guest left something");
    let _ = rig.machine.take_log();
}

fn call(rig: &Rig, who: &Caller, number: u32, args: &[u64]) {
    let result = rig.try_call(who, number, args);
    assert!(result.is_ok(), "a guest ended the machine: {result:?}");
}

fn place(at: u8) -> u64 {
    ARENA + u64::from(at) * PLACE
}

fn write(who: &Caller, at: u8, bytes: &[u8]) {
    // The guest may have given that memory away.
    let _ = who.domain().memory.write(Gaddr(place(at)), bytes);
}

fn value(value: &Value) -> u64 {
    match value {
        Value::Small(value) => u64::from(*value),
        Value::Here(at) => place(*at),
        Value::Special(which) => SPECIAL[usize::from(*which) % SPECIAL.len()],
        Value::Half(value) => u64::from(*value),
        Value::Any(value) => *value,
    }
}

/// Small things take 2 or 4 bytes in a structure, addresses 8.
fn bytes_of(word: &Value) -> Vec<u8> {
    let all = value(word).to_le_bytes();
    let len = match word {
        Value::Small(small) if small % 2 == 0 => 4,
        Value::Special(_) => 2,
        Value::Half(_) => 4,
        _ => 8,
    };
    all[..len].to_vec()
}
