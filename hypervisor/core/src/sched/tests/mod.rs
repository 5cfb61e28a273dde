//! The scheduler against a simulated machine: see [`sim`].

mod affinity;
mod core_gran;
mod fairness;
mod latency;
mod null;
mod sim;
mod wakeups;

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;

/// Simulated seconds take their time: so many cases, always the same; with `PROPTEST_CASES` set, that many.
fn few_cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(3),
        cases: if cfg!(miri) { 1 } else { cases },
        ..ProptestConfig::default()
    }
}
