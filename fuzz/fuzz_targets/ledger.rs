//! YAML as people write it: the script ledger goes through the same reader as recipes and base-image files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockel::recipe::ScriptLedger;

fuzz_target!(|text: &str| {
    let _no_panic = ScriptLedger::parse("scripts.yaml", text);
});
