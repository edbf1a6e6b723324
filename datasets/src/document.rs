//! The JSON of a device report, as a device writes it.

use std::{fmt::Write as _, net::Ipv4Addr};

/// An established connection of a report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) local_port: u16,
    pub(crate) remote: Ipv4Addr,
    pub(crate) remote_port: u16,
}

/// What a device says about itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    pub(crate) report_id: u64,
    pub(crate) tcp_ports: Vec<u16>,
    pub(crate) udp_ports: Vec<u16>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) packets_in: u64,
    pub(crate) packets_out: u64,
}

impl Document {
    /// The report in JSON with long names and no spaces, in the member order that
    /// public device agents use.
    pub(crate) fn json(&self) -> String {
        let mut text = String::with_capacity(1024);
        text.push_str(r#"{"header":{"report_id":"#);
        number(&mut text, self.report_id);
        text.push_str(r#","version":"1.0"},"metrics":{"listening_tcp_ports":"#);
        ports(&mut text, &self.tcp_ports);
        text.push_str(r#","listening_udp_ports":"#);
        ports(&mut text, &self.udp_ports);
        text.push_str(r#","network_stats":{"#);
        let counters = [
            ("bytes_in", self.bytes_in),
            ("bytes_out", self.bytes_out),
            ("packets_in", self.packets_in),
            ("packets_out", self.packets_out),
        ];
        for (index, (name, value)) in counters.into_iter().enumerate() {
            text.push_str(if index == 0 { "\"" } else { ",\"" });
            text.push_str(name);
            text.push_str("\":");
            number(&mut text, value);
        }
        text.push_str(r#"},"tcp_connections":{"established_connections":{"connections":["#);
        for (index, connection) in self.connections.iter().enumerate() {
            text.push_str(if index == 0 { "" } else { "," });
            text.push_str(r#"{"local_interface":"eth0","local_port":"#);
            number(&mut text, connection.local_port.into());
            text.push_str(r#","remote_addr":""#);
            // Writing to a String cannot fail.
            write!(text, "{}:{}", connection.remote, connection.remote_port).unwrap_or_default();
            text.push_str("\"}");
        }
        text.push_str(r#"],"total":"#);
        number(&mut text, count(self.connections.len()));
        text.push_str("}}}}");
        text
    }
}

fn ports(text: &mut String, ports: &[u16]) {
    text.push_str(r#"{"ports":["#);
    for (index, port) in ports.iter().enumerate() {
        text.push_str(if index == 0 { "" } else { "," });
        text.push_str(r#"{"interface":"eth0","port":"#);
        number(text, (*port).into());
        text.push('}');
    }
    text.push_str(r#"],"total":"#);
    number(text, count(ports.len()));
    text.push('}');
}

fn number(text: &mut String, value: u64) {
    // Writing to a String cannot fail.
    write!(text, "{value}").unwrap_or_default();
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_written_in_the_documented_form() {
        let document = Document {
            report_id: 17,
            tcp_ports: vec![22, 443],
            udp_ports: vec![],
            connections: vec![Connection {
                local_port: 40_000,
                remote: Ipv4Addr::new(10, 0, 0, 1),
                remote_port: 8883,
            }],
            bytes_in: 1,
            bytes_out: 2,
            packets_in: 3,
            packets_out: 4,
        };
        assert_eq!(
            document.json(),
            concat!(
                r#"{"header":{"report_id":17,"version":"1.0"},"metrics":{"#,
                r#""listening_tcp_ports":{"ports":[{"interface":"eth0","port":22},{"interface":"eth0","port":443}],"total":2},"#,
                r#""listening_udp_ports":{"ports":[],"total":0},"#,
                r#""network_stats":{"bytes_in":1,"bytes_out":2,"packets_in":3,"packets_out":4},"#,
                r#""tcp_connections":{"established_connections":{"connections":["#,
                r#"{"local_interface":"eth0","local_port":40000,"remote_addr":"10.0.0.1:8883"}],"total":1}}}}"#
            )
        );
        let parsed: serde_json::Value = serde_json::from_str(&document.json()).unwrap();
        assert_eq!(parsed["metrics"]["network_stats"]["packets_out"], 4);
    }
}
