//! Laws: the sum of the parts is the whole, more use never costs less, what did not run costs nothing.

use std::{sync::Arc, time::Duration};

use faas_core::{
    billing::{Ledger, Quantities},
    clock::Time,
    invocation::{End, ErrorKind, FunctionSpec, InvocationError, Record, Start, Usage},
    profile::Profile,
};
use proptest::prelude::*;
use rust_decimal::Decimal;

fn record(memory_mib: u32, init: Duration, handler: Duration, cpu: Duration) -> Record {
    Record {
        id: "1".into(),
        function: "f".into(),
        spec: Some(Arc::new(FunctionSpec { memory_mib, ..FunctionSpec::new("f") })),
        start: Some(if init.is_zero() { Start::Warm } else { Start::Cold }),
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

proptest! {
    #[test]
    fn the_sum_of_the_parts_is_the_whole(records in prop::collection::vec(any_record(), 1..50)) {
        for Profile { billing, .. } in profiles() {
            let mut ledger = Ledger::default();
            let function: Arc<str> = "f".into();
            let mut sum = Decimal::ZERO;
            for record in &records {
                let charge = billing.charge(record);
                ledger.add(&function, charge.quantities);
                sum += charge.cost_usd;
            }
            prop_assert_eq!(billing.amount_usd(ledger.total()), sum);
            let by_function: Quantities = ledger.functions().map(|(_, q)| *q).sum();
            prop_assert_eq!(by_function, *ledger.total());
        }
    }

    #[test]
    fn more_use_never_costs_less(a in any_record(), extra_ns in 0_u64..1_000_000_000) {
        let mut b = a.clone();
        b.usage.handler_wall += Duration::from_nanos(extra_ns);
        b.usage.handler_cpu += Duration::from_nanos(extra_ns);
        for Profile { billing, .. } in profiles() {
            prop_assert!(billing.charge(&b).cost_usd >= billing.charge(&a).cost_usd);
            prop_assert!(billing.charge(&b).billed >= billing.charge(&a).billed);
        }
    }

    #[test]
    fn lambda_bills_one_ceiling_of_the_sum(a in any_record()) {
        let charge = Profile::named("aws-lambda").expect("built in").billing.charge(&a);
        let used = a.usage.init_wall + a.usage.handler_wall;
        prop_assert!(charge.billed >= used && charge.billed < used + Duration::from_millis(1));
        prop_assert_eq!(charge.billed.subsec_nanos() % 1_000_000, 0);
    }

    #[test]
    fn a_meter_of_cpu_time_does_not_see_wall_time(a in any_record(), waited_ns in 0_u64..1_000_000_000) {
        let mut b = a.clone();
        b.usage.handler_wall += Duration::from_nanos(waited_ns);
        b.usage.init_wall += Duration::from_nanos(waited_ns);
        let billing = Profile::named("cloudflare-workers").expect("built in").billing;
        prop_assert_eq!(billing.charge(&a).cost_usd, billing.charge(&b).cost_usd);
    }
}

#[test]
fn init_and_handler_are_rounded_as_one_sum() {
    // L. van Donkersgoed, 2022: init 1293.83 ms and 1049.63 ms were billed as 2344 ms; two ceilings would be 2345
    let us = Duration::from_micros;
    let record = record(128, us(1_293_830), us(1_049_630), us(9));
    let charge = Profile::named("aws-lambda").expect("built in").billing.charge(&record);
    assert_eq!(charge.billed, Duration::from_millis(2344));
}

#[test]
fn what_did_not_run_costs_nothing_and_what_failed_costs_as_much() {
    let ran = record(128, Duration::ZERO, Duration::from_millis(5), Duration::from_millis(5));
    let error = InvocationError::new(ErrorKind::Panic, "it panicked");
    let failed = Record { end: End::Failed(error), ..ran.clone() };
    let turned_away = Record { start: None, spec: None, ..failed.clone() };
    for Profile { billing, .. } in profiles() {
        assert_eq!(billing.charge(&failed), billing.charge(&ran));
        assert_eq!(billing.charge(&turned_away).cost_usd, Decimal::ZERO);
        assert_eq!(billing.charge(&turned_away).quantities, Quantities::default());
    }
}
