//! Which function answers which method and path. Built anew for each release, then only read.
//!
//! A function with a `route` is matched as the route says and sees the path as it came. One without is mounted at
//! `/<name>` with everything below it, and sees the path without that prefix, as behind a function URL of its own.
//! Several functions may share one pattern if each names a method of its own. By host name ([`super::hosts`]) a function is
//! reached with every path and method, whatever its route. Pure.

use std::{collections::HashMap, fmt, sync::Arc};

use faas_core::{abi::manifest::Entry, invocation::FunctionSpec};
use http::{HeaderValue, Method};

/// Paths below this are the emulator's own.
pub const OWN_PREFIX: &str = "/_faas/";
/// `/_faas/invoke/<name>` reaches any function, whatever its route.
pub const INVOKE_PREFIX: &str = "/_faas/invoke/";

/// A function that can be reached.
#[derive(Debug)]
pub struct Endpoint {
    /// What the module says of it.
    pub entry: Entry,
    /// The settings it runs with.
    pub spec: Arc<FunctionSpec>,
    /// Its generation, as a header.
    pub generation: HeaderValue,
    method: Option<Method>,
}

impl Endpoint {
    /// An endpoint for the function that `entry` describes.
    ///
    /// # Errors
    /// When its method is not one.
    pub fn new(entry: Entry, spec: Arc<FunctionSpec>) -> Result<Self, RouteError> {
        let method = match &entry.method {
            None => None,
            Some(method) => {
                let bad = |_| RouteError::Method { function: entry.name.clone(), method: method.clone() };
                Some(Method::from_bytes(method.to_ascii_uppercase().as_bytes()).map_err(bad)?)
            }
        };
        Ok(Endpoint { generation: HeaderValue::from(spec.generation), entry, spec, method })
    }

    /// Its route, or the default one.
    pub fn path(&self) -> String {
        self.entry.route.clone().unwrap_or_else(|| format!("/{}", self.entry.name))
    }

    /// The method it answers; `*` for every one.
    pub fn method(&self) -> &str {
        self.method.as_ref().map_or("*", Method::as_str)
    }

    fn answers(&self, method: &Method) -> bool {
        match &self.method {
            None => true,
            // who answers GET answers HEAD: the server drops the body
            Some(own) => own == method || (own == Method::GET && method == Method::HEAD),
        }
    }
}

/// Why a set of functions cannot be routed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteError {
    /// Two functions want the same requests.
    Conflict {
        /// One function and its pattern.
        first: (String, String),
        /// The other.
        second: (String, String),
    },
    /// The route is not a pattern.
    Pattern {
        /// The function.
        function: String,
        /// Its route.
        route: String,
        /// What is wrong with it.
        why: String,
    },
    /// The method is not one.
    Method {
        /// The function.
        function: String,
        /// Its method.
        method: String,
    },
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteError::Conflict { first: (a, at_a), second: (b, at_b) } if at_a == at_b => write!(
                f,
                "the functions `{a}` and `{b}` both answer {at_a}\nGive one of them another route, or each a method of \
                 its own: #[function(route = \"GET {at_a}\")]."
            ),
            RouteError::Conflict { first: (a, at_a), second: (b, at_b) } => write!(
                f,
                "the functions `{a}` (at {at_a}) and `{b}` (at {at_b}) would answer the same paths\nGive one of them \
                 another route: #[function(route = \"…\")]."
            ),
            RouteError::Pattern { function, route, why } => write!(
                f,
                "the route `{route}` of the function `{function}` is not a path pattern: {why}\nA pattern begins with \
                 a slash: /users/{{id}} or /files/{{*path}}."
            ),
            RouteError::Method { function, method } => {
                write!(f, "the method `{method}` of the function `{function}` is not an HTTP method")
            }
        }
    }
}

impl std::error::Error for RouteError {}

/// All functions of a release, by route and by name.
#[derive(Debug, Default)]
pub struct Routes {
    router: matchit::Router<usize>,
    places: Vec<Place>,
    endpoints: Vec<Arc<Endpoint>>,
}

