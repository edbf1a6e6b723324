//! Which facts each form of Mosquitto's log supplies.

use detector::input::Coverage;
use fleet::event::Fact;

/// How the log reaches us and what it holds, as the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogForm {
    /// A file or standard input, with `log_type debug` or `all`.
    Debug,
    /// A file or standard input, without debug lines.
    Plain,
    /// `$SYS/broker/log/#`: the broker never sends debug lines there.
    Topic,
}

/// What a Mosquitto log of this form can tell. Denials and messages of each client are printed
/// at debug level only. The start of a broker is in a file: nobody is subscribed to a topic of it yet, and the
/// broker does not retain its log messages.
#[must_use]
pub fn coverage(source: &str, form: LogForm) -> Coverage {
    let mut facts = vec![Fact::Sessions, Fact::Addresses, Fact::AuthFailures, Fact::ConnectionErrors];
    if form != LogForm::Topic {
        facts.push(Fact::BrokerStarts);
    }
    if form == LogForm::Debug {
        facts.extend([Fact::Denials, Fact::Publishes, Fact::Deliveries]);
    }
    Coverage { source: source.to_owned(), facts }
}
