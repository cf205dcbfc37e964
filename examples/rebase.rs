//! Moves an application image onto the newest base image: `cargo run --example rebase -- STORE IMAGE BASE`
//!
//! IMAGE is `https://HOST/REPOSITORY:TAG` or `oci:DIR:NAME`, BASE is `https://HOST/REPOSITORY` or `oci:DIR`.

use sockel::jobs::Session;
use sockel::jobs::SessionOptions;
use sockel::jobs::rebase::RebaseRequest;
use sockel::jobs::rebase::run;
use sockel::report::EventRecorder;
use std::error::Error;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, image, base] = arguments.as_slice() else {
        return Err("usage: rebase STORE IMAGE BASE".into());
    };

    let session = Session::open(SessionOptions::new(".", store), Arc::new(EventRecorder::default()))?;
    let request = RebaseRequest { base: Some(base.clone()), ..RebaseRequest::of(image) };
    let rebased = run(&request, &session)?;

    println!("{} -> {}", rebased.image, rebased.new);
    Ok(())
}
