//! Registry files: no panic, and a registry that is accepted is written and read as the same.
#![no_main]

use detector::change::RegistryChange;
use fleet::registry::Registry;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(registry) = serde_json::from_slice::<Registry>(bytes) else { return };
    let Ok(registry) = registry.validated() else { return };
    let text = serde_json::to_vec(&registry).expect("a registry is JSON");
    assert_eq!(serde_json::from_slice::<Registry>(&text).expect("what was written"), registry);
    for group in registry.groups.keys() {
        assert!(registry.ancestors(group).count() <= registry.groups.len());
        assert!(
            registry.things.keys().filter(|thing| registry.is_member(thing.as_str(), group)).count()
                <= registry.things.len()
        );
    }
    let mut patched = Registry::default();
    RegistryChange::between(&Registry::default(), &registry).apply(&mut patched);
    assert_eq!(patched, registry);
});
