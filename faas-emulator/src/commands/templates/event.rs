//! A function from a typed event to a typed reply; both travel as JSON.

use faas_core::{Error, Result, function};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Event {
    name: String,
}

#[derive(Debug, PartialEq, Serialize)]
struct Reply {
    greeting: String,
}

#[function]
async fn FUNCTION(event: Event) -> Result<Reply> {
    if event.name.is_empty() {
        return Err(Error::client("a name has at least one letter"));
    }
    Ok(Reply { greeting: format!("Hello, {}!", event.name) })
}

faas_core::main!();

#[cfg(test)]
mod tests {
    use super::*;
    use faas_core::block_on;

    #[test]
    fn it_greets_who_has_a_name() {
        let reply = block_on(FUNCTION(Event { name: "Ada".into() })).expect("a reply");
        assert_eq!(reply, Reply { greeting: "Hello, Ada!".into() });
        assert!(block_on(FUNCTION(Event { name: String::new() })).is_err());
    }
}
