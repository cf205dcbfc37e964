//! Control data: what is read prints as text that reads the same again.
#![no_main]

use sockel::apt::control;
use sockel::apt::control::Paragraph;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = control::text(bytes) else { return };
    for paragraph in control::paragraphs(text).map_while(Result::ok) {
        let printed = paragraph.to_string();
        let again = Paragraph::parse(&printed).expect("printed paragraphs are sound");
        assert_eq!(again.to_string(), printed);
        for field in paragraph.fields() {
            assert!(paragraph.get(field.name()).is_some());
            let _ = paragraph.lines(field.name()).count();
        }
    }
});
