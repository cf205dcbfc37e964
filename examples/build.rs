//! Builds one image into an OCI layout: `cargo run --example build -- PROJECT STORE IMAGE LAYOUT`

use sockel::build::output::Output;
use sockel::jobs::Session;
use sockel::jobs::SessionOptions;
use sockel::jobs::build::BuildRequest;
use sockel::jobs::build::run;
use sockel::report::EventRecorder;
use std::error::Error;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [project, store, image, layout] = arguments.as_slice() else {
        return Err("usage: build PROJECT STORE IMAGE LAYOUT".into());
    };

    let session = Session::open(SessionOptions::new(project, store), Arc::new(EventRecorder::default()))?;
    let request = BuildRequest {
        images: vec![image.clone()],
        outputs: vec![Output::Layout(layout.into())],
        ..BuildRequest::default()
    };
    let outcome = run(&request, &session)?;

    for built in outcome.images {
        println!("{} {}", built.name(), built.index.0);
    }
    Ok(())
}
