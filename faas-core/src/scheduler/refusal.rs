//! The pool's refusals in words: which limit, and what to do.

use crate::{
    invocation::{ErrorKind, InvocationError},
    pool::{Limit, Refusal},
};

/// `failure` is why the start failed, where that is the refusal.
pub(super) fn explain(name: &str, refusal: Refusal, failure: Option<&InvocationError>) -> InvocationError {
    let kind = match refusal {
        Refusal::QueueFull { limit: Limit::Reserved(_), .. }
        | Refusal::WaitedTooLong { limit: Limit::Reserved(_), .. } => ErrorKind::ReservedThrottled,
        _ => ErrorKind::Throttled,
    };
    let throttled =
        |text: String| InvocationError::new(kind, format!("function `{name}` is throttled: {text}"));
    match refusal {
        Refusal::QueueFull { limit: Limit::Function(0), .. } => {
            throttled("its `max_instances` is 0, so that it cannot run; raise it".into())
        }
        Refusal::QueueFull { limit: Limit::Reserved(0), .. } => {
            throttled("its `reserved_concurrency` is 0, so that it cannot run; raise it".into())
        }
        Refusal::QueueFull { limit: Limit::Host(0), .. } => {
            throttled("the host's `max_instances` is 0, so that nothing can run; raise it".into())
        }
        Refusal::QueueFull { limit: Limit::Memory { budget_mib, instance_mib }, .. }
            if u64::from(instance_mib) > budget_mib =>
        {
            throttled(format!(
                "an instance of it needs {instance_mib} MiB and the host has {budget_mib} (`memory_mib`), so that it cannot run; raise \
                 the host's or lower the function's"
            ))
        }
        Refusal::QueueFull { queued: 0, limit } => {
            throttled(format!("{} and none may wait (`max_queued` is 0); {}", taken(limit), advice(limit)))
        }
        Refusal::QueueFull { queued, limit } => throttled(format!(
            "{} and its queue is full, {queued} waiting (`max_queued`); {}",
            taken(limit),
            advice(limit)
        )),
        Refusal::WaitedTooLong { waited, limit } => throttled(format!(
            "{} and none became free in {} ms (`max_wait`); {}",
            taken(limit),
            waited.as_millis(),
            advice(limit)
        )),
        Refusal::StartFailed => failure.cloned().unwrap_or_else(|| {
            InvocationError::new(
                ErrorKind::InitFailed,
                format!("an instance of `{name}` could not be started"),
            )
        }),
        Refusal::NoSuchFunction => InvocationError::new(
            ErrorKind::NotFound,
            format!("no function `{name}` is deployed: check the name, or deploy it first"),
        ),
        Refusal::ShuttingDown => InvocationError::new(
            ErrorKind::ShuttingDown,
            format!("the host is shutting down and takes no more invocations of `{name}`: retry elsewhere"),
        ),
    }
}

fn taken(limit: Limit) -> String {
    match limit {
        Limit::Memory { budget_mib, instance_mib } => format!(
            "the host's {budget_mib} MiB (`memory_mib`) have no room for an instance of {instance_mib} MiB"
        ),
        Limit::Reserved(max) => format!("the {max} it may run at once (`reserved_concurrency`) do"),
        Limit::Running { max, reserved: 0 } => {
            format!("all {max} that may run at once on the host (`max_running`) do")
        }
        Limit::Running { max, reserved } => format!(
            "all that may run at once on the host (`max_running` is {max}, of which {reserved} are reserved for other functions) do"
        ),
        Limit::StartRate(rate) => format!(
            "it has started {} instances in {} ms, as many as it may (`start_rate`),",
            rate.burst,
            rate.per.as_millis()
        ),
        Limit::Function(1) => "its one instance (`max_instances`) is taken".into(),
        Limit::Function(max) => format!("all {max} of its instances (`max_instances`) are taken"),
        Limit::Host(max) => format!("all {max} instances of the host (`max_instances`) are taken"),
    }
}

fn advice(limit: Limit) -> &'static str {
    match limit {
        Limit::Memory { .. } => "send fewer at once, or raise the host's `memory_mib`",
        Limit::Reserved(_) => "send fewer at once, or raise the function's `reserved_concurrency`",
        Limit::Running { .. } => "send fewer at once, or raise the host's `max_running`",
        Limit::StartRate(_) => "let the load grow more slowly, or raise the host's `start_rate`",
        Limit::Function(_) => "send fewer at once, or raise the function's `max_instances` or concurrency",
        Limit::Host(_) => "send fewer at once, or raise the host's `max_instances`",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pool::StartRate;

    #[test]
    fn throttling_says_which_limit_and_what_to_do() {
        let say = |refusal| explain("hello", refusal, None).message;
        insta::assert_snapshot!(say(Refusal::QueueFull { queued: 9, limit: Limit::Function(2) }), @"function `hello` is throttled: all 2 of its instances (`max_instances`) are taken and its queue is full, 9 waiting (`max_queued`); send fewer at once, or raise the function's `max_instances` or concurrency");
        insta::assert_snapshot!(say(Refusal::QueueFull { queued: 0, limit: Limit::Host(8) }), @"function `hello` is throttled: all 8 instances of the host (`max_instances`) are taken and none may wait (`max_queued` is 0); send fewer at once, or raise the host's `max_instances`");
        insta::assert_snapshot!(say(Refusal::WaitedTooLong { waited: Duration::from_secs(2), limit: Limit::Function(1) }), @"function `hello` is throttled: its one instance (`max_instances`) is taken and none became free in 2000 ms (`max_wait`); send fewer at once, or raise the function's `max_instances` or concurrency");
        let full = |limit| say(Refusal::QueueFull { queued: 0, limit });
        insta::assert_snapshot!(full(Limit::Reserved(5)), @"function `hello` is throttled: the 5 it may run at once (`reserved_concurrency`) do and none may wait (`max_queued` is 0); send fewer at once, or raise the function's `reserved_concurrency`");
        insta::assert_snapshot!(full(Limit::Running { max: 10, reserved: 4 }), @"function `hello` is throttled: all that may run at once on the host (`max_running` is 10, of which 4 are reserved for other functions) do and none may wait (`max_queued` is 0); send fewer at once, or raise the host's `max_running`");
        insta::assert_snapshot!(full(Limit::StartRate(StartRate { burst: 1000, per: Duration::from_secs(10) })), @"function `hello` is throttled: it has started 1000 instances in 10000 ms, as many as it may (`start_rate`), and none may wait (`max_queued` is 0); let the load grow more slowly, or raise the host's `start_rate`");
        let memory = |instance_mib| Limit::Memory { budget_mib: 512, instance_mib };
        insta::assert_snapshot!(say(Refusal::QueueFull { queued: 0, limit: memory(128) }), @"function `hello` is throttled: the host's 512 MiB (`memory_mib`) have no room for an instance of 128 MiB and none may wait (`max_queued` is 0); send fewer at once, or raise the host's `memory_mib`");
        insta::assert_snapshot!(say(Refusal::QueueFull { queued: 0, limit: memory(1024) }), @"function `hello` is throttled: an instance of it needs 1024 MiB and the host has 512 (`memory_mib`), so that it cannot run; raise the host's or lower the function's");
        insta::assert_snapshot!(say(Refusal::NoSuchFunction), @"no function `hello` is deployed: check the name, or deploy it first");
    }
}
