//! Worked examples from providers' own pages: what they state goes in, what they print must come out.

use std::time::Duration;

use faas_core::{
    billing::{Allowances, Estimate, Invoice, Measure, Messages, Provisioned, Quantities, Snapshots, Stated},
    profile::{Counts, Profile},
};
use rust_decimal::Decimal;

fn named(profile: &str) -> Profile {
    Profile::named(profile).expect("built in")
}

/// `requests` of this wall time and memory.
fn requests(requests: u64, duration_ms: u64, memory_mib: u32) -> Stated {
    Stated { requests, duration: Duration::from_millis(duration_ms), memory_mib, ..Stated::default() }
}

/// `requests` of this CPU time.
fn cpu(requests: u64, cpu_ms: u64) -> Stated {
    Stated { cpu: Some(Duration::from_millis(cpu_ms)), ..self::requests(requests, cpu_ms, 128) }
}

fn page(Invoice { lines, total_usd, .. }: &Invoice) -> String {
    let mut page: String = lines
        .iter()
        .map(|l| {
            format!("{:>35} {:>12} x {:<14} {:>9}\n", l.meter, l.quantity, l.unit_price_usd, l.amount_usd)
        })
        .collect();
    page += &format!("{:>35} {total_usd:>39}", "total");
    page
}

fn bill(profile: &str, stated: &Stated, allowances: Allowances) -> String {
    let Estimate { invoice, notices, .. } = named(profile).estimate(stated, allowances);
    page(&invoice) + &notices.iter().map(|notice| format!("\n{notice}")).collect::<String>()
}

fn free(profile: &str, stated: &Stated) -> String {
    bill(profile, stated, Allowances::Applied)
}

fn full(profile: &str, stated: &Stated) -> String {
    bill(profile, stated, Allowances::UsedUp)
}

