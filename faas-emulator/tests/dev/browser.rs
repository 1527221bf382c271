//! A browser, if `FAAS_TEST_BROWSER` names one (`chromium`): it trusts our authority as `faas trust` says it would, finds
//! `hello.localhost` by itself, and is warmed for.
//!
//! Not part of what everybody runs: it needs Chromium and NSS's certutil (Debian: `apt install chromium libnss3-tools`).

use std::{path::Path, process::Command};

use crate::{
    hosts::SOURCE,
    support::{Dev, Project, data_dir},
};

#[test]
fn a_browser_that_trusts_us_is_content() {
    let Some(browser) = std::env::var_os("FAAS_TEST_BROWSER") else {
        eprintln!("FAAS_TEST_BROWSER names no browser: what one would say is not known");
        return;
    };
    let project = Project::new("browsed", SOURCE);
    let dev = Dev::serve(project.path(), &["--no-watch", "--tls"]);
    let home = tempfile::tempdir().expect("a folder");
    let page = || {
        let output = Command::new(&browser)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
            .arg(format!("--user-data-dir={}", home.path().join("profile").display()))
            .arg(format!("https://hello.localhost:{}/by/browser", dev.addr.port()))
            .env("HOME", home.path())
            .output()
            .expect("the browser runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let suspicious = page();
    assert!(!suspicious.contains("hello /by/browser"), "nobody has told it to trust us: {suspicious}");

    trust(home.path());
    let content = page();
    assert!(content.contains("hello /by/browser of hello.localhost"), "{content}");
    let first = dev.event("invocation");
    assert_eq!((&first["function"], &first["start"]), (&"hello".into(), &"warm".into()), "{first}");
}

/// As `faas trust` says for Chrome and Chromium on Linux.
fn trust(home: &Path) {
    let database = home.join(".pki/nssdb");
    std::fs::create_dir_all(&database).expect("a folder");
    let certutil = |args: &[&str]| {
        let mut certutil = Command::new("certutil");
        certutil.arg("-d").arg(format!("sql:{}", database.display())).args(args);
        assert!(certutil.status().expect("certutil runs").success(), "{certutil:?}");
    };
    certutil(&["-N", "--empty-password"]);
    let file = data_dir().join("ca/ca.pem");
    certutil(&["-A", "-t", "C,,", "-n", "faas-dev", "-i", file.to_str().expect("text")]);
}
