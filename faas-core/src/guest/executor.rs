//! Polls a call's future when the host says so. One thread, several calls.
//!
//! A future that wakes itself, or is woken by another call of the instance, asks the host for a poll; one that
//! waits for the host is polled when what it waits for has happened. So there is no queue here.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context as TaskContext, Poll, Wake, Waker},
};

use http::header::CONTENT_LENGTH;

use super::{body, imports};
use crate::{
    Body, Context, Error, Function, Request, Response,
    abi::{
        self,
        envelope::{RequestHead, ResponseHead},
    },
    error::IsFault,
    function,
};

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Waker,
}

thread_local! {
    // a call's place is its number; a task is out of its place while it is polled
    static TASKS: RefCell<Vec<Option<Task>>> = const { RefCell::new(Vec::new()) };
    // an instance serves one of its module's functions, so this is short
    static FUNCTIONS: RefCell<Vec<(&'static str, Rc<dyn Function>)>> = const { RefCell::new(Vec::new()) };
}

struct CallWaker(u32);

impl Wake for CallWaker {
    fn wake(self: Arc<Self>) {
        imports::wake(self.0);
    }
}

/// The export `faas_v1_poll`.
pub fn poll(call: u32) -> i32 {
    let place = call as usize;
    let task = TASKS.with_borrow_mut(|tasks| tasks.get_mut(place).and_then(Option::take));
    let mut task = task.unwrap_or_else(|| Task {
        future: Box::pin(serve(call)),
        waker: Waker::from(Arc::new(CallWaker(call))),
    });
    let polled =
        imports::with_current(call, || task.future.as_mut().poll(&mut TaskContext::from_waker(&task.waker)));
    match polled {
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
fn made(name: &str) -> crate::Result<Option<Rc<dyn Function>>> {
    let known = |functions: &Vec<(&str, Rc<dyn Function>)>| {
        functions.iter().find(|(known, _)| *known == name).map(|(_, function)| function.clone())
    };
    if let Some(known) = FUNCTIONS.with_borrow(known) {
        return Ok(Some(known));
    }
    let Some(definition) = function::find(name) else { return Ok(None) };
    if let Some(init) = definition.init {
        init()?;
    }
    let made: Rc<dyn Function> = Rc::from((definition.make)());
    FUNCTIONS.with_borrow_mut(|functions| functions.push((definition.name, made.clone())));
    Ok(Some(made))
}

async fn serve(call: u32) {
    let response = match RequestHead::decode(&imports::request_head(call)) {
        Ok(head) => invoke(call, head).await,
        Err(why) => Err(Error::new(format!("the host's request head is malformed: {why}"))),
    };
    let response = response.unwrap_or_else(|error| {
        if !error.is_client() {
            imports::log(abi::log::ERROR, &in_full(&error));
        }
        error.into_reply()
    });
    send(call, response).await;
}

async fn invoke(call: u32, head: RequestHead) -> Result<Response, Error> {
    let function = made(&head.function)?
        .ok_or_else(|| Error::new(format!("this module has no function named `{}`", head.function)))?;
    let context = Context::of(&head);
    let mut request = Request::new(Body::new(body::Incoming::new(call)));
    *request.method_mut() = head.method;
    *request.uri_mut() = head.uri;
    *request.headers_mut() = head.headers;
    function.call(request, context).await
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

async fn send(call: u32, response: Response) {
    let (mut parts, mut body) = response.into_parts();
    let length = http_body::Body::size_hint(&body).exact();
    if let Some(length) = length
        && !parts.headers.contains_key(CONTENT_LENGTH)
        && !(parts.status.is_informational() || parts.status == 204 || parts.status == 304)
    {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    let is_fault = parts.extensions.get::<IsFault>().is_some();
    let head = ResponseHead { status: parts.status, is_fault, headers: parts.headers };
    let mut bytes = Vec::with_capacity(128);
    head.encode(&mut bytes);
    if !imports::response_head(call, &bytes) {
        // refused, and the host knows why
        return;
    }
    loop {
        let frame = poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut body), cx)).await;
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
