//! A machine without domains: the store for processes only (`--no-domains`), as tests and build hosts use it.

use super::change::Link;
use super::daemon::{Condition, Machine};
use super::ids::DomId;
use super::plan::Host;
use super::ring::{Ring, Word};
use super::server::{Signal, Source};
use std::convert::Infallible;
use std::os::fd::BorrowedFd;

/// No domains.
#[derive(Clone, Copy, Debug)]
pub struct NoMachine;

/// There is none.
#[derive(Clone, Copy, Debug)]
pub struct NoRing(Infallible);

impl Host for NoMachine {
    fn attach(&mut self, _: DomId, _: Link) -> Result<(), String> {
        Err("this daemon was started without domains".to_owned())
    }
}

impl Machine for NoMachine {
    type Ring = NoRing;

    fn control_link(&self) -> Option<Link> {
        None
    }

    fn ring(&self, _: DomId) -> Option<&NoRing> {
        None
    }

    fn detach(&mut self, _: DomId) {}

    fn refresh(&mut self) {}

    fn condition(&self, _: DomId) -> Option<Condition> {
        None
    }
}

impl Source for NoMachine {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn signals(&mut self) -> Vec<Signal> {
        Vec::new()
    }
}

impl Ring for NoRing {
    fn load(&self, _: Word) -> u32 {
        match self.0 {}
    }

    fn store(&self, _: Word, _: u32) {
        match self.0 {}
    }

    fn read(&self, _: usize, _: &mut [u8]) {
        match self.0 {}
    }

    fn write(&self, _: usize, _: &[u8]) {
        match self.0 {}
    }

    fn notify(&self) {
        match self.0 {}
    }
}
