//! Laws: the sum of the parts is the whole, more use never costs less, what did not run costs nothing.

use std::{sync::Arc, time::Duration};

use faas_core::{
    billing::{
        Active, Allowances, Instances, Invoice, Ledger, Measure, Month, Provisioned, Quantities, Snapshots,
        Stated, compare,
    },
    clock::Time,
    invocation::{End, ErrorKind, FunctionSpec, InvocationError, Record, Start, Usage},
    profile::{Counts, Profile},
};
use proptest::prelude::*;
use rust_decimal::Decimal;

fn record(memory_mib: u32, init: Duration, handler: Duration, cpu: Duration) -> Record {
    Record {
        id: "1".into(),
        function: "f".into(),
        spec: Some(Arc::new(FunctionSpec { memory_mib, ..FunctionSpec::new("f") })),
        start: Some(if init.is_zero() { Start::Warm } else { Start::Cold }),
        instance: None,
        arrived: Time::EPOCH,
        ended: Time::EPOCH,
        queue: Duration::from_secs(9),
        usage: Usage {
            init_wall: init,
            init_cpu: init,
            handler_wall: handler,
            handler_cpu: cpu,
            ..Usage::default()
        },
        end: End::Replied { status: http::StatusCode::OK, is_fault: false },
    }
}

prop_compose! {
    fn any_record()(
        memory_mib in 128_u32..=10_240,
        init_ns in prop_oneof![Just(0), 0_u64..10_000_000_000],
        handler_ns in 0_u64..900_000_000_000,
        cpu_share in 0_u64..=100,
    ) -> Record {
        let cpu = Duration::from_nanos(handler_ns / 100 * cpu_share);
        record(memory_mib, Duration::from_nanos(init_ns), Duration::from_nanos(handler_ns), cpu)
    }
}

fn profiles() -> impl Iterator<Item = Profile> {
    Profile::names().map(|name| Profile::named(name).expect("built in"))
}

prop_compose! {
    fn any_stated()(
        requests in prop_oneof![0_u64..100, 0_u64..10_000_000_000],
        duration_ns in 0_u64..900_000_000_000,
        memory_mib in 1_u32..=10_240,
        cpu_share in proptest::option::of(0_u64..=100),
        scratch_mib in 0_u32..=10_240,
        concurrency in 1_u32..=100,
        cold_share in 0_u64..=100,
        kept in proptest::option::of((0_u32..1000, 0_u64..2_592_000, 0_u64..1_000_000)),
        services in prop::collection::vec((0_usize..8, 0_u64..1_000_000_000_000), 0..5),
    ) -> Stated {
        const SERVICES: [Counts; 8] = [
            Counts::QueueOperations, Counts::StorageGbMonths, Counts::StorageWrites, Counts::StorageReads,
            Counts::KvReads, Counts::KvWrites, Counts::RowsRead, Counts::RowsWritten,
        ];
        let duration = Duration::from_nanos(duration_ns);
        Stated {
            requests,
            duration,
            memory_mib,
            cpu: cpu_share.map(|share| Duration::from_nanos(duration_ns / 100 * share)),
            scratch_mib,
            concurrency,
            cold_starts: requests / 100 * cold_share,
            init: Duration::from_micros(15_300),
            provisioned: kept.map(|(instances, seconds, requests)| Provisioned {
                instances, time: Duration::from_secs(seconds), requests, duration,
            }),
            snapshots: kept.map(|(versions, seconds, restores)| Snapshots {
                versions, kept: Duration::from_secs(seconds), restores,
            }),
            services: services.into_iter().map(|(i, n)| (SERVICES[i], n.into())).collect(),
            ..Stated::default()
        }
    }
}

/// Money is exact to the last of 28 digits: an hour has a third of one.
fn same(a: Decimal, b: Decimal) -> bool {
    (a - b).abs() < Decimal::new(1, 18)
}

