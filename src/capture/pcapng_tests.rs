#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::capture::render::TAIL;
use crate::capture::tests::session;
use proptest::prelude::*;

/// One block: its type and its body.
type Block = (u32, Vec<u8>);

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().unwrap())
}

/// Takes a file apart; both lengths of each block have to agree.
fn blocks(mut file: &[u8]) -> Vec<Block> {
    let mut found = Vec::new();
    while !file.is_empty() {
        let length = number(&file[4..]) as usize;
        assert_eq!((length % 4, number(&file[length - 4..]) as usize), (0, length));
        found.push((number(file), file[8..length - 4].to_vec()));
        file = &file[length..];
    }
    found
}

fn options(mut bytes: &[u8]) -> HashMap<u16, Vec<u8>> {
    let mut found = HashMap::new();
    while bytes.len() >= 4 {
        let (code, length) = (u16::from_le_bytes([bytes[0], bytes[1]]), u16::from_le_bytes([bytes[2], bytes[3]]));
        let length = usize::from(length);
        if code == 0 {
            break;
        }
        found.insert(code, bytes[4..4 + length].to_vec());
        bytes = &bytes[4 + length.next_multiple_of(4)..];
    }
    found
}

struct Packet {
    time: u64,
    frame: Vec<u8>,
    options: HashMap<u16, Vec<u8>>,
}

impl Packet {
    fn comment(&self) -> String {
        String::from_utf8(self.options.get(&COMMENT).cloned().unwrap_or_default()).unwrap()
    }

    fn data(&self) -> &[u8] {
        &self.frame[20 + usize::from(self.frame[32] >> 4) * 4..]
    }

    fn is_outbound(&self) -> bool {
        number(&self.options[&PACKET_FLAGS]) == 2
    }
}

fn packets(file: &[u8]) -> Vec<Packet> {
    let packets = blocks(file).into_iter().filter(|(kind, _)| *kind == ENHANCED_PACKET);
    packets
        .map(|(_, body)| {
            let time = u64::from(number(&body[4..])) << 32 | u64::from(number(&body[8..]));
            let length = number(&body[12..]) as usize;
            assert_eq!(number(&body[16..]) as usize, length);
            let frame = body[20..20 + length].to_vec();
            Packet { time, frame, options: options(&body[20 + length.next_multiple_of(4)..]) }
        })
        .collect()
}

/// Renders records one microsecond apart, each in the room it asked for.
fn rendered(records: &[Record<'_>]) -> Vec<u8> {
    let (mut render, session, mut out) = (Packets::new("A <-> B"), session(1), Vec::new());
    render.head(&mut out);
    for (at, record) in records.iter().enumerate() {
        let (before, room) = (out.len(), render.room(&session, record));
        render.record(&mut out, 1_795_334_400_000_000_000 + at as u64 * 1000, &session, record);
        assert!(out.len() - before <= room, "{record:?}: {} of {room}", out.len() - before);
    }
    let before = out.len();
    render.tail(&mut out, 1_795_334_401_000_000_000);
    assert!(out.len() - before <= TAIL);
    out
}

fn bytes(toward: Toward, offset: u64, bytes: &[u8]) -> Record<'_> {
    Record::Bytes { toward, offset, bytes }
}

#[test]
fn a_file_says_what_it_holds() {
    let file = rendered(&[]);
    let blocks = blocks(&file);
    let kinds: Vec<_> = blocks.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [SECTION_HEADER, INTERFACE_DESCRIPTION, INTERFACE_STATISTICS]);
    assert_eq!(&file[..4], MAGIC);
    let interface = &blocks[1].1;
    assert_eq!(interface[..2], LINKTYPE_RAW.to_le_bytes());
    let told = options(&interface[8..]);
    assert_eq!(told[&INTERFACE_RESOLUTION], [9]);
    assert_eq!(told[&INTERFACE_DESCRIPTION_TEXT], b"A <-> B");
}

