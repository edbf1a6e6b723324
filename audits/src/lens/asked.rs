//! Best practices that no machine evidence speaks about, and why only a person can answer them.

/// Why only a person can answer, if that is so.
#[must_use]
pub fn why(id: &str) -> Option<&'static str> {
    ASKED.iter().find(|(own, _)| *own == id).map(|(_, why)| *why)
}

/// Id and reason, in the order of the practices.
pub const ASKED: &[(&str, &str)] = &[
    ("5.2", "what suppliers promise stands in contracts and advisories, which no source of ours reads"),
    ("7.2", "how sensitive data are is a decision about their meaning; we see topics and sizes"),
    ("7.3", "which law applies depends on business and place, not on traffic"),
    ("11.2", "how much a device can hold is a property of its hardware; we see it only when it is connected"),
    ("12.2", "time servers are reached past the broker, where we see nothing; the effect is judged in 12.1"),
    ("13.2", "retry and throttle settings are in the software of each device type"),
    ("14.2", "whether an old version can be started again shows only on the device"),
    ("15.1", "what applications address to devices that are offline waits in the broker and is no event"),
    ("15.2", "a second region is another broker, which this installation does not see"),
    ("15.3", "what edge devices keep and evaluate stays with them"),
    ("16.3", "a load test is an undertaking with a date and a result, which are on record elsewhere"),
    ("19.1", "which way in suits a use depends on what the data are for"),
    ("20.3", "who reads which data is known to the systems that serve them"),
    ("21.1", "prices and alternatives of services are not in our data"),
    ("22.2", "the kind of storage behind a folder and its price are not visible to us"),
    ("24.1", "what people have learnt is not in our data"),
    ("25.2", "how a thing came into the registry is not recorded in it"),
    ("25.3", "whether a device can ask for new credentials shows only in its software"),
    ("25.5", "which endpoints a device could choose from is decided before it connects to ours"),
];