proptest! {
    #[test]
    fn the_sum_of_the_parts_is_the_whole(records in prop::collection::vec(any_record(), 1..50)) {
        for profile in profiles() {
            let mut ledger = Ledger::default();
            let mut sum = Decimal::ZERO;
            for (i, record) in records.iter().enumerate() {
                let charge = profile.charge(record);
                ledger.add(&["f", "g", "h"][i % 3].into(), charge.quantities);
                sum += charge.cost_usd;
            }
            let by_function: Quantities = ledger.functions().map(|(_, q)| *q).sum();
            prop_assert_eq!(by_function, *ledger.total());
            let whole = profile.billing.amount_usd(ledger.total());
            prop_assert!(same(whole, sum), "{}: {} and {}", profile.name, whole, sum);
        }
    }

    #[test]
    fn a_session_may_be_split_and_joined_anywhere(
        records in prop::collection::vec(any_record(), 2..50), at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(records.len());
        for profile in profiles() {
            let count = |records: &[Record]| -> Quantities {
                records.iter().map(|record| Quantities::of(record, &profile)).sum()
            };
            let (first, second) = records.split_at(at);
            prop_assert_eq!(count(second) + count(first), count(&records));
        }
    }

    #[test]
    fn a_month_in_two_sessions_differs_by_cents_that_are_rounded(a in any_stated(), b in any_stated()) {
        for profile in profiles() {
            let month = |stated: &Stated| profile.estimate(stated, Allowances::UsedUp).month;
            let (a, b) = (month(&a), month(&b));
            let mut both = Month { functions: a.functions + b.functions, services: a.services.clone() };
            for (name, amount) in &b.services {
                *both.services.entry(name.clone()).or_default() += amount;
            }
            let whole = Invoice::of(&profile.billing, &both, Allowances::Applied);
            // the lines of a month are its meters': none is there twice but for tiers, and the free tier once
            for meter in &profile.billing.meters {
                let lines: Vec<_> = whole.lines.iter().filter(|line| line.meter == meter.name).collect();
                let billed: Decimal = lines.iter().map(|line| line.quantity).sum();
                let free: Decimal = lines.iter().map(|line| line.included).sum();
                let allowed = meter.included.as_ref().map_or(Decimal::ZERO, |n| n.value.into());
                prop_assert!(free <= allowed, "{}: {}", profile.name, meter.name);
                let used = both.units(meter);
                prop_assert!(billed + free >= used, "{}: {}", profile.name, meter.name);
                if meter.whole.is_none() {
                    prop_assert_eq!(billed + free, used);
                }
                if billed > Decimal::ZERO {
                    prop_assert_eq!(free, allowed, "all of it is taken before anything is paid");
                }
            }
            let lines: Decimal = whole.lines.iter().map(|line| line.amount_usd).sum();
            prop_assert_eq!(lines, whole.total_usd);
            let cents = Decimal::new(i64::try_from(whole.lines.len()).expect("few"), 2);
            prop_assert!((whole.total_usd - whole.exact_usd).abs() <= cents);
        }
    }

    #[test]
    fn the_free_tier_never_costs_anything(stated in any_stated()) {
        for profile in profiles() {
            let usd = |allowances| profile.estimate(&stated, allowances).invoice.total_usd;
            prop_assert!(usd(Allowances::Applied) <= usd(Allowances::UsedUp));
        }
    }

    #[test]
    fn more_of_anything_never_costs_less(a in any_stated(), which in 0_u8..7, more in 1_u32..1_000_000) {
        let mut b = a.clone();
        match which {
            0 => b.requests += u64::from(more),
            1 => {
                b.duration += Duration::from_micros(more.into());
                b.cpu = b.cpu.map(|cpu| cpu + Duration::from_micros(more.into()));
            }
            2 => b.memory_mib += more % 1024,
            3 => b.scratch_mib += more % 1024,
            4 => b.cold_starts = b.requests,
            5 => b.services.push((Counts::StorageWrites, more.into())),
            _ => b.provisioned = Some(Provisioned {
                instances: b.provisioned.map_or(1, |kept| kept.instances + 1),
                ..b.provisioned.unwrap_or_default()
            }),
        }
        for profile in profiles() {
            for allowances in [Allowances::Applied, Allowances::UsedUp] {
                let usd = |stated| profile.estimate(stated, allowances).invoice.total_usd;
                prop_assert!(usd(&b) >= usd(&a), "{}: {} after {}", profile.name, usd(&b), usd(&a));
            }
        }
    }

    #[test]
    fn more_use_of_an_invocation_never_costs_less(a in any_record(), extra_ns in 0_u64..1_000_000_000) {
        let mut b = a.clone();
        b.usage.handler_wall += Duration::from_nanos(extra_ns);
        b.usage.handler_cpu += Duration::from_nanos(extra_ns);
        for profile in profiles() {
            prop_assert!(profile.charge(&b).cost_usd >= profile.charge(&a).cost_usd);
            prop_assert!(profile.charge(&b).billed >= profile.charge(&a).billed);
        }
    }

    #[test]
    fn lambda_bills_one_ceiling_of_the_sum(a in any_record()) {
        for name in ["aws-lambda", "aws-lambda-arm"] {
            let charge = Profile::named(name).expect("built in").charge(&a);
            let used = a.usage.init_wall + a.usage.handler_wall;
            prop_assert!(charge.billed >= used && charge.billed < used + Duration::from_millis(1));
            prop_assert_eq!(charge.billed.subsec_nanos() % 1_000_000, 0);
        }
    }

    #[test]
    fn a_meter_of_cpu_time_does_not_see_wall_time(a in any_record(), waited_ns in 0_u64..1_000_000_000) {
        let mut b = a.clone();
        b.usage.handler_wall += Duration::from_nanos(waited_ns);
        b.usage.init_wall += Duration::from_nanos(waited_ns);
        for name in ["cloudflare-workers", "cloudflare-workers-free", "fastly-compute"] {
            let profile = Profile::named(name).expect("built in");
            prop_assert_eq!(profile.charge(&a).cost_usd, profile.charge(&b).cost_usd);
        }
    }

    #[test]
    fn active_time_is_the_union_of_spans(
        spans in prop::collection::vec((0_u64..10_000, 0_u64..2_000), 1..40).prop_shuffle(),
    ) {
        let at = |ms| Time::EPOCH + Duration::from_millis(ms);
        let mut active = Active::default();
        for (from, length) in &spans {
            active.add(at(*from), at(from + length));
        }
        let covered = (0..12_000)
            .filter(|ms| spans.iter().any(|(from, length)| (*from..from + length).contains(ms)))
            .count();
        prop_assert_eq!(active.time(), Duration::from_millis(covered.try_into().expect("few")));
        let mut backwards = Active::default();
        for (from, length) in spans.iter().rev() {
            backwards.add(at(*from), at(from + length));
        }
        prop_assert_eq!(&active, &backwards);
        // together never dearer than alone
        for name in ["google-cloud-run-functions", "azure-functions-flex", "vercel-fluid"] {
            let rule = Profile::named(name).expect("built in").billing.time.expect("it bills wall time");
            let alone: Duration = spans
                .iter()
                .map(|(from, length)| {
                    let mut one = Active::default();
                    one.add(at(*from), at(from + length));
                    one.billed(&rule)
                })
                .sum();
            prop_assert!(active.billed(&rule) <= alone);
            prop_assert!(active.billed(&rule) >= active.time());
        }
    }
}

