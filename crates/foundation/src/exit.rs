//! How the process ends.

/// What the process tells whoever started it. Only `main` ends the process with it.
///
/// The numbers for usage and configuration are those of `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    Good,
    /// Something failed while running, or a drain was cut short.
    Failure,
    /// The command line makes no sense.
    Usage,
    /// The settings are refused; nothing was started.
    Configuration,
}

impl ExitCode {
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Failure => 1,
            Self::Usage => 64,
            Self::Configuration => 78,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(exit: ExitCode) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode;

    #[test]
    fn numbers_are_the_documented_ones() {
        let codes = [ExitCode::Good, ExitCode::Failure, ExitCode::Usage, ExitCode::Configuration];
        assert_eq!(codes.map(ExitCode::code), [0, 1, 64, 78]);
    }
}
