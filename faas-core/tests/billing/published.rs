//! Worked examples from providers' own pages: what they state goes in, what they print must come out.

use faas_core::{
    billing::{Allowances, Invoice, Quantities},
    profile::Profile,
};

const MS: u128 = 1_000_000;

/// `requests` of this wall time and memory.
fn by_memory(requests: u64, ms: u128, mib: u128) -> Quantities {
    Quantities { requests, wall_mib_ns: u128::from(requests) * ms * MS * mib, cpu_ns: 0 }
}

/// `requests` of this CPU time.
fn by_cpu(requests: u64, ms: u128) -> Quantities {
    Quantities { requests, wall_mib_ns: 0, cpu_ns: u128::from(requests) * ms * MS }
}

fn invoice(profile: &str, used: Quantities, allowances: Allowances) -> String {
    let billing = Profile::named(profile).expect("built in").billing;
    let Invoice { lines, total_usd } = Invoice::of(&billing, &used, allowances);
    let mut page: String = lines
        .iter()
        .map(|l| {
            format!("{:>10} {:>12} x {:<12} {:>8}\n", l.meter, l.quantity, l.unit_price_usd, l.amount_usd)
        })
        .collect();
    page += &format!("{:>10} {total_usd:>36}", "total");
    page
}

#[test]
fn aws_1_three_million_requests_with_the_free_tier() {
    insta::assert_snapshot!(invoice("aws-lambda", by_memory(3_000_000, 120, 1536), Allowances::Applied), @r"
    requests      2000000 x 0.0000002        0.40
        GB-s       140000 x 0.0000166667     2.33
       total                                 2.73
    ");
}

#[test]
fn aws_2_two_second_requests_without_the_free_tier() {
    insta::assert_snapshot!(invoice("aws-lambda", by_memory(7_440_000, 2_000, 1024), Allowances::UsedUp), @r"
    requests      7440000 x 0.0000002        1.49
        GB-s     14880000 x 0.0000166667   248.00
       total                               249.49
    ");
}

#[test]
fn cf_1_fifteen_million_requests_of_seven_ms() {
    insta::assert_snapshot!(invoice("cloudflare-workers", by_cpu(15_000_000, 7), Allowances::Applied), @r"
        plan            1 x 5                5.00
    requests      5000000 x 0.0000003        1.50
      CPU ms     75000000 x 0.00000002       1.50
       total                                 8.00
    ");
}

#[test]
fn cf_3_an_hourly_job_of_three_cpu_minutes() {
    insta::assert_snapshot!(invoice("cloudflare-workers", by_cpu(720, 180_000), Allowances::Applied), @r"
        plan            1 x 5                5.00
    requests            0 x 0.0000003        0.00
      CPU ms     99600000 x 0.00000002       1.99
       total                                 6.99
    ");
}
