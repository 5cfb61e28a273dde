//! The order of the locks, and the check of it.
//!
//! With debug assertions every CPU keeps a list of the locks that it holds and of where it took them. To wait for one
//! that does not come after all of them is a panic, which names both places. Without, what is kept for the check are
//! arrays of no element.

use core::panic::Location;

use spin::Once;

#[cfg(all(test, not(loom)))]
use super::tests::with_list;
use crate::ids::{CpuId, DomId};

/// Of everything that only the check needs there are so many.
const CHECKED: usize = cfg!(debug_assertions) as usize;

/// Makes the enum, and the list of names that a test compares with the documentation.
macro_rules! classes {
    ($($class:ident $(($among:ty))?)*) => {
        /// Where in the order a lock stands: the rows of the table in `docs/src/internals/locks.md`, which says what
        /// belongs to each. Locks of a class are held together only in the order of what the class carries.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the table has it")]
        pub enum Class { $($class $(($among))?),* }
        #[cfg(all(test, not(loom)))]
        pub(super) const CLASSES: &[&str] = &[$(stringify!($class)),*];
    };
}

classes! {
    Context Teardown StoppedContext NextId Pools Domains Settings Events(DomId) Grants Pci P2m Iommu Seats Turn Queue RunTimes Budget
    IoApic Lines IoApicRegisters Handlers Watchdog Ports Devices Tables Heap Frames Console
}

/// Where a lock stands, if that is checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rank([Class; CHECKED]);

/// The place of a lock in its CPU's list, for as long as it is held.
pub(super) struct Held([Option<usize>; CHECKED]);

const _: () = assert!(cfg!(debug_assertions) || size_of::<Rank>() + size_of::<Held>() == 0);

/// What a CPU holds, in no order: more at once than it ever does.
pub(super) type List = [Option<(Class, &'static Location<'static>)>; 16];

static THIS_CPU: Once<fn() -> Option<CpuId>> = Once::new();

/// Begins to check, where that is done at all. `this_cpu` tells which CPU asks; while it tells none, as in a panic,
/// nothing is checked.
pub fn check_on(this_cpu: fn() -> Option<CpuId>) {
    THIS_CPU.call_once(|| this_cpu);
}

/// This CPU's list. Only an NMI can find it in use, and does without.
#[cfg(any(not(test), loom))]
fn with_list<R>(f: impl FnOnce(&mut List) -> R) -> Option<R> {
    use crate::machine::MAX_CPUS;
    static LISTS: [spin::Mutex<List>; MAX_CPUS] = [const { spin::Mutex::new([None; _]) }; _];
    let cpu = THIS_CPU.get()?()?;
    Some(f(&mut *LISTS.get(cpu.index())?.try_lock()?))
}

impl Rank {
    pub const fn of(class: Class) -> Self {
        Self([class; _])
    }

    /// The lock is about to be waited for.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn take(self) -> Held {
        for class in self.0 {
            let last = with_list(|list| list.iter().flatten().max().copied()).flatten();
            if let Some((held, place)) = last.filter(|(held, _)| *held >= class) {
                panic!("lock order: {class:?} at {} under {held:?} of {place}", Location::caller());
            }
        }
        self.note()
    }

    /// The lock has been taken.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn note(self) -> Held {
        let place = Location::caller();
        Held(self.0.map(|class| {
            let add = |list: &mut List| {
                let free = list.iter().position(Option::is_none)?;
                list[free] = Some((class, place));
                Some(free)
            };
            with_list(add).flatten()
        }))
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        for entry in self.0.iter().flatten() {
            with_list(|list| list[*entry] = None);
        }
    }
}
