//! The words for how the whole is, and how each service.

/// How the whole is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Preparing,
    Starting,
    Running,
    Degraded,
    /// Everything is down while somebody works on the data; visitors see the page.
    Held,
    Stopping,
    Stopped,
    Failed,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            // Scripts know a fixed set of words.
            Phase::Preparing | Phase::Held => "preparing",
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Degraded => "degraded",
            Phase::Stopping => "stopping",
            Phase::Stopped => "stopped",
            Phase::Failed => "failed",
        }
    }
}

/// How one service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Up {
    Down,
    Starting,
    Up,
    Replacing,
    /// Failed, and tried again when the back-off is over.
    Waiting,
    Stopping,
}

impl Up {
    pub fn name(self) -> &'static str {
        match self {
            Up::Down => "down",
            Up::Starting => "starting",
            Up::Up => "up",
            Up::Replacing => "restarting",
            Up::Waiting => "failed",
            Up::Stopping => "stopping",
        }
    }
}