#[test]
fn init_and_handler_are_rounded_as_one_sum() {
    // L. van Donkersgoed, 2022: init 1293.83 ms and 1049.63 ms were billed as 2344 ms; two ceilings would be 2345
    let us = Duration::from_micros;
    let record = record(128, us(1_293_830), us(1_049_630), us(9));
    let charge = Profile::named("aws-lambda").expect("built in").charge(&record);
    assert_eq!(charge.billed, Duration::from_millis(2344));
}

#[test]
fn what_did_not_run_costs_nothing_and_what_failed_costs_as_much() {
    let ran = record(128, Duration::ZERO, Duration::from_millis(5), Duration::from_millis(5));
    let error = InvocationError::new(ErrorKind::Panic, "it panicked");
    let failed = Record { end: End::Failed(error), ..ran.clone() };
    let turned_away = Record { start: None, spec: None, ..failed.clone() };
    for profile in profiles() {
        assert_eq!(profile.charge(&failed), profile.charge(&ran));
        assert_eq!(profile.charge(&turned_away).cost_usd, Decimal::ZERO);
        assert_eq!(profile.charge(&turned_away).quantities, Quantities::default());
    }
}

#[test]
fn the_sides_of_a_comparison_meet_where_it_says() {
    let stated = Stated {
        requests: 1_000_000,
        duration: Duration::from_millis(200),
        cpu: Some(Duration::from_millis(5)),
        peak_rps: Some(Decimal::from(50)),
        ..Stated::default()
    };
    let all = compare(profiles().collect(), &stated, Allowances::Applied);
    assert!(all.is_sorted_by_key(|one| one.estimate.invoice.total_usd));
    let own =
        all.iter().find(|one| one.profile.name == "own").expect("it is there").estimate.invoice.total_usd;
    let mut met = 0;
    for one in &all {
        let Some(requests) = one.break_even_requests else { continue };
        let memory_mib = one.profile.limits.memory_mib.default.value;
        let usd = |requests| {
            let stated = Stated { requests, memory_mib, ..stated.clone() };
            one.profile.estimate(&stated, Allowances::Applied).invoice.total_usd
        };
        assert!(usd(requests) >= own && usd(requests - 1) < own, "{}: {requests}", one.profile.name);
        met += 1;
    }
    assert_eq!(met, all.len() - 2, "all but the servers and the plan that costs nothing");
}

