//! The signature: what kind of function it is, and what it cannot be.

use syn::{FnArg, ItemFn, PatType, ReturnType, Type, spanned::Spanned as _};

use crate::args::Mistakes;

/// What a signature asks for.
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    /// The type of the event or request, where there is one.
    pub(crate) input: Option<Type>,
    pub(crate) wants_context: bool,
}

/// How the function takes its input; as in `faas_core::abi::manifest::Kind`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Http,
    Event,
    Service,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::Http => "http",
            Kind::Event => "event",
            Kind::Service => "service",
        }
    }
}

pub(crate) fn shape(function: &ItemFn, mistakes: &mut Mistakes) -> Shape {
    qualifiers(function, mistakes);
    if function.sig.asyncness.is_none() {
        return service(function, mistakes);
    }
    let mut inputs = Vec::new();
    for input in &function.sig.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                mistakes.add(receiver.span(), "a function is free-standing: it has no `self`")
            }
            FnArg::Typed(input) => inputs.push(input),
        }
    }
    let wants_context = inputs.pop_if(|input| is_named(&input.ty, "Context")).is_some();
    for input in &inputs {
        check_input(input, mistakes);
    }
    if let Some(context) = inputs.iter().find(|input| is_named(&input.ty, "Context")) {
        mistakes.add(context.span(), "the `Context` comes last");
    } else if let Some(second) = inputs.get(1) {
        mistakes.add(
            second.span(),
            "a function takes one event or `Request`, and a `Context` after it: put what it needs into one struct",
        );
    }
    let input = inputs.first().map(|input| (*input.ty).clone());
    let kind = match &input {
        Some(ty) if !is_named(ty, "Request") => Kind::Event,
        _ => Kind::Http,
    };
    Shape { kind, input, wants_context }
}

fn service(function: &ItemFn, mistakes: &mut Mistakes) -> Shape {
    if matches!(function.sig.output, ReturnType::Default) {
        mistakes.add(
            function.sig.fn_token.span(),
            "a function is an `async fn`, or a `fn` that returns a tower service such as an axum `Router`",
        );
    } else if !function.sig.inputs.is_empty() {
        mistakes.add(
            function.sig.inputs.span(),
            "a `fn` that returns a tower service takes no arguments; if it is to answer requests itself, make it `async`",
        );
    }
    Shape { kind: Kind::Service, input: None, wants_context: false }
}

fn qualifiers(function: &ItemFn, mistakes: &mut Mistakes) {
    let sig = &function.sig;
    if let Some(constness) = sig.constness {
        mistakes.add(constness.span(), "a function cannot be `const`");
    }
    if let syn::Safety::Unsafe(unsafety) = sig.safety {
        mistakes
            .add(unsafety.span(), "a function cannot be `unsafe`: whoever invokes it can promise nothing");
    }
    if let Some(abi) = &sig.abi {
        mistakes.add(abi.span(), "a function cannot be `extern`: the export is made by `faas_core::main!()`");
    }
    if !sig.generics.params.is_empty() || sig.generics.where_clause.is_some() {
        mistakes.add(sig.generics.span(), "a function cannot be generic: nobody could say which one to run");
    }
    if sig.ident == "main" {
        mistakes
            .add(sig.ident.span(), "`main` is made by `faas_core::main!()`: give the function another name");
    }
}

fn check_input(input: &PatType, mistakes: &mut Mistakes) {
    match &*input.ty {
        Type::Reference(reference) => {
            mistakes
                .add(reference.span(), "a function owns its input: take it by value (`String`, not `&str`)");
        }
        Type::ImplTrait(ty) => mistakes.add(ty.span(), "a function's input has one type: name it"),
        _ => {}
    }
}

/// Whether the type is written with `name` as its last segment.
fn is_named(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|segment| segment.ident == name))
}
