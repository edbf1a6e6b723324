//! The 28 questions of the lens, in our own words; each groups best practices.

/// The question of a number from 1 to 28; empty for another.
#[must_use]
pub fn question(number: u8) -> &'static str {
    usize::from(number).checked_sub(1).and_then(|index| QUESTIONS.get(index)).copied().unwrap_or_default()
}

/// All questions, in their order.
pub const QUESTIONS: [&str; 28] = [
    "How are devices told apart, and what may each of them do?",
    "How are credentials and software protected on the device?",
    "How do people and applications get access to devices and their data?",
    "How do you notice and analyze security events?",
    "How do you prepare for incidents and for vulnerabilities of what you buy?",
    "How do you manage device certificates over their whole life?",
    "How are data protected on the wire and at rest?",
    "How do you notice and handle failures between services?",
    "How does the back end follow a changing load?",
    "How do you make sure that data that arrived are not lost?",
    "How do devices cope with an unreliable network?",
    "How do devices keep the right time?",
    "How do you control which messages reach which device, and how often?",
    "How do you change software and configuration of devices in the field?",
    "How does the system go on when devices or a region are not reachable?",
    "How do you know how well the running system performs?",
    "How do you keep the load on devices low and know their state?",
    "How do you stay within quotas and limits?",
    "How do data come in, and how fresh must they be?",
    "How do you get value out of data at a fair price?",
    "How do you keep the cost of messages and device management low?",
    "How do you keep the cost of stored data low?",
    "How do you answer operational events?",
    "How is the team prepared to run the system?",
    "How do devices join the fleet?",
    "How are devices organized, so that operators find them?",
    "How do you know which devices are there and well?",
    "How do you find devices that behave oddly?",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_question_for_every_practice_and_none_for_other_numbers() {
        assert!(
            super::super::practice::PRACTICES.iter().all(|practice| !question(practice.question).is_empty())
        );
        assert_eq!((question(0), question(29)), ("", ""));
    }
}
