//! An Envoy of a few lines for tests of the hooks: it has one stream, and says what the module did with it.

use super::*;
use std::cell::RefCell;

/// Status, headers and body of an answer.
type Sent = (u32, Vec<(String, String)>, String);

#[derive(Default)]
struct Envoy {
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Of the answer; the same for all streams of a test.
    status: &'static str,
    /// What the hold left in the metadata.
    hold_code: &'static str,
    server_name: &'static [u8],
    policy: Option<*const c_void>,
    sent: Vec<Sent>,
    metadata: Vec<(String, String)>,
    counted: Vec<usize>,
    defined: Vec<String>,
    data: Vec<u8>,
    body: Vec<u8>,
    closed: Option<String>,
}

thread_local!(static ENVOY: RefCell<Envoy> = RefCell::default());

fn envoy<T>(work: impl FnOnce(&mut Envoy) -> T) -> T {
    ENVOY.with_borrow_mut(work)
}

fn text(buffer: Buffer) -> String {
    String::from_utf8(unsafe { buffer.bytes() }.to_vec()).unwrap()
}

macro_rules! fakes {
    ($($name:ident($($arg:ident: $kind:ty),*) $(-> $result:ty)? $body:block)*) => {
        $(#[unsafe(no_mangle)] extern "C" fn $name($($arg: $kind),*) $(-> $result)? { $(let _ = &$arg;)* $body })*
    };
}

fakes! {
    envoy_dynamic_module_callback_http_add_header(f: *mut c_void, kind: i32, name: Buffer, value: Buffer) -> bool {
        let new = unsafe { (name.bytes().to_vec(), value.bytes().to_vec()) };
        envoy(|it| it.headers.push(new));
        true
    }
    envoy_dynamic_module_callback_log(level: i32, message: Buffer) {}
    envoy_dynamic_module_callback_http_get_headers_size(f: *mut c_void, kind: i32) -> usize {
        envoy(|it| if kind == RESPONSE_HEADERS { 1 } else { it.headers.len() })
    }
    envoy_dynamic_module_callback_http_get_headers(f: *mut c_void, kind: i32, to: *mut Pair) -> bool {
        if kind == RESPONSE_HEADERS {
            let status = envoy(|it| it.status);
            unsafe { *to = Pair::of(":status", status) };
            return true;
        }
        envoy(|it| for (index, (name, value)) in it.headers.iter().enumerate() {
            unsafe { *to.add(index) = Pair { name: Buffer::of(name), value: Buffer::of(value) } }
        });
        true
    }
    envoy_dynamic_module_callback_http_set_header(f: *mut c_void, kind: i32, name: Buffer, value: Buffer) -> bool {
        let (name, new) = unsafe { (name.bytes().to_vec(), value.bytes().to_vec()) };
        envoy(|it| {
            it.headers.retain(|(each, _)| *each != name);
            if !value.start.is_null() { it.headers.push((name, new)); }
        });
        true
    }
    envoy_dynamic_module_callback_http_send_response(
        f: *mut c_void, status: u32, headers: *mut Pair, count: usize, body: Buffer, details: Buffer
    ) {
        let headers = (0..count).map(|index| unsafe { *headers.add(index) });
        let headers = headers.map(|pair| (text(pair.name), text(pair.value))).collect();
        envoy(|it| it.sent.push((status, headers, text(body))));
    }
    envoy_dynamic_module_callback_http_filter_get_attribute_string(f: *mut c_void, id: i32, to: *mut Buffer) -> bool {
        let value: &[u8] = if id == ATTRIBUTE_SERVER_NAME { envoy(|it| it.server_name) } else { b"host" };
        unsafe { *to = Buffer::of(value) };
        true
    }
    envoy_dynamic_module_callback_http_drain_body(f: *mut c_void, kind: i32, length: usize) -> bool {
        assert_eq!(kind, RECEIVED_REQUEST_BODY);
        envoy(|it| it.body.drain(..length.min(it.body.len())).count());
        true
    }
    envoy_dynamic_module_callback_get_most_specific_route_config(f: *mut c_void) -> *const c_void {
        envoy(|it| it.policy.unwrap_or(std::ptr::null()))
    }
    envoy_dynamic_module_callback_http_set_dynamic_metadata_string_batch(
        f: *mut c_void, namespace: Buffer, members: *const Pair, count: usize
    ) {
        let members = (0..count).map(|index| unsafe { *members.add(index) });
        envoy(|it| it.metadata.extend(members.map(|pair| (text(pair.name), text(pair.value)))));
    }
    envoy_dynamic_module_callback_http_get_metadata_string(
        f: *mut c_void, source: i32, namespace: Buffer, key: Buffer, to: *mut Buffer
    ) -> bool {
        assert_eq!((source, text(namespace).as_str(), text(key).as_str()), (DYNAMIC_METADATA, HOLD_NAMESPACE, "code"));
        let code = envoy(|it| it.hold_code);
        unsafe { *to = Buffer::of(code.as_bytes()) };
        !code.is_empty()
    }
    envoy_dynamic_module_callback_http_filter_config_define_counter(
        c: *mut c_void, name: Buffer, labels: *const Buffer, count: usize, id: *mut usize
    ) -> i32 {
        envoy(|it| { it.defined.push(text(name)); unsafe { *id = it.defined.len() } });
        METRIC_SUCCESS
    }
    envoy_dynamic_module_callback_http_filter_config_define_gauge(
        c: *mut c_void, name: Buffer, labels: *const Buffer, count: usize, id: *mut usize
    ) -> i32 {
        envoy(|it| { it.defined.push(text(name)); unsafe { *id = it.defined.len() } });
        METRIC_SUCCESS
    }
    envoy_dynamic_module_callback_http_filter_config_set_gauge(
        c: *mut c_void, id: usize, labels: *const Buffer, count: usize, value: u64
    ) -> i32 { METRIC_SUCCESS }
    envoy_dynamic_module_callback_http_filter_increment_counter(
        f: *mut c_void, id: usize, labels: *const Buffer, count: usize, value: u64
    ) -> i32 { envoy(|it| it.counted.push(id)); METRIC_SUCCESS }
    envoy_dynamic_module_callback_early_header_mutation_get_header_value(
        c: *mut c_void, name: Buffer, to: *mut Buffer, index: usize, count: *mut usize
    ) -> bool {
        envoy(|it| unsafe { *to = Buffer::of(&it.headers[0].1) });
        true
    }
    envoy_dynamic_module_callback_early_header_mutation_set_header(
        c: *mut c_void, name: Buffer, value: Buffer
    ) -> bool { let new = unsafe { value.bytes() }.to_vec(); envoy(|it| it.headers[0].1 = new); true }
    envoy_dynamic_module_callback_listener_filter_get_buffer_chunk(f: *mut c_void, to: *mut Buffer) -> bool {
        envoy(|it| unsafe { *to = Buffer::of(&it.data) });
        true
    }
    envoy_dynamic_module_callback_listener_filter_set_dynamic_metadata_string(
        f: *mut c_void, namespace: Buffer, key: Buffer, value: Buffer
    ) { envoy(|it| it.metadata.push((text(key), text(value)))); }
    envoy_dynamic_module_callback_listener_filter_close_socket(f: *mut c_void, details: Buffer) {
        envoy(|it| it.closed = Some(text(details)));
    }
    envoy_dynamic_module_callback_listener_filter_config_define_counter(
        c: *mut c_void, name: Buffer, id: *mut usize
    ) -> i32 { METRIC_SUCCESS }
    envoy_dynamic_module_callback_listener_filter_increment_counter(f: *mut c_void, id: usize, value: u64) -> i32 {
        METRIC_SUCCESS
    }
}

const NOBODY: *mut c_void = std::ptr::null_mut();

/// One call through the hooks, from the configuration to the end of the stream.
fn call(headers: &[(&str, &str)], policy: Option<&str>) -> i32 {
    call_on("policy", headers, policy)
}

/// The same on a route whose policy has this name.
fn call_on(name: &str, headers: &[(&str, &str)], policy: Option<&str>) -> i32 {
    let config = crate::config::tests::config("");
    let gate =
        envoy_dynamic_module_on_http_filter_config_new(NOBODY, Buffer::of(b"gate"), Buffer::of(config.as_bytes()));
    let name = Buffer::of(name.as_bytes());
    let policy =
        policy.map(|json| envoy_dynamic_module_on_http_filter_per_route_config_new(name, Buffer::of(json.as_bytes())));
    assert!(!gate.is_null() && policy.is_none_or(|policy| !policy.is_null()));
    let has_body = headers.iter().any(|(name, _)| *name == "content-length");
    let headers = headers.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    let headers = headers.collect();
    ENVOY.set(Envoy { headers, policy, body: b"body".to_vec(), server_name: b"a.b", ..Envoy::default() });
    let stream = envoy_dynamic_module_on_http_filter_new(gate, NOBODY);
    let status = envoy_dynamic_module_on_http_filter_request_headers(NOBODY, stream, !has_body);
    envoy_dynamic_module_on_http_filter_request_body(NOBODY, stream, true);
    let calls = |expected: u64| {
        assert_eq!(GAUGES.read().get(ENDPOINT.with_borrow(Clone::clone).as_str()).copied().unwrap_or(0), expected)
    };
    calls(u64::from(status == CONTINUE));
    envoy_dynamic_module_on_http_filter_response_headers(NOBODY, stream, true);
    envoy_dynamic_module_on_http_filter_stream_complete(NOBODY, stream);
    envoy_dynamic_module_on_http_filter_stream_complete(NOBODY, stream);
    calls(0);
    envoy_dynamic_module_on_http_filter_destroy(stream);
    envoy_dynamic_module_on_http_filter_per_route_config_destroy(policy.unwrap_or(std::ptr::null()));
    envoy_dynamic_module_on_http_filter_config_destroy(gate);
    status
}

fn good<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut headers = vec![
        (":authority", "a.b"),
        (":method", "POST"),
        (":path", "/v2/models/m/infer"),
        ("x-api-key", crate::decide::tests::KEY),
    ];
    headers.extend(more);
    headers
}

