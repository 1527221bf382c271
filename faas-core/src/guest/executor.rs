//! Polls a call's future when the host says so. One thread, several calls.
//!
//! A future that wakes itself, or is woken by another call of the instance, asks the host for a poll; one that
//! waits for the host is polled when what it waits for has happened. So there is no queue here.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context as TaskContext, Poll, RawWaker, RawWakerVTable, Waker},
};

use http::header::CONTENT_LENGTH;

use super::{body, imports};
use crate::{
    Body, Context, Error, Function, Request, Response,
    abi::{
        self,
        envelope::{RequestHead, ResponseHeadRef},
    },
    error::IsFault,
    function::{self, ReplyFuture},
};

type Task = Pin<Box<dyn Future<Output = ()>>>;

struct Made {
    name: &'static str,
    function: Box<dyn Function>,
}

thread_local! {
    // a call's place is its number; a task is out of its place while it is polled
    static TASKS: RefCell<Vec<Option<Task>>> = const { RefCell::new(Vec::new()) };
    // an instance serves one of its module's functions, so this is short
    static FUNCTIONS: RefCell<Vec<Rc<Made>>> = const { RefCell::new(Vec::new()) };
}

/// Asks the host to poll `call` again. It holds the call's number in place of a pointer, so that most calls, which never
/// wait, need not allocate one.
fn waker(call: u32) -> Waker {
    static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, |_| ());

    fn clone(data: *const ()) -> RawWaker {
        RawWaker::new(data, &TABLE)
    }

    fn wake(data: *const ()) {
        imports::wake(data.addr() as u32);
    }

    // SAFETY: nobody follows the pointer, so a copy is a clone and there is nothing to drop; and waking needs no more than
    // the number, from whatever thread.
    unsafe { Waker::from_raw(clone(std::ptr::without_provenance(call as usize))) }
}

/// The export `faas_v1_poll`.
pub fn poll(call: u32) -> i32 {
    let place = call as usize;
    let task = TASKS.with_borrow_mut(|tasks| tasks.get_mut(place).and_then(Option::take));
    let mut task = task.unwrap_or_else(|| Box::pin(serve(call)));
    let waker = waker(call);
    match imports::with_current(call, || task.as_mut().poll(&mut TaskContext::from_waker(&waker))) {
        Poll::Ready(()) => abi::poll::DONE,
        Poll::Pending => {
            TASKS.with_borrow_mut(|tasks| {
                if tasks.len() <= place {
                    tasks.resize_with(place + 1, || None);
                }
                tasks[place] = Some(task);
            });
            abi::poll::PENDING
        }
    }
}

/// The export `faas_v1_cancel`.
pub fn cancel(call: u32) {
    // dropped outside the borrow: it may hold operations, and anything of the user's
    let task = TASKS.with_borrow_mut(|tasks| tasks.get_mut(call as usize).and_then(Option::take));
    drop(task);
}

/// Makes the function, so that the first invocation need not. An unknown name is told by the first invocation.
pub(super) fn prepare(name: &str) -> crate::Result<()> {
    made(name).map(drop)
}

/// The function, made now if it is not yet. Absent when there is none of this name.
fn made(name: &str) -> crate::Result<Option<Rc<Made>>> {
    let known = |functions: &Vec<Rc<Made>>| functions.iter().find(|made| made.name == name).cloned();
    if let Some(known) = FUNCTIONS.with_borrow(known) {
        return Ok(Some(known));
    }
    let Some(definition) = function::find(name) else { return Ok(None) };
    if let Some(init) = definition.init {
        init()?;
    }
    let made = Rc::new(Made { name: definition.name, function: (definition.make)() });
    FUNCTIONS.with_borrow_mut(|functions| functions.push(made.clone()));
    Ok(Some(made))
}

async fn serve(call: u32) {
    let reply = match begin(call) {
        Ok(reply) => reply.await,
        Err(error) => Err(error),
    };
    let response = reply.unwrap_or_else(|error| {
        if !error.is_client() {
            imports::log(abi::log::ERROR, &in_full(&error));
        }
        error.into_reply()
    });
    send(call, response).await;
}

/// Hands the request to the function.
fn begin(call: u32) -> Result<ReplyFuture, Error> {
    let head = imports::request_head(call);
    let head = RequestHead::decode(&head)
        .map_err(|why| Error::new(format!("the host's request head is malformed: {why}")))?;
    let made = made(head.function)?
        .ok_or_else(|| Error::new(format!("this module has no function named `{}`", head.function)))?;
    let context = Context::of(made.name, &head);
    let mut request = Request::new(Body::of_stream(body::Incoming::new(call)));
    *request.method_mut() = head.method;
    *request.uri_mut() = head.uri;
    *request.headers_mut() = head.headers;
    Ok(made.function.call(request, context))
}

/// The error and all that caused it: for whoever reads the log, not for the caller.
pub(super) fn in_full(error: &Error) -> String {
    let mut text = error.message().to_owned();
    let mut source = error.source().and_then(|error| error.source());
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

async fn send(call: u32, mut response: Response) {
    let status = response.status();
    let is_without_body = status.is_informational() || status == 204 || status == 304;
    let is_told = response.headers().contains_key(CONTENT_LENGTH);
    let length = http_body::Body::size_hint(response.body()).exact();
    let content_length = length.filter(|_| !is_without_body && !is_told);
    let is_fault = response.extensions().get::<IsFault>().is_some();
    let mut bytes = Vec::with_capacity(128);
    ResponseHeadRef { status, is_fault, headers: response.headers(), content_length }.encode(&mut bytes);
    if !imports::response_head(call, &bytes) {
        // refused, and the host knows why
        return;
    }
    loop {
        let frame = poll_fn(|cx| http_body::Body::poll_frame(Pin::new(response.body_mut()), cx)).await;
        match frame {
            None => return,
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data()
                    && !body::write(call, &data).await
                {
                    return;
                }
            }
            // the head is out: a panic is the only way left to say that this is not the end of the body
            Some(Err(error)) => panic!("the reply's body failed: {error}"),
        }
    }
}
