use crate::xenstore::change::{Change, Link};
use crate::xenstore::daemon::{Condition, Daemon, Machine};
use crate::xenstore::ids::DomId;
use crate::xenstore::journal::Log;
use crate::xenstore::plan::Host;
use crate::xenstore::ring::{Ring, Word};
use crate::xenstore::state::State;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// How many effects the daemon still has before it is dead.
#[derive(Clone, Default)]
pub struct Fuse(Rc<Cell<Option<u64>>>);

impl Fuse {
    pub fn set(&self, effects: Option<u64>) {
        self.0.set(effects);
    }

    pub fn is_burnt(&self) -> bool {
        self.0.get() == Some(0)
    }

    /// Whether the next effect still happens.
    fn burn(&self) -> bool {
        match self.0.get() {
            None => true,
            Some(0) => false,
            Some(left) => {
                self.0.set(Some(left - 1));
                left > 1
            }
        }
    }
}

pub struct Page {
    bytes: RefCell<[u8; 4096]>,
    pub signals: Cell<usize>,
}

impl Default for Page {
    fn default() -> Self {
        Self { bytes: RefCell::new([0; 4096]), signals: Cell::new(0) }
    }
}

impl Page {
    pub fn word(&self, word: Word) -> u32 {
        let at = word as usize;
        u32::from_le_bytes(self.bytes.borrow()[at..at + 4].try_into().unwrap())
    }

    pub fn set(&self, word: Word, value: u32) {
        self.put(word as usize, &value.to_le_bytes());
    }

    pub fn put(&self, at: usize, bytes: &[u8]) {
        self.bytes.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub fn byte(&self, at: usize) -> u8 {
        self.bytes.borrow()[at]
    }
}

/// The daemon's view of a page.
pub struct Mapped(Rc<Page>, Fuse);

impl Ring for Mapped {
    fn load(&self, word: Word) -> u32 {
        self.0.word(word)
    }

    fn store(&self, word: Word, value: u32) {
        if self.1.burn() {
            self.0.set(word, value);
        }
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = self.0.byte(offset + index);
        }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        // A copy may be cut short.
        let whole = self.1.burn();
        let done = if whole { bytes.len() } else { bytes.len() / 2 };
        if whole || self.1.is_burnt() {
            self.0.put(offset, &bytes[..done]);
        }
    }

    fn notify(&self) {
        if self.1.burn() {
            self.0.signals.set(self.0.signals.get() + 1);
        }
    }
}

#[derive(Clone, Default)]
pub struct Records(pub Rc<RefCell<Vec<Change>>>, Fuse);

impl Log for Records {
    fn append(&mut self, changes: &[Change]) -> Result<(), String> {
        if changes.iter().any(Change::is_durable) && self.1.burn() {
            self.0.borrow_mut().extend(changes.iter().filter(|change| change.is_durable()).cloned());
        }
        Ok(())
    }

    fn rewrite(&mut self, state: &State) -> Result<(), String> {
        if self.1.burn() {
            *self.0.borrow_mut() = state.snapshot();
        }
        Ok(())
    }

    fn is_bloated(&self) -> bool {
        self.0.borrow().len() > 150
    }
}

/// What is there whether a daemon lives or not.
#[derive(Clone, Default)]
pub struct World {
    pub pages: BTreeMap<DomId, Rc<Page>>,
    pub conditions: Rc<RefCell<BTreeMap<DomId, Condition>>>,
    pub records: Records,
    pub fuse: Fuse,
}

pub struct TestMachine {
    world: World,
    attached: BTreeMap<DomId, Mapped>,
}

impl Host for TestMachine {
    fn attach(&mut self, domid: DomId, _: Link) -> Result<(), String> {
        let page = self.world.pages.get(&domid).ok_or("no such domain")?;
        self.attached.insert(domid, Mapped(page.clone(), self.world.fuse.clone()));
        Ok(())
    }
}

impl Machine for TestMachine {
    type Ring = Mapped;

    fn control_link(&self) -> Option<Link> {
        self.world.pages.contains_key(&DomId(0)).then_some(Link { gfn: 1, port: 1 })
    }

    fn ring(&self, domid: DomId) -> Option<&Mapped> {
        self.attached.get(&domid)
    }

    fn detach(&mut self, domid: DomId) {
        self.attached.remove(&domid);
    }

    fn refresh(&mut self) {}

    fn condition(&self, domid: DomId) -> Option<Condition> {
        Some(*self.world.conditions.borrow().get(&domid).unwrap_or(&Condition::Alive))
    }
}

pub type TestDaemon = Daemon<TestMachine, Records>;

impl World {
    pub fn new(domains: &[u16]) -> Self {
        let mut world = Self::default();
        for number in domains {
            world.pages.insert(DomId(*number), Rc::default());
        }
        world.records.1 = world.fuse.clone();
        world
    }

    /// A daemon that continues what is recorded, as after a kill.
    pub fn daemon(&self) -> TestDaemon {
        let mut state = State::default();
        self.records.0.borrow().iter().for_each(|change| state.apply(change));
        state.resume();
        let machine = TestMachine { world: self.clone(), attached: BTreeMap::new() };
        let mut daemon = Daemon::new(state, self.records.clone(), machine);
        daemon.start();
        daemon
    }

    /// Lets the daemon do all that there is to do.
    pub fn settle(&self, daemon: &mut TestDaemon) {
        for _ in 0..10 {
            let domains: Vec<DomId> = daemon.domains().collect();
            for domid in domains {
                daemon.serve(domid, 0);
            }
            for conn in daemon.take_unsent() {
                if conn.is_durable() {
                    daemon.send(conn.domid());
                }
            }
        }
    }
}
