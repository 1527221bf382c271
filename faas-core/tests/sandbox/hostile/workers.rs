//! Guests that hold threads: async workers, and those that are for guests.

use std::{
    future::poll_fn,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    num::NonZeroUsize,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use faas_core::{
    invocation::{ErrorKind, FunctionSpec},
    sandbox::wasmer::Config,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::support::{Function, Host, poll, spec_with_timeout};

const QUICK: usize = 100;
const INVOKE: u8 = b'i';
const ECHO: u8 = b'e';
const OVERDUE: u8 = b't';

/// Answers each byte by itself, an `INVOKE` after an invocation of the guest that the first byte has named: as a server does, on
/// whichever worker a socket wakes.
async fn serve(listener: TcpListener, guests: Vec<Arc<Function<'static>>>) {
    loop {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let guests = guests.clone();
        tokio::spawn(async move {
            let guest = &guests[usize::from(stream.read_u8().await.expect("a guest"))];
            while let Ok(byte) = stream.read_u8().await {
                let byte = match byte {
                    INVOKE => match guest.get().await {
                        Ok(_) => INVOKE,
                        Err(error) if error.kind == ErrorKind::TimedOut => OVERDUE,
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

fn connect(addr: SocketAddr, guest: u8) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    stream.set_nodelay(true).and_then(|()| stream.write_all(&[guest])).expect("a socket");
    stream
}

const SPIN: &str = "(loop $l (br $l))";
/// What a future does that gives way and gives way.
const WAKE_ITSELF: &str = "(call $wake (local.get $call)) (return (i32.const 0))";

/// How many times somebody else is answered while so many guests spin that were quick before.
async fn answered_while_spinning(guests: u8, spin: &str) -> u32 {
    let host: &'static Host = Box::leak(Box::new(Host::new()));
    let spin_after = poll(&format!(
        "(i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (i32.const 1)))
         (if (i32.gt_u (i32.load (i32.const 64)) (i32.const {QUICK}))
             (then
                (if (i32.eqz (i32.load (i32.const 68))) (then
                    (i32.store (i32.const 68) (i32.const 1))
                    (call $log (i32.const 3) (i32.const 64) (i32.const 1))))
                {spin}))
         (return (call $reply (local.get $call)))"
    ));
    let mut started = Vec::new();
    for _ in 0..guests {
        started.push(Arc::new(host.start(&spin_after, spec_with_timeout(3_000)).await.expect("starts")));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("a port");
    tokio::spawn(serve(listener, started));

    let (together, has_ended) = (Arc::new(Barrier::new(guests.into())), Arc::<AtomicBool>::default());
    let spins: Vec<_> = (0..guests)
        .map(|guest| {
            let (together, has_ended) = (together.clone(), has_ended.clone());
            tokio::task::spawn_blocking(move || {
                let mut stream = connect(addr, guest);
                for _ in 0..QUICK {
                    assert_eq!(ask(&mut stream, INVOKE), INVOKE);
                }
                together.wait();
                assert_eq!(ask(&mut stream, INVOKE), OVERDUE);
                has_ended.store(true, Ordering::SeqCst);
            })
        })
        .collect();
    let echoes = tokio::task::spawn_blocking(move || {
        let (mut stream, mut answered) = (connect(addr, 0), 0);
        // silent until they spin: whoever is awake by then waits for sockets after that
        while host.seen.lines.lock().len() < guests.into() {
            std::thread::yield_now();
        }
        while !has_ended.load(Ordering::SeqCst) {
            assert_eq!(ask(&mut stream, ECHO), ECHO);
            answered += 1;
        }
        answered
    });
    for spin in spins {
        spin.await.expect("no panic");
    }
    echoes.await.expect("no panic")
}

// thousands are answered, or none

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_turns_to_spinning_on_a_worker_holds_nobody_else() {
    let answered = answered_while_spinning(1, SPIN).await;
    assert!(answered > 100, "only {answered} were answered");
}

#[test]
fn guests_that_wake_themselves_hold_nobody_either() {
    // as many as may run where others do, with the worker that is kept back
    let guests = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).clamp(2, 8);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(guests + 1).enable_all().build();
    let guests = u8::try_from(guests).expect("few");
    let answered = runtime.expect("threads").block_on(answered_while_spinning(guests, WAKE_ITSELF));
    assert!(answered > 1_000, "only {answered} were answered");
}

#[test]
fn as_many_as_there_are_workers_hold_nobody_else_either() {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).clamp(2, 8);
    // with a worker more than there are processors, which is kept back, and without
    for workers in [processors + 1, 2] {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
        let answered = runtime
            .expect("threads")
            .block_on(answered_while_spinning(u8::try_from(workers).expect("few"), SPIN));
        assert!(answered > 100, "only {answered} were answered with {workers} workers");
    }
}

#[tokio::test]
async fn calls_that_wait_for_their_instance_hold_no_threads() {
    // the one that spins has one, and there are two for a function and two more
    let config = Config { max_compute_threads: NonZeroUsize::new(2), ..Config::default() };
    let host = Host::with_config(config);
    // each sleeps, until all have begun, and the first that is woken spins
    let herd = poll(
        "(local.set $i (i32.add (i32.const 1024) (i32.shl (local.get $call) (i32.const 2))))
         (if (i32.eqz (i32.load (local.get $i))) (then
            (i64.store (i32.const 72) (i64.const 50000000))
            (i32.store (local.get $i)
                (call $op_begin (local.get $call) (i32.const 1) (i32.const 72) (i32.const 8)))))
         (if (i32.eq (call $op_take (i32.load (local.get $i)) (i32.const 0) (i32.const 0)) (i32.const -1))
            (then (return (i32.const 0))))
         (call $log (i32.const 3) (i32.const 64) (i32.const 1))
         (loop $l (br $l)) (i32.const 1)",
    );
    let spec = FunctionSpec { instance_concurrency: 8, ..spec_with_timeout(4_000) };
    let guest = host.start(&herd, spec).await.expect("starts");
    let mut calls: Vec<_> = (0..8).map(|_| Box::pin(guest.get())).collect();
    let all = poll_fn(|cx| {
        for call in &mut calls {
            if let Poll::Ready(ended) = call.as_mut().poll(cx) {
                panic!("it spins: {ended:?}");
            }
        }
        Poll::<()>::Pending
    });
    let quick = async {
        while host.seen.lines.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        // the others are woken too by now, or are so while these are served
        for _ in 0..100 {
            tokio::task::yield_now().await;
            host.run(&poll("(return (call $reply (local.get $call)))"), spec_with_timeout(2_000))
                .await
                .expect("is served");
        }
    };
    tokio::select! {
        () = all => {}
        () = quick => {}
    }
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
