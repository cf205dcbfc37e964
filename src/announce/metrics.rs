//! Figures of a run in Prometheus' text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4): for node_exporter's textfile collector,
//! or a Pushgateway.

use crate::sys::http;
use crate::sys::http::Body;
use crate::sys::http::Host;
use crate::sys::http::Method;
use crate::sys::http::Request;
use crate::sys::http::header;
use crate::sys::http::header::HeaderValue;
use crate::values::Epoch;
use crate::values::shown::shown;
use std::fmt::Write;

/// What a scheduled run did.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// When it ended.
    pub ended: Epoch,
    /// When a run last ended without a failure, as far as this store knows.
    pub last_success: Option<Epoch>,
    /// How long it took.
    pub seconds: f64,
    /// Nothing failed.
    pub success: bool,
    /// Image by image.
    pub images: Vec<Image>,
}

/// What a run did about one image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// Newest state of the archives that its packages come from.
    pub locked: Option<Epoch>,
    /// It could not be locked, built or published.
    pub failed: bool,
    /// Packages that changed.
    pub changed: usize,
    /// Packages of which newer versions are there that it does not have after the run.
    pub behind: usize,
    /// Layers that were found, and that were made.
    pub layers: [usize; 2],
    /// CVE numbers that these fix.
    pub fixed: usize,
    /// Bytes that were sent, mounted, and found in the registry.
    pub bytes: [u64; 3],
}

/// Returns the figures as text.
#[must_use]
pub fn text(run: &Run) -> String {
    let mut out = String::new();
    let whole = |out: &mut String, name: &str, help: &str, value: f64| {
        let _ = writeln!(out, "# HELP sockel_{name} {help}\n# TYPE sockel_{name} gauge\nsockel_{name} {value}");
    };
    whole(&mut out, "last_run_timestamp_seconds", "When the last run ended.", precise(run.ended.0));
    if let Some(success) = run.last_success {
        whole(
            &mut out,
            "last_success_timestamp_seconds",
            "When a run last ended without a failure.",
            precise(success.0),
        );
    }
    whole(&mut out, "last_run_success", "Whether nothing failed in the last run.", f64::from(u8::from(run.success)));
    whole(&mut out, "last_run_duration_seconds", "How long the last run took.", run.seconds);
    let count = |number: usize| precise(i64::try_from(number).unwrap_or(i64::MAX));
    let age = |image: &Image| image.locked.map(|locked| precise(run.ended.0 - locked.0));
    type Value<'a> = (&'a str, &'a str, &'a dyn Fn(&Image) -> Option<f64>);
    let values: [Value<'_>; 5] = [
        ("image_age_seconds", "Age of the archives' state that an image was locked from.", &age),
        ("image_failed", "Whether an image could not be updated.", &|image| Some(f64::from(u8::from(image.failed)))),
        ("image_packages_changed", "Packages that the last run changed.", &|image| Some(count(image.changed))),
        ("image_packages_behind", "Packages with newer versions that it does not have.", &|image| {
            Some(count(image.behind))
        }),
        ("image_cves_fixed", "CVE numbers that these changes fix.", &|image| Some(count(image.fixed))),
    ];
    for (name, help, value) in values {
        let _ = writeln!(out, "# HELP sockel_{name} {help}\n# TYPE sockel_{name} gauge");
        for image in &run.images {
            if let Some(value) = value(image) {
                let _ = writeln!(out, "sockel_{name}{{image=\"{}\"}} {value}", escaped(&image.name));
            }
        }
    }
    let mut ways = |name: &str, help: &str, of: &dyn Fn(&Image) -> Vec<(&'static str, u64)>| {
        let _ = writeln!(out, "# HELP sockel_{name} {help}\n# TYPE sockel_{name} gauge");
        for image in &run.images {
            for (way, value) in of(image) {
                let _ = writeln!(out, "sockel_{name}{{image=\"{}\",way=\"{way}\"}} {value}", escaped(&image.name));
            }
        }
    };
    ways("image_blob_bytes", "Bytes of blobs by the way they took.", &|image| {
        ["uploaded", "mounted", "there"].into_iter().zip(image.bytes).collect()
    });
    ways("image_layers", "Layers, found in a cache or made.", &|image| {
        ["found", "made"].into_iter().zip(image.layers.map(|number| number as u64)).collect()
    });
    out
}

/// Why a Pushgateway did not take the figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be talked to.
    #[error("cannot push metrics: {0}")]
    Http(#[from] http::Error),
    /// It refuses.
    #[error("cannot push metrics: the gateway answers with status {0}")]
    Refused(u16),
    /// The address cannot have a path.
    #[error("cannot push metrics: `{0}` is not the address of a gateway")]
    Address(String),
}