#[test]
fn a_session_is_a_connection_with_comments() {
    let file = rendered(&[
        Record::Begins,
        bytes(Toward::Right, 0, b"question"),
        bytes(Toward::Left, 0, b"answer"),
        Record::Ends(Toward::Right),
        Record::Closes { in_order: true, words: "finished" },
    ]);
    let packets = packets(&file);
    let comments: Vec<_> = packets.iter().map(Packet::comment).filter(|comment| !comment.is_empty()).collect();
    assert_eq!(comments, ["session 1 begins: left <-> right", "session 1 ended: finished"]);
    let data: Vec<_> = packets.iter().map(Packet::data).filter(|data| !data.is_empty()).collect();
    assert_eq!(data, [b"question" as &[u8], b"answer"]);
    let ways: Vec<_> = packets.iter().map(Packet::is_outbound).collect();
    assert_eq!(ways, [true, false, true, true, false, true, false, true]);
    assert!(packets.is_sorted_by_key(|packet| packet.time));
    assert_eq!(packets[4].time - packets[3].time, 1000);
}

#[test]
fn what_is_missing_is_told_with_the_next_packet_and_at_the_end() {
    let (mut render, session, mut out) = (Packets::new(""), session(1), Vec::new());
    render.head(&mut out);
    render.record(&mut out, 1, &session, &Record::Begins);
    render.missing(&mut out, 2, 3, 300);
    render.missing(&mut out, 3, 4, 400);
    render.record(&mut out, 4, &session, &bytes(Toward::Right, 700, b"x"));
    render.record(&mut out, 5, &session, &bytes(Toward::Right, 701, b"y"));
    render.tail(&mut out, 6);
    let drops: Vec<_> = packets(&out).iter().map(|packet| packet.options.get(&PACKET_DROPS).cloned()).collect();
    assert_eq!(drops, [None, None, None, Some(7_u64.to_le_bytes().to_vec()), None]);
    let (kind, body) = blocks(&out).pop().unwrap();
    let told = options(&body[12..]);
    assert_eq!((kind, told[&STATISTICS_DROPPED].clone()), (INTERFACE_STATISTICS, 7_u64.to_le_bytes().to_vec()));
    assert_eq!(told[&STATISTICS_RECEIVED], 12_u64.to_le_bytes());
}

#[test]
fn sessions_between_the_same_peers_are_told_apart() {
    let mut render = Packets::new("");
    let [first, mut second, mut third] = [1, 2, 3].map(session);
    second.flow = first.flow;
    third.flow = Flow { left: first.flow.right, right: first.flow.left, opened: Toward::Left };
    let mut ports = |session: &Session, record: Record<'_>| {
        let mut out = Vec::new();
        render.head(&mut out);
        render.record(&mut out, 1, session, &record);
        packets(&out)[0].frame[20..22].to_vec()
    };
    let closes = Record::Closes { in_order: true, words: "" };
    let own = ports(&first, Record::Begins);
    assert_ne!(ports(&second, Record::Begins), own);
    ports(&first, closes);
    assert_ne!(ports(&second, bytes(Toward::Right, 0, b"x")), own, "it stays what it was");
    assert_eq!(ports(&third, bytes(Toward::Left, 0, b"x")), own, "nobody is there any more");
}

#[test]
fn only_a_whole_last_block_is_whole() {
    let file = rendered(&[Record::Begins, bytes(Toward::Right, 0, b"odd")]);
    let whole =
        |file: &[u8]| is_whole(file.len() as u64, |at| file.get(usize::try_from(at).ok()?..)?.first_chunk().copied());
    let ends: Vec<_> = (1..=file.len()).filter(|end| whole(&file[..*end])).collect();
    let mut expected = Vec::new();
    let mut at = 0;
    for (_, body) in blocks(&file) {
        at += body.len() + 12;
        expected.push(at);
    }
    assert_eq!(ends, expected);
}

proptest! {
    #[test]
    fn every_byte_is_in_a_packet_once(
        pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 1..300)), 0..60),
    ) {
        let mut offsets = [0_u64; 2];
        let mut records = vec![Record::Begins];
        for (right, piece) in &pieces {
            let toward = if *right { Toward::Right } else { Toward::Left };
            records.push(bytes(toward, offsets[toward.index()], piece));
            offsets[toward.index()] += piece.len() as u64;
        }
        records.push(Record::Closes { in_order: true, words: "finished" });
        let file = rendered(&records);
        for right in [true, false] {
            let sent: Vec<u8> = pieces.iter().filter(|piece| piece.0 == right).flat_map(|piece| piece.1.clone()).collect();
            let packets = packets(&file);
            let shown: Vec<u8> =
                packets.iter().filter(|packet| packet.is_outbound() == right).flat_map(|packet| packet.data().to_vec()).collect();
            prop_assert_eq!(shown, sent);
        }
    }
}
