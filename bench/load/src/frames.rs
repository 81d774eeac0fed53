//! What is sent: frames encoded once, in an order that repeats.

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const MASKED: u8 = 0x80;
/// The lengths that say that the length follows, in two octets or eight.
pub(crate) const MEDIUM: u8 = 0x7e;
pub(crate) const LONG: u8 = 0x7f;

/// Any but zero, so that servers have to unmask.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A complete masked frame. `first` is its first octet without FIN.
pub(crate) fn encode(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![FIN | first];
    if let Ok(short @ 0..=125) = u8::try_from(payload.len()) {
        frame.push(MASKED | short);
    } else if let Ok(medium) = u16::try_from(payload.len()) {
        frame.push(MASKED | MEDIUM);
        frame.extend_from_slice(&medium.to_be_bytes());
    } else {
        frame.push(MASKED | LONG);
        frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    }
    frame.extend_from_slice(&MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// Frames one behind the other, so that any run of them is one write.
pub(crate) struct Frames {
    bytes: Vec<u8>,
    /// Where each begins, and where the last ends.
    starts: Vec<usize>,
    /// After so many frames the first follows again.
    cycle: usize,
}

/// How far one connection is in them.
#[derive(Default)]
pub(crate) struct Position {
    /// The next byte to be written.
    byte: usize,
    /// The first frame that is not yet to be written.
    frame: usize,
}

impl Frames {
    /// `cycle`, over and over, of which up to `in_flight` are waiting to be written at a time.
    pub(crate) fn new(cycle: &[Vec<u8>], in_flight: usize) -> Self {
        let frames = || cycle.iter().cycle().take(cycle.len() + in_flight - 1);
        let mut starts = vec![0];
        starts.extend(frames().scan(0, |end, frame| {
            *end += frame.len();
            Some(*end)
        }));
        Self {
            bytes: frames().flatten().copied().collect(),
            starts,
            cycle: cycle.len(),
        }
    }

    /// What is to be written now, after `count` more frames became due.
    pub(crate) fn due(&self, position: &mut Position, count: usize) -> &[u8] {
        position.frame += count;
        &self.bytes[position.byte..self.starts[position.frame]]
    }

    pub(crate) fn written(&self, position: &mut Position, bytes: usize) {
        position.byte += bytes;
        let around = position.byte / self.starts[self.cycle];
        position.byte -= around * self.starts[self.cycle];
        position.frame -= around * self.cycle;
    }
}
