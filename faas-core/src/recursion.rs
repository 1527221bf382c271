//! Functions that call themselves without end: detected by a header that goes along from call to call. Pure; gateways call
//! it, before the scheduler.
//!
//! [`HEADER`] lists the functions of a chain of calls and how often each was called in it: `orders;2, mailer;1`. A host adds
//! the function to it on the way in, so a function that passes the header on with what it calls (as one does with trace
//! headers) can be stopped when it comes by too often. AWS Lambda does the same with its trace header's lineage, and stops a
//! function after about 16 calls in one chain (developer guide, *Recursive loop detection*).
//!
//! This guards against mistakes, not malice: who does not pass the header on, or forges it, is not detected, and has the limits
//! of [`crate::pool`] against him.

use std::fmt::{self, Write as _};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::invocation::{ErrorKind, InvocationError};

/// The header that carries a chain.
pub const HEADER: HeaderName = HeaderName::from_static("faas-chain");
/// How often a function may be called in one chain: AWS Lambda's number.
pub const MAX_CALLS: u32 = 16;
/// How many functions a chain may name: more than anybody composes, and the header stays small.
pub const MAX_FUNCTIONS: usize = 64;

/// Adds a call of `function` to the chain that the request's headers carry, if it may be added.
///
/// # Errors
/// When the chain is a loop: [`ErrorKind::LoopDetected`]. A header that cannot be read counts as none: it is not this host's.
pub fn enter(headers: &mut HeaderMap, function: &str) -> Result<(), InvocationError> {
    let chain = match headers.get(HEADER) {
        // nearly always, and cheap
        None => [function, ";1"].concat(),
        Some(value) => {
            let carried = value.to_str().unwrap_or_default();
            Chain::parse(carried).unwrap_or_default().enter(function)?.to_string()
        }
    };
    // names come from manifests; what no header can say is not passed on
    match HeaderValue::try_from(chain) {
        Ok(value) => _ = headers.insert(HEADER, value),
        Err(_) => _ = headers.remove(HEADER),
    }
    Ok(())
}

/// Which functions were called on the way to here, and how often each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Chain<'a>(Vec<(&'a str, u32)>);

impl<'a> Chain<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if text.is_empty() {
            return Some(Chain::default());
        }
        let one = |part: &'a str| {
            let (name, calls) = part.trim().split_once(';')?;
            Some((name, calls.parse().ok()?))
        };
        text.split(',').map(one).collect::<Option<_>>().map(Chain)
    }

    fn enter(mut self, function: &'a str) -> Result<Self, InvocationError> {
        let refuse = |text: String| {
            let advice = "break the chain, for instance by not calling what triggers the caller";
            Err(InvocationError::new(ErrorKind::LoopDetected, format!("{text}; {advice}")))
        };
        match self.0.iter().position(|(name, _)| *name == function) {
            Some(n) if self.0[n].1 >= MAX_CALLS => {
                let chain = self.to_string();
                refuse(format!(
                    "function `{function}` was called {MAX_CALLS} times in one chain of calls and is not called again (`{HEADER}: \
                     {chain}`)"
                ))
            }
            Some(n) => {
                self.0[n].1 += 1;
                Ok(self)
            }
            None if self.0.len() >= MAX_FUNCTIONS => refuse(format!(
                "function `{function}` is not called: the chain of calls before it has {MAX_FUNCTIONS} functions already"
            )),
            None => {
                self.0.push((function, 1));
                Ok(self)
            }
        }
    }
}

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, calls)) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(", ")?;
            }
            f.write_str(name)?;
            f.write_char(';')?;
            calls.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls functions one from the other, until one is refused.
    fn calls<'a>(
        functions: impl IntoIterator<Item = &'a str>,
    ) -> (usize, HeaderMap, Option<InvocationError>) {
        let mut headers = HeaderMap::new();
        for (n, function) in functions.into_iter().enumerate() {
            if let Err(error) = enter(&mut headers, function) {
                return (n, headers, Some(error));
            }
        }
        (0, headers, None)
    }

    #[test]
    fn a_function_that_calls_itself_is_stopped_after_sixteen_calls() {
        let (calls, headers, error) = calls(std::iter::repeat_n("orders", 100));
        assert_eq!((calls, &headers[HEADER]), (16, &HeaderValue::from_static("orders;16")));
        let error = error.expect("it is stopped");
        assert_eq!(error.kind, ErrorKind::LoopDetected);
        insta::assert_snapshot!(error.message, @"function `orders` was called 16 times in one chain of calls and is not called again (`faas-chain: orders;16`); break the chain, for instance by not calling what triggers the caller");
    }

    #[test]
    fn so_are_two_that_call_each_other() {
        let (calls, headers, error) = calls(["a", "b"].into_iter().cycle());
        assert_eq!((calls, &headers[HEADER]), (32, &HeaderValue::from_static("a;16, b;16")));
        assert!(error.is_some());
    }

    #[test]
    fn a_fan_out_is_no_loop() {
        let mut headers = HeaderMap::new();
        enter(&mut headers, "parent").expect("no loop");
        for _ in 0..1000 {
            let mut child = headers.clone();
            enter(&mut child, "child").expect("each child has a chain of its own");
        }
    }

    #[test]
    fn a_chain_of_many_functions_ends_too() {
        let names: Vec<String> = (0..100).map(|n| format!("f{n}")).collect();
        let (calls, _, error) = calls(names.iter().map(String::as_str));
        assert_eq!(calls, MAX_FUNCTIONS);
        insta::assert_snapshot!(error.expect("it is stopped").message, @"function `f64` is not called: the chain of calls before it has 64 functions already; break the chain, for instance by not calling what triggers the caller");
    }

    #[test]
    fn what_is_no_chain_counts_as_none() {
        for strange in ["?", "orders", "orders;x", ";;", "a;1,,", "a;99999999999"] {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_static(strange));
            enter(&mut headers, "orders").expect("no loop");
            assert_eq!(headers[HEADER], "orders;1", "{strange}");
        }
    }
}
