//! Which memories are worth trying under a profile. Pure.

use faas_core::profile::Profile;

/// What 32-bit wasm can address, in MiB.
const MOST_MIB: u32 = 4096;

/// The sizes that the provider sells where it sells sizes. Where memory is free to choose, doublings from the least up to a
/// whole CPU, that, and twice as much: a guest has one thread, and is no faster from there on.
pub(super) fn of(profile: &Profile) -> Vec<u32> {
    let range = &profile.limits.memory_mib;
    let default = range.default.value;
    let min = range.min.as_ref().map_or(default, |min| min.value);
    let max = range.max.as_ref().map_or(default, |max| max.value);
    let sizes = profile.billing.memory.as_ref().and_then(|memory| memory.sizes_mib.as_ref());
    let by_cpu = profile.cpu.milli_vcpus.as_ref();
    let mut steps = match (sizes, by_cpu, &profile.cpu.mib_per_vcpu) {
        (Some(sizes), _, _) => sizes.value.clone(),
        (None, Some(by_cpu), _) => by_cpu.value.iter().map(|step| step.memory_mib).collect(),
        (None, None, Some(whole)) => {
            let whole = whole.value;
            doublings(min).take_while(|mib| *mib < whole).chain([whole, whole.saturating_mul(2)]).collect()
        }
        (None, None, None) => doublings(min).take_while(|mib| *mib < max).chain([max]).collect::<Vec<_>>(),
    };
    steps.retain(|mib| (min..=max.min(MOST_MIB)).contains(mib));
    if steps.is_empty() { vec![default] } else { steps }
}

fn doublings(from: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(from.max(1)), |mib| mib.checked_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_sells_memory_in_its_own_steps() {
        let steps = |name: &str| of(&Profile::named(name).expect("built in"));
        assert_eq!(steps("aws-lambda"), [128, 256, 512, 1024, 1769, 3538]);
        assert_eq!(steps("google-cloud-run-functions"), [128, 256, 512, 1024, 2048, 4096]);
        assert_eq!(steps("google-cloud-run-functions-gen1"), [128, 256, 512, 1024, 2048, 4096]);
        assert_eq!(steps("azure-functions-flex"), [512, 2048, 4096]);
        assert_eq!(steps("vercel-fluid"), [2048, 4096]);
        assert_eq!(steps("cloudflare-workers"), [128]);
        for name in Profile::names() {
            assert!(steps(name).is_sorted_by(|a, b| a < b), "{name}: {:?}", steps(name));
        }
    }
}