thread_local!(static ENDPOINT: RefCell<String> = RefCell::new(format!("search/{:?}", std::thread::current().id())));

/// Each test, which has a thread of its own, has an endpoint of its own.
fn policy(more: &str) -> String {
    let policy = crate::decide::tests::policy_json(&format!(r#", "accept": [["apiKey"]]{more}"#));
    let policy = policy.replace("search/minilm", &ENDPOINT.with_borrow(Clone::clone));
    policy.replace("100, 200", "null, null").replace(r#", "limit": "t""#, "")
}

#[test]
fn an_admitted_call_goes_on_with_the_identity_of_its_client_alone() {
    let forged = [
        ("x-nightlatch-client", "root"),
        ("x-nightlatch-client", "admin"),
        ("x-nightlatch-hold-timeout", "3"),
        ("cookie", "a"),
        ("x-forwarded-for", "1.1.1.1, 2.2.2.2"),
        ("accept", "x"),
    ];
    assert_eq!(call(&good(&forged), Some(&policy(""))), CONTINUE);
    let (headers, metadata, sent) = envoy(|it| (it.headers.clone(), it.metadata.clone(), it.sent.len()));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let headers = headers.into_iter().map(|(name, value)| (text(name), text(value)));
    let mut headers: Vec<_> = headers.collect();
    headers.sort();
    let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            ":authority",
            ":method",
            ":path",
            "accept",
            "x-forwarded-for",
            "x-nightlatch-client",
            "x-nightlatch-method",
            "x-nightlatch-permissions"
        ]
    );
    assert_eq!((headers[5].1.as_str(), headers[4].1.as_str()), ("search/bot", "2.2.2.2"));
    assert_eq!((metadata.len(), sent), (0, 0));
}

#[test]
fn the_hold_learns_who_calls_and_how_long_the_caller_would_wait() {
    let patience = ("x-nightlatch-hold-timeout", "3");
    assert_eq!(call_on("held-policy", &good(&[patience]), Some(&policy(""))), CONTINUE);
    let (headers, metadata) = envoy(|it| (it.headers.clone(), it.metadata.clone()));
    assert!(headers.contains(&(patience.0.into(), patience.1.into())));
    let expected = [("client", "search/bot"), ("credential", "000000000000")];
    assert_eq!(metadata, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn the_body_of_a_call_that_can_have_none_is_dropped_with_its_length() {
    let ask = [
        (":authority", "a.b"),
        (":path", "/v2/models/m"),
        ("x-api-key", crate::decide::tests::KEY),
        ("content-length", "4"),
    ];
    let policy = policy("").replace(r#"["infer"]"#, r#"["infer", "metadata"]"#);
    for (method, path, left) in [("GET", "/v2/models/m", &b""[..]), ("POST", "/v2/models/m/infer", b"body")] {
        let headers = [&ask[..1], &ask[2..], &[(":method", method), (":path", path)]].concat();
        assert_eq!(call(&headers, Some(&policy)), CONTINUE);
        assert_eq!(envoy(|it| std::mem::take(&mut it.body)), left);
        assert_eq!(envoy(|it| it.headers.iter().any(|(name, _)| name == b"content-length")), !left.is_empty());
    }
}

#[test]
fn a_refused_call_is_answered_and_stopped() {
    for (headers, policy, expected) in [
        (good(&[("authorization", "Basic YTpi")]), Some(policy("")), 401),
        (good(&[]), None, 401),
        (good(&[]), Some(policy(r#", "denied": {"code": "PolicyUnreadable"}"#)), 503),
    ] {
        assert_eq!(call(&headers, policy.as_deref()), STOP);
        let sent = envoy(|it| std::mem::take(&mut it.sent));
        assert_eq!(sent.iter().map(|(status, ..)| *status).collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn a_panic_is_answered_with_500_and_the_call_is_stopped_and_written() {
    for (content_type, grpc) in [("application/json", false), ("application/grpc", true)] {
        let headers = [(":authority", "a.b"), (":path", "/panic"), ("content-type", content_type)];
        assert_eq!(call(&headers, Some(&policy(""))), STOP);
        let sent = envoy(|it| std::mem::take(&mut it.sent));
        assert_eq!((sent.len(), sent[0].0), (1, 500));
        assert_eq!(envoy(|it| it.metadata[..2].to_vec()), deny("request_failed"));
        assert_eq!(sent[0].1.iter().any(|(name, _)| name == "grpc-status"), grpc);
    }
}

#[test]
fn what_cannot_be_read_is_refused_by_a_null() {
    let (bad, gate, other) = (Buffer::of(b"{}"), Buffer::of(b"gate"), Buffer::of(b"other"));
    let config = crate::config::tests::config("");
    let good = Buffer::of(config.as_bytes());
    assert!(envoy_dynamic_module_on_http_filter_config_new(NOBODY, gate, bad).is_null());
    assert!(envoy_dynamic_module_on_http_filter_config_new(NOBODY, other, good).is_null());
    assert!(envoy_dynamic_module_on_http_filter_per_route_config_new(Buffer::of(b"policy"), bad).is_null());
    assert!(envoy_dynamic_module_on_listener_filter_config_new(NOBODY, other, Buffer::NONE).is_null());
    assert!(envoy_dynamic_module_on_listener_filter_config_new(NOBODY, Buffer::of(b"hello"), bad).is_null());
    assert!(envoy_dynamic_module_on_early_header_mutation_config_new(NOBODY, other, Buffer::NONE).is_null());
    assert_eq!(envoy_dynamic_module_on_http_filter_request_headers(NOBODY, std::ptr::null(), true), STOP);
}

/// The metadata of a stream that `filter` sees, with these steps between its beginning and its answer.
fn answered(name: &[u8], config: &str, envoy_side: Envoy, steps: impl FnOnce(*const c_void)) -> Vec<(String, String)> {
    let filter =
        envoy_dynamic_module_on_http_filter_config_new(NOBODY, Buffer::of(name), Buffer::of(config.as_bytes()));
    assert!(!filter.is_null());
    ENVOY.set(envoy_side);
    let stream = envoy_dynamic_module_on_http_filter_new(filter, NOBODY);
    steps(stream);
    envoy_dynamic_module_on_http_filter_response_headers(NOBODY, stream, true);
    envoy_dynamic_module_on_http_filter_destroy(stream);
    envoy_dynamic_module_on_http_filter_config_destroy(filter);
    let mut metadata = envoy(|it| std::mem::take(&mut it.metadata));
    metadata.retain(|(name, _)| name == "decision" || name == "code");
    metadata
}

fn deny(code: &str) -> Vec<(String, String)> {
    vec![("decision".to_owned(), "deny".to_owned()), ("code".to_owned(), code.to_owned())]
}

#[test]
fn what_envoy_refuses_before_the_gate_is_written_with_the_code_of_its_status() {
    let codes = r#""envoyCodes": {"431": "headers_too_large", "*": "other"}"#;
    let gate = crate::config::tests::config(&format!(", {codes}"));
    let watch = format!(r#"{{"format": 1, "audit": {{"refusalsPerSecond": 100, "allowsPerMillion": 0}}, {codes}}}"#);
    for (name, config) in [(&b"gate"[..], &gate), (b"watch", &watch)] {
        for (status, code) in [("431", "headers_too_large"), ("408", "other")] {
            let side = Envoy { status, ..Envoy::default() };
            assert_eq!(answered(name, config, side, |_| {}), deny(code));
        }
        assert!(answered(name, config, Envoy { status: "200", ..Envoy::default() }, |_| {}).is_empty());
    }
}

#[test]
fn a_call_that_is_refused_after_the_gate_let_it_through_is_written_and_a_failure_is_not() {
    let gate = crate::config::tests::config("");
    let policy = policy("");
    let name = Buffer::of(b"policy");
    for (status, details, hold_code, expected) in [
        (413, "request_payload_too_large", "", deny("request_failed")),
        (429, "ext_authz_denied", "too_many_held", deny("too_many_held")),
        (503, "ext_authz_error", "", deny("request_failed")),
        (503, "upstream_reset_before_response_started{overflow}", "", deny("request_failed")),
        (503, "upstream_reset_before_response_started{connection_failure}", "", vec![]),
        (504, "upstream_response_timeout", "", vec![]),
    ] {
        let policy = envoy_dynamic_module_on_http_filter_per_route_config_new(name, Buffer::of(policy.as_bytes()));
        let headers = good(&[]).into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        let side = Envoy {
            headers: headers.collect(),
            policy: Some(policy),
            server_name: b"a.b",
            status: "500",
            hold_code,
            ..Envoy::default()
        };
        let found = answered(b"gate", &gate, side, |stream| {
            assert_eq!(envoy_dynamic_module_on_http_filter_request_headers(NOBODY, stream, true), CONTINUE);
            let details = Buffer::of(details.as_bytes());
            envoy_dynamic_module_on_http_filter_local_reply(NOBODY, stream, status, details, false);
        });
        assert_eq!(found, expected, "{details}");
        envoy_dynamic_module_on_http_filter_per_route_config_destroy(policy);
    }
}

#[test]
fn trailers_name_nobody_either() {
    let names = ["grpc-timeout", "cookie", "x-nightlatch-client", "x-checksum"];
    let headers = names.map(|name| (name.as_bytes().to_vec(), b"x".to_vec())).to_vec();
    ENVOY.set(Envoy { headers, ..Envoy::default() });
    assert_eq!(envoy_dynamic_module_on_http_filter_request_trailers(NOBODY, std::ptr::null()), CONTINUE);
    let left: Vec<_> = envoy(|it| it.headers.iter().map(|(name, _)| name.clone()).collect());
    assert_eq!(left, [b"grpc-timeout".to_vec(), b"x-checksum".to_vec()]);
}

#[test]
fn a_host_is_rewritten_before_it_chooses_a_route() {
    let headers = vec![(b":authority".to_vec(), b"A.B.".to_vec())];
    ENVOY.set(Envoy { headers, ..Envoy::default() });
    assert!(envoy_dynamic_module_on_early_header_mutation_mutate(std::ptr::null(), NOBODY));
    assert_eq!(envoy(|it| it.headers[0].1.clone()), b"a.b");
}

#[test]
fn a_connection_that_does_not_speak_tls_is_closed() {
    let counters = envoy_dynamic_module_on_listener_filter_config_new(NOBODY, Buffer::of(b"hello"), Buffer::NONE);
    let connection = envoy_dynamic_module_on_listener_filter_new(counters, NOBODY);
    for (data, expected) in
        [(&b""[..], None), (b"\x16\x03", None), (b"GET / HTTP/1.1", Some("nightlatch_hello_not_tls"))]
    {
        ENVOY.set(Envoy { data: data.to_vec(), ..Envoy::default() });
        assert_eq!(envoy_dynamic_module_on_listener_filter_on_data(NOBODY, connection, data.len()), STOP);
        assert_eq!(envoy(|it| it.closed.take()).as_deref(), expected);
        let noted = envoy(|it| it.metadata.iter().find(|(name, _)| name == "details").map(|it| it.1.clone()));
        assert_eq!(noted.as_deref(), expected);
    }
    assert_eq!(envoy_dynamic_module_on_listener_filter_get_max_read_bytes(NOBODY, connection), hello::FIRST_READ);
    envoy_dynamic_module_on_listener_filter_destroy(connection);
    envoy_dynamic_module_on_listener_filter_config_destroy(counters);
}
