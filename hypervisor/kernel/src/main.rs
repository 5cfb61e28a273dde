//! Tenon on bare metal: the machine layer and what runs on it.
#![no_std]
#![no_main]
#![allow(dead_code, reason = "interfaces land before their users")]

extern crate alloc;

mod boot;
mod console;
mod cpu;
mod mm;
mod panic;
mod start;
