//! Leaf certificates by name, made when first asked for and again before they end. `now` is passed in.
//!
//! As many names are remembered as fit; a name that is pushed out is signed anew when it comes again, which costs some
//! tens of microseconds. So whoever asks for ever other names costs no memory.

use std::collections::HashMap;

use faas_core::clock::Time;

use super::authority::{Authority, Leaf, Refused};

/// So many names are remembered.
const REMEMBERED: usize = 128;

/// Leaves of one authority.
#[derive(Debug)]
pub(super) struct Leaves {
    authority: Authority,
    made: HashMap<Option<String>, Made>,
    /// Counts questions: what was asked for longest ago goes first.
    asked: u64,
}

#[derive(Debug)]
struct Made {
    leaf: Leaf,
    last_asked: u64,
}

impl Leaves {
    pub(super) fn of(authority: Authority) -> Self {
        Leaves { authority, made: HashMap::new(), asked: 0 }
    }

    /// The leaf for a server name. Names that are not below `localhost` get the one of `localhost` itself, so that
    /// the client says which name it is good for.
    pub(super) fn leaf(&mut self, server_name: Option<&str>, now: Time) -> Result<Leaf, Refused> {
        self.asked += 1;
        let name = server_name
            .filter(|name| crate::gateway::hosts::label_of(name).is_some())
            .map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        if let Some(made) = self.made.get_mut(&name)
            && now < made.leaf.renew_at
        {
            made.last_asked = self.asked;
            return Ok(made.leaf.clone());
        }
        let leaf = self.authority.leaf(name.as_deref(), now)?;
        if self.made.len() >= REMEMBERED
            && !self.made.contains_key(&name)
            && let Some(oldest) = self.made.iter().min_by_key(|(_, made)| made.last_asked)
        {
            let oldest = oldest.0.clone();
            self.made.remove(&oldest);
        }
        self.made.insert(name, Made { leaf: leaf.clone(), last_asked: self.asked });
        Ok(leaf)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;

    const NOW: Time = Time::from_unix_nanos(1_800_000_000_000_000_000);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn leaves() -> Leaves {
        Leaves::of(Authority::create(NOW).expect("an authority"))
    }

    fn is_same(a: &Leaf, b: &Leaf) -> bool {
        Arc::ptr_eq(&a.key, &b.key)
    }

    #[test]
    fn a_name_has_one_leaf_until_it_is_renewed() {
        let mut leaves = leaves();
        let first = leaves.leaf(Some("hello.localhost"), NOW).expect("a leaf");
        let again = leaves.leaf(Some("Hello.localhost"), NOW + 4 * DAY).expect("a leaf");
        assert!(is_same(&first, &again));
        let other = leaves.leaf(Some("other.localhost"), NOW).expect("a leaf");
        assert!(!is_same(&first, &other));
        let renewed = leaves.leaf(Some("hello.localhost"), NOW + 6 * DAY).expect("a leaf");
        assert!(!is_same(&first, &renewed), "two days before its end");
        let again = leaves.leaf(Some("hello.localhost"), NOW + 7 * DAY).expect("a leaf");
        assert!(is_same(&renewed, &again));
    }

    #[test]
    fn who_is_not_below_localhost_gets_the_leaf_of_localhost() {
        let mut leaves = leaves();
        let plain = leaves.leaf(None, NOW).expect("a leaf");
        for name in ["localhost", "example.com", "xlocalhost"] {
            assert!(is_same(&plain, &leaves.leaf(Some(name), NOW).expect("a leaf")), "{name}");
        }
    }

    #[test]
    fn names_do_not_pile_up_and_those_in_use_stay() {
        let mut leaves = leaves();
        let used = leaves.leaf(Some("used.localhost"), NOW).expect("a leaf");
        for n in 0..REMEMBERED * 3 {
            leaves.leaf(Some(&format!("n{n}.localhost")), NOW).expect("a leaf");
            assert!(is_same(&used, &leaves.leaf(Some("used.localhost"), NOW).expect("a leaf")));
        }
        assert_eq!(leaves.made.len(), REMEMBERED);
    }
}