/// One pattern and who answers there.
#[derive(Debug)]
struct Place {
    /// Bytes of the path that the function does not see.
    strip: usize,
    endpoints: Vec<Arc<Endpoint>>,
    allow: HeaderValue,
}

/// What a method and a path lead to.
#[derive(Debug)]
pub enum Found<'a> {
    /// This function; it does not see the first `strip` bytes of the path.
    Endpoint {
        /// The function.
        endpoint: &'a Arc<Endpoint>,
        /// How much of the path it does not see.
        strip: usize,
    },
    /// Functions that answer other methods: these.
    OtherMethods(&'a HeaderValue),
    /// Nothing.
    Nothing,
}

impl Routes {
    /// Routes for these functions.
    ///
    /// # Errors
    /// When two of them want the same requests, or a route is not one.
    pub fn new(endpoints: Vec<Arc<Endpoint>>) -> Result<Self, RouteError> {
        let mut routes = Routes { endpoints: endpoints.clone(), ..Routes::default() };
        let mut by_pattern = HashMap::new();
        for endpoint in endpoints {
            match &endpoint.entry.route {
                Some(route) => routes.add(&mut by_pattern, route.clone(), 0, &endpoint)?,
                None => {
                    let mount = endpoint.path();
                    for below in ["", "/", "/{*rest}"] {
                        routes.add(&mut by_pattern, format!("{mount}{below}"), mount.len(), &endpoint)?;
                    }
                }
            }
        }
        Ok(routes)
    }

    fn add(
        &mut self,
        by_pattern: &mut HashMap<String, usize>,
        pattern: String,
        strip: usize,
        endpoint: &Arc<Endpoint>,
    ) -> Result<(), RouteError> {
        let name = |e: &Endpoint| e.entry.name.clone();
        let not_a_pattern =
            |why: String| RouteError::Pattern { function: name(endpoint), route: pattern.clone(), why };
        if !pattern.starts_with('/') {
            return Err(not_a_pattern("it does not begin with a slash".into()));
        }
        if pattern.starts_with(OWN_PREFIX) {
            return Err(not_a_pattern(format!("{OWN_PREFIX} is the emulator's own")));
        }
        if let Some(place) = by_pattern.get(&pattern).map(|&i| &mut self.places[i]) {
            let overlaps = |other: &&Arc<Endpoint>| match (&other.method, &endpoint.method) {
                (Some(a), Some(b)) => a == b,
                _ => true,
            };
            if let Some(other) = place.endpoints.iter().find(overlaps) {
                return Err(RouteError::Conflict {
                    first: (name(other), pattern.clone()),
                    second: (name(endpoint), pattern),
                });
            }
            place.endpoints.push(endpoint.clone());
            place.allow = allow(&place.endpoints);
            return Ok(());
        }
        match self.router.insert(pattern.clone(), self.places.len()) {
            Ok(()) => {}
            Err(matchit::InsertError::Conflict { with }) => {
                let other = by_pattern.get(&with).map(|&i| name(&self.places[i].endpoints[0]));
                return Err(RouteError::Conflict {
                    first: (other.unwrap_or_else(|| "another".into()), with),
                    second: (name(endpoint), pattern),
                });
            }
            Err(why) => return Err(not_a_pattern(why.to_string())),
        }
        by_pattern.insert(pattern.clone(), self.places.len());
        let endpoints = vec![endpoint.clone()];
        self.places.push(Place { strip, allow: allow(&endpoints), endpoints });
        Ok(())
    }

