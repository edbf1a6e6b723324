//! The store: small durable tables behind one narrow interface with two engines.
