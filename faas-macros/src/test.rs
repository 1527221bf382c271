//! What `#[faas_core::test]` writes: a `#[test]` that runs the body under virtual time. Called by `lib.rs` alone.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{FnArg, ItemFn, spanned::Spanned as _};

use crate::args::Mistakes;

pub(crate) fn test(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            mistakes.push(syn::Error::new(error.span(), "#[faas_core::test] goes on a function"));
            return failed(item, mistakes);
        }
    };
    let ItemFn { attrs, vis, sig, block, .. } = &function;
    if !attribute.is_empty() {
        mistakes.add(
            attribute.span(),
            "#[faas_core::test] takes no arguments: set the cloud up in the test, with `Cloud::builder()`",
        );
    }
    if sig.asyncness.is_none() {
        mistakes.add(sig.fn_token.span, "a test under virtual time is an `async fn`");
    }
    if !sig.generics.params.is_empty() {
        mistakes.add(sig.generics.span(), "a test has no generics");
    }
    if let Some(second) = sig.inputs.iter().nth(1) {
        mistakes.add(second.span(), "a test takes one `Cloud` at most: make others with `Cloud::builder()`");
    }
    let cloud = match sig.inputs.first() {
        Some(FnArg::Typed(input)) => {
            let (pattern, ty) = (&input.pat, &input.ty);
            // on the type, where the compiler will say that it is no `Cloud`
            let make = quote_spanned! { ty.span() => ::faas_core::testing::Cloud::new() };
            Some(quote! { let #pattern: #ty = #make; })
        }
        Some(FnArg::Receiver(receiver)) => {
            mistakes.add(receiver.span(), "a test is free-standing: it has no `self`");
            None
        }
        None => None,
    };
    if mistakes.is_any() {
        return failed(item, mistakes);
    }
    let (ident, output) = (&sig.ident, &sig.output);
    quote! {
        #(#attrs)*
        #[::core::prelude::v1::test]
        #vis fn #ident() #output {
            async fn test() #output {
                #cloud
                #block
            }
            ::faas_core::testing::run(test())
        }
    }
}

/// The mistakes alone: the item is called by nobody but the harness.
fn failed(_: TokenStream, mistakes: Mistakes) -> TokenStream {
    mistakes.into_error().map(|error| error.to_compile_error()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expansion(item: TokenStream) -> String {
        let file = syn::parse2(test(TokenStream::new(), item)).expect("an expansion is code");
        prettyplease::unparse(&file)
    }

    #[test]
    fn with_a_cloud() {
        insta::assert_snapshot!(expansion(quote! {
            async fn stays_warm(cloud: Cloud) {
                assert!(cloud.get("hello").await.is_cold());
            }
        }));
    }

    #[test]
    fn without_one_and_with_all_that_a_test_may_have() {
        insta::assert_snapshot!(expansion(quote! {
            /// What it shows.
            #[should_panic(expected = "late")]
            pub async fn is_late() -> Result<(), Error> {
                late().await
            }
        }));
    }

    /// What the compiler will say, a line each.
    fn mistakes(attribute: TokenStream, item: TokenStream) -> String {
        let told = test(attribute, item).to_string();
        let messages = told.split('"').skip(1).step_by(2);
        messages.map(|message| format!("{message}\n")).collect()
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        insta::assert_snapshot!(mistakes(
            quote!(seed = 7),
            quote! { fn wrong<T>(&self, cloud: Cloud, other: Cloud) {} }
        ));
        insta::assert_snapshot!(mistakes(quote!(), quote! { struct NoFunction; }));
    }
}