    /// Who answers.
    pub fn find(&self, method: &Method, path: &str) -> Found<'_> {
        if let Some(rest) = path.strip_prefix(INVOKE_PREFIX) {
            let name = rest.split('/').next().unwrap_or(rest);
            return match self.named(name) {
                Some(endpoint) => Found::Endpoint { endpoint, strip: INVOKE_PREFIX.len() + name.len() },
                None => Found::Nothing,
            };
        }
        let Ok(found) = self.router.at(path) else { return Found::Nothing };
        let place = &self.places[*found.value];
        let exact = |e: &&Arc<Endpoint>| e.method.as_ref() == Some(method);
        let endpoint = place.endpoints.iter().find(exact);
        match endpoint.or_else(|| place.endpoints.iter().find(|e| e.answers(method))) {
            Some(endpoint) => Found::Endpoint { endpoint, strip: place.strip },
            None => Found::OtherMethods(&place.allow),
        }
    }

    /// The function of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Endpoint>> {
        self.endpoints.iter().find(|e| e.entry.name == name)
    }

    /// The function that is called so in a host name, where case means nothing.
    pub fn on_host(&self, label: &str) -> Option<&Arc<Endpoint>> {
        self.named(label).or_else(|| self.endpoints.iter().find(|e| e.entry.name.eq_ignore_ascii_case(label)))
    }

    /// Every function, sorted by name.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }
}

