//! Everything that talks to Envoy: the declarations of its dynamic-module ABI, and the hooks that it calls.
//!
//! This is the only file with `unsafe`. Each hook catches a panic: a call during whose decision something panicked is
//! answered with 500 and never passed on.
//!
//! The pointers that Envoy gives are good for the duration of a hook, header values until that header is changed.
//! What a hook hands to Envoy is copied by Envoy before the callback returns.

use crate::call::{Call, canonical_host};
use crate::config::{Config, Watch};
use crate::decide::{Now, Verdict, decide};
use crate::gauge::{GAUGES, InFlight};
use crate::hello::{self, Fault, Hello, Name};
use crate::issuers::UNKNOWN_KEYS;
use crate::last_use::LAST_USES;
use crate::limit::{REGISTRY, Rate};
use crate::mechanisms::mtls::Shown;
use crate::policy::Policy;
use crate::reply::{self, Reply, Shape};
use crate::{audit, identity};
use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

#[cfg(test)]
mod fake;

// --- Types of the ABI, `source/extensions/dynamic_modules/abi/abi.h` of Envoy 1.40.

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Buffer {
    start: *const u8,
    length: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Pair {
    name: Buffer,
    value: Buffer,
}

const REQUEST_HEADERS: i32 = 0;
const REQUEST_TRAILERS: i32 = 1;
const RESPONSE_HEADERS: i32 = 2;
const RECEIVED_REQUEST_BODY: i32 = 0;
const DYNAMIC_METADATA: i32 = 0;
const ATTRIBUTE_SERVER_NAME: i32 = 30;
const ATTRIBUTE_VIRTUAL_HOST: i32 = 63;
const LOG_WARNING: i32 = 3;
const METRIC_SUCCESS: i32 = 0;
/// What the listener notes of the certificate of a connection.
const CERTIFICATE: &[u8] = b"nightlatch.certificate";
/// What ext_authz, which is the hold, leaves in the metadata and in the details of its answers.
const HOLD_NAMESPACE: &str = "envoy.filters.http.ext_authz";
const HOLD_DETAILS: &[u8] = b"ext_authz_";
/// The end of the details where a circuit breaker of the endpoint is open.
const OVERFLOW_DETAILS: &[u8] = b"{overflow}";
const CONTINUE: i32 = 0;
const STOP: i32 = 1;

unsafe extern "C" {
    fn envoy_dynamic_module_callback_log(level: i32, message: Buffer);
    fn envoy_dynamic_module_callback_http_get_headers_size(filter: *mut c_void, kind: i32) -> usize;
    fn envoy_dynamic_module_callback_http_get_headers(filter: *mut c_void, kind: i32, headers: *mut Pair) -> bool;
    fn envoy_dynamic_module_callback_http_set_header(f: *mut c_void, kind: i32, name: Buffer, value: Buffer) -> bool;
    fn envoy_dynamic_module_callback_http_add_header(f: *mut c_void, kind: i32, name: Buffer, value: Buffer) -> bool;
    fn envoy_dynamic_module_callback_http_send_response(
        filter: *mut c_void,
        status: u32,
        headers: *mut Pair,
        count: usize,
        body: Buffer,
        details: Buffer,
    );
    fn envoy_dynamic_module_callback_http_filter_get_attribute_string(f: *mut c_void, id: i32, to: *mut Buffer)
    -> bool;
    fn envoy_dynamic_module_callback_http_get_filter_state_bytes(f: *mut c_void, key: Buffer, to: *mut Buffer) -> bool;
    fn envoy_dynamic_module_callback_http_drain_body(filter: *mut c_void, kind: i32, length: usize) -> bool;
    fn envoy_dynamic_module_callback_get_most_specific_route_config(filter: *mut c_void) -> *const c_void;
    fn envoy_dynamic_module_callback_http_set_dynamic_metadata_string_batch(
        filter: *mut c_void,
        namespace: Buffer,
        members: *const Pair,
        count: usize,
    );
    fn envoy_dynamic_module_callback_http_get_metadata_string(
        filter: *mut c_void,
        source: i32,
        namespace: Buffer,
        key: Buffer,
        to: *mut Buffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_filter_config_define_counter(
        config: *mut c_void,
        name: Buffer,
        labels: *const Buffer,
        count: usize,
        id: *mut usize,
    ) -> i32;
    fn envoy_dynamic_module_callback_http_filter_config_define_gauge(
        config: *mut c_void,
        name: Buffer,
        labels: *const Buffer,
        count: usize,
        id: *mut usize,
    ) -> i32;
    fn envoy_dynamic_module_callback_http_filter_config_set_gauge(
        config: *mut c_void,
        id: usize,
        labels: *const Buffer,
        count: usize,
        value: u64,
    ) -> i32;
    fn envoy_dynamic_module_callback_http_filter_increment_counter(
        filter: *mut c_void,
        id: usize,
        labels: *const Buffer,
        count: usize,
        value: u64,
    ) -> i32;
    fn envoy_dynamic_module_callback_early_header_mutation_get_header_value(
        context: *mut c_void,
        name: Buffer,
        value: *mut Buffer,
        index: usize,
        count: *mut usize,
    ) -> bool;
    fn envoy_dynamic_module_callback_early_header_mutation_set_header(
        context: *mut c_void,
        name: Buffer,
        value: Buffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_listener_filter_get_buffer_chunk(filter: *mut c_void, chunk: *mut Buffer) -> bool;
    fn envoy_dynamic_module_callback_listener_filter_set_dynamic_metadata_string(
        filter: *mut c_void,
        namespace: Buffer,
        key: Buffer,
        value: Buffer,
    );
    fn envoy_dynamic_module_callback_listener_filter_close_socket(filter: *mut c_void, details: Buffer);
    fn envoy_dynamic_module_callback_listener_filter_config_define_counter(
        config: *mut c_void,
        name: Buffer,
        id: *mut usize,
    ) -> i32;
    fn envoy_dynamic_module_callback_listener_filter_increment_counter(f: *mut c_void, id: usize, value: u64) -> i32;
}

impl Buffer {
    const NONE: Buffer = Buffer { start: std::ptr::null(), length: 0 };

    fn of(bytes: &[u8]) -> Buffer {
        Buffer { start: bytes.as_ptr(), length: bytes.len() }
    }

    /// Safety: the buffer is empty, or Envoy keeps what it points at alive and unchanged for `'a`.
    unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.start.is_null() || self.length == 0 {
            return &[];
        }
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

impl Pair {
    fn of(name: &str, value: &str) -> Pair {
        Pair { name: Buffer::of(name.as_bytes()), value: Buffer::of(value.as_bytes()) }
    }
}

/// Envoy destroys configurations on threads other than the one that made them, and reads them on all.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Filter>();
    shared::<Route>();
    shared::<Counters>();
};

fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

fn warn(message: &str) {
    unsafe { envoy_dynamic_module_callback_log(LOG_WARNING, Buffer::of(message.as_bytes())) }
}

fn now() -> Now {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { unix_ms: unix.as_millis() as i64, monotonic_ms: START.elapsed().as_millis() as u64 }
}

/// Hands a value to Envoy, which gives it back to `free` exactly once.
fn hand_over<T>(value: T) -> *const c_void {
    Box::into_raw(Box::new(value)).cast_const().cast()
}

/// Safety: `pointer` comes from `hand_over::<T>` and is not used afterwards.
unsafe fn free<T>(pointer: *const c_void) {
    if !pointer.is_null() {
        guarded(|| drop(unsafe { Box::from_raw(pointer.cast_mut().cast::<T>()) }));
    }
}

/// Safety: `pointer` is null or comes from `hand_over::<T>` and was not freed.
unsafe fn borrow<'a, T>(pointer: *const c_void) -> Option<&'a T> {
    unsafe { pointer.cast::<T>().as_ref() }
}

/// An Envoy HTTP filter for the duration of one hook.
#[derive(Clone, Copy)]
struct Http(*mut c_void);

impl Http {
    fn headers<'a>(self, kind: i32) -> Vec<(&'a [u8], &'a [u8])> {
        let count = unsafe { envoy_dynamic_module_callback_http_get_headers_size(self.0, kind) };
        let mut pairs = vec![Pair { name: Buffer::NONE, value: Buffer::NONE }; count];
        if count == 0 || !unsafe { envoy_dynamic_module_callback_http_get_headers(self.0, kind, pairs.as_mut_ptr()) } {
            return Vec::new();
        }
        pairs.into_iter().map(|pair| unsafe { (pair.name.bytes(), pair.value.bytes()) }).collect()
    }

    fn set(self, kind: i32, name: &[u8], value: &[u8]) {
        unsafe {
            envoy_dynamic_module_callback_http_set_header(self.0, kind, Buffer::of(name), Buffer::of(value));
        }
    }

    /// For a header that is known not to be there: Envoy does not look for it.
    fn add(self, kind: i32, name: &str, value: &str) {
        let (name, value) = (Buffer::of(name.as_bytes()), Buffer::of(value.as_bytes()));
        unsafe {
            envoy_dynamic_module_callback_http_add_header(self.0, kind, name, value);
        }
    }

    fn remove(self, kind: i32, name: &[u8]) {
        unsafe {
            envoy_dynamic_module_callback_http_set_header(self.0, kind, Buffer::of(name), Buffer::NONE);
        }
    }

    fn attribute<'a>(self, id: i32) -> &'a [u8] {
        let mut value = Buffer::NONE;
        let found =
            unsafe { envoy_dynamic_module_callback_http_filter_get_attribute_string(self.0, id, &raw mut value) };
        if found { unsafe { value.bytes() } } else { &[] }
    }

    /// Nobody but the listener can write this: the connection's own state is no header.
    fn certificate<'a>(self) -> Shown<'a> {
        let mut value = Buffer::NONE;
        let key = Buffer::of(CERTIFICATE);
        let found = unsafe { envoy_dynamic_module_callback_http_get_filter_state_bytes(self.0, key, &raw mut value) };
        if found { Shown::read(unsafe { value.bytes() }) } else { Shown::Nothing }
    }

    fn route<'a>(self) -> Option<&'a Route> {
        unsafe { borrow(envoy_dynamic_module_callback_get_most_specific_route_config(self.0)) }
    }

    fn send(self, reply: &Reply, details: &str) {
        let mut headers: Vec<_> = reply.headers.iter().map(|(name, value)| Pair::of(name, value)).collect();
        unsafe {
            envoy_dynamic_module_callback_http_send_response(
                self.0,
                u32::from(reply.status),
                headers.as_mut_ptr(),
                headers.len(),
                Buffer::of(reply.body.as_bytes()),
                Buffer::of(details.as_bytes()),
            );
        }
    }

    fn note(self, members: &[(&'static str, &str)]) {
        let members: Vec<_> = members.iter().map(|(name, value)| Pair::of(name, value)).collect();
        let namespace = Buffer::of(audit::NAMESPACE.as_bytes());
        unsafe {
            envoy_dynamic_module_callback_http_set_dynamic_metadata_string_batch(
                self.0,
                namespace,
                members.as_ptr(),
                members.len(),
            );
        }
    }

    /// A text that another filter left in the metadata of the call; empty if there is none.
    fn noted(self, namespace: &str, key: &str) -> String {
        let (namespace, key) = (Buffer::of(namespace.as_bytes()), Buffer::of(key.as_bytes()));
        let mut value = Buffer::NONE;
        let found = unsafe {
            envoy_dynamic_module_callback_http_get_metadata_string(
                self.0,
                DYNAMIC_METADATA,
                namespace,
                key,
                &raw mut value,
            )
        };
        let value = if found { unsafe { value.bytes() } } else { &[] };
        String::from_utf8_lossy(value).into_owned()
    }

    fn count(self, id: Option<usize>) {
        if let Some(id) = id {
            unsafe {
                envoy_dynamic_module_callback_http_filter_increment_counter(self.0, id, std::ptr::null(), 0, 1);
            }
        }
    }
}

// --- The HTTP filter `gate`.

/// The filter's configuration, with the numbers under which Envoy knows its statistics.
struct Gate {
    config: Config,
    allowed: Option<usize>,
    /// One for each entry of the table of errors.
    refused: Vec<Option<usize>>,
    panics: Option<usize>,
    audit: Audit,
}

/// What the audit log is told.
struct Audit {
    sample: audit::Sample,
    envoy_codes: audit::EnvoyCodes,
    /// Counts the refusals that are left out.
    unlogged: Option<usize>,
}

impl Audit {
    fn new(envoy: *mut c_void, amount: &audit::Amount, envoy_codes: audit::EnvoyCodes) -> Audit {
        let sample = audit::Sample::new(amount, &REGISTRY, &audit::LEFT_OUT, now().monotonic_ms);
        Audit { sample, envoy_codes, unlogged: counter(envoy, "audit_dropped") }
    }

    /// How many refusals were left out before this one, in decimal digits; None, and counted, if this one is as well.
    fn written(&self, http: Http, monotonic_ms: u64) -> Option<String> {
        let dropped = self.sample.refusal(monotonic_ms);
        if dropped.is_none() {
            http.count(self.unlogged);
        }
        dropped.map(|number| number.to_string())
    }

    /// A refusal that is not the gate's: Envoy's own, or that of the hold. The answer is made already, so the code in
    /// the metadata changes nothing of it any more.
    fn note_answer(&self, http: Http, progress: Progress) {
        let headers = http.headers(RESPONSE_HEADERS);
        let header = |name: &[u8]| headers.iter().find(|each| each.0 == name).map_or(&b""[..], |each| each.1);
        let status: u16 = std::str::from_utf8(header(b":status")).ok().and_then(|it| it.parse().ok()).unwrap_or(0);
        // An answer that Envoy makes for a gRPC caller has the HTTP status 200.
        let grpc = !matches!(header(b"grpc-status"), b"" | b"0");
        if status < 400 && !grpc {
            return;
        }
        let dropped = self.written(http, now().monotonic_ms);
        if dropped.is_none() && progress == Progress::Begun {
            return;
        }
        let told = http.noted(HOLD_NAMESPACE, "code");
        let code = match progress {
            _ if !told.is_empty() => &told,
            _ if grpc => self.envoy_codes.of_grpc(header(b"grpc-status-details-bin")),
            Progress::RefusedLater if status >= 500 => &*self.envoy_codes.hold,
            _ => self.envoy_codes.of(status),
        };
        http.note(&audit::answer(http.route().map(|route| &route.policy), code, dropped.as_deref().unwrap_or("")));
    }
}

/// `watch` is for a chain without endpoints: everything there is answered by Envoy, and `watch` has it written.
/// `report` is for a listener that only the gatekeeper reaches: it answers every request with the calls in flight
/// and the last uses of keys.
enum Filter {
    Gate(Box<Gate>),
    Watch(Box<Audit>),
    Report,
}

impl Filter {
    fn audit(&self) -> Option<&Audit> {
        match self {
            Filter::Gate(gate) => Some(&gate.audit),
            Filter::Watch(audit) => Some(audit),
            Filter::Report => None,
        }
    }

    fn request_headers(&self, http: Http, stream: &Stream, end: bool) -> i32 {
        match self {
            Filter::Gate(gate) => gate.request_headers(http, stream, end),
            Filter::Watch(_) => CONTINUE,
            Filter::Report => {
                let (in_flight, last_uses) = (GAUGES.read(), LAST_USES.read());
                let unknown_keys = UNKNOWN_KEYS.read();
                let body = serde_json::json!({
                    "callsInFlight": in_flight, "lastUses": last_uses, "unknownKeys": unknown_keys
                });
                let body = body.to_string();
                let headers = vec![("content-type", "application/json".to_owned())];
                http.send(&Reply { status: 200, headers, body: &body }, "nightlatch_report");
                STOP
            }
        }
    }
}

/// How far a stream came. What is answered before the gate decides, Envoy answers by itself.
#[derive(Clone, Copy, PartialEq)]
enum Progress {
    Begun,
    Refused,
    Admitted,
    /// Let through by the gate, and then refused by the hold or by Envoy.
    RefusedLater,
}

/// A virtual host. `held`: the filter `hold` follows, which asks who calls and how long the caller would wait.
struct Route {
    policy: Policy,
    held: bool,
}

/// One stream. Envoy may enter a hook while another one of the same stream is under way, hence the cells.
struct Stream {
    filter: *const Filter,
    progress: Cell<Progress>,
    in_flight: InFlight,
    rate: Cell<Option<Rate>>,
    drops_body: Cell<bool>,
}

fn counter(envoy: *mut c_void, name: &str) -> Option<usize> {
    let mut id = 0;
    let name = Buffer::of(name.as_bytes());
    let result = unsafe {
        envoy_dynamic_module_callback_http_filter_config_define_counter(envoy, name, std::ptr::null(), 0, &raw mut id)
    };
    (result == METRIC_SUCCESS).then_some(id)
}

fn gauge(envoy: *mut c_void, name: &str, label: &str) -> Option<usize> {
    let mut id = 0;
    let labels = [Buffer::of(label.as_bytes())];
    let name = Buffer::of(name.as_bytes());
    let result = unsafe {
        envoy_dynamic_module_callback_http_filter_config_define_gauge(envoy, name, labels.as_ptr(), 1, &raw mut id)
    };
    (result == METRIC_SUCCESS).then_some(id)
}

impl Gate {
    fn new(envoy: *mut c_void, json: &[u8]) -> Result<Gate, String> {
        let mut config = Config::parse(json)?;
        let refused = config.errors.entries().iter();
        let refused = refused.map(|entry| counter(envoy, &format!("refused.{}", entry.code))).collect();
        let states = gauge(envoy, "issuer_refused", "issuer");
        for (issuer, error) in &config.issuers.states {
            let labels = [Buffer::of(issuer.as_bytes())];
            if let Some(id) = states {
                let value = u64::from(error.is_some());
                unsafe {
                    envoy_dynamic_module_callback_http_filter_config_set_gauge(envoy, id, labels.as_ptr(), 1, value);
                }
            }
        }
        for (issuer, error) in config.issuers.refused() {
            warn(&format!("nightlatch gate: issuer {issuer} refused: {error}"));
        }
        Ok(Gate {
            refused,
            allowed: counter(envoy, "allowed"),
            panics: counter(envoy, "panics"),
            audit: Audit::new(envoy, &config.audit, std::mem::take(&mut config.envoy_codes)),
            config,
        })
    }

    fn request_headers(&self, http: Http, stream: &Stream, end: bool) -> i32 {
        let headers = http.headers(REQUEST_HEADERS);
        let route = http.route();
        let policy = route.map(|route| &route.policy);
        let routed = policy.is_some() || !http.attribute(ATTRIBUTE_VIRTUAL_HOST).is_empty();
        let mut call = Call::read(&headers, http.attribute(ATTRIBUTE_SERVER_NAME), routed);
        if policy.is_some_and(|policy| policy.certificates.is_some()) {
            call.certificate = http.certificate();
        }
        #[cfg(test)]
        assert_ne!(call.path, b"/panic");
        let now = now();
        let verdict = decide(&self.config, policy, &call, now);
        match &verdict {
            Verdict::Refuse(refusal) => {
                stream.progress.set(Progress::Refused);
                let entry = self.config.errors.entry(refusal.error);
                match self.audit.written(http, now.monotonic_ms) {
                    Some(dropped) => http.note(&audit::members(policy, &verdict, &entry.code, "", &dropped)),
                    None => http.note(&[("code", &entry.code)]),
                }
                http.count(self.refused.get(entry.index).copied().flatten());
                let shape = Shape::of(call.path, call.content_type);
                let answer = reply::reply(entry, shape, &self.config.realm, refusal.rate.as_ref());
                http.send(&answer, &format!("nightlatch_{}", entry.code));
                STOP
            }
            Verdict::Admit(admission) => {
                stream.progress.set(Progress::Admitted);
                let held = route.is_some_and(|route| route.held);
                let beside = audit::beside(&admission.beside);
                let ends = admission.ends.filter(|_| held).map(|time| time.to_string()).unwrap_or_default();
                if self.audit.sample.allow() {
                    let mut members = audit::members(policy, &verdict, "", &beside, "0");
                    members.extend((!ends.is_empty()).then_some((audit::ENDS, &*ends)));
                    http.note(&members);
                } else if held {
                    http.note(&audit::identity(&admission.caller, &beside, &ends));
                }
                http.count(self.allowed);
                // Otherwise Envoy would keep the body while the call is held.
                let drops_body = !end && call.has_no_body();
                self.strip(http, &headers, held);
                if drops_body {
                    http.remove(REQUEST_HEADERS, b"content-length");
                    stream.drops_body.set(true);
                }
                let caller = &admission.caller;
                http.add(REQUEST_HEADERS, identity::CLIENT, &caller.client);
                http.add(REQUEST_HEADERS, identity::PERMISSIONS, &admission.permission_list);
                http.add(REQUEST_HEADERS, identity::METHOD, caller.method.name());
                if !beside.is_empty() {
                    http.add(REQUEST_HEADERS, identity::BESIDE, &beside);
                }
                stream.rate.set(admission.rate);
                if let Some(policy) = policy {
                    stream.in_flight.enter(&policy.in_flight);
                }
                CONTINUE
            }
        }
    }

    /// Removes each header that names a caller, so that ours can be added afterwards without a look for older ones.
    /// Header values die with the first change, so what is needed of them is copied before.
    fn strip(&self, http: Http, headers: &[(&[u8], &[u8])], held: bool) {
        let goes = |name: &[u8]| identity::removed(name) && !(held && name == identity::HOLD_TIMEOUT);
        // One buffer for all of them; no name has a zero in it.
        let mut gone = Vec::with_capacity(256);
        for (name, _) in headers.iter().filter(|(name, _)| goes(name)) {
            gone.extend_from_slice(name);
            gone.push(0);
        }
        let forwarded = headers.iter().rfind(|(name, _)| *name == identity::FORWARDED_FOR);
        let last_hop = forwarded.and_then(|(_, value)| identity::last_hop(value)).map(<[u8]>::to_vec);
        for name in gone.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            http.remove(REQUEST_HEADERS, name);
        }
        if let Some(last_hop) = last_hop {
            http.set(REQUEST_HEADERS, identity::FORWARDED_FOR, &last_hop);
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    c"v0.2.0".as_ptr()
}

/// For whoever wants to know, without loading the module into an Envoy, for which ABI it was built.
#[unsafe(no_mangle)]
extern "C" fn nightlatch_gate_abi() -> *const c_char {
    envoy_dynamic_module_on_program_init()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    envoy: *mut c_void,
    name: Buffer,
    config: Buffer,
) -> *const c_void {
    let filter = guarded(|| match unsafe { name.bytes() } {
        b"gate" => Gate::new(envoy, unsafe { config.bytes() }).map(|gate| Filter::Gate(Box::new(gate))),
        b"watch" => Watch::parse(unsafe { config.bytes() })
            .map(|it| Filter::Watch(Box::new(Audit::new(envoy, &it.audit, it.envoy_codes)))),
        b"report" => Ok(Filter::Report),
        _ => Err("the filters of this module are named gate, watch and report".to_owned()),
    });
    match filter {
        Some(Ok(filter)) => hand_over(filter),
        Some(Err(error)) => refuse("configuration", &error),
        None => refuse("configuration", "reading it failed"),
    }
}

fn refuse(what: &str, error: &str) -> *const c_void {
    warn(&format!("nightlatch gate: {what} refused: {error}"));
    std::ptr::null()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(filter: *const c_void) {
    unsafe { free::<Filter>(filter) }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(name: Buffer, config: Buffer) -> *const c_void {
    let route = guarded(|| {
        let held = match unsafe { name.bytes() } {
            b"policy" => false,
            b"held-policy" => true,
            _ => return Err("a route's configuration is named policy or held-policy".to_owned()),
        };
        Ok(Route { policy: Policy::parse(unsafe { config.bytes() }, &REGISTRY, now().monotonic_ms)?, held })
    });
    match route {
        Some(Ok(route)) => hand_over(route),
        Some(Err(error)) => refuse("policy", &error),
        None => refuse("policy", "reading it failed"),
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(route: *const c_void) {
    unsafe { free::<Route>(route) }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_new(filter: *const c_void, _envoy: *mut c_void) -> *const c_void {
    // Envoy keeps a configuration until the last of its streams is destroyed.
    hand_over(Stream {
        filter: filter.cast(),
        progress: Cell::new(Progress::Begun),
        in_flight: InFlight::default(),
        rate: Cell::new(None),
        drops_body: Cell::new(false),
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_destroy(stream: *const c_void) {
    unsafe { free::<Stream>(stream) }
}

/// The filter and the stream of a hook. Safety: `stream` was made by `..._http_filter_new`.
unsafe fn opened<'a>(stream: *const c_void) -> Option<(&'a Filter, &'a Stream)> {
    let stream = unsafe { borrow::<Stream>(stream)? };
    Some((unsafe { borrow(stream.filter.cast())? }, stream))
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    envoy: *mut c_void,
    stream: *const c_void,
    end: bool,
) -> i32 {
    let http = Http(envoy);
    let status =
        guarded(|| unsafe { opened(stream) }.map(|(filter, stream)| filter.request_headers(http, stream, end)));
    status.flatten().unwrap_or_else(|| {
        guarded(|| {
            if let Some((Filter::Gate(gate), stream)) = unsafe { opened(stream) } {
                http.count(gate.panics);
                stream.progress.set(Progress::Refused);
                let dropped = gate.audit.written(http, now().monotonic_ms);
                http.note(&audit::answer(None, reply::BROKEN, dropped.as_deref().unwrap_or("")));
            }
            let content_type = http.headers(REQUEST_HEADERS).into_iter().find(|(name, _)| *name == b"content-type");
            let grpc = content_type.is_some_and(|(_, value)| Shape::of(b"", value) == Shape::Grpc);
            http.send(&reply::broken(grpc), "nightlatch_panic");
        });
        STOP
    })
}

/// Envoy calls this for each part of a body, also while a later filter holds the call.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
    envoy: *mut c_void,
    stream: *const c_void,
    _end: bool,
) -> i32 {
    guarded(|| {
        if unsafe { borrow::<Stream>(stream) }.is_some_and(|stream| stream.drops_body.get()) {
            unsafe {
                envoy_dynamic_module_callback_http_drain_body(envoy, RECEIVED_REQUEST_BODY, usize::MAX);
            }
        }
    });
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(envoy: *mut c_void, _stream: *const c_void) -> i32 {
    let http = Http(envoy);
    let stripped = guarded(|| {
        let trailers = http.headers(REQUEST_TRAILERS);
        let gone: Vec<Vec<u8>> =
            trailers.iter().filter(|(name, _)| identity::removed(name)).map(|(name, _)| name.to_vec()).collect();
        gone.iter().for_each(|name| http.remove(REQUEST_TRAILERS, name));
    });
    // Trailers that may still name a caller do not go on; the request stays incomplete until its time-out.
    if stripped.is_some() { CONTINUE } else { STOP }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    envoy: *mut c_void,
    stream: *const c_void,
    _end: bool,
) -> i32 {
    guarded(|| {
        let Some((filter, stream)) = (unsafe { opened(stream) }) else { return };
        if let Some(rate) = stream.rate.take() {
            for (name, value) in reply::rate_headers(&rate) {
                Http(envoy).set(RESPONSE_HEADERS, name.as_bytes(), value.as_bytes());
            }
        }
        let progress = stream.progress.get();
        if progress == Progress::Begun || progress == Progress::RefusedLater {
            if let Some(audit) = filter.audit() {
                audit.note_answer(Http(envoy), progress);
            }
        }
    });
    CONTINUE
}

/// Envoy calls this for an answer that no model server gave, if the stream has its filters already. That a model server
/// cannot be reached is a failure and no refusal.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_local_reply(
    _envoy: *mut c_void,
    stream: *const c_void,
    status: u32,
    details: Buffer,
    _reset: bool,
) -> i32 {
    guarded(|| {
        let Some(stream) = (unsafe { borrow::<Stream>(stream) }) else { return };
        let details = unsafe { details.bytes() };
        let refused = status < 500 || details.starts_with(HOLD_DETAILS) || details.ends_with(OVERFLOW_DETAILS);
        if stream.progress.get() == Progress::Admitted && refused {
            stream.progress.set(Progress::RefusedLater);
        }
    });
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(_envoy: *mut c_void, stream: *const c_void) {
    guarded(|| {
        if let Some(stream) = unsafe { borrow::<Stream>(stream) } {
            stream.in_flight.leave();
        }
    });
}

/// Hooks that Envoy wants to find and that the gate has no use for. None of them is called without a call-out, a
/// scheduled event or a pause of ours. Their arguments are left out, which the C calling convention allows.
macro_rules! unused {
    ($($hook:ident),* $(,)?) => { $(#[unsafe(no_mangle)] extern "C" fn $hook() -> i32 { CONTINUE })* };
}

unused! {
    envoy_dynamic_module_on_http_filter_response_body,
    envoy_dynamic_module_on_http_filter_response_trailers,
    envoy_dynamic_module_on_http_filter_http_callout_done,
    envoy_dynamic_module_on_http_filter_http_stream_headers,
    envoy_dynamic_module_on_http_filter_http_stream_data,
    envoy_dynamic_module_on_http_filter_http_stream_trailers,
    envoy_dynamic_module_on_http_filter_http_stream_complete,
    envoy_dynamic_module_on_http_filter_http_stream_reset,
    envoy_dynamic_module_on_http_filter_scheduled,
    envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark,
    envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark,
    envoy_dynamic_module_on_http_filter_config_scheduled,
    envoy_dynamic_module_on_http_filter_config_http_callout_done,
    envoy_dynamic_module_on_http_filter_config_http_stream_headers,
    envoy_dynamic_module_on_http_filter_config_http_stream_data,
    envoy_dynamic_module_on_http_filter_config_http_stream_trailers,
    envoy_dynamic_module_on_http_filter_config_http_stream_complete,
    envoy_dynamic_module_on_http_filter_config_http_stream_reset,
    envoy_dynamic_module_on_listener_filter_on_close,
    envoy_dynamic_module_on_listener_filter_scheduled,
    envoy_dynamic_module_on_listener_filter_config_scheduled,
    envoy_dynamic_module_on_listener_filter_http_callout_done,
}

// --- The early header mutation `host`.

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_early_header_mutation_config_new(
    _envoy: *mut c_void,
    name: Buffer,
    _config: Buffer,
) -> *const c_void {
    match unsafe { name.bytes() } {
        b"host" => hand_over(()),
        _ => refuse("early header mutation", "the only one of this module is named host"),
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_early_header_mutation_config_destroy(config: *const c_void) {
    unsafe { free::<()>(config) }
}

/// Brings the host into the form that chooses its route. If that fails, the host fits no route.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_early_header_mutation_mutate(_config: *const c_void, envoy: *mut c_void) -> bool {
    guarded(|| {
        let (mut host, mut count) = (Buffer::NONE, 0);
        let name = Buffer::of(b":authority");
        let found = unsafe {
            envoy_dynamic_module_callback_early_header_mutation_get_header_value(
                envoy,
                name,
                &raw mut host,
                0,
                &raw mut count,
            )
        };
        let host = if found { unsafe { host.bytes() } } else { &[] };
        if let Some(canonical) = canonical_host(host) {
            unsafe {
                let value = Buffer::of(&canonical);
                envoy_dynamic_module_callback_early_header_mutation_set_header(envoy, name, value);
            }
        }
    });
    true
}

// --- The listener filter `hello`.

/// The numbers under which Envoy knows the counters.
struct Counters {
    lower_case: Option<usize>,
    nameless: Option<usize>,
    spelling: Option<usize>,
    not_tls: Option<usize>,
    too_long: Option<usize>,
    /// Counts the closed connections that are left out of the audit log.
    unlogged: Option<usize>,
    sample: audit::Sample,
}

/// One connection. `wanted`: the number of bytes below which there is nothing to decide.
struct Connection {
    counters: *const Counters,
    wanted: Cell<usize>,
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_listener_filter_config_new(
    envoy: *mut c_void,
    name: Buffer,
    config: Buffer,
) -> *const c_void {
    let settings = guarded(|| match unsafe { name.bytes() } {
        b"hello" => hello::settings(unsafe { config.bytes() }),
        _ => Err("the only listener filter of this module is named hello".to_owned()),
    });
    let amount = match settings {
        Some(Ok(amount)) => amount,
        Some(Err(error)) => return refuse("hello", &error),
        None => return refuse("hello", "reading its configuration failed"),
    };
    let counter = |name: &str| {
        let (mut id, name) = (0, Buffer::of(name.as_bytes()));
        let defined =
            unsafe { envoy_dynamic_module_callback_listener_filter_config_define_counter(envoy, name, &raw mut id) };
        (defined == METRIC_SUCCESS).then_some(id)
    };
    hand_over(Counters {
        lower_case: counter("hello_lower_case"),
        nameless: counter("hello_nameless"),
        spelling: counter("hello_closed_spelling"),
        not_tls: counter("hello_closed_not_tls"),
        too_long: counter("hello_closed_too_long"),
        unlogged: counter("audit_dropped"),
        sample: audit::Sample::new(&amount, &REGISTRY, &audit::LEFT_OUT, now().monotonic_ms),
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_listener_filter_config_destroy(counters: *const c_void) {
    unsafe { free::<Counters>(counters) }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_listener_filter_new(
    counters: *const c_void,
    _envoy: *mut c_void,
) -> *const c_void {
    hand_over(Connection { counters: counters.cast(), wanted: Cell::new(0) })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_listener_filter_destroy(connection: *const c_void) {
    unsafe { free::<Connection>(connection) }
}

/// Stops, so that Envoy calls `..._on_data`.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_listener_filter_on_accept(_envoy: *mut c_void, _it: *const c_void) -> i32 {
    STOP
}

/// Envoy asks again before each look, so that a longer hello gets the room that it needs.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_listener_filter_get_max_read_bytes(
    _envoy: *mut c_void,
    connection: *const c_void,
) -> usize {
    let connection = unsafe { borrow::<Connection>(connection) };
    connection.map_or(hello::FIRST_READ, |it| it.wanted.get().max(hello::FIRST_READ))
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_listener_filter_on_data(
    envoy: *mut c_void,
    connection: *const c_void,
    _length: usize,
) -> i32 {
    let status = guarded(|| {
        let connection = unsafe { borrow::<Connection>(connection) }?;
        let counters = unsafe { borrow::<Counters>(connection.counters.cast()) }?;
        let mut chunk = Buffer::NONE;
        unsafe { envoy_dynamic_module_callback_listener_filter_get_buffer_chunk(envoy, &raw mut chunk) };
        Some(looked_at(envoy, connection, counters, unsafe { chunk.bytes() }))
    });
    status.flatten().unwrap_or_else(|| {
        close(envoy, "nightlatch_hello_panic");
        STOP
    })
}

fn looked_at(envoy: *mut c_void, connection: &Connection, counters: &Counters, data: &[u8]) -> i32 {
    let count = |counter: Option<usize>| {
        if let Some(id) = counter {
            unsafe { envoy_dynamic_module_callback_listener_filter_increment_counter(envoy, id, 1) };
        }
    };
    if data.len() < connection.wanted.get() {
        return STOP;
    }
    match hello::look(data) {
        Hello::More(bytes) => {
            connection.wanted.set(bytes);
            STOP
        }
        Hello::Pass(name) => {
            count(if name == Name::None { counters.nameless } else { counters.lower_case });
            CONTINUE
        }
        Hello::Close(fault) => {
            count(match fault {
                Fault::Spelling => counters.spelling,
                Fault::NotTls => counters.not_tls,
                Fault::TooLong => counters.too_long,
            });
            match counters.sample.refusal(now().monotonic_ms) {
                Some(dropped) => note(envoy, fault.details(), &dropped.to_string()),
                None => count(counters.unlogged),
            }
            close(envoy, fault.details());
            STOP
        }
    }
}

/// For the listener's access log.
fn note(envoy: *mut c_void, details: &str, dropped: &str) {
    let namespace = Buffer::of(audit::NAMESPACE.as_bytes());
    for (name, value) in audit::closed(details, dropped) {
        unsafe {
            envoy_dynamic_module_callback_listener_filter_set_dynamic_metadata_string(
                envoy,
                namespace,
                Buffer::of(name.as_bytes()),
                Buffer::of(value.as_bytes()),
            );
        }
    }
}

fn close(envoy: *mut c_void, details: &str) {
    unsafe { envoy_dynamic_module_callback_listener_filter_close_socket(envoy, Buffer::of(details.as_bytes())) }
}
