//! Tests that need more than one of the modules.
