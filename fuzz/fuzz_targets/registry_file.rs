//! `registry.yaml`: understood, or refused with problems that can be shown on any terminal.
#![no_main]

use sockel::recipe::Diagnostic;
use sockel::recipe::Error;
use sockel::settings::RegistryFile;
use std::path::Path;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match RegistryFile::parse("registry.yaml", text, Path::new("base-images")) {
        Ok(file) => {
            let _no_panic = file.gate.problems();
            if let Some(projects) = &file.projects {
                assert_ne!(projects.staging, projects.release);
            }
            assert_eq!(file.harbor_setup(&[]).is_some(), file.projects.is_some());
        }
        Err(Error::Invalid(problems)) => {
            assert!(!problems.is_empty());
            problems.iter().for_each(shown);
        }
        Err(error) => panic!("{error}"),
    }
});

fn shown(problem: &Diagnostic) {
    for (width, is_coloured) in [(40, false), (200, true)] {
        let text = problem.render(width, is_coloured);
        assert!(is_coloured || !text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
}
