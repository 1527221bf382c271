#![allow(unused_variables)]

use faas_core::{Request, function};

struct NotAnEvent;

#[function]
async fn takes_no_event(event: NotAnEvent) {}

struct NotAReply;

#[function]
async fn replies_nothing_known(request: Request) -> NotAReply {
    NotAReply
}

#[function]
async fn event_without_a_reply(event: String) -> NotAReply {
    NotAReply
}

#[function]
fn no_service() -> u32 {
    7
}

fn not_an_init() -> u32 {
    7
}

#[function(init = not_an_init)]
async fn with_a_wrong_init() {}

async fn waits() {}

#[function(init = waits)]
async fn with_an_async_init() {}

fn main() {}
