//! Makes sure that a build does not outlive the emulator, however the emulator ends.
//!
//! Cargo starts compilers, which killing cargo leaves running, and a killed emulator kills nobody. So cargo gets a
//! process group of its own, and a small shell holds the other end of a pipe: when the pipe closes (because the
//! build was abandoned, or because this process is gone, even by SIGKILL) the shell kills the group. A line on the
//! pipe tells it that all is well. No unsafe code and no signal handler is needed for that.
//!
//! Where there is no `sh`, only cargo itself is killed, and only when the emulator ends by itself.

use std::process::Stdio;

use tokio::{
    io::AsyncWriteExt as _,
    process::{ChildStdin, Command},
};

/// `$0` is the group to kill.
#[cfg(unix)]
const SCRIPT: &str = r#"read -r _ || kill -s KILL -- "-$0" 2>/dev/null"#;

/// Kills a process group unless told otherwise.
#[derive(Debug)]
pub(super) struct Guard {
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Watches over the group that `leader` leads.
    pub(super) fn over(leader: Option<u32>) -> Self {
        Guard { pipe: leader.and_then(spawn) }
    }

    /// The group has ended: let it go.
    pub(super) async fn release(mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            // the shell is gone only if somebody killed it
            let _ = pipe.write_all(b"\n").await;
        }
    }
}

#[cfg(unix)]
fn spawn(leader: u32) -> Option<ChildStdin> {
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT, &leader.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C on the terminal must not take it before its work is done
        .process_group(0)
        .spawn()
        .ok()?;
    // the child handle is dropped without a kill: tokio reaps the shell when it ends
    shell.stdin.take()
}

#[cfg(not(unix))]
fn spawn(_: u32) -> Option<ChildStdin> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    /// A group whose leader leaves a child behind; both hold the returned pipe open while they live.
    fn group() -> (tokio::process::Child, tokio::process::ChildStdout) {
        let mut leader = Command::new("sh")
            .args(["-c", "sleep 600 & sleep 600"])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("sh exists");
        let stdout = leader.stdout.take().expect("it is piped");
        (leader, stdout)
    }

    #[tokio::test]
    async fn dropping_the_guard_ends_the_whole_group() {
        let (mut leader, mut stdout) = group();
        drop(Guard::over(leader.id()));
        assert!(!leader.wait().await.expect("it can be waited for").success());
        let mut rest = Vec::new();
        stdout
            .read_to_end(&mut rest)
            .await
            .expect("the pipe closes when the last process of the group is gone");
    }

    #[tokio::test]
    async fn a_released_group_is_left_alone() {
        let (mut leader, stdout) = group();
        Guard::over(leader.id()).release().await;
        assert!(leader.try_wait().expect("it can be asked").is_none(), "it lives on");
        drop(Guard::over(leader.id()));
        leader.wait().await.expect("it can be waited for");
        drop(stdout);
    }
}
