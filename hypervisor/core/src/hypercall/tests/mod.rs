//! Hypercalls as a guest makes them: arguments in its memory and registers, one way in ([`super::handle`]).

mod domctl;
mod events;
mod grant;
mod lives;
mod machine_calls;
mod memory;
mod multicall;
mod noise;
mod pools;
mod sysctl;
mod vcpus;

use super::rig;

/// Whole domains take their time.
fn few_cases() -> proptest::prelude::ProptestConfig {
    use proptest::prelude::ProptestConfig;
    ProptestConfig {
        failure_persistence: None,
        cases: if cfg!(miri) { 2 } else { ProptestConfig::default().cases.min(64) },
        ..ProptestConfig::default()
    }
}