/// Records on three instances, in the order in which they end.
fn overlapping() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    let one = (0_u64..3, 0_u64..5_000, 0_u64..700);
    proptest::collection::vec(one, 1..40).prop_map(|mut all| {
        all.sort_by_key(|(_, from, took)| from + took);
        all
    })
}

proptest! {
    #[test]
    fn what_invocations_add_is_the_union_of_their_instances(all in overlapping()) {
        for profile in profiles().filter(Profile::bills_instances) {
            let rule = profile.billing.time.clone().expect("it bills time");
            let (mut instances, mut ledger) = (Instances::default(), Ledger::default());
            let mut unions = [(); 3].map(|()| Active::default());
            for (instance, from, took) in &all {
                let at = |ms: u64| Time::EPOCH + Duration::from_millis(1_000 + ms);
                let took_ms = Duration::from_millis(*took);
                let record = Record {
                    instance: Some(*instance),
                    arrived: at(*from),
                    ended: at(from + took),
                    ..record(512, Duration::ZERO, took_ms, took_ms)
                };
                let marginal = instances.bill(&profile, &record);
                ledger.add(&record.function, marginal.charge.quantities);
                ledger.refund(&record.function, marginal.refund);
                unions[usize::try_from(*instance).expect("small")].add(at(*from), at(from + took));
            }
            let billed: Duration = unions.iter().map(|active| active.billed(&rule)).sum();
            let whole = profile.charge(&record(512, Duration::ZERO, Duration::from_secs(3_600), Duration::ZERO));
            let per_hour = whole.quantities.get(Measure::MemoryTime);
            let expected = per_hour / 3_600_000_000_000 * billed.as_nanos();
            prop_assert_eq!(ledger.total().get(Measure::MemoryTime), expected, "{}", profile.name);
            prop_assert_eq!(ledger.total().requests(), all.len() as u128);
        }
    }
}
