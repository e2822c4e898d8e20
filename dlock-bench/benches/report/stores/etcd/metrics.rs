use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

const RECEIVED: &str = "grpc_server_msg_received_total";
const SENT: &str = "grpc_server_msg_sent_total";

/// What an etcd server has counted since its start, as it tells monitoring.
pub(super) struct Metrics(String);

impl Metrics {
    pub(super) fn read(server: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(server).expect("the server is there");
        // With this version of HTTP the answer is in one piece.
        let request = format!("GET /metrics HTTP/1.0\r\nHost: {server}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the server is there");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the server answers");
        assert!(answer.starts_with("HTTP/1.0 200"), "the server gives its metrics");
        Self(answer)
    }

    /// In the order of the names in `Etcd::COUNTED`.
    pub(super) fn counted(&self) -> [u64; 10] {
        let method = |name, method| self.sum(name, &format!(r#"grpc_method="{method}",grpc_service="etcdserverpb."#));
        [
            self.sum(RECEIVED, r#"grpc_type="unary""#),
            method(RECEIVED, "Txn"),
            method(RECEIVED, "DeleteRange"),
            method(RECEIVED, "Range"),
            method(RECEIVED, "Watch"),
            method(SENT, "Watch"),
            self.keep_alives(),
            self.sum("etcd_server_proposals_committed_total", ""),
            self.sum("etcd_network_client_grpc_received_bytes_total", ""),
            self.sum("etcd_network_client_grpc_sent_bytes_total", ""),
        ]
    }

    /// Messages from clients, but for keep-alives.
    pub(super) fn asked(&self) -> u64 {
        self.sum(RECEIVED, "") - self.keep_alives()
    }

    fn keep_alives(&self) -> u64 {
        self.sum(RECEIVED, r#"grpc_method="LeaseKeepAlive""#)
    }

    /// Of all counters of that name whose labels contain that text.
    fn sum(&self, name: &str, labels: &str) -> u64 {
        let counters = self.0.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
        // A longer name may begin with this one.
        let named = counters.filter(|(rest, _)| rest.is_empty() || rest.starts_with('{'));
        let values = named.filter(|(rest, _)| rest.contains(labels)).map(|(_, value)| value);
        // Large numbers are written as 1.5e+06.
        values.map(|value| value.parse::<f64>().expect("a counter is a number") as u64).sum()
    }
}
