//! Who listens on a port, where `/proc` tells: for the message about a port that is taken.

use std::{fmt, fs, path::Path};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pid: u32,
    name: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (PID {})", self.name, self.pid)
    }
}

/// The process that listens on `port`, if it is one of ours.
pub(super) fn of_port(port: u16) -> Option<Owner> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| listening_inode(&table, port))?;
    let socket = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let holds = fs::read_dir(process.path().join("fd"))
            .ok()?
            .flatten()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target == Path::new(&socket)));
        let name = || fs::read_to_string(process.path().join("comm")).unwrap_or_default().trim().to_owned();
        holds.then(|| Owner { pid, name: name() })
    })
}

/// The inode of the socket that listens on `port`, from the text of `/proc/net/tcp` (proc(5): local address second,
/// state fourth, `0A` for listening, inode tenth).
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1)?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?;
        let here = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
        (here == port && state == "0A").then(|| inode.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listening_socket_is_found_among_others() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0BB8 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 111 1 0 20 4 30 10 -1
   1: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0 100 0 0 10 0
";
        assert_eq!(listening_inode(table, 3000), Some(4242));
        assert_eq!(listening_inode(table, 3001), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_port_is_ours() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        assert_eq!(of_port(port).map(|owner| owner.pid), Some(std::process::id()));
    }
}
