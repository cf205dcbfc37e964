//! Times, digests, platforms and ends of support: what is read prints as text that reads the same again.
#![no_main]

use sockel::due::release;
use sockel::sys::http::retry_after;
use sockel::values::Digest;
use sockel::values::Epoch;
use sockel::values::Platform;
use sockel::values::cover;
use sockel::values::date;

const NOW: Epoch = Epoch(1_796_100_000);

libfuzzer_sys::fuzz_target!(|text: &str| {
    for time in text.parse::<Epoch>().ok().into_iter().chain(date::parse(text)) {
        assert_eq!(time.to_string().parse(), Ok(time));
        assert!(time.end_of_day() > time && time.end_of_day().0 - time.0 <= 86_400);
        assert!(time.compact().starts_with(&time.date()));
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
        assert_eq!(Digest::from_hex(&digest.hex()), Ok(digest));
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(platform.to_string().parse(), Ok(platform));
    }
    for origin in ["Debian", "Ubuntu", text] {
        if let Some(support) = release::support(origin, text, NOW) {
            assert!(!support.series.is_empty() && support.extended.is_none_or(|extended| extended >= support.until));
        }
    }
    let _no_panic = retry_after(text, NOW);
    assert!(!cover(&format!("{text} https://robot:hunter2@h/{text}")).contains("hunter2"));
});
