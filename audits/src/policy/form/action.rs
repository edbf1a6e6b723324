//! What can be done, and to what.

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Connect with a client id.
    Connect,
    /// Publish to a topic.
    Publish,
    /// Publish a retained message.
    RetainPublish,
    /// Be sent what is published to a topic.
    Receive,
    /// Subscribe with a topic filter.
    Subscribe,
    /// Read a thing's shadow over HTTP.
    GetThingShadow,
    /// Write a thing's shadow over HTTP.
    UpdateThingShadow,
    /// Delete a thing's shadow over HTTP.
    DeleteThingShadow,
    /// `iotjobsdata:DescribeJobExecution`
    DescribeJobExecution,
    /// `iotjobsdata:GetPendingJobExecutions`
    GetPendingJobExecutions,
    /// `iotjobsdata:StartNextPendingJobExecution`
    StartNextPendingJobExecution,
    /// `iotjobsdata:UpdateJobExecution`
    UpdateJobExecution,
    /// The older spelling `iot:DescribeJobExecution`, and so on.
    OldDescribeJobExecution,
    /// See [`Action::OldDescribeJobExecution`].
    OldGetPendingJobExecutions,
    /// See [`Action::OldDescribeJobExecution`].
    OldStartNextPendingJobExecution,
    /// See [`Action::OldDescribeJobExecution`].
    OldUpdateJobExecution,
}

/// What an action is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A client id.
    Client,
    /// A topic.
    Topic,
    /// A topic filter.
    Filter,
    /// A thing's name.
    Thing,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 16] = [
        Self::Connect,
        Self::Publish,
        Self::RetainPublish,
        Self::Receive,
        Self::Subscribe,
        Self::GetThingShadow,
        Self::UpdateThingShadow,
        Self::DeleteThingShadow,
        Self::DescribeJobExecution,
        Self::GetPendingJobExecutions,
        Self::StartNextPendingJobExecution,
        Self::UpdateJobExecution,
        Self::OldDescribeJobExecution,
        Self::OldGetPendingJobExecutions,
        Self::OldStartNextPendingJobExecution,
        Self::OldUpdateJobExecution,
    ];

    /// As AWS writes it.
    #[must_use]
    pub const fn aws_name(self) -> &'static str {
        match self {
            Self::Connect => "iot:Connect",
            Self::Publish => "iot:Publish",
            Self::RetainPublish => "iot:RetainPublish",
            Self::Receive => "iot:Receive",
            Self::Subscribe => "iot:Subscribe",
            Self::GetThingShadow => "iot:GetThingShadow",
            Self::UpdateThingShadow => "iot:UpdateThingShadow",
            Self::DeleteThingShadow => "iot:DeleteThingShadow",
            Self::DescribeJobExecution => "iotjobsdata:DescribeJobExecution",
            Self::GetPendingJobExecutions => "iotjobsdata:GetPendingJobExecutions",
            Self::StartNextPendingJobExecution => "iotjobsdata:StartNextPendingJobExecution",
            Self::UpdateJobExecution => "iotjobsdata:UpdateJobExecution",
            Self::OldDescribeJobExecution => "iot:DescribeJobExecution",
            Self::OldGetPendingJobExecutions => "iot:GetPendingJobExecutions",
            Self::OldStartNextPendingJobExecution => "iot:StartNextPendingJobExecution",
            Self::OldUpdateJobExecution => "iot:UpdateJobExecution",
        }
    }

    /// What it is done to.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Connect => Kind::Client,
            Self::Publish | Self::RetainPublish | Self::Receive => Kind::Topic,
            Self::Subscribe => Kind::Filter,
            _ => Kind::Thing,
        }
    }

    /// The current name of an action, whichever spelling it has.
    #[must_use]
    pub const fn current(self) -> Self {
        match self {
            Self::OldDescribeJobExecution => Self::DescribeJobExecution,
            Self::OldGetPendingJobExecutions => Self::GetPendingJobExecutions,
            Self::OldStartNextPendingJobExecution => Self::StartNextPendingJobExecution,
            Self::OldUpdateJobExecution => Self::UpdateJobExecution,
            action => action,
        }
    }
}

/// A set of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Actions(u32);

impl Actions {
    /// No action.
    pub const NONE: Self = Self(0);
    /// Every action.
    pub const ALL: Self = Self(u32::MAX);
    /// Publishing, retained or not.
    pub const PUBLISH: Self = Self::of(&[Action::Publish, Action::RetainPublish]);

    /// These actions.
    #[must_use]
    pub const fn of(actions: &[Action]) -> Self {
        let mut bits = 0;
        let mut rest = actions;
        while let Some((action, others)) = rest.split_first() {
            bits |= 1 << *action as u32;
            rest = others;
        }
        Self(bits)
    }

    /// Whether the action is in the set.
    #[must_use]
    pub const fn has(self, action: Action) -> bool {
        self.0 & (1 << action as u32) != 0
    }

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
