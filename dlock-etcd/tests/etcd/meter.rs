//! What a server has done, by its own count.

use std::collections::BTreeMap;

use dlock_testkit::servers::Etcd;

/// Counts from now on.
pub(crate) struct Meter {
    authority: String,
    start: Reading,
}

/// What was counted.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// Calls without streams, by method of etcd's services.
    calls: BTreeMap<String, u64>,
    /// Messages received on streams, by method.
    messages: BTreeMap<String, u64>,
    /// Bytes sent to clients.
    pub(crate) sent: u64,
}

impl Meter {
    pub(crate) async fn of(server: &Etcd) -> Self {
        let authority = server.addr().to_string();
        let start = Reading::take(&authority).await;
        Self { authority, start }
    }

    pub(crate) async fn read(&self) -> Reading {
        Reading::take(&self.authority).await.since(&self.start)
    }
}

impl Reading {
    /// All requests, without what went through streams.
    pub(crate) fn requests(&self) -> u64 {
        self.calls.values().sum()
    }

    pub(crate) fn calls(&self, method: &str) -> u64 {
        self.calls.get(method).copied().unwrap_or_default()
    }

    pub(crate) fn messages(&self, method: &str) -> u64 {
        self.messages.get(method).copied().unwrap_or_default()
    }

    async fn take(authority: &str) -> Self {
        let metrics = crate::client::metrics(authority).await;
        let lines: Vec<(&str, u64)> = metrics
            .lines()
            .filter(|line| line.starts_with("grpc_server_") || line.starts_with("etcd_network_"))
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(of, count)| Some((of, count.parse::<f64>().ok()? as u64)))
            .collect();
        let by_method = |counter: &str, is_stream: bool| {
            let of_etcd = lines.iter().filter(|(of, _)| of.starts_with(counter) && of.contains("\"etcdserverpb."));
            let counted = of_etcd.filter(|(of, _)| of.contains("_stream\"") == is_stream);
            counted.map(|(of, count)| (method(of).to_owned(), *count)).collect()
        };
        Self {
            calls: by_method("grpc_server_started_total", false),
            messages: by_method("grpc_server_msg_received_total", true),
            sent: lines.iter().find(|(of, _)| *of == "etcd_network_client_grpc_sent_bytes_total").map_or(0, |l| l.1),
        }
    }

    fn since(mut self, start: &Self) -> Self {
        for (now, then) in [(&mut self.calls, &start.calls), (&mut self.messages, &start.messages)] {
            now.iter_mut().for_each(|(method, count)| *count -= then.get(method).copied().unwrap_or_default());
            now.retain(|_, count| *count > 0);
        }
        self.sent -= start.sent;
        self
    }
}

fn method(line: &str) -> &str {
    line.split_once("grpc_method=\"").and_then(|(_, rest)| rest.split_once('"')).map_or("", |(method, _)| method)
}
