//! That `docs/journal.md` says what the code does: its tables of fields, its numbers, its example.

use crate::batch::BATCH_HEADER_BYTES;
use crate::file_name;
use crate::frame::{Kind, PREFIX_BYTES};
use crate::header::HEADER_BYTES;
use crate::progress::{SLOT_BYTES, SLOTS_AT};
use crate::written::{Written, acquired, completed};

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/journal.md");
    std::fs::read_to_string(path).expect("the document is there")
}

/// The fields of the first table behind `heading`: where each begins, how long it is, what it is.
fn table(document: &str, heading: &str) -> Vec<(usize, usize, String)> {
    let (_, rest) = document.split_once(heading).unwrap_or_else(|| panic!("{heading}: not there"));
    let rows = rest.lines().skip_while(|line| !line.starts_with('|')).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').splitn(3, '|').map(str::trim).collect();
        let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{heading}: {row}"));
        (number(cells[0]), number(cells[1]), cells[2].to_owned())
    })
    .collect()
}

#[test]
fn every_table_of_fields_has_the_length_that_the_code_reads() {
    let document = document();
    let frame = |kind: Kind| format!("\nKind {}, {}:", kind as u8, kind.name());
    let mut tables = vec![
        ("\nProgress slot:".to_owned(), 0, SLOT_BYTES),
        ("\nFile header:".to_owned(), 0, HEADER_BYTES),
        ("\nBatch header:".to_owned(), 0, BATCH_HEADER_BYTES),
        ("\nWhat every frame begins with:".to_owned(), 0, PREFIX_BYTES),
    ];
    tables.extend(Kind::ALL.map(|kind| (frame(kind), PREFIX_BYTES, kind.fixed_bytes())));
    for (heading, from, to) in tables {
        let mut at = from;
        for (offset, bytes, field) in table(&document, &heading) {
            assert_eq!(offset, at, "{heading} {field}: fields follow one another");
            at += bytes;
        }
        assert_eq!(at, to, "{heading}");
    }
    assert!(document.contains(&format!("a slot of {SLOT_BYTES} bytes at 0 and one at 4,096")));
    assert_eq!(SLOTS_AT, [0, 4_096]);
}

/// Bytes as the document prints them: sixteen to a line, with their offset and as text.
fn printed(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (line, bytes) in bytes.chunks(16).enumerate() {
        let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' };
        let plain: String = bytes.iter().map(shown).collect();
        text += &format!("{:04x}  {:<47}  {plain}\n", line * 16, hex.join(" "));
    }
    text
}

#[test]
fn the_example_is_what_the_code_writes() {
    let mut written = Written::new();
    let file = written.file(512, &[&[acquired(4, "k", None), completed(4, b"done")]]);
    let bytes = written.disk.bytes(&file_name::facts(file.number)).lock().clone();
    let example = printed(&bytes[..file.edges[1] as usize]);
    assert!(document().contains(&example), "the example is:\n{example}");
}

/// The example taken apart by the document's tables alone, without the code's readers.
#[test]
fn a_stranger_reads_the_example_by_the_tables() {
    let document = document();
    let (_, rest) = document.split_once("```text\n0000  ").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let bytes: Vec<u8> = format!("0000  {example}")
        .lines()
        .flat_map(|line| line[6..53].split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .map(|digits| u8::from_str_radix(&digits, 16).expect("hexadecimal digits"))
        .collect();
    let field = |from: usize, heading: &str, name: &str| {
        let table = table(&document, heading);
        let found = table.iter().find(|(_, _, field)| field.contains(name));
        let (at, len, _) = found.unwrap_or_else(|| panic!("{heading}: {name}"));
        let field = &bytes[from + at..from + at + len];
        field.iter().rev().fold(0_u128, |number, &byte| number << 8 | u128::from(byte))
    };
    let crc = |parts: &[&[u8]]| {
        let crc = parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part));
        u128::from(crc)
    };
    let without = |from: usize, len: usize, crc_at: usize| {
        let mut part = bytes[from..from + len].to_vec();
        part[crc_at..crc_at + 4].fill(0);
        part
    };
    let (header, prefix) = ("\nFile header:", "\nWhat every frame begins with:");
    assert_eq!(field(0, header, "checksum"), crc(&[&without(0, 64, 12)]));
    assert_eq!((field(0, header, "number, as"), field(0, header, "level")), (1, 16));
    let id = &bytes[16..32];
    let batch = "\nBatch header:";
    let len = field(64, batch, "length") as usize;
    assert_eq!(len, bytes.len() - 64, "one batch to the end");
    let (mut frames, mut sums) = (Vec::new(), Vec::new());
    let mut at = 128;
    while bytes.len() - at >= 8 {
        let word = field(at, prefix, "lower 28 bits");
        let (len, kind) = ((word & 0x0fff_ffff) as usize, word >> 28);
        let sum = field(at, prefix, "checksum");
        assert_eq!(sum, crc(&[id, &without(at, len, 4)]), "frame at {at}");
        sums.extend_from_slice(&(sum as u32).to_le_bytes());
        frames.push((kind, field(at, prefix, "fence"), at));
        at += len;
    }
    assert!(bytes[at..].iter().all(|&byte| byte == 0), "padding");
    let sum = crc(&[id, &without(64, 64, 8), &sums]);
    assert_eq!(field(64, batch, "checksum, see below"), sum);
    let [(1, 4, grant), (2, 4, result)] = frames[..] else { panic!("{frames:?}") };
    let grant_of = |name| field(grant, "\nKind 1, acquired:", name);
    assert_eq!(
        (grant_of("when it was granted"), grant_of("end of the retention")),
        (1_000, 100_000)
    );
    assert_eq!((grant_of("lease in ms"), grant_of("number of the namespace")), (30_000, 3));
    let text = grant + 64 + grant_of("fingerprint's digest") as usize;
    assert_eq!(&bytes[text..text + 7], b"tenantk");
    assert_eq!(field(result, "\nKind 2, completed:", "status"), 201);
    assert_eq!(&bytes[result + 32..result + 36], b"done");
}
