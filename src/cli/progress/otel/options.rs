//! What the environment says about traces: the variables of the OpenTelemetry Environment Variable Specification and of
//! the OTLP exporter (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>), as far as they are listed in
//! [`EnvironmentVariable::OF_TRACES`].

use crate::cli::progress::otel::TraceId;
use crate::cli::progress::otel::spans::SpanId;
use crate::sys::env::EnvironmentVariable;
use crate::sys::http::header::HeaderMap;
use crate::sys::http::header::HeaderName;
use crate::sys::http::header::HeaderValue;
use crate::values::hex;
use std::ffi::OsString;
use std::path::PathBuf;
use url::Url;

/// Where a collector listens that nobody named.
const USUAL_ENDPOINT: &str = "http://localhost:4318";

/// The span that called this command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    /// Whether the caller records its trace.
    sampled: bool,
}

/// Where a trace goes, and what it says about this process.
#[derive(Debug, Clone)]
pub(super) struct TraceOptions {
    pub(super) endpoint: Url,
    /// Marked as secret: a login may be among them.
    pub(super) headers: HeaderMap,
    pub(super) resource: Vec<(String, String)>,
    pub(super) parent: Option<Parent>,
    /// PEM file of authorities that are trusted besides the system's.
    pub(super) ca_file: Option<PathBuf>,
}

impl TraceOptions {
    /// Returns what is wanted, none where no trace is; and warnings about what cannot be used. No value of a variable
    /// is in a warning: it may be a secret.
    pub(super) fn judge<'a>(get: &dyn Fn(EnvironmentVariable) -> Option<&'a OsString>) -> (Option<Self>, Vec<String>) {
        let mut warnings = Vec::new();
        let options = Self::read(&|variable| get(variable)?.to_str().map(str::trim), &mut warnings);
        (options, warnings)
    }

    fn read<'a>(get: &dyn Fn(EnvironmentVariable) -> Option<&'a str>, warnings: &mut Vec<String>) -> Option<Self> {
        let mut warn = |variable: EnvironmentVariable, cause: &str| {
            warnings.push(format!("cannot use environment variable `{}`: {cause}", variable.name()));
        };
        let first = |own, general| get(own).map_or((general, get(general)), |value| (own, Some(value)));
        let endpoint = [EnvironmentVariable::OtelTracesEndpoint, EnvironmentVariable::OtelEndpoint]
            .into_iter()
            .find(|one| get(*one).is_some());
        let exporter = get(EnvironmentVariable::OtelExporter);
        if get(EnvironmentVariable::OtelDisabled).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        match exporter {
            Some("none") => return None,
            None if endpoint.is_none() => return None,
            None | Some("otlp") => (),
            Some(_) => {
                warn(EnvironmentVariable::OtelExporter, "it is neither `otlp` nor `none`; no trace is sent");
                return None;
            }
        }
        let (variable, protocol) = first(EnvironmentVariable::OtelTracesProtocol, EnvironmentVariable::OtelProtocol);
        if protocol.is_some_and(|protocol| !protocol.starts_with("http/")) {
            warn(variable, "traces are sent as http/json only; no trace is sent");
            return None;
        }
        let variable = endpoint.unwrap_or(EnvironmentVariable::OtelEndpoint);
        let Some(endpoint) = address(get(variable).unwrap_or(USUAL_ENDPOINT), variable) else {
            warn(variable, "it is not an http:// or https:// address; no trace is sent");
            return None;
        };
        let parent = get(EnvironmentVariable::TraceParent).and_then(|text| {
            let parent = traceparent(text);
            if parent.is_none() {
                warn(EnvironmentVariable::TraceParent, "it is no W3C trace context; the trace has no parent");
            }
            parent
        });
        // the caller has decided for everything below it
        if parent.is_some_and(|parent| !parent.sampled) {
            return None;
        }
        let (variable, text) = first(EnvironmentVariable::OtelTracesHeaders, EnvironmentVariable::OtelHeaders);
        let headers = text.map_or_else(|| Some(HeaderMap::new()), headers).unwrap_or_else(|| {
            warn(variable, "it is not `NAME=VALUE` pairs separated by commas; none is used");
            HeaderMap::new()
        });
        let given = get(EnvironmentVariable::OtelResourceAttributes);
        let given = given.map_or_else(|| Some(Vec::new()), pairs).unwrap_or_else(|| {
            warn(
                EnvironmentVariable::OtelResourceAttributes,
                "it is not `KEY=VALUE` pairs separated by commas; none is used",
            );
            Vec::new()
        });
        let resource = resource(given, get(EnvironmentVariable::OtelServiceName));
        let ca_file = get(EnvironmentVariable::OtelCertificate).map(PathBuf::from);
        Some(Self { endpoint, headers, resource, parent, ca_file })
    }
}

/// The general address is a folder, that of traces is complete.
fn address(text: &str, variable: EnvironmentVariable) -> Option<Url> {
    let mut text = text.to_owned();
    if variable == EnvironmentVariable::OtelEndpoint {
        text = format!("{}/v1/traces", text.trim_end_matches('/'));
    }
    Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

/// Returns what describes this process; what is given wins over what is known.
fn resource(mut given: Vec<(String, String)>, service: Option<&str>) -> Vec<(String, String)> {
    if let Some(service) = service {
        given.retain(|(key, _)| key != "service.name");
        given.insert(0, ("service.name".to_owned(), service.to_owned()));
    }
    for (key, value) in [("service.name", "sockel"), ("service.version", env!("CARGO_PKG_VERSION"))] {
        if !given.iter().any(|(known, _)| known == key) {
            given.push((key.to_owned(), value.to_owned()));
        }
    }
    given
}

/// Reads `KEY=VALUE,KEY=VALUE` with percent signs as in W3C Baggage; of two values for a key the last counts.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=')?;
        let key = decoded(key.trim()).filter(|key| !key.is_empty())?;
        let value = decoded(value.trim())?;
        pairs.retain(|(known, _)| *known != key);
        pairs.push((key, value));
    }
    Some(pairs)
}

