//! Guests that hold threads: async workers, and those that are for guests.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use faas_core::{invocation::ErrorKind, sandbox::wasmer::Config};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::support::{Function, Host, poll, spec_with_timeout};

const QUICK: usize = 100;
const INVOKE: u8 = b'i';
const ECHO: u8 = b'e';

/// Answers each byte by itself, an `INVOKE` after an invocation of `guest`: as a server does, on whichever worker a socket wakes.
async fn serve(listener: TcpListener, guest: Arc<Function<'static>>) {
    loop {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let guest = guest.clone();
        tokio::spawn(async move {
            while let Ok(byte) = stream.read_u8().await {
                let byte = match byte {
                    INVOKE => match guest.get().await {
                        Ok(_) => INVOKE,
                        Err(error) if error.kind == ErrorKind::TimedOut => b't',
                        Err(error) => panic!("{error:?}"),
                    },
                    echo => echo,
                };
                stream.write_u8(byte).await.expect("the client is there");
            }
        });
    }
}

fn ask(stream: &mut TcpStream, byte: u8) -> u8 {
    let mut answer = [0];
    stream.write_all(&[byte]).and_then(|()| stream.read_exact(&mut answer)).expect("it is served");
    answer[0]
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_turns_to_spinning_on_a_worker_holds_nobody_else() {
    let host: &'static Host = Box::leak(Box::new(Host::new()));
    let spin_after = poll(&format!(
        "(i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (i32.const 1)))
         (if (i32.gt_u (i32.load (i32.const 64)) (i32.const {QUICK}))
             (then (call $log (i32.const 3) (i32.const 64) (i32.const 1)) (loop $l (br $l))))
         (return (call $reply (local.get $call)))"
    ));
    let guest = Arc::new(host.start(&spin_after, spec_with_timeout(3_000)).await.expect("starts"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("a port");
    tokio::spawn(serve(listener, guest));

    let has_ended = Arc::<AtomicBool>::default();
    let ended = has_ended.clone();
    let spins = tokio::task::spawn_blocking(move || {
        let mut stream = connect(addr);
        for _ in 0..QUICK {
            assert_eq!(ask(&mut stream, INVOKE), INVOKE);
        }
        let answer = ask(&mut stream, INVOKE);
        ended.store(true, Ordering::SeqCst);
        answer
    });
    let echoes = tokio::task::spawn_blocking(move || {
        let (mut stream, mut meanwhile) = (connect(addr), 0);
        // silent until it spins: whoever is awake by then waits for sockets after that
        while host.seen.lines.lock().is_empty() {
            std::thread::yield_now();
        }
        while !has_ended.load(Ordering::SeqCst) {
            assert_eq!(ask(&mut stream, ECHO), ECHO);
            meanwhile += 1;
        }
        meanwhile
    });
    assert_eq!(spins.await.expect("no panic"), b't');
    // thousands, or none
    let meanwhile = echoes.await.expect("no panic");
    assert!(meanwhile > 100, "only {meanwhile} were answered");
}

#[tokio::test]
async fn clients_that_leave_guests_which_spin_take_no_threads_from_others() {
    const SPINNING: usize = 4;
    let max_compute_threads = NonZeroUsize::new(2 * SPINNING);
    let host = Host::with_config(Config { max_compute_threads, ..Config::default() });
    let spin = poll("(call $log (i32.const 3) (i32.const 64) (i32.const 1)) (loop $l (br $l)) (i32.const 1)");
    for spinning in 1..=SPINNING {
        let guest = host.start(&spin, spec_with_timeout(4_000)).await.expect("starts");
        tokio::select! {
            ended = guest.get() => panic!("it spins: {ended:?}"),
            () = async {
                while host.seen.lines.lock().len() < spinning {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
    }
    for _ in 0..SPINNING {
        tokio::task::yield_now().await;
    }
    host.run(&poll("(return (call $reply (local.get $call)))"), spec_with_timeout(5_000))
        .await
        .expect("is served");
}
