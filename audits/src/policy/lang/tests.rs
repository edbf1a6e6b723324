//! The algebra against brute force over small alphabets.

use proptest::prelude::*;

use super::*;

/// Every word of at most five letters over `letters`.
fn words(letters: &[char]) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut last = all.clone();
    for _ in 0..5 {
        last = last
            .iter()
            .flat_map(|word| letters.iter().map(move |letter| format!("{word}{letter}")))
            .collect();
        all.extend(last.iter().cloned());
    }
    all
}

fn union(patterns: &[Pattern]) -> Dfa {
    let mut nfa = Nfa::default();
    for (tag, pattern) in (0..).zip(patterns) {
        nfa.add(pattern, tag);
    }
    nfa.determinize(|tag| tag.is_some()).unwrap()
}

fn aws(text: &str) -> Pattern {
    Pattern::of(aws_glob(text, |_| Some(SYMBOLS)).unwrap())
}

/// MQTT matching, written from the specification's text, level by level.
fn mqtt_matches(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter.split_first(), topic.split_first()) {
            (Some((&"#", _)), _) => true,
            (Some((level, filter)), Some((name, topic))) => {
                (*level == "+" || level == name) && levels(filter, topic)
            }
            (None, None) => true,
            _ => false,
        }
    }
    let filter_levels: Vec<&str> = filter.split('/').collect();
    let topic_levels: Vec<&str> = topic.split('/').collect();
    !(topic.starts_with('$') && filter.starts_with(['+', '#'])) && levels(&filter_levels, &topic_levels)
}

fn is_topic(word: &str) -> bool {
    !word.is_empty() && !word.contains(['+', '#'])
}

fn is_filter(word: &str) -> bool {
    let levels: Vec<&str> = word.split('/').collect();
    !word.is_empty()
        && levels.iter().enumerate().all(|(index, level)| match *level {
            "+" => true,
            "#" => index + 1 == levels.len(),
            level => !level.contains(['+', '#']),
        })
}

/// Every filter that matches `topic`: each level as it is or `+`, whole or cut by `#`, also one
/// level below the topic.
fn filters_over(topic: &str) -> Vec<String> {
    let (mut all, mut whole) = (vec!["#".to_owned()], vec![String::new()]);
    for (index, level) in topic.split('/').enumerate() {
        let slash = if index == 0 { "" } else { "/" };
        whole = whole
            .iter()
            .flat_map(|front| [level, "+"].map(|level| format!("{front}{slash}{level}")))
            .collect();
        all.extend(whole.iter().map(|front| format!("{front}/#")));
    }
    all.extend(whole);
    all.retain(|filter| is_filter(filter) && mqtt_matches(filter, topic));
    all
}

#[test]
fn a_filter_may_be_far_longer_than_the_topic_it_reaches() {
    let reached = reach(&union(&[aws("*+/#")]), Parent::Covered).unwrap();
    assert!(filters_over("$a/").contains(&"$a/+/#".to_owned()));
    assert!(reached.contains("$a/") && !reached.contains("$a"));
}

