//! What a person or a machine sees while work goes on.

mod bars;
mod lines;

use crate::cli::Format;
use crate::cli::Global;
use crate::report::Event;
use crate::report::Reporter;
use crate::report::Stage;
use crate::sys::env;
use crate::sys::env::Variable;
use std::io;
use std::io::IsTerminal;

/// Chooses: bars on a terminal, plain lines elsewhere, JSON lines or nothing where asked for.
pub(super) fn reporter(global: &Global) -> Box<dyn Reporter> {
    let is_terminal = io::stderr().is_terminal() && env::get(Variable::Ci).is_none();
    match (global.quiet, global.log_format) {
        (true, _) => Box::new(Quiet),
        (false, Format::Json) => Box::new(lines::Lines::new(lines::Form::Json)),
        (false, Format::Text) if is_terminal => Box::new(bars::Bars::new()),
        (false, Format::Text) => Box::new(lines::Lines::new(lines::Form::Text)),
    }
}

/// Says nothing but warnings.
struct Quiet;

impl Reporter for Quiet {
    fn event(&self, event: Event) {
        if let Event::Warning(text) = event {
            lines::say(&format!("warning: {text}"));
        }
    }
}

/// The word for a stage, eight letters at most.
fn verb(stage: Stage) -> &'static str {
    match stage {
        Stage::Index => "index",
        Stage::Download => "download",
        Stage::Unpack => "unpack",
        Stage::Compress => "compress",
    }
}
