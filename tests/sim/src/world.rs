//! Everything that belongs to one history.

use crate::clients::Process;
use crate::history::History;
use crate::host::Host;
use crate::mutants::Mutant;
use crate::network::Network;
use crate::scenario::Scenario;
use crate::time::Time;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

pub struct World {
    pub time: Time,
    pub scenario: Scenario,
    pub network: Network,
    pub history: Rc<History>,
    pub hosts: Vec<Rc<Host>>,
    /// The client processes that are alive.
    pub processes: RefCell<Vec<Rc<Process>>>,
    pub mutant: Option<Mutant>,
    /// Whether nobody asks for anything new.
    pub stopped: Cell<bool>,
}
