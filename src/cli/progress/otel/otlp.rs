//! The request to a collector: `ExportTraceServiceRequest` of OTLP 1 in the JSON encoding of
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding> (ids in hexadecimal, 64-bit numbers as text).

use crate::cli::progress::otel::TraceId;
use crate::cli::progress::otel::spans::Attribute;
use crate::cli::progress::otel::spans::Span;
use crate::values::hex;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;

/// `SPAN_KIND_INTERNAL`, as the conventions for command line programs ask for.
const INTERNAL: u8 = 1;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// Returns the request's body.
pub(super) fn request(trace: &TraceId, resource: &[(String, String)], spans: &[Span]) -> Vec<u8> {
    let resource: Vec<Value> = resource.iter().map(|(key, value)| text(key, value)).collect();
    let spans: Vec<Value> = spans.iter().map(|one| span(trace, one)).collect();
    let scope = json!({ "name": "sockel", "version": env!("CARGO_PKG_VERSION") });
    let body = json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{ "scope": scope, "spans": spans }],
    }] });
    body.to_string().into_bytes()
}

fn span(trace: &TraceId, span: &Span) -> Value {
    let mut value = json!({ "traceId": hex::digits(trace), "spanId": hex::digits(&span.id) });
    if let Some(parent) = &span.parent {
        value["parentSpanId"] = json!(hex::digits(parent));
    }
    value["name"] = json!(span.name);
    value["kind"] = json!(INTERNAL);
    value["startTimeUnixNano"] = json!(nanoseconds(span.begun));
    value["endTimeUnixNano"] = json!(nanoseconds(span.ended));
    value["attributes"] = span.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    if !span.warnings.is_empty() {
        value["events"] = span.warnings.iter().map(|(time, warning)| event(*time, warning)).collect();
    }
    if let Some(message) = &span.error {
        value["status"] = json!({ "code": ERROR, "message": message });
    }
    value
}

fn event(time: Duration, warning: &str) -> Value {
    json!({ "timeUnixNano": nanoseconds(time), "name": "warning", "attributes": [text("message", warning)] })
}

fn attribute(key: &str, value: &Attribute) -> Value {
    match value {
        Attribute::Text(value) => text(key, value),
        Attribute::Number(value) => {
            let value = i64::try_from(*value).unwrap_or(i64::MAX);
            json!({ "key": key, "value": { "intValue": value.to_string() } })
        }
        Attribute::Flag(value) => json!({ "key": key, "value": { "boolValue": value } }),
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn nanoseconds(time: Duration) -> String {
    time.as_nanos().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        let mut one = Span::new([0xab; 8], Some([1; 8]), "upload", Duration::new(1_700_000_000, 5));
        one.ended = Duration::new(1_700_000_001, 0);
        one.attributes = vec![("n", Attribute::Number(u64::MAX)), ("f", Attribute::Flag(true))];
        one.warnings = vec![(Duration::from_nanos(7), "w".to_owned())];
        one.error = Some("cannot \"x\"".to_owned());
        let resource = [("service.name".to_owned(), "sockel".to_owned())];
        let body = String::from_utf8(request(&[0x0f; 16], &resource, &[one])).unwrap();
        insta::assert_snapshot!(body.replace(env!("CARGO_PKG_VERSION"), "VERSION"), @r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"sockel"}}]},"scopeSpans":[{"scope":{"name":"sockel","version":"VERSION"},"spans":[{"traceId":"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","spanId":"abababababababab","parentSpanId":"0101010101010101","name":"upload","kind":1,"startTimeUnixNano":"1700000000000000005","endTimeUnixNano":"1700000001000000000","attributes":[{"key":"n","value":{"intValue":"9223372036854775807"}},{"key":"f","value":{"boolValue":true}}],"events":[{"timeUnixNano":"7","name":"warning","attributes":[{"key":"message","value":{"stringValue":"w"}}]}],"status":{"code":2,"message":"cannot \"x\""}}]}]}]}"#);
    }
}
