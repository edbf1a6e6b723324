//! Reports as agents write them (`device-defender-device-metrics.md`, sections 6 and 7).

/// Full report, long names.
pub(crate) const LONG: &str = r#"{"header":{"report_id":1735689600,"version":"1.0"},
 "metrics":{
  "listening_tcp_ports":{"ports":[{"interface":"eth0","port":22},{"interface":"lo","port":1883}],"total":2},
  "listening_udp_ports":{"ports":[{"interface":"eth0","port":5353}],"total":1},
  "network_stats":{"bytes_in":48210,"bytes_out":19877,"packets_in":301,"packets_out":254},
  "tcp_connections":{"established_connections":{"connections":[
     {"local_interface":"eth0","local_port":49152,"remote_addr":"198.51.100.20:8883"},
     {"local_interface":"eth0","local_port":22,"remote_addr":"[2001:db8::7]:51022"}],"total":2}}},
 "custom_metrics":{"battery_percent":[{"number":81.5}],"open_valves":[{"number_list":[1,4,9]}],
  "firmware":[{"string_list":["main-2.4.1","radio-1.9"]}],"peers":[{"ip_list":["10.0.4.7","2001:db8::9"]}]}}"#;

/// Short names.
pub(crate) const SHORT: &str = r#"{"hed":{"rid":1735689900,"v":"1.0"},
 "met":{"tp":{"pts":[{"pt":22,"if":"eth0"}],"t":1},"ns":{"bi":1200,"bo":640,"pi":11,"po":9},
  "tc":{"ec":{"cs":[{"rad":"198.51.100.20:8883","lp":49152,"li":"eth0"}],"t":1}}},
 "cmet":{"battery_percent":[{"number":80}]}}"#;

/// As the Python agent in its short mode: long names inside port items, a null interface, a capped list.
pub(crate) const MIXED: &str = r#"{"header":{"rid":1735690200,"v":"1.0"},
 "met":{"tp":{"ports":[{"port":22,"interface":"0.0.0.0"},{"port":8883}],"t":70},
  "up":{"pts":[],"t":0},
  "tc":{"ec":{"cs":[{"rad":"[fe80::1%eth0]:22","lp":22,"li":null},{"rad":"2001:db8::7:443"}],"t":55}}}}"#;

/// As the Device Client: doubles, exponents, all blocks always, UDP listeners in the TCP list.
pub(crate) const DOUBLES: &str = r#"{"header":{"report_id":1e+15,"version":"1.0"},"metrics":{
  "listening_tcp_ports":{"ports":[{"interface":"eth0","port":22.0},{"interface":"eth0","port":5353}],"total":1.0},
  "listening_udp_ports":{"ports":[],"total":1},
  "network_stats":{"bytes_in":0,"bytes_out":0.0,"packets_in":0,"packets_out":1.5e3},
  "tcp_connections":{"established_connections":{"connections":[],"total":0}}}}"#;

/// Odd but allowed: nulls, unknown members with nested values, escapes, a future version and kind.
pub(crate) const ODD: &str = r#"{"future":[{"a":[true,false,null,-1.5e-3,"\u00e4\n\ud83d\ude00"]}],
 "metrics":null,"header":{"version":"1.17","report\u005fid":7,"extra":{}},
 "custom_metrics":{"a":null,"b":[null,{"number":-0.25,"unit":"V"}],"c":[{"color":"red"}],
  "d":[{"number_list":5}],"e\"\u00e4":[{"string_list":["\u00e4\t",null,""]}],"f":[{"number":null}]}}"#;

/// No more than is required.
pub(crate) const LEAST: &str = r#"{"h":{"rid":1,"v":"1.0"},"met":{}}"#;

pub(crate) const ALL: [&str; 6] = [LONG, SHORT, MIXED, DOUBLES, ODD, LEAST];

/// The CBOR example of section 6.
pub(crate) const CBOR_HEX: &str = "a263686564a2637269641a677487d8617663312e30636d6574a2627470a26370747381a162707416617401626e73a262626919038462626f19019a";

/// Bytes from hexadecimal digits; blanks are ignored.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> =
        digits.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}
