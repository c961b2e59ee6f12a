//! What is counted.

/// Runs `work` and has its instructions counted. Callgrind knows the function by its name, so it
/// must stay one, and everything that is counted must be called from it.
#[inline(never)]
pub(crate) fn measured(work: &mut dyn FnMut()) {
    work();
    // Without something behind it the call above would become a jump, and callgrind would not
    // see the end.
    std::hint::black_box(());
}

/// The pattern by which callgrind is told of [`measured`].
pub(crate) const PATTERN: &str = "instructions::probe::measured*";
