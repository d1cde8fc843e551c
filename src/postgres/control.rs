//! `global/pg_control`, read without the program that prints it: starting a program costs more than all else that is
//! looked at on a host, and a failover looks five times.

use crate::cluster::{ControlData, ControlState, Lsn, SystemId, Timeline};

/// Its path in the data directory.
pub(crate) const FILE: &str = "global/pg_control";

/// Versions of the file whose beginning is laid out as below: PostgreSQL 11, 12, 13 to 16, 17, 18. Any other is left to
/// the program that came with the server.
const KNOWN: [u32; 5] = [1100, 1201, 1300, 1700, 1800];

/// Reads the beginning of the file; none where it is not known for certain what it says.
///
/// The layout is that of `ControlFileData` in PostgreSQL's `src/include/catalog/pg_control.h`, of a server of this
/// machine's byte order: system identifier (8 bytes), version of the file (4), of the catalog (4), state (4), padding, time
/// (8), position of the latest checkpoint (8), and of its copy the redo position (8) and the timeline (4).
pub(crate) fn read(bytes: &[u8]) -> Option<ControlData> {
    let short = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    if !KNOWN.contains(&short(8)?) {
        return None;
    }
    let state = match short(16)? {
        0 => ControlState::StartingUp,
        1 => ControlState::ShutDown,
        2 => ControlState::ShutDownInRecovery,
        3 => ControlState::ShuttingDown,
        4 => ControlState::CrashRecovery,
        5 => ControlState::ArchiveRecovery,
        6 => ControlState::InProduction,
        _ => return None,
    };
    Some(ControlData {
        state,
        system: SystemId(long(0)?),
        checkpoint: Lsn(long(32)?),
        redo: Lsn(long(40)?),
        timeline: Timeline(short(48)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_version_or_state_is_not_read() {
        let mut bytes = vec![0; 64];
        bytes[0..8].copy_from_slice(&7_u64.to_ne_bytes());
        bytes[8..12].copy_from_slice(&1300_u32.to_ne_bytes());
        bytes[16..20].copy_from_slice(&1_u32.to_ne_bytes());
        bytes[32..40].copy_from_slice(&0x300_0098_u64.to_ne_bytes());
        bytes[40..48].copy_from_slice(&0x300_0060_u64.to_ne_bytes());
        bytes[48..52].copy_from_slice(&2_u32.to_ne_bytes());
        let read_ = read(&bytes).unwrap();
        assert_eq!(read_.state, ControlState::ShutDown);
        assert_eq!(
            (read_.checkpoint, read_.redo),
            (Lsn(0x300_0098), Lsn(0x300_0060))
        );
        assert_eq!((read_.system, read_.timeline), (SystemId(7), Timeline(2)));
        assert_eq!(read(&bytes[..50]), None, "cut off");
        bytes[8..12].copy_from_slice(&1301_u32.to_ne_bytes());
        assert_eq!(read(&bytes), None, "another version");
        bytes[8..12].copy_from_slice(&1300_u32.to_ne_bytes());
        bytes[16] = 9;
        assert_eq!(read(&bytes), None, "no such state");
    }
}
