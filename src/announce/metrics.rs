//! Metrics of a run in Prometheus' text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4), for node_exporter's textfile collector or a
//! Pushgateway.

use crate::sys::http;
use crate::sys::http::HttpHost;
use crate::sys::http::HttpRequest;
use crate::sys::http::Method;
use crate::sys::http::RequestBody;
use crate::sys::http::header;
use crate::sys::http::header::HeaderValue;
use crate::values::Epoch;
use crate::values::shown::shown;
use std::fmt::Write;

/// The metrics of a scheduled run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunMetrics {
    /// When the run ended.
    pub ended: Epoch,
    /// When a run last ended without a failure, as far as this store knows.
    pub last_success: Option<Epoch>,
    /// Duration of the run in seconds.
    pub seconds: f64,
    /// Whether nothing failed.
    pub success: bool,
    /// The images, one by one.
    pub images: Vec<ImageMetrics>,
}

/// The metrics of one image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageMetrics {
    /// Its name.
    pub name: String,
    /// The newest state of the archives that its packages come from.
    pub locked: Option<Epoch>,
    /// Whether it could not be locked, built or published.
    pub failed: bool,
    /// Number of packages that changed.
    pub changed: usize,
    /// Number of packages with newer versions that the image does not have after the run.
    pub behind: usize,
    /// Number of packages that stay behind because an update cannot be taken, and of pockets that cannot be read.
    pub blocked: usize,
    /// Number of CVEs that those updates would fix.
    pub held_back: usize,
    /// How urgent they are: 0 for none, 1 routine, 2 security, 3 urgent.
    pub held_back_urgency: u8,
    /// Number of layers that were found in a cache, and that were made.
    pub layers: [usize; 2],
    /// Number of CVEs that the changed packages fix.
    pub fixed: usize,
    /// Bytes that were uploaded, mounted, and in the registry already.
    pub bytes: [u64; 3],
}

/// Returns the metrics as text.
#[must_use]
pub fn text(run: &RunMetrics) -> String {
    let mut metrics = MetricsExposition { images: &run.images, text: String::new() };
    metrics.gauge("last_run_timestamp_seconds", "When the last run ended.", precise(run.ended.0));
    if let Some(success) = run.last_success {
        let help = "When a run last ended without a failure.";
        metrics.gauge("last_success_timestamp_seconds", help, precise(success.0));
    }
    metrics.gauge("last_run_success", "Whether nothing failed in the last run.", flag(run.success));
    metrics.gauge("last_run_duration_seconds", "How long the last run took.", run.seconds);

    // an image that was never locked has no age
    metrics.image_gauge("image_age_seconds", "Age of the archives' state that an image was locked from.", |image| {
        Some(precise(run.ended.0 - image.locked?.0))
    });
    metrics.image_gauge("image_failed", "Whether an image could not be updated.", |image| Some(flag(image.failed)));
    metrics.image_gauge("image_packages_changed", "Packages that the last run changed.", |image| {
        Some(count(image.changed))
    });
    metrics.image_gauge("image_packages_behind", "Packages with newer versions that it does not have.", |image| {
        Some(count(image.behind))
    });
    metrics.image_gauge("image_cves_fixed", "CVE numbers that these changes fix.", |image| Some(count(image.fixed)));

    metrics.image_gauge("update_blocked", "Packages and pockets whose updates cannot be taken.", |image| {
        Some(count(image.blocked))
    });
    metrics.image_gauge("update_blocked_cves", "CVE numbers that these updates would fix.", |image| {
        Some(count(image.held_back))
    });
    let help = "How urgent these updates are: 0 none, 1 routine, 2 security, 3 urgent.";
    metrics.image_gauge("update_blocked_urgency", help, |image| Some(f64::from(image.held_back_urgency)));

    metrics.image_gauges_by_way("image_blob_bytes", "Bytes of blobs by the way they took.", |image| {
        ["uploaded", "mounted", "there"].into_iter().zip(image.bytes).collect()
    });
    metrics.image_gauges_by_way("image_layers", "Layers, found in a cache or made.", |image| {
        ["found", "made"].into_iter().zip(image.layers.map(|number| number as u64)).collect()
    });
    metrics.text
}

/// A text that metrics are added to.
struct MetricsExposition<'a> {
    images: &'a [ImageMetrics],
    text: String,
}

