#![allow(unused_variables)]

use faas_core::{Context, Request, function};

#[function]
fn not_async() {}

#[function]
fn takes_arguments(name: String) -> String {
    name
}

#[function]
async fn borrows(name: &str) -> String {
    name.into()
}

#[function]
async fn two(first: String, second: String) {}

#[function]
async fn context_first(context: Context, request: Request) {}

#[function]
async fn generic<T>(event: T) {}

#[function]
async unsafe fn is_unsafe() {}

#[function]
async fn anything(event: impl Sized) {}

#[function]
struct NotAFunction;

fn main() {}
