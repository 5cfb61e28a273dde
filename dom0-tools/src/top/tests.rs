use hypercall_abi::tenon::ExitKind;

use super::*;
use crate::config::Uuid;
use crate::xen::account::VcpuAccount;

const MS: u64 = 1_000_000;

/// A vCPU at a time in ms, that ran and waited for so many ms, with exits.
fn vcpu(now: u64, ran: u64, waited: u64, exits: &[(ExitKind, u64)]) -> VcpuAccount {
    let mut counts = vec![0; ExitKind::COUNT];
    for (kind, count) in exits {
        counts[*kind as usize] = *count;
    }
    let rest = now - ran - waited;
    VcpuAccount { now: now * MS, spent: [ran * MS, waited * MS, rest * MS, 0], exits: counts }
}

fn domain(id: u16, name: &str, state: &'static str, vcpus: Vec<VcpuAccount>) -> DomainReading {
    DomainReading {
        id,
        uuid: Uuid([id as u8; 16]),
        name: name.into(),
        state,
        online_vcpus: vcpus.len() as u32,
        memory_mib: 256,
        max_memory_mib: (id != 0).then_some(512),
        vcpus,
    }
}

fn reading(domains: Vec<DomainReading>) -> Reading {
    Reading { cpus: 4, memory_mib: 4096, free_memory_mib: 1520, domains }
}

/// Two seconds: a domain that does little, one that computes on both vCPUs and would like more, one that goes away and
/// one that comes.
fn two_readings() -> (Reading, Reading) {
    use ExitKind::{Cpuid, Halt, Hypercall, Interrupt, MsrWrite};
    let before = reading(vec![
        domain(0, "Domain-0", "running", vec![vcpu(10_000, 500, 0, &[(Hypercall, 100), (Halt, 50)])]),
        domain(3, "gone", "idle", vec![vcpu(10_000, 9000, 0, &[])]),
        domain(
            4,
            "busy",
            "running",
            vec![vcpu(10_000, 4000, 1000, &[(Interrupt, 400)]), vcpu(10_010, 4000, 1000, &[])],
        ),
    ]);
    let after = reading(vec![
        domain(
            0,
            "Domain-0",
            "running",
            vec![vcpu(12_000, 560, 1, &[(Hypercall, 1300), (Halt, 150), (MsrWrite, 30), (Cpuid, 1)])],
        ),
        domain(
            4,
            "busy",
            "running",
            vec![
                vcpu(12_000, 6000, 1000, &[(Interrupt, 900)]),
                vcpu(12_010, 5500, 1500, &[(Interrupt, 100)]),
            ],
        ),
        domain(5, "a-guest-with-a-name-that-is-long", "idle", vec![vcpu(12_000, 100, 0, &[(Cpuid, 24)])]),
    ]);
    (before, after)
}

fn rates() -> Rates {
    let (before, after) = two_readings();
    let mut rates = Rates::between(&before, &after);
    rates.sort(Sort::Cpu);
    rates
}

#[test]
fn the_table_of_domains() {
    let expected = "\
4 CPUs, 45.8 % used; 1520 of 4096 MiB free; 3 domains; 2.0 s
ID  NAME                      STATE    VCPUS   CPU%  WAIT%  MiB  MAX  EXITS/s  BUSIEST
 4  busy                      running      2  175.0   25.0  256  512      300  interrupt 300
 5  a-guest-with-a-name-that  idle         1    5.0    0.0  256  512       12  cpuid 12
 0  Domain-0                  running      1    3.0    0.1  256    -      666  hypercall 600, halt 50, wrmsr 15";
    assert_eq!(lines(&rates(), View::Domains).join("\n"), expected);
}

#[test]
fn the_table_of_exits() {
    let expected = "\
4 CPUs, 45.8 % used; 1520 of 4096 MiB free; 3 domains; 2.0 s
ID  NAME                      EXITS/s  interrupt  hypercall  cpuid  halt  wrmsr
 4  busy                          300        300          0      0     0      0
 5  a-guest-with-a-name-that       12          0          0     12     0      0
 0  Domain-0                      666          0        600      0    50     15";
    assert_eq!(lines(&rates(), View::Exits).join("\n"), expected);
}

#[test]
fn json() {
    let json = serde_json::to_value(rates()).unwrap();
    assert_eq!(json["interval_seconds"], 2.0);
    assert_eq!(json["host"]["cpus"], 4);
    let [busy, new, zero] = json["domains"].as_array().unwrap().as_slice() else { panic!("three domains") };
    assert_eq!(
        (&busy["name"], &busy["cpu_percent"], &busy["vcpus"]),
        (&"busy".into(), &175.0.into(), &2.into())
    );
    assert_eq!(busy["exits"]["interrupt"], serde_json::json!({ "count": 1000, "per_second": 300.0 }));
    assert_eq!(new["exits"]["cpuid"]["count"], 24);
    assert_eq!((&zero["max_memory_mib"], &zero["exits_per_second"]), (&().into(), &665.5.into()));
    assert_eq!(zero["exits"].as_object().unwrap().len(), ExitKind::COUNT);
}

#[test]
fn orders() {
    let mut rates = rates();
    let mut order = |by| {
        rates.sort(by);
        rates.domains.iter().map(|domain| domain.id).collect::<Vec<_>>()
    };
    assert_eq!(order(Sort::Exits), [0, 4, 5]);
    assert_eq!(order(Sort::Waiting), [4, 0, 5]);
    assert_eq!(order(Sort::Memory), [0, 4, 5], "all have the same");
    assert_eq!(order(Sort::Id), [0, 4, 5]);
    assert_eq!(order(Sort::Cpu), [4, 5, 0]);
}

#[test]
fn a_number_that_another_has_now_starts_anew() {
    let (before, mut after) = two_readings();
    after.domains[1].uuid = Uuid([9; 16]);
    let rates = Rates::between(&before, &after);
    let busy = &rates.domains[1];
    assert!((500.0..505.0).contains(&busy.exits_per_second), "all that it ever did: {busy:?}");
}

#[test]
fn nothing_is_divided_by_no_time_and_nothing_runs_backwards() {
    let (before, after) = two_readings();
    for (before, after) in [(&after, &after), (&after, &before), (&Reading::default(), &Reading::default())] {
        let rates = Rates::between(before, after);
        for domain in &rates.domains {
            assert!(domain.cpu_percent.is_finite() && domain.exits_per_second.is_finite());
            assert!(domain.cpu_percent >= 0.0 && domain.exits_per_second >= 0.0);
        }
        assert!(lines(&rates, View::Exits).len() >= HEADING);
    }
}

#[test]
fn a_hypervisor_with_more_kinds_and_a_name_with_control_characters() {
    let (before, mut after) = two_readings();
    after.domains[0].name = "\x1b[2Jx".into();
    after.domains[0].vcpus[0].exits.push(8);
    let rates = Rates::between(&before, &after);
    let text = lines(&rates, View::Exits).join("\n");
    assert!(text.contains("kind-13") && text.contains("?[2Jx") && !text.contains('\x1b'), "{text}");
}
