//! Finds a profile by what was typed: a name, or the path of a file. For every command that takes `--as`.

use faas_core::profile::Profile;

use crate::error::Error;

/// The built-in profile of that name, or the one in that file: whatever has a `/` in it or ends in `.toml` is a path.
///
/// # Errors
/// When there is no such profile, or the file is none; the error names file and line.
pub fn find(name: &str) -> Result<Profile, Error> {
    let is_path = name.ends_with(".toml") || name.contains(std::path::is_separator);
    if !is_path {
        return Profile::named(name).map_err(|why| Error::bad_input(why.to_string()));
    }
    let text = std::fs::read_to_string(name)
        .map_err(|why| Error::bad_input(format!("the profile `{name}` cannot be read: {why}")))?;
    Profile::parse(name, &text).map_err(|why| Error::bad_input(why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_and_a_path_is_read() {
        assert_eq!(find("gcf-gen1").expect("an alias").name, "google-cloud-run-functions-gen1");
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("mine.toml");
        std::fs::write(&path, "title = \"mine\"\n\n[limits]\nmemory = 1\n").expect("it can be written");
        let path = path.to_str().expect("text");
        let told = find(path).expect_err("it is broken").to_string().replace(path, "mine.toml");
        insta::assert_snapshot!(told, @"profile `mine.toml`, line 4: unknown field `memory`, expected one of `memory_mib`, `timeout_ms`, `cpu_ms`, `init_ms`, `request_bytes`, `reply_bytes`, `stream_reply_bytes`, `event_bytes`, `scratch_mib`, `env_bytes`, `package_bytes`, `unpacked_bytes`, `subrequests`, `connections`, `open_files`, `threads`, `url_bytes`, `header_bytes`, `requests_per_day`, `requests_per_minute`");
        let told = find("./no-such.toml").expect_err("it is not there").to_string();
        assert!(told.starts_with("the profile `./no-such.toml` cannot be read"), "{told}");
    }
}