fn headers(text: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (key, value) in pairs(text)? {
        let mut value: HeaderValue = value.parse().ok()?;
        value.set_sensitive(true);
        headers.insert(key.parse::<HeaderName>().ok()?, value);
    }
    Some(headers)
}

/// Reads `%20` and the like.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
            let value = digit()? * 16 + digit()?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Reads a `traceparent` (W3C Trace Context, 3.2): version, trace, span, flags; later versions may have more.
fn traceparent(text: &str) -> Option<Parent> {
    let mut parts = text.split('-');
    let [version] = hex::bytes::<1>(parts.next()?)?;
    let (trace, span) = (hex::bytes::<16>(parts.next()?)?, hex::bytes::<8>(parts.next()?)?);
    let [flags] = hex::bytes::<1>(parts.next()?)?;
    let is_sound = version != 0xff && (version > 0 || parts.next().is_none());
    (is_sound && trace != [0; 16] && span != [0; 8]).then_some(Parent { trace, span, sampled: flags & 1 == 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn judge(variables: &[(EnvironmentVariable, &str)]) -> (Option<TraceOptions>, Vec<String>) {
        let variables: Vec<(EnvironmentVariable, OsString)> =
            variables.iter().map(|(variable, value)| (*variable, OsString::from(value))).collect();
        TraceOptions::judge(&|wanted| variables.iter().find(|(known, _)| *known == wanted).map(|(_, value)| value))
    }

    /// Variables, address, number of warnings.
    type Case<'a> = (&'a [(EnvironmentVariable, &'a str)], Option<&'a str>, usize);

    #[test]
    fn the_environment_decides_where_to() {
        use EnvironmentVariable::*;
        let general = (OtelEndpoint, "http://c:4318/");
        let table: &[Case<'_>] = &[
            (&[], None, 0),
            (&[(OtelExporter, "otlp")], Some("http://localhost:4318/v1/traces"), 0),
            (&[general], Some("http://c:4318/v1/traces"), 0),
            (&[general, (OtelTracesEndpoint, "https://t/x")], Some("https://t/x"), 0),
            (&[general, (OtelExporter, "none")], None, 0),
            (&[general, (OtelExporter, "zipkin")], None, 1),
            (&[general, (OtelDisabled, "TRUE")], None, 0),
            (&[general, (OtelProtocol, "grpc")], None, 1),
            (&[general, (OtelProtocol, "http/protobuf")], Some("http://c:4318/v1/traces"), 0),
            (&[general, (OtelProtocol, "grpc"), (OtelTracesProtocol, "http/json")], Some("http://c:4318/v1/traces"), 0),
            (&[(OtelEndpoint, "c:4318")], None, 1),
            (&[general, (TraceParent, &PARENT.replace("-01", "-00"))], None, 0),
            (&[general, (TraceParent, "secret")], Some("http://c:4318/v1/traces"), 1),
            (&[general, (OtelHeaders, "secret")], Some("http://c:4318/v1/traces"), 1),
            (&[general, (OtelResourceAttributes, "a=%secret")], Some("http://c:4318/v1/traces"), 1),
        ];
        for (variables, endpoint, warned) in table {
            let (options, warnings) = judge(variables);
            assert_eq!(options.as_ref().map(|options| options.endpoint.as_str()), *endpoint, "{variables:?}");
            assert_eq!(warnings.len(), *warned, "{variables:?} {warnings:?}");
            assert!(!warnings.concat().contains("secret"), "{warnings:?}");
        }
    }

    #[test]
    fn headers_and_attributes_are_decoded() {
        let (options, warnings) = judge(&[
            (EnvironmentVariable::OtelEndpoint, "http://c"),
            (EnvironmentVariable::OtelHeaders, "authorization=Basic%20secret, x-y = z"),
            (EnvironmentVariable::OtelResourceAttributes, "service.name=old,ci.job=a%2Cb,ci.job=c"),
            (EnvironmentVariable::OtelServiceName, "images"),
            (EnvironmentVariable::TraceParent, PARENT),
        ]);
        let options = options.unwrap();
        assert!(warnings.is_empty() && !format!("{options:?}").contains("secret"));
        assert_eq!(
            (&options.headers["authorization"], &options.headers["x-y"]),
            (&"Basic secret".parse().unwrap(), &"z".parse().unwrap())
        );
        let resource: Vec<String> = options.resource.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(resource[..2], ["service.name=images", "ci.job=c"]);
        assert_eq!(options.parent.map(|parent| parent.span), Some([0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]));
    }

    #[test]
    fn only_sound_parents_count() {
        assert!(traceparent(PARENT).is_some());
        assert!(traceparent(&PARENT.replacen("00", "01", 1).replace("-01", "-01-more")).is_some());
        for bad in [
            "",
            "00",
            &PARENT.replacen("00", "ff", 1),
            &PARENT.to_uppercase(),
            &format!("{PARENT}-more"),
            &PARENT.replace("b7ad6b7169203331", "0000000000000000"),
            &PARENT.replace("b7ad6b71", "ü7ad6b7"),
        ] {
            assert_eq!(traceparent(bad), None, "{bad}");
        }
    }
}
