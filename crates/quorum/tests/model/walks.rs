//! Histories at random, where there are too many states to go through all of them.

use crate::world::{Action, State, World};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use stateright::{Expectation, Model};
use std::fmt;
use std::hash::Hash;

/// How many histories there were, and in how many of them so many attempts agreed on a token.
#[derive(Debug)]
pub struct Walks<const A: usize> {
    pub steps: u64,
    pub none: u64,
    pub by_agreed: [u64; A],
}

/// A property that does not hold, and the way to there.
#[derive(Debug)]
pub struct Broken {
    pub property: &'static str,
    way: Vec<Action>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "does not hold: {}", self.property)?;
        self.way.iter().try_for_each(|action| writeln!(f, "  {action:?}"))
    }
}

/// Goes through so many histories, each until nothing can happen any more that matters.
///
/// # Errors
/// The first property that is found broken.
pub fn walk<const N: usize, const A: usize>(
    world: &World<N, A>,
    histories: u64,
    seed: u64,
) -> Result<Walks<A>, Broken>
where
    State<N, A>: Hash,
{
    let mut random = SmallRng::seed_from_u64(seed);
    let mut walks = Walks { steps: 0, none: 0, by_agreed: [0; A] };
    let starts = world.init_states();
    for _ in 0..histories {
        let start = starts[random.random_range(0..starts.len())].clone();
        let (end, steps) = one_walk(world, start, &mut random)?;
        walks.steps += steps as u64;
        match end.agreed() {
            0 => walks.none += 1,
            some => walks.by_agreed[some - 1] += 1,
        }
    }
    Ok(walks)
}

fn one_walk<const N: usize, const A: usize>(
    world: &World<N, A>,
    mut state: State<N, A>,
    random: &mut SmallRng,
) -> Result<(State<N, A>, usize), Broken>
where
    State<N, A>: Hash,
{
    let mut properties = world.properties();
    properties.retain(|property| property.expectation == Expectation::Always);
    let (mut actions, mut way) = (Vec::new(), Vec::new());
    loop {
        world.actions(&state, &mut actions);
        if actions.is_empty() {
            return Ok((state, way.len()));
        }
        let action = actions.swap_remove(random.random_range(0..actions.len()));
        actions.clear();
        way.push(action.clone());
        state = world.next_state(&state, action).expect("what can happen leads somewhere");
        if let Some(broken) = properties.iter().find(|property| !(property.condition)(world, &state)) {
            return Err(Broken { property: broken.name, way });
        }
    }
}