/// Replaces this project's figures in a Pushgateway (<https://github.com/prometheus/pushgateway#put-method>).
///
/// # Errors
/// When it cannot be reached, or does not want them.
pub async fn push(host: &Host, gateway: &url::Url, text: String) -> Result<(), Error> {
    let mut url = gateway.clone();
    let no_path = |()| Error::Address(gateway.to_string());
    url.path_segments_mut().map_err(no_path)?.pop_if_empty().extend(["metrics", "job", "sockel"]);
    let mut request = Request::new(Method::PUT, url, Body::Bytes(text.into_bytes().into()));
    request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    let answer = host.send(&request).await?;
    let status = answer.status();
    answer.drain().await;
    if (200..300).contains(&status) { Ok(()) } else { Err(Error::Refused(status)) }
}

/// Counts and times are far below 2^53, where whole numbers have no gaps.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn precise(number: i64) -> f64 {
    number as f64
}

/// Escapes a label's value.
fn escaped(text: &str) -> String {
    let line = |line: &str| shown(line).replace('\\', r"\\").replace('"', "\\\"");
    text.split('\n').map(line).collect::<Vec<_>>().join(r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_text() {
        let image = |name: &str, failed: bool| Image {
            name: name.to_owned(),
            locked: (!failed).then_some(Epoch(1_700_000_000)),
            failed,
            changed: 3,
            behind: 1,
            layers: [7, 2],
            fixed: 12,
            bytes: [10, 20, 30],
        };
        let images = vec![image("tomcat-11", false), image("a\"b\\c\n", true)];
        let last_success = Some(Epoch(1_700_000_600));
        let run = Run { ended: Epoch(1_700_003_600), last_success, seconds: 2.5, success: false, images };
        insta::assert_snapshot!(text(&run), @r#"
        # HELP sockel_last_run_timestamp_seconds When the last run ended.
        # TYPE sockel_last_run_timestamp_seconds gauge
        sockel_last_run_timestamp_seconds 1700003600
        # HELP sockel_last_success_timestamp_seconds When a run last ended without a failure.
        # TYPE sockel_last_success_timestamp_seconds gauge
        sockel_last_success_timestamp_seconds 1700000600
        # HELP sockel_last_run_success Whether nothing failed in the last run.
        # TYPE sockel_last_run_success gauge
        sockel_last_run_success 0
        # HELP sockel_last_run_duration_seconds How long the last run took.
        # TYPE sockel_last_run_duration_seconds gauge
        sockel_last_run_duration_seconds 2.5
        # HELP sockel_image_age_seconds Age of the archives' state that an image was locked from.
        # TYPE sockel_image_age_seconds gauge
        sockel_image_age_seconds{image="tomcat-11"} 3600
        # HELP sockel_image_failed Whether an image could not be updated.
        # TYPE sockel_image_failed gauge
        sockel_image_failed{image="tomcat-11"} 0
        sockel_image_failed{image="a\"b\\c\n"} 1
        # HELP sockel_image_packages_changed Packages that the last run changed.
        # TYPE sockel_image_packages_changed gauge
        sockel_image_packages_changed{image="tomcat-11"} 3
        sockel_image_packages_changed{image="a\"b\\c\n"} 3
        # HELP sockel_image_packages_behind Packages with newer versions that it does not have.
        # TYPE sockel_image_packages_behind gauge
        sockel_image_packages_behind{image="tomcat-11"} 1
        sockel_image_packages_behind{image="a\"b\\c\n"} 1
        # HELP sockel_image_cves_fixed CVE numbers that these changes fix.
        # TYPE sockel_image_cves_fixed gauge
        sockel_image_cves_fixed{image="tomcat-11"} 12
        sockel_image_cves_fixed{image="a\"b\\c\n"} 12
        # HELP sockel_image_blob_bytes Bytes of blobs by the way they took.
        # TYPE sockel_image_blob_bytes gauge
        sockel_image_blob_bytes{image="tomcat-11",way="uploaded"} 10
        sockel_image_blob_bytes{image="tomcat-11",way="mounted"} 20
        sockel_image_blob_bytes{image="tomcat-11",way="there"} 30
        sockel_image_blob_bytes{image="a\"b\\c\n",way="uploaded"} 10
        sockel_image_blob_bytes{image="a\"b\\c\n",way="mounted"} 20
        sockel_image_blob_bytes{image="a\"b\\c\n",way="there"} 30
        # HELP sockel_image_layers Layers, found in a cache or made.
        # TYPE sockel_image_layers gauge
        sockel_image_layers{image="tomcat-11",way="found"} 7
        sockel_image_layers{image="tomcat-11",way="made"} 2
        sockel_image_layers{image="a\"b\\c\n",way="found"} 7
        sockel_image_layers{image="a\"b\\c\n",way="made"} 2
        "#);
    }
}