#[test]
fn valid_topics_and_filters() {
    for word in words(&['a', '$', '/', '+', '#']) {
        assert_eq!(valid_topic().contains(&word), is_topic(&word), "{word}");
        assert_eq!(valid_filter().contains(&word), is_filter(&word), "{word}");
        assert_eq!(wildcard().contains(&word), word.contains(['+', '#']), "{word}");
    }
    assert!(!valid_topic().contains("a\u{7}"), "control characters are in no word");
    assert!(valid_topic().contains("ä/€/😀"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn aws_globs(globs in prop::collection::vec("[ab/*?]{0,5}", 1..4), minus in "[ab/*?]{0,5}") {
        let set = union(&globs.iter().map(|glob| aws(glob)).collect::<Vec<_>>());
        let other = union(&[aws(&minus)]);
        let (difference, both) = (set.without(&other).unwrap(), set.and(&other).unwrap());
        let either = set.or(&other).unwrap();
        let mut subset = true;
        for word in words(&['a', 'b', '/']) {
            let (a, b) = (globs.iter().any(|glob| glob_matches(glob, &word)), glob_matches(&minus, &word));
            prop_assert_eq!(set.contains(&word), a, "{}", word);
            prop_assert_eq!(difference.contains(&word), a && !b);
            prop_assert_eq!(both.contains(&word), a && b);
            prop_assert_eq!(either.contains(&word), a || b);
            prop_assert_eq!(set.complement().unwrap().contains(&word), !a);
            prop_assert_eq!(set.minimal().contains(&word), a);
            subset &= !a || b;
        }
        if !subset {
            prop_assert!(!set.is_subset(&other).unwrap());
        }
        prop_assert_eq!(set.is_subset(&other).unwrap(), difference.is_empty());
        if let Some(word) = difference.example().unwrap() {
            prop_assert!(set.contains_word(word.iter().copied()) && !other.contains_word(word));
        } else {
            prop_assert!(difference.is_empty());
        }
    }

    #[test]
    fn what_follows_a_prefix(glob in "[ab*?]{0,6}", prefix in "[ab]{0,3}") {
        let rests = residual(&aws(&glob).tokens, &prefix);
        let set = union(&rests.into_iter().map(Pattern::of).collect::<Vec<_>>());
        for word in words(&['a', 'b']) {
            prop_assert_eq!(set.contains(&word), glob_matches(&glob, &format!("{prefix}{word}")), "{}", word);
        }
    }

    #[test]
    fn acl_filters_cover_topics(filter in "[a$/+#]{1,5}") {
        prop_assume!(is_filter(&filter));
        let set = union(&[topic_of_acl(&filter, Dollar::Apart, &[])]);
        for topic in words(&['a', 'b', '$', '/']).iter().filter(|word| is_topic(word)) {
            prop_assert_eq!(set.contains(topic), mqtt_matches(&filter, topic), "{} {}", filter, topic);
        }
    }

    #[test]
    fn topics_reached_by_filters(globs in prop::collection::vec("[a$/+#*]{1,4}", 1..3)) {
        let filters = union(&globs.iter().map(|glob| aws(glob)).collect::<Vec<_>>());
        let reached = reach(&filters, Parent::Covered).unwrap();
        for topic in words(&['a', '$', '/']).iter().filter(|word| is_topic(word) && word.len() < 5) {
            let expected = filters_over(topic).iter().any(|filter| filters.contains(filter));
            prop_assert_eq!(reached.contains(topic), expected, "{:?} {}", globs, topic);
        }
    }

    #[test]
    fn dynsec_compares_filters_as_its_source_does(acl in "[a/+#]{1,4}") {
        prop_assume!(is_filter(&acl));
        let set = union(&filter_of_acl(&acl, &[]));
        for filter in words(&['a', 'b', '/', '+', '#']).iter().filter(|word| is_filter(word)) {
            prop_assert_eq!(set.contains(filter), sub_acl_check(&acl, filter), "{} {}", acl, filter);
        }
    }

    #[test]
    fn first_match_decides(rules in prop::collection::vec(("[ab*]{0,4}", any::<bool>()), 0..5), default: bool) {
        let mut nfa = Nfa::default();
        for (tag, (glob, _)) in (0..).zip(&rules) {
            nfa.add(&aws(glob), tag);
        }
        let verdict = |tag: Option<Tag>| tag.map_or(default, |tag| rules[tag as usize].1);
        let set = nfa.determinize(verdict).unwrap();
        for word in words(&['a', 'b']) {
            let expected = rules.iter().find(|(glob, _)| glob_matches(glob, &word)).map_or(default, |rule| rule.1);
            prop_assert_eq!(set.contains(&word), expected, "{}", word);
        }
    }

    #[test]
    fn expressions_search(expression in "\\^?(a|b|\\.|\\[ab\\]|\\(a\\|b\\)|a\\*|b\\?|\\.\\+|a\\{1,2\\}){0,4}\\$?") {
        let reference = ::regex::Regex::new(&expression).unwrap();
        let set = search_regex(&expression).unwrap().determinize(|tag| tag.is_some()).unwrap();
        for word in words(&['a', 'b', 'c']) {
            prop_assert_eq!(set.contains(&word), reference.is_match(&word), "{} {}", expression, word);
        }
    }
}

/// The comparison of Mosquitto's dynamic security (2.0, `sub_matches_sub.c`), told anew.
fn sub_acl_check(acl: &str, filter: &str) -> bool {
    fn cut(text: &str) -> (&str, bool) {
        match text.strip_suffix("/#").or_else(|| (text == "#").then_some("")) {
            Some(rest) => (rest, true),
            None => (text, false),
        }
    }
    if acl == "#" {
        return true;
    }
    let ((acl, acl_hash), (filter, filter_hash)) = (cut(acl), cut(filter));
    let (acl, filter): (Vec<&str>, Vec<&str>) = (acl.split('/').collect(), filter.split('/').collect());
    if (filter_hash && !acl_hash) || acl.len() > filter.len() || (filter.len() > acl.len() && !acl_hash) {
        return false;
    }
    acl.iter().zip(&filter).all(|(a, f)| *a == "+" || a == f)
}

#[test]
fn emqx_levels_cover_wildcards_and_dollar_topics() {
    let set = union(&[topic_of_acl("+/a", Dollar::Plain, &[]), topic_of_acl("b/#", Dollar::Plain, &[])]);
    for word in ["$SYS/a", "+/a", "x/a", "b", "b/#", "b/c/+"] {
        assert!(set.contains(word), "{word}");
    }
    assert!(!set.contains("x/b") && !set.contains("bc"));
}

#[test]
fn nats_subjects_as_topics() {
    let set = |subject: &str| union(&[nats_subject(subject).unwrap()]);
    assert!(set("devices.*.up").contains("devices/x/up") && !set("devices.*.up").contains("devices/x/y/up"));
    assert!(set("a.>").contains("a/b/c") && !set("a.>").contains("a"), "`>` is one or more");
    assert!(set("a./.b").contains("a//b") && set("/.a").contains("/a") && set("v1//0.x").contains("v1.0/x"));
    assert!(set(">").contains("$SYS/x"));
    assert_eq!((nats_subject("a..b"), nats_subject("a/b")), (None, None));
}

#[test]
fn routing_keys_of_topics() {
    let set = |text: &str| routing_key_regex(text).unwrap().determinize(|tag| tag.is_some()).unwrap();
    let own = set(r"^devices\.dev1\..*");
    assert!(
        own.contains("devices/dev1/t") && own.contains("devices/dev1/#") && !own.contains("devices/dev12/t")
    );
    assert!(set(r"^a\.\*$").contains("a/+") && !set(r"^a\.\*$").contains("a/b"));
    assert!(set("").contains("anything") && set(".*").contains("a/b"));
    assert!(!set("^$").contains("a"));
}

#[test]
fn what_is_not_regular_or_reads_differently_is_refused() {
    for text in ["(?=a)b", r"(a)\1", r"\ba", "a*+a", "[a[b]", "[a&&b]", "(", "a{3000}{3000}"] {
        assert!(search_regex(text).is_err(), "{text}");
    }
    assert!(search_regex("[]a]+[[:alpha:]-]").is_ok());
}

#[test]
fn a_symbol_is_in_a_run_and_in_a_level_and_no_character() {
    let own = [u32::from('d'), SYMBOLS];
    assert!(union(&[aws("d*")]).contains_word(own) && !union(&[aws("d?")]).contains_word(own));
    assert!(union(&[topic_of_acl("+", Dollar::Apart, &[])]).contains_word(own));
    assert!(union(&[topic_of_acl("d%u", Dollar::Apart, &[("%u", SYMBOLS)])]).contains_word(own));
}

#[test]
fn past_the_bound_there_is_no_answer() {
    // The nth letter from the end: exponential in n for every deterministic automaton.
    let nth = aws(&format!("*a{}", "?".repeat(20)));
    let mut nfa = Nfa::default();
    nfa.add(&nth, 0);
    assert_eq!(nfa.determinize(|tag| tag.is_some()).map(|_| ()), Err(TooLarge));
}
