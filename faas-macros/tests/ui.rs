//! What the compiler says of functions that are none: golden files beside each source (`TRYBUILD=overwrite` renews).

#[test]
fn mistakes_are_told_all_at_once_and_where_they_are() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/*.rs");
}
