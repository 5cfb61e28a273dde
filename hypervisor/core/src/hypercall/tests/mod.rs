//! Hypercalls as a guest makes them: arguments in its memory and registers, one way in ([`super::handle`]).

mod domctl;
mod grant;
mod machine_calls;
mod multicall;
mod rig;
mod sysctl;