#[test]
fn aws_1_three_million_requests_with_the_free_tier() {
    insta::assert_snapshot!(free("aws-lambda", &requests(3_000_000, 120, 1536)), @r"
    requests      2000000 x 0.0000002           0.40
    duration       140000 x 0.0000166667        2.33
       total                                    2.73
    ");
}

#[test]
fn aws_2_two_second_requests_without_the_free_tier() {
    insta::assert_snapshot!(full("aws-lambda", &requests(7_440_000, 2_000, 1024)), @r"
    requests      7440000 x 0.0000002           1.49
    duration     14880000 x 0.0000166667      248.00
       total                                  249.49
    ");
}

#[test]
fn aws_3_with_ephemeral_storage() {
    let stated = Stated { scratch_mib: 2048, ..requests(6_000_000, 280, 4096) };
    insta::assert_snapshot!(free("aws-lambda", &stated), @r"
             requests      5000000 x 0.0000002           1.00
             duration      6320000 x 0.0000166667      105.33
    ephemeral storage      2520000 x 0.0000000309        0.08
                total                                  106.41
    ");
}

#[test]
fn aws_4_provisioned_concurrency_has_no_free_tier() {
    let provisioned = Provisioned {
        instances: 100,
        time: Duration::from_secs(8 * 3600),
        requests: 500_000,
        duration: Duration::from_millis(100),
    };
    let stated = Stated { provisioned: Some(provisioned), ..requests(2_500_000, 120, 1536) };
    insta::assert_snapshot!(free("aws-lambda", &stated), @r"
                               requests      2000000 x 0.0000002           0.40
                               duration        50000 x 0.0000166667        0.83
                provisioned concurrency      4320000 x 0.0000041667       18.00
    duration on provisioned concurrency        75000 x 0.0000097222        0.73
                                  total                                   19.96
    ");
}

#[test]
fn aws_5_snapstart() {
    let snapshots = Snapshots { versions: 1, kept: Duration::from_secs(31 * 24 * 3600), restores: 74_400 };
    let stated = Stated { snapshots: Some(snapshots), ..requests(7_440_000, 2_000, 1024) };
    insta::assert_snapshot!(full("aws-lambda", &stated), @r"
             requests      7440000 x 0.0000002           1.49
             duration     14880000 x 0.0000166667      248.00
      SnapStart cache      2678400 x 0.0000015046        4.03
    SnapStart restore        74400 x 0.0001397998       10.40
                total                                  263.92
    ");
}

#[test]
fn aws_6_and_7_the_tiers_of_duration() {
    let gb_seconds = |n: u128| Quantities::default().with(Measure::MemoryTime, n * 1024 * 1_000_000_000);
    let invoice = |n| Invoice::of(&named("aws-lambda").billing, &gb_seconds(n).into(), Allowances::UsedUp);
    insta::assert_snapshot!(page(&invoice(6_000_000_000)), @r"
    duration   6000000000 x 0.0000166667   100000.20
       total                               100000.20
    ");
    insta::assert_snapshot!(page(&invoice(16_000_000_000)), @r"
    duration   6000000000 x 0.0000166667   100000.20
    duration   9000000000 x 0.000015       135000.00
    duration   1000000000 x 0.0000133334    13333.40
       total                               248333.60
    ");
}

#[test]
fn cf_1_fifteen_million_requests_of_seven_ms() {
    insta::assert_snapshot!(free("cloudflare-workers", &cpu(15_000_000, 7)), @r"
        plan            1 x 5                   5.00
    requests      5000000 x 0.0000003           1.50
    CPU time     75000000 x 0.00000002          1.50
       total                                    8.00
    ");
}

#[test]
fn cf_2_static_assets_are_free() {
    insta::assert_snapshot!(free("cloudflare-workers", &cpu(3_000_000, 7)), @r"
        plan            1 x 5                   5.00
    requests            0 x 0.0000003           0.00
    CPU time            0 x 0.00000002          0.00
       total                                    5.00
    ");
}

#[test]
fn cf_3_an_hourly_job_of_three_cpu_minutes() {
    insta::assert_snapshot!(free("cloudflare-workers", &cpu(720, 180_000)), @r"
        plan            1 x 5                   5.00
    requests            0 x 0.0000003           0.00
    CPU time     99600000 x 0.00000002          1.99
       total                                    6.99
    ");
}

/// Without the plan, which the account pays once.
fn services(stated: &Stated) -> String {
    let mut profile = named("cloudflare-workers");
    profile.billing.plan = None;
    page(&profile.estimate(stated, Allowances::Applied).invoice)
}

fn messages(count: u64, bytes: u64) -> Stated {
    Stated { messages: Some(Messages { count, bytes }), ..Stated::default() }
}

#[test]
fn cf_4_a_million_messages_a_day() {
    insta::assert_snapshot!(services(&messages(30_000_000, 1_000)), @r"
    Queues     89000000 x 0.0000004          35.60
     total                                   35.60
    ");
    // the other example of that page: 127 KB are two chunks
    insta::assert_snapshot!(services(&messages(100_000_000, 127_000)), @r"
    Queues    599000000 x 0.0000004         239.60
     total                                  239.60
    ");
}

fn stored(gb_months: &str, writes: u32, reads: u32) -> Stated {
    let services = vec![
        (Counts::StorageGbMonths, gb_months.parse().expect("a number")),
        (Counts::StorageWrites, writes.into()),
        (Counts::StorageReads, reads.into()),
    ];
    Stated { services, ..Stated::default() }
}

#[test]
fn cf_5_objects() {
    insta::assert_snapshot!(services(&stored("1000", 1_000, 1_000_000)), @r"
    R2 storage          990 x 0.015              14.85
    R2 class A            0 x 0.0000045           0.00
    R2 class B            0 x 0.00000036          0.00
         total                                   14.85
    ");
    insta::assert_snapshot!(services(&stored("10", 100_000, 300_000_000)), @r"
    R2 storage            0 x 0.015               0.00
    R2 class A            0 x 0.0000045           0.00
    R2 class B    290000000 x 0.00000036        104.40
         total                                  104.40
    ");
    // that page: 1.1 GB-month are billed as 2, 1,000,001 operations as 2 million
    insta::assert_snapshot!(services(&stored("11.1", 2_000_001, 0)), @r"
    R2 storage            2 x 0.015               0.03
    R2 class A      2000000 x 0.0000045           9.00
         total                                    9.03
    ");
    let infrequent = [("storage", 1_000), ("class A", 1_000), ("class B", 1_000_000), ("retrieval", 1_000)];
    let named = infrequent.map(|(name, n)| (format!("R2 infrequent {name}"), Decimal::from(n)));
    insta::assert_snapshot!(services(&Stated { named: named.into(), ..Stated::default() }), @r"
      R2 infrequent storage         1000 x 0.01               10.00
      R2 infrequent class A      1000000 x 0.000009            9.00
      R2 infrequent class B      1000000 x 0.0000009           0.90
    R2 infrequent retrieval         1000 x 0.01               10.00
                      total                                   29.90
    ");
}

#[test]
fn az_1_one_second_of_one_and_a_half_gb() {
    insta::assert_snapshot!(free("azure-functions", &requests(3_000_000, 1_000, 1536)), @r"
    execution time      4100000 x 0.000016           65.60
        executions      2000000 x 0.0000002           0.40
             total                                   66.00
    ");
}

#[test]
fn az_2_a_cpu_bound_hour_on_flex() {
    // 40 a second, four at a time on an instance of 2 GB
    let stated = Stated { concurrency: 4, ..requests(144_000, 1_000, 2048) };
    insta::assert_snapshot!(full("azure-functions-flex", &stated), @r"
    execution time        72000 x 0.000026            1.87
        executions       144000 x 0.0000004           0.06
             total                                    1.93
    ");
    let estimate = named("azure-functions-flex").estimate(&stated, Allowances::UsedUp);
    assert_eq!(estimate.invoice.exact_usd.to_string(), "1.9296");
}

#[test]
fn gcf_1_ten_million_of_200_mhz() {
    insta::assert_snapshot!(free("gcf-gen1", &requests(10_000_000, 300, 128)), @r"
    invocations      8000000 x 0.0000004           3.20
         memory            0 x 0.0000025           0.00
            CPU       400000 x 0.00001             4.00
          total                                    7.20
    ");
}

#[test]
fn vc_1_an_hour_of_one_cpu_and_two_gb() {
    let stated = Stated { cpu: Some(Duration::from_secs(3600)), ..requests(1, 3_600_000, 2048) };
    insta::assert_snapshot!(free("vercel-fluid", &stated), @r"
                             active CPU            1 x 0.128               0.13
                     provisioned memory            2 x 0.0106              0.02
                            invocations            1 x 0.0000006           0.00
                                  total                                    0.15
    `vercel-fluid` does not allow 3600000 ms a request: 800000 at most
    ");
}

#[test]
fn what_goes_wrong_elsewhere() {
    let usd = |profile: &str, stated: &Stated| {
        named(profile).estimate(stated, Allowances::UsedUp).invoice.exact_usd.to_string()
    };
    let units = |profile: &str, stated: &Stated, counts| {
        named(profile).estimate(stated, Allowances::UsedUp).month.functions.units(counts)
    };
    // a floor of 100 ms and 128 MB: 0.0125 GB-s
    assert_eq!(units("azure-functions", &requests(1, 1, 1), Counts::GbSeconds), Decimal::new(125, 4));
    assert_eq!(units("azure-functions", &requests(1, 101, 129), Counts::GbSeconds), Decimal::new(2525, 5));
    // 260 ms are 300
    assert_eq!(usd("gcf-gen1", &requests(1, 260, 128)), usd("gcf-gen1", &requests(1, 300, 128)));
    // the published price of 100 ms at 256 MB and 400 MHz, and at 2 GB and 2.4 GHz, a request's taken off
    let time = |memory| named("gcf-gen1").estimate(&requests(1, 100, memory), Allowances::UsedUp).invoice;
    let without_request = |memory| (time(memory).exact_usd - Decimal::new(4, 7)).round_dp(9).to_string();
    assert_eq!(without_request(256), "0.000000462");
    assert_eq!(without_request(2048), "0.0000029");
    // flex: a second at least, then steps of 100 ms, whatever size is next
    assert_eq!(units("azure-functions-flex", &requests(1, 20, 1024), Counts::GbSeconds), Decimal::TWO);
    assert_eq!(
        units("azure-functions-flex", &requests(1, 1_020, 512), Counts::GbSeconds),
        Decimal::new(55, 2)
    );
    // an asynchronous event of 320 KB and a byte is three requests
    let event = Stated { event_bytes: Some(320 * 1024 + 1), ..requests(1, 1, 128) };
    assert_eq!(units("aws-lambda", &event, Counts::Requests), Decimal::from(3));
    // seven minutes of provisioned concurrency are ten
    let kept = Provisioned { instances: 1, time: Duration::from_secs(420), ..Provisioned::default() };
    let kept = Stated { provisioned: Some(kept), memory_mib: 1024, ..Stated::default() };
    assert_eq!(units("aws-lambda", &kept, Counts::ProvisionedGbSeconds), Decimal::from(600));
    // the free tier does not help it
    let applied = named("aws-lambda").estimate(&kept, Allowances::Applied).invoice;
    assert_eq!(applied.exact_usd.to_string(), usd("aws-lambda", &kept));
    // Cloud Run bills what is idle: 100 s of 0.167 vCPU and 0.25 GiB, less the two seconds that are active at full price
    let kept = |requests| Provisioned {
        instances: 1,
        time: Duration::from_secs(100),
        requests,
        duration: Duration::from_secs(1),
    };
    let idle = |requests| Stated { provisioned: Some(kept(requests)), memory_mib: 256, ..Stated::default() };
    let idle_gb_s = |n| units("google-cloud-run-functions", &idle(n), Counts::ProvisionedGbSeconds);
    assert_eq!(usd("google-cloud-run-functions", &idle(0)), "0.00010425");
    assert_eq!((idle_gb_s(0), idle_gb_s(2)), (Decimal::from(25), Decimal::new(245, 1)));
    // Workers keep none ready: what those would serve is served as any other
    assert_eq!(units("cloudflare-workers", &idle(2), Counts::CpuMs), Decimal::from(2_000));
    // 10 MB of a stream are 4 that are billed
    let stream = Stated { streamed_bytes: 10 << 20, ..requests(256, 1, 128) };
    assert_eq!(units("aws-lambda", &stream, Counts::StreamGb), Decimal::ONE);
}