fn allow(endpoints: &[Arc<Endpoint>]) -> HeaderValue {
    let mut methods: Vec<&str> = endpoints.iter().map(|e| e.method()).collect();
    if methods.contains(&"GET") && !methods.contains(&"HEAD") {
        methods.push("HEAD");
    }
    methods.sort_unstable();
    HeaderValue::try_from(methods.join(", ")).expect("methods are tokens, which headers may hold")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use faas_core::abi::manifest::Kind;

    pub(crate) fn endpoint(name: &str, method: Option<&str>, route: Option<&str>) -> Arc<Endpoint> {
        let entry = Entry {
            abi: 1,
            name: name.into(),
            handler: name.into(),
            kind: Kind::Http,
            route: route.map(Into::into),
            method: method.map(Into::into),
            memory_mib: None,
            timeout_ms: None,
            concurrency: None,
            isolation: None,
            schedule: None,
            queue: None,
        };
        Arc::new(Endpoint::new(entry, Arc::new(FunctionSpec::new(name))).expect("a method"))
    }

    fn routes(functions: &[(&str, Option<&str>, Option<&str>)]) -> Result<Routes, RouteError> {
        Routes::new(functions.iter().map(|(name, method, route)| endpoint(name, *method, *route)).collect())
    }

    /// `name` or `name -strip`, `405 allow`, or `404`.
    fn find(routes: &Routes, method: &str, path: &str) -> String {
        match routes.find(&method.parse().expect("a method"), path) {
            Found::Endpoint { endpoint, strip: 0 } => endpoint.entry.name.clone(),
            Found::Endpoint { endpoint, strip } => format!("{} sees {}", endpoint.entry.name, &path[strip..]),
            Found::OtherMethods(allow) => format!("405 {}", allow.to_str().expect("ascii")),
            Found::Nothing => "404".into(),
        }
    }

    #[test]
    fn a_function_without_a_route_has_all_below_its_name() {
        let routes = routes(&[("hello", None, None)]).expect("no conflict");
        assert_eq!(find(&routes, "GET", "/hello"), "hello sees ");
        assert_eq!(find(&routes, "PUT", "/hello/"), "hello sees /");
        assert_eq!(find(&routes, "GET", "/hello/a/b"), "hello sees /a/b");
        assert_eq!(find(&routes, "GET", "/hell"), "404");
        assert_eq!(find(&routes, "GET", "/hellos"), "404");
        assert_eq!(find(&routes, "GET", "/"), "404");
    }

    #[test]
    fn a_function_with_a_route_has_just_that() {
        let routes = routes(&[
            ("user", Some("get"), Some("/users/{id}")),
            ("me", None, Some("/users/me")),
            ("files", None, Some("/files/{*path}")),
            ("home", None, Some("/")),
        ])
        .expect("no conflict");
        assert_eq!(find(&routes, "GET", "/users/7"), "user");
        assert_eq!(find(&routes, "HEAD", "/users/7"), "user");
        assert_eq!(find(&routes, "POST", "/users/7"), "405 GET, HEAD");
        assert_eq!(find(&routes, "POST", "/users/me"), "me", "the more exact pattern wins");
        assert_eq!(find(&routes, "GET", "/files/a/b"), "files");
        assert_eq!(find(&routes, "GET", "/user"), "404", "its name is no path");
        assert_eq!(find(&routes, "GET", "/"), "home");
    }

    #[test]
    fn methods_share_a_pattern() {
        let routes = routes(&[
            ("read", Some("GET"), Some("/items")),
            ("write", Some("POST"), Some("/items")),
            ("peek", Some("HEAD"), Some("/items")),
        ])
        .expect("no conflict");
        assert_eq!(find(&routes, "GET", "/items"), "read");
        assert_eq!(find(&routes, "POST", "/items"), "write");
        assert_eq!(find(&routes, "HEAD", "/items"), "peek");
        assert_eq!(find(&routes, "DELETE", "/items"), "405 GET, HEAD, POST");
    }

    #[test]
    fn any_function_can_be_invoked_by_name() {
        let routes = routes(&[("user", Some("GET"), Some("/users/{id}"))]).expect("no conflict");
        assert_eq!(find(&routes, "POST", "/_faas/invoke/user"), "user sees ");
        assert_eq!(find(&routes, "POST", "/_faas/invoke/user/users/7"), "user sees /users/7");
        assert_eq!(find(&routes, "POST", "/_faas/invoke/nobody"), "404");
    }

    #[test]
    fn any_function_can_be_reached_by_host_name() {
        let routes =
            routes(&[("user", Some("GET"), Some("/users/{id}")), ("Up", None, None), ("up", None, None)])
                .expect("no conflict");
        let on_host = |label| routes.on_host(label).map(|e| e.entry.name.as_str());
        assert_eq!(on_host("user"), Some("user"));
        assert_eq!(on_host("USER"), Some("user"));
        assert_eq!((on_host("up"), on_host("Up")), (Some("up"), Some("Up")), "the exact name goes first");
        assert_eq!((on_host("a.user"), on_host("nobody")), (None, None));
    }

    #[test]
    fn conflicts_name_both_functions() {
        let message = |functions: &[_]| routes(functions).expect_err("a conflict").to_string();
        insta::assert_snapshot!(message(&[("a", None, Some("/x")), ("b", Some("GET"), Some("/x"))]), @r#"
        the functions `a` and `b` both answer /x
        Give one of them another route, or each a method of its own: #[function(route = "GET /x")].
        "#);
        insta::assert_snapshot!(message(&[("a", None, None), ("b", None, Some("/a"))]), @r#"
        the functions `a` and `b` both answer /a
        Give one of them another route, or each a method of its own: #[function(route = "GET /a")].
        "#);
        insta::assert_snapshot!(message(&[("a", None, Some("/x/{id}")), ("b", None, Some("/x/{name}"))]), @r#"
        the functions `a` (at /x/{id}) and `b` (at /x/{name}) would answer the same paths
        Give one of them another route: #[function(route = "…")].
        "#);
        insta::assert_snapshot!(message(&[("a", None, Some("x"))]), @"
        the route `x` of the function `a` is not a path pattern: it does not begin with a slash
        A pattern begins with a slash: /users/{id} or /files/{*path}.
        ");
        insta::assert_snapshot!(message(&[("a", None, Some("/x/{id"))]), @r"
        the route `/x/{id` of the function `a` is not a path pattern: Parameters must be registered with a valid name
        A pattern begins with a slash: /users/{id} or /files/{*path}.
        ");
        insta::assert_snapshot!(message(&[("a", None, Some("/_faas/x"))]), @"
        the route `/_faas/x` of the function `a` is not a path pattern: /_faas/ is the emulator's own
        A pattern begins with a slash: /users/{id} or /files/{*path}.
        ");
    }
}
