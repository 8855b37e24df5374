//! What Prometheus reads. Labels come from closed sets: route templates, never paths.

use core::fmt::Write as _;

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

/// One number of the enclave side, added to `/metrics`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Full metric name, `pinseal_...`, letters, digits and underscores.
    pub name: String,
    /// One sentence.
    pub help: String,
    /// Value.
    pub value: Value,
}

/// What a number is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Goes up and down.
    Gauge(f64),
    /// Only goes up, until the next start.
    Counter(f64),
    /// How often values were at most so large.
    Histogram {
        /// Upper bounds, ascending, and how many values were not above each.
        buckets: Vec<(f64, u64)>,
        /// Of all values.
        sum: f64,
        /// All values.
        count: u64,
    },
}

impl Sample {
    /// As Prometheus reads it.
    fn write(&self, out: &mut String) {
        let name = &self.name;
        let kind = match self.value {
            Value::Gauge(_) => "gauge",
            Value::Counter(_) => "counter",
            Value::Histogram { .. } => "histogram",
        };
        let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", self.help);
        match &self.value {
            Value::Gauge(value) | Value::Counter(value) => drop(writeln!(out, "{name} {value}")),
            Value::Histogram { buckets, sum, count } => {
                for (bound, below) in buckets {
                    let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {below}");
                }
                let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}");
            }
        }
    }
}

pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    pub(crate) logins: IntCounterVec,
    pub(crate) mails: IntCounterVec,
    pub(crate) password_queue: IntGauge,
    pub(crate) password_seconds: Histogram,
    pub(crate) passwords_hashed: IntCounter,
    pub(crate) in_flight: IntGauge,
    pub(crate) connections: IntGauge,
    pub(crate) connections_refused: IntCounterVec,
    pub(crate) connections_closed_for_room: IntCounter,
    pub(crate) accept_failures: IntCounter,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok(vec)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let plain = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let requests = counter("pinseal_http_requests_total", "Requests answered.", &["method", "route", "status"])?;
        let logins = counter("pinseal_logins_total", "Login steps by outcome.", &["step", "outcome"])?;
        let mails = counter("pinseal_mails_total", "Mails by outcome.", &["outcome"])?;
        let password_queue = gauge("pinseal_password_queue", "Passwords in work or waiting.")?;
        let in_flight = gauge("pinseal_http_requests_in_flight", "Requests worked on.")?;
        let seconds = HistogramVec::new(
            HistogramOpts::new("pinseal_http_request_seconds", "Time to answer.")
                .buckets(vec![0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]),
            &["method", "route"],
        )?;
        registry.register(Box::new(seconds.clone()))?;
        let password_seconds = Histogram::with_opts(
            HistogramOpts::new("pinseal_password_seconds", "Time to hash one password, waiting included.")
                .buckets(vec![0.01, 0.03, 0.1, 0.3, 1.0, 3.0]),
        )?;
        registry.register(Box::new(password_seconds.clone()))?;
        let passwords_hashed = plain("pinseal_passwords_hashed_total", "Passwords hashed.")?;
        let connections = gauge("pinseal_connections", "Open connections.")?;
        let refused = "Connections closed at once: their address has too many, or nobody could make room.";
        let connections_refused = counter("pinseal_connections_refused_total", refused, &["reason"])?;
        let for_room = "Connections the server waited for, closed because a newcomer needed the place.";
        let connections_closed_for_room = plain("pinseal_connections_closed_for_room_total", for_room)?;
        let accept_failures = plain("pinseal_accept_failures_total", "Connections the system could not hand over.")?;
        Ok(Self {
            registry,
            requests,
            seconds,
            logins,
            mails,
            password_queue,
            password_seconds,
            passwords_hashed,
            in_flight,
            connections,
            connections_refused,
            connections_closed_for_room,
            accept_failures,
        })
    }

    pub(crate) fn request(&self, method: &str, route: &str, status: u16, seconds: f64) {
        self.requests.with_label_values(&[method, route, &status.to_string()]).inc();
        self.seconds.with_label_values(&[method, route]).observe(seconds);
    }

    /// The exposition text, with the enclave's samples behind our own.
    pub(crate) fn render(&self, samples: &[Sample]) -> Result<String, prometheus::Error> {
        let mut out = Vec::with_capacity(8_192);
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        let mut text = String::from_utf8_lossy(&out).into_owned();
        samples.iter().for_each(|sample| sample.write(&mut text));
        Ok(text)
    }
}
