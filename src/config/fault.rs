//! What is wrong with settings, all at once.
//!
//! Owns: how faults are told to the operator.
//! Must not know: which settings there are.

/// One setting that cannot be obeyed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The setting's name.
    pub setting: String,
    /// Where its text comes from.
    pub origin: String,
    /// What is wrong.
    pub trouble: Trouble,
    /// How to mend it.
    pub mend: String,
}

/// What is wrong with a setting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// This text means nothing.
    Text(String),
    /// Nobody set it, and there is no default.
    Missing,
    /// There is no such setting.
    Unknown,
}

/// All faults of one start.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, fault) in self.0.iter().enumerate() {
            let Fault { setting, origin, trouble, mend } = fault;
            f.write_str(if place == 0 { "" } else { "\nerror: " })?;
            match trouble {
                Trouble::Text(text) => write!(f, "{setting} is `{text}`, set by {origin}")?,
                Trouble::Missing => write!(f, "{setting} is not set")?,
                Trouble::Unknown => {
                    write!(f, "there is no setting `{setting}`, found in {origin}")?;
                }
            }
            write!(f, "\nmend:  {mend}")?;
        }
        Ok(())
    }
}
