//! What `#[function]` writes: the item as it was, and beside it the code that makes a function of it.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote, quote_spanned};
use syn::{ItemFn, ReturnType, spanned::Spanned as _};

use crate::{
    args::{self, Args, Mistakes},
    check::{self, Kind, Shape},
};

pub(crate) fn function(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let args = Args::parse(attribute, &mut mistakes);
    let function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let not_a_function = syn::Error::new(error.span(), "#[function] goes on a function");
            mistakes.push(not_a_function);
            return failed(item, mistakes);
        }
    };
    let shape = check::shape(&function, &mut mistakes);
    let name = args.name.clone().unwrap_or_else(|| plain(&function.sig.ident.to_string()));
    if args.name.is_none()
        && let Err(why) = args::name(&name)
    {
        mistakes
            .add(function.sig.ident.span(), format_args!("{why}; give it one: #[function(name = \"…\")]"));
    }
    if mistakes.is_any() {
        return failed(item, mistakes);
    }
    let manifest = manifest(&name, &function, &args, &shape);
    let make = make(&function, &shape);
    let init = init(&args);
    quote! {
        #function

        const _: () = {
            #make
            ::faas_core::__define!(#name, #manifest, #init, make);
        };
    }
}

/// The mistakes, and the item all the same, so that whoever calls it is not told that it is missing.
fn failed(item: TokenStream, mistakes: Mistakes) -> TokenStream {
    let errors = mistakes.into_error().map(|error| error.to_compile_error());
    quote! { #errors #item }
}

/// A raw identifier without its mark.
fn plain(ident: &str) -> String {
    ident.strip_prefix("r#").unwrap_or(ident).to_owned()
}

/// The function's line of the manifest: an expression, because the module's path is known to the compiler only.
fn manifest(name: &str, function: &ItemFn, args: &Args, shape: &Shape) -> TokenStream {
    let kind = shape.kind.as_str();
    let before = format!("{{\"abi\":1,\"name\":{},\"kind\":\"{kind}\",\"handler\":\"", json(name));
    let mut after = format!("::{}\"", plain(&function.sig.ident.to_string()));
    let texts = [
        ("route", &args.route),
        ("method", &args.method),
        ("schedule", &args.schedule),
        ("queue", &args.queue),
        ("isolation", &args.isolation),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            after.push_str(&format!(",\"{key}\":{}", json(value)));
        }
    }
    let numbers =
        [("memory_mib", args.memory_mib), ("timeout_ms", args.timeout_ms), ("concurrency", args.concurrency)];
    for (key, value) in numbers {
        if let Some(value) = value {
            after.push_str(&format!(",\"{key}\":{value}"));
        }
    }
    after.push_str("}\n");
    quote! { concat!(#before, module_path!(), #after) }
}

fn json(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `Option<fn() -> Result<()>>`.
fn init(args: &Args) -> TokenStream {
    let Some(init) = &args.init else { return quote!(::std::option::Option::None) };
    // on the path, where the compiler will say that it is no init
    let result = quote_spanned! { init.span() => ::faas_core::function::InitResult::into_result(#init()) };
    quote!(::std::option::Option::Some(|| #result))
}

/// `fn make() -> Box<dyn Function>`.
fn make(function: &ItemFn, shape: &Shape) -> TokenStream {
    let ident = &function.sig.ident;
    // on the return type, where the compiler will say that it is no reply or no service
    let output = match &function.sig.output {
        ReturnType::Default => ident.span(),
        ReturnType::Type(_, ty) => ty.span(),
    };
    if shape.kind == Kind::Service {
        let make = quote_spanned! { output => ::faas_core::function::ServiceFunction::new(#ident()) };
        return quote! {
            fn make() -> ::std::boxed::Box<dyn ::faas_core::Function> {
                ::std::boxed::Box::new(#make)
            }
        };
    }
    let (request, receive, argument) = match (&shape.input, shape.kind) {
        (None, _) => (quote!(_), None, None),
        (Some(_), Kind::Http) => (quote!(request), None, Some(quote!(request,))),
        (Some(ty), _) => {
            let decode = quote_spanned! { ty.span() => ::faas_core::event::decode::<#ty>(request) };
            (quote!(request), Some(quote! { let event = #decode.await?; }), Some(quote!(event,)))
        }
    };
    let (context, context_argument) =
        if shape.wants_context { (quote!(context), Some(quote!(context))) } else { (quote!(_), None) };
    let reply = match shape.kind {
        Kind::Event => quote_spanned! { output => ::faas_core::event::encode(&value) },
        _ => quote_spanned! { output => ::faas_core::IntoResponse::into_response(value) },
    };
    quote! {
        fn call(#request: ::faas_core::Request, #context: ::faas_core::Context) -> ::faas_core::ReplyFuture {
            ::std::boxed::Box::pin(async move {
                #[allow(unused_imports)]
                use ::faas_core::event::Infallible as _;
                #receive
                let returned = #ident(#argument #context_argument).await;
                let value = ::faas_core::event::Returned(returned).into_result()?;
                #reply
            })
        }

        fn make() -> ::std::boxed::Box<dyn ::faas_core::Function> {
            ::std::boxed::Box::new(call)
        }
    }
    .to_token_stream()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expansion(attribute: TokenStream, item: TokenStream) -> String {
        let file = syn::parse2(function(attribute, item)).expect("an expansion is code");
        prettyplease::unparse(&file)
    }

    #[test]
    fn http() {
        insta::assert_snapshot!(expansion(
            quote!(route = "GET /users/{id}", memory = "1 GiB"),
            quote! { async fn user(request: Request, context: Context) -> Result<Json<User>> { find(request, context).await } },
        ));
    }

    #[test]
    fn event() {
        insta::assert_snapshot!(expansion(
            quote!(
                name = "order-placed",
                timeout = "1500ms",
                concurrency = 4,
                schedule = "*/5  0 * * MON-FRI",
                queue = "orders"
            ),
            quote! { pub async fn order(Order { items, .. }: Order) -> Receipt { receipt(items) } },
        ));
    }

    #[test]
    fn nothing_asked() {
        insta::assert_snapshot!(expansion(quote!(), quote! { async fn r#type() -> &'static str { "pong" } }));
    }

    #[test]
    fn init_and_isolation() {
        insta::assert_snapshot!(expansion(
            quote!(init = tables::load, isolation = "request"),
            quote! { async fn price(item: Item) -> u64 { tables::price(item) } },
        ));
    }

    #[test]
    fn service() {
        insta::assert_snapshot!(expansion(quote!(), quote! { fn site() -> axum::Router { Router::new() } }));
    }

    #[test]
    fn mistakes_leave_the_item_as_it_was() {
        insta::assert_snapshot!(expansion(quote!(memry = 1, name = ""), quote! { fn nothing<T>() {} }));
    }
}
