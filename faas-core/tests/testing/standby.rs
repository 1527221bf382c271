//! Instances that are kept ready, under virtual time: what they cost while nobody calls, what they serve, and what is
//! beyond them.

use std::time::Duration;

use faas_core::{
    billing::{Allowances, Provisioned, Stated},
    function,
    invocation::FunctionSpec,
    profile::Profile,
    testing::Cloud,
};
use rust_decimal::Decimal;

use crate::secs;

#[function]
async fn order() {
    faas_core::sleep(Duration::from_millis(100)).await;
}

fn hundred(spec: &mut FunctionSpec) {
    (spec.min_instances, spec.memory_mib) = (100, 1536);
}

fn two(spec: &mut FunctionSpec) {
    spec.min_instances = 2;
}

fn cloud(profile: &str, configure: fn(&mut FunctionSpec)) -> Cloud {
    Cloud::builder().profile(profile).only(["order"]).configure(configure).build()
}

/// AWS's own example, with a thousandth of its requests.
#[faas_core::test]
async fn eight_hours_of_a_hundred_are_what_aws_says() {
    let cloud = cloud("aws-lambda", hundred);
    cloud.advance(secs(1)).await;
    for _ in 0..5 {
        for answer in cloud.burst("order", 100).await {
            assert!(answer.is_warm() && answer.record.usage.is_provisioned);
            // 100 ms of 1.5 GB at the lower price, and a request
            assert_eq!(answer.cost_usd.normalize().to_string(), "0.00000165833");
        }
    }
    cloud.advance(secs(8 * 3600) - cloud.elapsed()).await;
    insta::assert_snapshot!(cloud.bill(), @r"
    order: 500 invocations, 0 cold, 50000 ms billed, $0.000829165
    order: kept ready, $18.000144
    aws-lambda: $18.000973165
    ");
    let stated = Stated {
        memory_mib: 1536,
        provisioned: Some(Provisioned {
            instances: 100,
            time: secs(8 * 3600),
            requests: 500,
            duration: Duration::from_millis(100),
        }),
        ..Stated::default()
    };
    let aws = Profile::named("aws-lambda").expect("built in");
    let month = aws.estimate(&stated, Allowances::UsedUp).month;
    // `estimate` counts those requests as time only: they are requests as any other
    let estimated = aws.billing.amount_usd(&month.functions);
    assert_eq!(estimated, cloud.bill().total_usd, "one arithmetic");
}

#[faas_core::test]
async fn what_overflows_is_served_on_demand() {
    let cloud = cloud("aws-lambda", two);
    cloud.advance(secs(1)).await;
    let answers = cloud.burst("order", 3).await;
    let (kept, beyond): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.record.usage.is_provisioned);
    assert_eq!((kept.len(), beyond.len()), (2, 1));
    assert!(beyond[0].is_cold());
    let usd = |n: &str| n.parse::<Decimal>().expect("a number");
    assert_eq!(kept[0].cost_usd, usd("0.0000002") + usd("0.0000097222") * usd("0.0125"));
    assert_eq!(beyond[0].cost_usd, usd("0.0000002") + usd("0.0000166667") * usd("0.0145"), "init too");
    // by the five minutes, from the first moment on
    let standby = || cloud.bill().to_string().lines().nth(1).map(str::to_owned);
    assert_eq!(standby().as_deref(), Some("order: kept ready, $0.0003125025"));
    cloud.advance(secs(299) - cloud.elapsed()).await;
    assert_eq!(standby().as_deref(), Some("order: kept ready, $0.0003125025"));
    cloud.advance(secs(2)).await;
    assert_eq!(standby().as_deref(), Some("order: kept ready, $0.000625005"));
}

/// Cloud Run has no second price for what serves: it bills what is idle, and what serves as any other.
#[faas_core::test]
async fn on_cloud_run_an_instance_is_idle_or_serves_and_pays_for_one_of_them() {
    let cloud = cloud("google-cloud-run-functions", two);
    cloud.advance(secs(10)).await;
    let answer = cloud.get("order").await;
    assert!(answer.is_warm() && answer.record.usage.is_provisioned);
    cloud.advance(secs(100) - cloud.elapsed()).await;
    // two for 100 s, of which 0.1 s were not idle: 199.9 s of 0.167 vCPU and 0.25 GiB; and that 0.1 s at full price
    insta::assert_snapshot!(cloud.bill(), @r"
    order: 1 invocations, 0 cold, 100 ms billed, $0.0000008633
    order: kept ready, $0.00020839575
    google-cloud-run-functions: $0.00020925905
    ");
}

#[faas_core::test]
async fn on_flex_a_ready_instance_is_paid_for_and_so_is_what_it_serves() {
    let cloud = cloud("azure-functions-flex", two);
    cloud.advance(secs(10)).await;
    cloud.get("order").await;
    cloud.advance(secs(100) - cloud.elapsed()).await;
    // a second at least at $0.000016 a GB-s, and two of 2 GB for 100 s at $0.000004
    insta::assert_snapshot!(cloud.bill(), @r"
    order: 1 invocations, 0 cold, 1000 ms billed, $0.0000324
    order: kept ready, $0.0016
    azure-functions-flex: $0.0016324
    ");
}

#[faas_core::test]
async fn where_nobody_sells_them_they_cost_nothing() {
    for profile in ["cloudflare-workers", "azure-functions", "vercel-fluid", "fastly-compute", "deno-deploy"]
    {
        let cloud = cloud(profile, two);
        cloud.advance(secs(3600)).await;
        assert!(cloud.bill().total_usd.is_zero(), "{profile}");
        let ready = cloud.get("order").await;
        let same = Cloud::builder().profile(profile).only(["order"]).cold_start(Duration::ZERO).build();
        same.get("order").await;
        assert_eq!(ready.cost_usd, same.get("order").await.cost_usd, "{profile}: as any other that is warm");
    }
}
