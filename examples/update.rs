//! Shows what is new for every image of a project, and writes nothing: `cargo run --example update -- PROJECT STORE`

use sockel::jobs::Session;
use sockel::jobs::SessionOptions;
use sockel::jobs::update::UpdateRequest;
use sockel::jobs::update::run;
use sockel::report::EventRecorder;
use std::error::Error;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [project, store] = arguments.as_slice() else {
        return Err("usage: update PROJECT STORE".into());
    };

    let session = Session::open(SessionOptions::new(project, store), Arc::new(EventRecorder::default()))?;
    let outcome = run(&UpdateRequest::default(), &session)?;

    for image in &outcome.images {
        let update = &image.update;
        println!("{} {:?}, {} CVE numbers fixed", update.image, update.state, update.cves().len());
    }
    Ok(())
}
