//! What stands before the scheduler, in its time: budgets, rates, and a provider's cap of a day.

use std::{sync::Arc, time::Duration};

use faas_core::{
    budget::{Budget, BudgetLayer, SharedBudget, WithinBudget},
    clock::{Clock as _, VirtualClock},
    invocation::{ErrorKind, FunctionSpec},
    policy::FixedTtl,
    pool::Limits,
    rate::{DailyCap, RateLayer, Rates},
    stack::{self, Stack},
};
use parking_lot::Mutex;
use rust_decimal::Decimal;
use tower::Service as _;

use crate::bench_top::{Bench, empty, ms};

const DAY: Duration = Duration::from_secs(86_400);

/// Invokes `hello`: why it was refused, if it was.
async fn invoke(bench: &Bench, stack: &Stack) -> Option<ErrorKind> {
    let call = tokio::spawn(stack.clone().call(bench.invocation("hello", empty())));
    bench.run(ms(200)).await;
    call.await.expect("it does not panic").err().map(|failure| failure.error().kind)
}

#[tokio::test]
async fn a_budgets_day_goes_by_while_the_machine_sleeps() {
    let clock = VirtualClock::default();
    let cap = "0.01/day".parse().expect("a cap");
    let budget: SharedBudget = Arc::new(Mutex::new(Budget::new(vec![cap], false)));
    let policy = FixedTtl(Duration::from_secs(60));
    let policy = WithinBudget::new(policy, budget.clone(), Arc::new(clock.clone()));
    let bench = Bench::on(clock.clone(), Limits::LAPTOP, policy);
    bench.deploy(FunctionSpec::new("hello"), bench.script("hi"));
    let budgeted =
        stack::assemble(BudgetLayer::new(budget.clone(), bench.shared_clock()), bench.scheduler.clone());
    let spend = || budget.lock().spend(clock.wall(), &"hello".into(), Decimal::ONE);

    spend();
    assert_eq!(invoke(&bench, &budgeted).await, Some(ErrorKind::BudgetExceeded));
    clock.suspend(DAY);
    assert_eq!(invoke(&bench, &budgeted).await, None);

    spend();
    bench.run(Duration::from_secs(60)).await;
    assert!(!bench.scheduler.prewarm("hello"), "for whom?");
    clock.suspend(DAY);
    assert!(bench.scheduler.prewarm("hello"));
}

#[tokio::test]
async fn so_does_a_daily_caps_and_tokens_come_with_time_that_is_awake() {
    let bench = Bench::new();
    bench.deploy(FunctionSpec::new("hello"), bench.script("hi"));
    let limited = |rates| {
        let layer = RateLayer::new(Arc::new(Mutex::new(rates)), bench.shared_clock());
        stack::assemble(layer, bench.scheduler.clone())
    };
    let daily = limited(Rates::new(Vec::new()).with_daily_cap(DailyCap { count: 1, whose: "a plan".into() }));
    let hourly = limited(Rates::new(vec!["1/h".parse().expect("a rate")]));

    assert_eq!((invoke(&bench, &daily).await, invoke(&bench, &hourly).await), (None, None));
    let refused = (Some(ErrorKind::DailyCap), Some(ErrorKind::RateLimited));
    assert_eq!((invoke(&bench, &daily).await, invoke(&bench, &hourly).await), refused);
    bench.clock.suspend(DAY);
    assert_eq!((invoke(&bench, &daily).await, invoke(&bench, &hourly).await), (None, refused.1));
}
