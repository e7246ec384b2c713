//! A machine for tests: what has to end well and does not, ends the test.

use std::ops::Deref;
use std::path::Path;

use machines::Base;
pub use machines::{Binds, Ran, until};

#[derive(Debug)]
pub struct Machine(machines::Machine);

impl Deref for Machine {
    type Target = machines::Machine;

    fn deref(&self) -> &machines::Machine {
        &self.0
    }
}

impl Machine {
    pub fn boot(base: Base, store: &Path, binds: Binds<'_>) -> Machine {
        Machine(machines::Machine::boot(base, store, binds).unwrap())
    }

    pub fn try_sh(&self, script: &str) -> Ran {
        self.0.try_sh(script).unwrap()
    }

    pub fn sh(&self, script: &str) -> String {
        self.0.sh(script).unwrap()
    }

    pub fn sh_as(&self, user: &str, script: &str) -> Ran {
        self.0.sh_as(user, script).unwrap()
    }

    pub fn run(&self, command: &[&str], input: &str) -> Ran {
        self.0.run(command, input).unwrap()
    }

    pub fn write(&self, path: &str, text: &str) {
        self.0.write(path, text).unwrap();
    }

    pub fn reboot(&self) {
        self.0.reboot().unwrap();
    }
}