impl MetricsExposition<'_> {
    /// Begins a metric. All its lines must follow as one group ("Comments, help text, and type information").
    fn header(&mut self, name: &str, help: &str) {
        let _never_fails = writeln!(self.text, "# HELP sockel_{name} {help}\n# TYPE sockel_{name} gauge");
    }

    /// Adds a metric of the whole run.
    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.header(name, help);
        let _never_fails = writeln!(self.text, "sockel_{name} {value}");
    }

    /// Adds a metric of each image that has it.
    fn image_gauge(&mut self, name: &str, help: &str, value_of: impl Fn(&ImageMetrics) -> Option<f64>) {
        self.header(name, help);
        for image in self.images {
            if let Some(value) = value_of(image) {
                let _never_fails = writeln!(self.text, "sockel_{name}{{image=\"{}\"}} {value}", escaped(&image.name));
            }
        }
    }

    /// Adds a metric with several values for each image, which differ by the label `way`.
    fn image_gauges_by_way(
        &mut self,
        name: &str,
        help: &str,
        values_of: impl Fn(&ImageMetrics) -> Vec<(&'static str, u64)>,
    ) {
        self.header(name, help);
        for image in self.images {
            let label = escaped(&image.name);
            for (way, value) in values_of(image) {
                let _never_fails = writeln!(self.text, "sockel_{name}{{image=\"{label}\",way=\"{way}\"}} {value}");
            }
        }
    }
}

/// Why metrics could not be pushed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The gateway cannot be reached.
    #[error("cannot push metrics: {0}")]
    Http(#[from] http::Error),
    /// The gateway refuses the metrics.
    #[error("cannot push metrics: the gateway answers with status {0}")]
    Refused(u16),
    /// The address cannot have a path.
    #[error("cannot push metrics: `{0}` is not the address of a gateway")]
    Address(String),
}

/// Replaces this project's metrics in a Pushgateway (<https://github.com/prometheus/pushgateway#put-method>).
///
/// # Errors
/// When the gateway cannot be reached, or refuses them.
pub async fn push(host: &HttpHost, gateway: &url::Url, text: String) -> Result<(), Error> {
    let mut url = gateway.clone();
    let not_a_gateway = Error::Address(gateway.to_string());
    // a gateway may be below a path of a proxy: what the address has stays
    url.path_segments_mut().map_err(|()| not_a_gateway)?.pop_if_empty().extend(["metrics", "job", "sockel"]);

    // PUT replaces the whole group: images that are gone do not stay
    let mut request = HttpRequest::new(Method::PUT, url, RequestBody::Bytes(text.into_bytes().into()));
    request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    let answer = host.send(&request).await?;
    let status = answer.status();
    answer.drain().await;
    if (200..300).contains(&status) { Ok(()) } else { Err(Error::Refused(status)) }
}

/// Returns a whole number as Prometheus has it. Counts and times are far below 2^53, so that none is rounded.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn precise(number: i64) -> f64 {
    number as f64
}

fn count(number: usize) -> f64 {
    precise(i64::try_from(number).unwrap_or(i64::MAX))
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

/// Escapes the value of a label: backslash, quote and line break ("Text format details").
fn escaped(text: &str) -> String {
    let lines = text.split('\n').map(|line| shown(line).replace('\\', r"\\").replace('"', "\\\""));
    lines.collect::<Vec<_>>().join(r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_text() {
        let image = |name: &str, failed: bool| ImageMetrics {
            name: name.to_owned(),
            locked: (!failed).then_some(Epoch(1_700_000_000)),
            failed,
            changed: 3,
            behind: 1,
            blocked: 2,
            held_back: 40,
            held_back_urgency: 3,
            layers: [7, 2],
            fixed: 12,
            bytes: [10, 20, 30],
        };
        let images = vec![image("tomcat-11", false), image("a\"b\\c\n", true)];
        let last_success = Some(Epoch(1_700_000_600));
        let run = RunMetrics { ended: Epoch(1_700_003_600), last_success, seconds: 2.5, success: false, images };
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
        # HELP sockel_update_blocked Packages and pockets whose updates cannot be taken.
        # TYPE sockel_update_blocked gauge
        sockel_update_blocked{image="tomcat-11"} 2
        sockel_update_blocked{image="a\"b\\c\n"} 2
        # HELP sockel_update_blocked_cves CVE numbers that these updates would fix.
        # TYPE sockel_update_blocked_cves gauge
        sockel_update_blocked_cves{image="tomcat-11"} 40
        sockel_update_blocked_cves{image="a\"b\\c\n"} 40
        # HELP sockel_update_blocked_urgency How urgent these updates are: 0 none, 1 routine, 2 security, 3 urgent.
        # TYPE sockel_update_blocked_urgency gauge
        sockel_update_blocked_urgency{image="tomcat-11"} 3
        sockel_update_blocked_urgency{image="a\"b\\c\n"} 3
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
