//! What the search asks of a model: states and kinds of operations are integers.

pub type State = u32;

pub const REJECTED: u32 = u32::MAX;
/// Answers from here on (below `REJECTED`) name a list of states, for operations of undetermined effect.
pub const SEVERAL: u32 = 1 << 31;

pub trait Stepper {
    fn initial(&self) -> State {
        0
    }

    /// The state that follows, `REJECTED`, or the name of a list of states.
    fn step(&mut self, state: State, kind: u32) -> u32;

    /// The states of a named list.
    fn several(&self, _name: u32) -> &[State] {
        &[]
    }

    /// The token that a state holds, for models of the last writer.
    fn token(&mut self, state: State) -> u32 {
        state
    }

    /// The model raised an error; the search must end.
    fn broken(&self) -> bool {
        false
    }

    /// How many times the model itself was asked.
    fn steps(&self) -> u64;

    fn bytes(&self) -> usize {
        0
    }
}

/// What one kind of operation does to a model whose state is the token that the last write left.
#[derive(Clone, Copy)]
pub enum Move {
    Stay,
    Write(u32),
    Read(u32),
    /// Finds the first, leaves the second.
    Swap(u32, u32),
    /// Finds anything but this.
    Refused(u32),
    /// Appends a part to what is there.
    Append(u32),
    Never,
}

pub struct LastWriter {
    pub moves: Vec<Move>,
    pub initial: State,
    /// For `Append`: (state, part) -> state; anything else is `unseen`.
    pub extended: std::collections::HashMap<(u32, u32), u32>,
    pub unseen: State,
    pub steps: u64,
}

impl Stepper for LastWriter {
    fn initial(&self) -> State {
        self.initial
    }

    #[inline(always)]
    fn step(&mut self, state: State, kind: u32) -> u32 {
        self.steps += 1;
        match self.moves[kind as usize] {
            Move::Stay => state,
            Move::Write(value) => value,
            Move::Read(value) if state == value => state,
            Move::Swap(expected, value) if state == expected => value,
            Move::Refused(expected) if state != expected => state,
            Move::Append(part) => self.extended.get(&(state, part)).copied().unwrap_or(self.unseen),
            _ => REJECTED,
        }
    }

    fn steps(&self) -> u64 {
        self.steps
    }
}
