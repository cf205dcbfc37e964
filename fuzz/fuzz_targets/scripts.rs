//! Maintainer scripts: whatever their text, reading ends, with a bounded number of effects, and a set-user-id bit that a
//! script certainly sets is among them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockel::scripts::effects_of;

fuzz_target!(|text: &str| {
    let script = format!("#!/bin/sh\nchmod 4755 /usr/bin/x\n{text}\n");
    let effects = effects_of("x", &|name| (name == "postinst").then_some(script.as_bytes()));
    let found = &effects["postinst"];
    assert!(found.len() < 5000);
    // either it was read, or the whole script is one thing that is not understood
    let is_seen = found.iter().any(|effect| effect.to_string() == "mode /usr/bin/x 4755");
    assert!(is_seen || found.iter().any(|effect| effect.to_string().starts_with("runs ")));
});
