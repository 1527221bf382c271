//! The profiles that come along, by name. Adding one is adding its file and a line here.

/// A profile that comes along.
pub(super) struct BuiltIn {
    pub(super) name: &'static str,
    /// Other names for it.
    pub(super) aliases: &'static [&'static str],
    pub(super) text: &'static str,
}

macro_rules! built_in {
    ($($name:literal $aliases:expr),* $(,)?) => {
        &[$(BuiltIn { name: $name, aliases: &$aliases, text: include_str!(concat!($name, ".toml")) }),*]
    };
}

pub(super) const ALL: &[BuiltIn] = built_in![
    "aws-lambda" ["aws-lambda-x86"],
    "aws-lambda-arm" ["aws-lambda-arm64"],
    "cloudflare-workers" ["cloudflare-workers-paid"],
    "cloudflare-workers-free" [],
    "google-cloud-run-functions" ["google-cloud-run-functions-gen2", "gcf-gen2"],
    "google-cloud-run-functions-gen1" ["google-cloud-functions-gen1", "gcf-gen1"],
    "azure-functions" ["azure-functions-consumption", "azure-consumption"],
    "azure-functions-flex" ["azure-flex"],
    "vercel-fluid" ["vercel"],
    "fastly-compute" ["fastly"],
    "deno-deploy" ["deno"],
    "own" [],
];
