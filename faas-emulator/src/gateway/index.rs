//! What is said where no function answers: a list of those there are. Pure.

use std::fmt::Write as _;

use super::routes::Routes;

/// The functions, for a terminal: a line each.
pub fn text(routes: &Routes) -> String {
    if routes.endpoints().is_empty() {
        return "no functions are deployed yet: the console says why\n".into();
    }
    let width = |of: fn(&super::routes::Endpoint) -> usize| {
        routes.endpoints().iter().map(|e| of(e)).max().unwrap_or_default()
    };
    let (names, methods) = (width(|e| e.entry.name.len()), width(|e| e.method().len()));
    let mut text = String::from("functions:\n");
    for e in routes.endpoints() {
        // writing to a String cannot fail
        let _ = writeln!(text, "  {:names$}  {:methods$}  {}", e.entry.name, e.method(), e.path());
    }
    text
}

/// The functions, for a browser: links, by path and, if the port by which it came is known, by host name.
pub fn html(routes: &Routes, port: Option<u16>) -> String {
    let mut rows = String::new();
    for e in routes.endpoints() {
        let path = escape(&e.path());
        // a pattern is no address
        let link = if path.contains('{') { path } else { format!("<a href=\"{path}\">{path}</a>") };
        let name = escape(&e.entry.name);
        let host = port.map_or_else(String::new, |port| {
            format!("<td><a href=\"//{name}.localhost:{port}/\">{name}.localhost</a>")
        });
        let _ = writeln!(
            rows,
            "<tr><td>{name}<td>{}<td>{link}{host}<td>generation {}<td>{} MiB",
            escape(e.method()),
            e.spec.generation,
            e.spec.memory_mib
        );
    }
    if rows.is_empty() {
        rows.push_str("<tr><td>none is deployed yet: the console says why\n");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>faas dev</title>\n\
         <style>body{{font:16px/1.6 system-ui;margin:3rem}}td{{padding-right:2rem}}</style>\n\
         <h1>Functions</h1>\n<table>\n{rows}</table>\n</html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::routes::tests::endpoint;
    use super::*;

    fn routes() -> Routes {
        let functions = vec![
            endpoint("hello", None, None),
            endpoint("user", Some("GET"), Some("/users/{id}")),
            endpoint("x", None, Some("/<b>\"")),
        ];
        Routes::new(functions).expect("no conflict")
    }

    #[test]
    fn functions_are_listed() {
        insta::assert_snapshot!(text(&routes()), @r#"
        functions:
          hello  *    /hello
          user   GET  /users/{id}
          x      *    /<b>"
        "#);
        insta::assert_snapshot!(text(&Routes::default()), @"no functions are deployed yet: the console says why");
    }

    #[test]
    fn browsers_get_links_and_nothing_unescaped() {
        let page = html(&routes(), Some(3000));
        assert!(page.contains("<td><a href=\"//hello.localhost:3000/\">hello.localhost</a>"));
        assert!(page.contains("<a href=\"/hello\">/hello</a>"));
        assert!(page.contains("<td>/users/{id}<td>"));
        assert!(page.contains("/&lt;b&gt;&quot;") && !page.contains("<b>"));
        assert!(html(&Routes::default(), None).contains("none is deployed"));
    }
}
