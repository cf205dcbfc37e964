//! Relations: what is read prints as text that reads the same again.
#![no_main]

use sockel::apt::relation::Provide;
use sockel::apt::relation::Relation;

libfuzzer_sys::fuzz_target!(|text: &str| {
    for relation in Relation::parse_groups(text).into_iter().flatten().flatten() {
        assert_eq!(Relation::parse(&relation.to_string()), Ok(relation));
    }
    let _ = Relation::parse_list(text);
    for provide in Provide::parse_list(text).into_iter().flatten() {
        assert_eq!(Provide::parse_list(&provide.to_string()), Ok(vec![provide]));
    }
});
