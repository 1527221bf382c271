//! Profiles of somebody's own: whatever number stands in one, it is refused with its line, or everything that is done with a
//! profile ends without a panic.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    time::Duration,
};

use faas_core::{
    billing::{
        Allowances, Instances, Messages, Provisioned, Quantities, Snapshots, Standby, Stated, compare,
    },
    clock::Time,
    invocation::{End, ErrorKind, FunctionSpec, InvocationError, Record, Start, Usage},
    policy::Subject,
    profile::Profile,
    rate::Rates,
};

fn records(spec: &Arc<FunctionSpec>) -> impl Iterator<Item = Record> {
    let ok = End::Replied { status: http::StatusCode::OK, is_fault: false };
    let late = End::Failed(InvocationError::new(ErrorKind::TimedOut, "late"));
    let of = |(end, seconds, memory_peak_bytes): (End, u64, u64)| Record {
        id: "1".into(),
        function: "f".into(),
        spec: Some(spec.clone()),
        start: Some(if seconds.is_multiple_of(2) { Start::Cold } else { Start::Warm }),
        instance: Some(1),
        arrived: Time::EPOCH,
        ended: Time::EPOCH + Duration::from_secs(seconds),
        queue: Duration::ZERO,
        usage: Usage {
            init_wall: Duration::from_millis(3),
            handler_wall: Duration::from_secs(seconds),
            handler_cpu: Duration::from_secs(seconds),
            memory_peak_bytes,
            event_bytes: Some(seconds << 30),
            is_provisioned: seconds > 1,
            ..Usage::default()
        },
        end,
    };
    [(ok.clone(), 1, 0), (late, 2, u64::MAX), (ok, u64::MAX >> 34, 1 << 40)].into_iter().map(of)
}

/// Everything that is done with a profile.
fn use_it(profile: &Profile) {
    let (now, f) = (Time::EPOCH + Duration::from_secs(1_000_000), Arc::<str>::from("f"));
    let entry = r#"{"abi":1,"name":"f","handler":"f","kind":"http"}"#;
    let entry = faas_core::abi::manifest::parse(entry.as_bytes()).expect("a manifest").remove(0);
    let spec = Arc::new(profile.spec(&entry).unwrap_or_else(|_| FunctionSpec::new("f")));
    let _ = (profile.pool_limits(), profile.delivery_rules(), profile.max_event_bytes());
    let subject = Subject { spec: &spec, index: 0, app: 0, active: 0 };
    let mut keep_alive = profile.keep_alive(7);
    (0..3).for_each(|_| _ = keep_alive.keep(now, subject));
    let mut rates = Rates::new(profile.rate_limits());
    if let Some(cap) = profile.daily_cap() {
        rates = rates.with_daily_cap(cap);
    }
    for _ in 0..3 {
        let _ = (rates.admit(now, now, &f), rates.next_in(now, now, "f"), rates.take_notice());
    }
    for memory_mib in [0, 128, u32::MAX] {
        let _ = (profile.cpu_share(memory_mib), profile.cpu.mhz(memory_mib));
        let _ = [0.0, 0.3, 0.5, 0.95, 1.0].map(|quantile| profile.cold_start(memory_mib, quantile));
    }
    let (mut instances, mut sum) = (Instances::default(), Quantities::default());
    for record in records(&spec) {
        let charge = profile.charge(&record);
        let _ = profile.log_lines(&record, &charge);
        sum += instances.bill(profile, &record).charge.quantities;
    }
    let kept = [Standby { instances: u32::MAX, memory_mib: u32::MAX, time_ns: u64::MAX }];
    let _ = profile.billing.amount_usd(&(profile.standby(&kept, &sum) + sum));
    let large = Stated {
        requests: u64::MAX,
        duration: Duration::from_secs(900),
        memory_mib: spec.memory_mib,
        scratch_mib: u32::MAX,
        streamed_bytes: u64::MAX,
        event_bytes: Some(u64::MAX),
        egress_bytes: u128::MAX,
        cold_starts: u64::MAX,
        provisioned: Some(Provisioned {
            instances: u32::MAX,
            time: Duration::MAX,
            requests: u64::MAX,
            duration: Duration::MAX,
        }),
        snapshots: Some(Snapshots { versions: u32::MAX, kept: Duration::MAX, restores: u64::MAX }),
        messages: Some(Messages { count: u64::MAX, bytes: u64::MAX }),
        ..Stated::default()
    };
    let small = Stated { requests: 1, memory_mib: 1, ..Stated::default() };
    for stated in [large, small] {
        for allowances in [Allowances::Applied, Allowances::UsedUp] {
            let _ = compare(vec![profile.clone()], &stated, allowances);
        }
    }
}

/// What comes of a profile's text: whether it is a profile, or what panics.
fn outcome(name: &str, text: &str) -> Result<bool, ()> {
    catch_unwind(AssertUnwindSafe(|| match Profile::parse(name, text) {
        Ok(profile) => {
            use_it(&profile);
            true
        }
        Err(why) => {
            assert!(!why.to_string().is_empty());
            false
        }
    }))
    .map_err(drop)
}

fn texts() -> impl Iterator<Item = (&'static str, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/profile");
    Profile::names().map(move |name| {
        (name, std::fs::read_to_string(dir.join(format!("{name}.toml"))).expect("it is there"))
    })
}

#[test]
fn whatever_number_a_profile_has_nothing_panics() {
    let (mut tried, mut used, mut wrong) = (0, 0, Vec::new());
    for (name, text) in texts() {
        let values =
            ["value = ", "per = "].map(|key| text.match_indices(key).map(move |(at, _)| at + key.len()));
        for begin in values.into_iter().flatten() {
            let number = text[begin..].trim_start_matches('"');
            let begin = text.len() - number.len();
            let digits = number.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
            for other in ["0", "1", "255", "4294967295", "9223372036854775807"] {
                if digits == 0 {
                    continue;
                }
                let text = format!("{}{other}{}", &text[..begin], &text[begin + digits..]);
                tried += 1;
                match outcome(name, &text) {
                    Ok(is_profile) => used += u32::from(is_profile),
                    Err(()) => {
                        wrong.push(format!("{name}.toml, line {}: {other}", text[..begin].lines().count()))
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 2_000 && used > 500, "{used} of {tried}");
}

#[test]
fn whatever_line_a_profile_lacks_nothing_panics() {
    let (mut used, mut wrong) = (0, Vec::new());
    for (name, text) in texts() {
        let lines: Vec<&str> = text.lines().collect();
        for gone in 0..lines.len() {
            let text = [&lines[..gone], &lines[gone + 1..]].concat().join("\n");
            match outcome(name, &text) {
                Ok(is_profile) => used += u32::from(is_profile),
                Err(()) => wrong.push(format!("{name}.toml without line {}: {}", gone + 1, lines[gone])),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(used > 500, "{used}");
}

#[test]
fn what_cannot_be_is_told_and_priced_as_far_as_it_can() {
    let aws = Profile::named("aws-lambda").expect("built in");
    let told = |requests, duration_ms, cold_starts| {
        let duration = Duration::from_millis(duration_ms);
        let stated = Stated { requests, duration, memory_mib: 128, cold_starts, ..Stated::default() };
        aws.estimate(&stated, Allowances::Applied).notices.join("\n")
    };
    assert_eq!(told(1_000_000, 100, 1_000), "");
    insta::assert_snapshot!(told(1_000, 1, 2_000), @"2000 cold starts are more than there are requests: each is cold");
    insta::assert_snapshot!(told(u64::MAX, 900_000, 0), @"`aws-lambda`: some of it is more than can be counted: it costs more than this");
}
