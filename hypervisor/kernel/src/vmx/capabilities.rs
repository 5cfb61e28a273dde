//! What this CPU's VT-x can do (SDM volume 3, appendix A): which controls may be set, which must be.

use super::cpu::Unusable;
use super::fields::{Entry, Exit, Pin, Primary, Secondary};
use crate::cpu::msr;

const BASIC: u32 = 0x480;
const PIN: u32 = 0x481;
const PRIMARY: u32 = 0x482;
const EXIT: u32 = 0x483;
const ENTRY: u32 = 0x484;
const MISC: u32 = 0x485;
const CR0_FIXED0: u32 = 0x486;
const CR4_FIXED0: u32 = 0x488;
const SECONDARY: u32 = 0x48b;
const EPT_VPID: u32 = 0x48c;
const TRUE_PIN: u32 = 0x48d;
const TRUE_PRIMARY: u32 = 0x48e;
const TRUE_EXIT: u32 = 0x48f;
const TRUE_ENTRY: u32 = 0x490;

/// Basic: the controls have a second set of MSRs, which tells of more that may be clear.
const HAS_TRUE_CONTROLS: u64 = 1 << 55;
/// Miscellaneous: an exit tells whether the guest was in long mode.
const EXITS_SAVE_LMA: u64 = 1 << 5;
/// Four levels, write-back memory, 2 MiB pages.
const EPT_NEEDED: u64 = 1 << 6 | 1 << 14 | 1 << 16;
const EPT_1_GIB: u64 = 1 << 17;
const INVEPT: u64 = 1 << 20;
const INVEPT_SINGLE: u64 = 1 << 25;
const INVEPT_ALL: u64 = 1 << 26;
const INVVPID: u64 = 1 << 32;
const INVVPID_ALL: u64 = 1 << 42;

/// The control words for guests and what goes with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What the first word of a VMCS must be.
    pub revision: u32,
    /// Bits of CR0 and CR4 that are set in VMX operation.
    pub cr0_fixed: u64,
    pub cr4_fixed: u64,
    pub pin: u32,
    pub primary: u32,
    pub secondary: u32,
    pub exit: u32,
    pub entry: u32,
    /// EPT has pages of 1 GiB.
    pub giant_pages: bool,
    /// Translations are tagged.
    pub vpid: bool,
    /// INVEPT can be told which tables.
    pub invept_single: bool,
}

impl Capabilities {
    /// Reads this CPU's. It has VT-x.
    ///
    /// # Errors
    /// What Tenon needs and is not there.
    pub fn read() -> Result<Self, Unusable> {
        let value = |msr| msr::try_read(msr).unwrap_or(0);
        let basic = value(BASIC);
        let exact = basic & HAS_TRUE_CONTROLS != 0;
        let words = |plain, precise| Words::of(value(if exact { precise } else { plain }));

        let pin = words(PIN, TRUE_PIN);
        let all = Pin::all();
        let pin = pin.choose(all.bits(), 0).map_err(|bits| Unusable::Pin(Pin::from_bits_retain(bits)))?;

        let optional = Primary::INTERRUPT_WINDOW_EXITING | Primary::NMI_WINDOW_EXITING;
        let unwanted = Primary::INVLPG_EXITING
            | Primary::CR3_LOAD_EXITING
            | Primary::CR3_STORE_EXITING
            | Primary::MOV_DR_EXITING;
        let primary_words = words(PRIMARY, TRUE_PRIMARY);
        if !primary_words.may_be(Primary::SECONDARY_CONTROLS.bits()) {
            return Err(Unusable::NoEpt);
        }
        let needed = (Primary::all() - unwanted).bits();
        let primary = primary_words
            .choose(needed, unwanted.bits())
            .map_err(|bits| Unusable::Primary(Primary::from_bits_retain(bits)))?;

        let secondary_words = Words::of(value(SECONDARY));
        if !secondary_words.may_be(Secondary::EPT.bits()) {
            return Err(Unusable::NoEpt);
        }
        if !secondary_words.may_be(Secondary::UNRESTRICTED_GUEST.bits()) {
            return Err(Unusable::NoUnrestrictedGuest);
        }
        let ept = value(EPT_VPID);
        let vpid = secondary_words.may_be(Secondary::VPID.bits())
            && ept & (INVVPID | INVVPID_ALL) == INVVPID | INVVPID_ALL;
        let mut wished = Secondary::INVPCID;
        wished.set(Secondary::VPID, vpid);
        let needed = Secondary::EPT | Secondary::UNRESTRICTED_GUEST | Secondary::WBINVD_EXITING;
        let secondary = secondary_words
            .choose(needed.bits() | secondary_words.allowed & wished.bits(), 0)
            .map_err(|bits| Unusable::Secondary(Secondary::from_bits_retain(bits)))?;

        let exit = words(EXIT, TRUE_EXIT)
            .choose(Exit::all().bits(), 0)
            .map_err(|bits| Unusable::Exit(Exit::from_bits_retain(bits)))?;
        let needed = Entry::all() - Entry::LONG_MODE_GUEST;
        let entry = words(ENTRY, TRUE_ENTRY)
            .choose(needed.bits(), Entry::LONG_MODE_GUEST.bits())
            .map_err(|bits| Unusable::Entry(Entry::from_bits_retain(bits)))?;

        if ept & EPT_NEEDED != EPT_NEEDED {
            return Err(Unusable::EptTooSmall);
        }
        if ept & INVEPT == 0 || ept & (INVEPT_SINGLE | INVEPT_ALL) == 0 {
            return Err(Unusable::NoInvept);
        }
        if value(MISC) & EXITS_SAVE_LMA == 0 {
            return Err(Unusable::NoUnrestrictedGuest);
        }
        Ok(Self {
            revision: basic as u32 & 0x7fff_ffff,
            cr0_fixed: value(CR0_FIXED0),
            cr4_fixed: value(CR4_FIXED0),
            pin,
            primary: primary & !optional.bits(),
            secondary,
            exit,
            entry,
            giant_pages: ept & EPT_1_GIB != 0,
            vpid,
            invept_single: ept & INVEPT_SINGLE != 0,
        })
    }
}

/// What a control word may be.
#[derive(Clone, Copy)]
struct Words {
    /// Bits that must be set.
    forced: u32,
    /// Bits that may be set.
    allowed: u32,
}

impl Words {
    const fn of(msr: u64) -> Self {
        Self { forced: msr as u32, allowed: (msr >> 32) as u32 }
    }

    const fn may_be(self, bits: u32) -> bool {
        self.allowed & bits == bits
    }

    /// The word with the `needed` bits, without the `unwanted` ones.
    ///
    /// # Errors
    /// The bits that cannot be as they have to.
    const fn choose(self, needed: u32, unwanted: u32) -> Result<u32, u32> {
        let wrong = needed & !self.allowed | unwanted & self.forced;
        if wrong != 0 { Err(wrong) } else { Ok(needed | self.forced) }
    }
}
