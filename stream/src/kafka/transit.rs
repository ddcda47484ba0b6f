//! What of a record's way stands beside its bytes: when it was published, and in which span.

use forebay_runtime::trace::TraceContext;
use forebay_schemas::Timestamp;
use rdkafka::{
    Timestamp as KafkaTime,
    message::{Header, OwnedHeaders},
};

use crate::Transit;

/// W3C Trace Context: the span in which a record was published, of those that are traced.
pub(super) const TRACEPARENT: &str = "traceparent";
/// What that takes in a record.
pub(super) const TRACE_BYTES: usize = 80;

/// Of a record that came: its time, and what its header says. A header that is none of a span that is kept says nothing.
pub(super) fn transit(time: KafkaTime, traceparent: Option<&str>) -> Transit {
    Transit {
        published: published(time),
        trace: traceparent.and_then(|text| text.parse().ok()),
    }
}

/// The headers with that of the span in which a record is published, if that is kept.
pub(super) fn with_trace(headers: OwnedHeaders, trace: Option<TraceContext>) -> OwnedHeaders {
    let Some(trace) = trace else {
        return headers;
    };
    headers.insert(Header {
        key: TRACEPARENT,
        value: Some(&trace.to_string()),
    })
}

/// When a record was sent, or taken by a broker that keeps that time instead.
fn published(time: KafkaTime) -> Option<Timestamp> {
    let millis = match time {
        KafkaTime::NotAvailable => None,
        KafkaTime::CreateTime(millis) | KafkaTime::LogAppendTime(millis) => Some(millis),
    };
    Timestamp::from_micros(millis?.checked_mul(1_000)?)
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Headers as _;

    use super::*;

    #[test]
    fn what_is_said_beside_a_record_is_read_and_a_stranger_s_header_is_not() {
        let trace = TraceContext {
            trace_id: 0xabc,
            span_id: 0xdef,
        };
        let headers = with_trace(OwnedHeaders::new(), Some(trace));
        let sent = headers.get(0);
        let text = sent.value.map(|value| str::from_utf8(value).unwrap());
        assert_eq!(sent.key, "traceparent");
        let check = |time, text, millis: Option<i64>, trace| {
            let published = millis.map(|millis| Timestamp::from_nanos(millis * 1_000_000));
            assert_eq!(transit(time, text), Transit { published, trace });
        };
        check(KafkaTime::CreateTime(1_700), text, Some(1_700), Some(trace));
        check(KafkaTime::LogAppendTime(5), None, Some(5), None);
        check(KafkaTime::NotAvailable, Some("00-rubbish"), None, None);
        check(KafkaTime::CreateTime(i64::MAX), Some("ü"), None, None);
        assert_eq!(with_trace(OwnedHeaders::new(), None).count(), 0);
        let bytes = TRACEPARENT.len() + text.unwrap().len();
        assert!(bytes < TRACE_BYTES, "{bytes}");
    }
}
