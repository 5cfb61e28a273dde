//! Hypercalls as a guest makes them: arguments in its memory and registers, one way in ([`super::handle`]).

mod domctl;
mod events;
mod grant;
mod lives;
mod machine_calls;
mod memory;
mod multicall;
mod noise;
mod rig;
mod sysctl;
mod vcpus;
