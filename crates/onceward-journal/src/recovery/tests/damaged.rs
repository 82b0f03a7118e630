//! Every byte of a directory flipped, every file cut at every length and taken away: what was
//! synced comes back unchanged, or a refusal names the file.

use super::*;
use crate::manifest::FileState;
use crate::written::WrittenFile;

/// A directory of a sealed, a failed and an open file. Of the last, all but the last batch is
/// synced.
struct Scene {
    written: Written,
    files: [WrittenFile; 3],
    /// With the last batch, and without it.
    whole: Vec<Told>,
    synced: Vec<Told>,
}

fn scene() -> Scene {
    let mut written = Written::new();
    let sealed = written.file(1_024, &[&[acquired(4, "a", None), completed(4, b"result of a")]]);
    let failed = written.file(1_024, &[&[acquired(5, "b", None)], &[completed(5, b"torn")]]);
    let facts =
        [&[completed(5, b"b, again")][..], &[acquired(6, "c", None)], &[completed(6, b"c")]];
    let open = written.file(1_024, &facts);
    written.state(&sealed, FileState::Sealed { length: sealed.edges[1] });
    written.state(&failed, FileState::Failed { good_length: failed.edges[1] });
    written.synced(&open, open.edges[2]);
    written.commit();
    let told = |fence, body: Option<&str>| match body {
        Some(body) => Told { state: done(body), ..reserved(fence, 1) },
        None => reserved(fence, 1),
    };
    let whole = vec![told(4, Some("result of a")), told(5, Some("b, again")), told(6, Some("c"))];
    let synced = vec![whole[0].clone(), whole[1].clone(), told(6, None)];
    let files = [sealed, failed, open];
    Scene { written, files, whole, synced }
}

/// Recovers a damaged copy; says whether it was refused.
fn is_refused(scene: &Scene, name: &str, why: &str, damage: impl FnOnce(&MemoryDisk)) -> bool {
    let disk = MemoryDisk::clone(&scene.written.disk);
    damage(&disk);
    match recover(Arc::new(disk), &options()) {
        Ok((_, memory)) => {
            let told = memory.told();
            assert!(told == scene.whole || told == scene.synced, "{why}: wrong: {told:?}");
            false
        }
        Err(refused) => {
            let says = refused.to_string();
            let named = says.contains(&format!("{name} "));
            assert!(named && (says.contains(" at byte ") || says.contains("not there")), "{says}");
            true
        }
    }
}

#[test]
fn the_scene_is_sound() {
    let scene = scene();
    let (_, memory) = recover(Arc::clone(&scene.written.disk), &options()).expect("sound");
    assert_eq!(memory.told(), scene.whole);
}

#[test]
fn a_flipped_bit_is_never_told_s14() {
    let scene = scene();
    let [sealed, failed, open] = &scene.files;
    for file in &scene.files {
        let name = file_name::facts(file.number);
        for at in 0..1_024_u64 {
            for bit in [at % 8, (at + 5) % 8] {
                let why = format!("{name} byte {at} bit {bit}");
                let refused = is_refused(&scene, &name, &why, |disk| {
                    disk.bytes(&name).lock()[at as usize] ^= 1 << bit;
                });
                let counts = [
                    (sealed.number, sealed.edges[1]),
                    (failed.number, failed.edges[1]),
                    (open.number, open.edges[2]),
                ];
                let counts = counts.iter().any(|&(number, end)| number == file.number && at < end);
                assert_eq!(refused, counts, "{why}: what was synced is refused, nothing else");
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_manifest_or_progress_hides_nothing() {
    let scene = scene();
    for name in [file_name::MANIFEST, file_name::PROGRESS] {
        let len = scene.written.disk.bytes(name).lock().len();
        for at in 0..len {
            let why = format!("{name} byte {at}");
            let refused = is_refused(&scene, name, &why, |disk| {
                disk.bytes(name).lock()[at] ^= 1 << (at % 8);
            });
            // One slot of progress is enough; the last line of the manifest is its checksum's end.
            assert!(refused || name == file_name::PROGRESS || at + 10 > len, "{why}");
        }
    }
}

#[test]
fn a_cut_file_is_refused_unless_nothing_synced_is_missing() {
    let scene = scene();
    let [sealed, failed, open] = &scene.files;
    // An open file is made with its full length, so no crash cuts it.
    let least = [(sealed, sealed.edges[1]), (failed, failed.edges[1]), (open, 1_024)];
    for (file, least) in least {
        let name = file_name::facts(file.number);
        for len in 0..1_024 {
            let refused = is_refused(&scene, &name, &format!("{name} cut to {len}"), |disk| {
                disk.bytes(&name).lock().truncate(len as usize);
            });
            assert_eq!(refused, len < least, "{name} cut to {len}");
        }
    }
    for name in [file_name::MANIFEST, file_name::PROGRESS] {
        let whole = scene.written.disk.bytes(name).lock().len();
        for len in 0..whole {
            let why = format!("{name} cut to {len}");
            is_refused(&scene, name, &why, |disk| disk.bytes(name).lock().truncate(len));
        }
    }
}

#[test]
fn a_file_that_is_gone_is_refused_by_name() {
    let scene = scene();
    let mut names: Vec<_> = scene.files.iter().map(|file| file_name::facts(file.number)).collect();
    names.extend([file_name::MANIFEST, file_name::PROGRESS].map(str::to_owned));
    for name in &names {
        assert!(is_refused(&scene, name, name, |disk| disk.remove(name).expect("there")), "{name}");
    }
}

#[test]
fn an_exchanged_file_is_refused() {
    let scene = scene();
    let [one, other] = [0, 1].map(|file| file_name::facts(scene.files[file].number));
    let other_bytes = scene.written.disk.bytes(&other).lock().clone();
    assert!(is_refused(&scene, &one, "exchanged", |disk| disk.put(&one, other_bytes)));
}

/// Whatever a crash leaves behind what was synced, nothing of it is told unless it is whole.
#[test]
fn any_torn_tail_ends_the_file_where_it_was_synced() {
    let scene = scene();
    let open = &scene.files[2];
    let name = file_name::facts(open.number);
    let (from, to) = (open.edges[2] as usize, open.edges[3] as usize);
    for torn in from..to {
        for stale in [0, 0xff] {
            let disk = MemoryDisk::clone(&scene.written.disk);
            disk.bytes(&name).lock()[torn..to].fill(stale);
            let unchanged =
                disk.bytes(&name).lock()[..] == scene.written.disk.bytes(&name).lock()[..];
            let (recovered, memory) = recover(Arc::new(disk), &options()).expect("a torn tail");
            let want = if unchanged { &scene.whole } else { &scene.synced };
            assert_eq!(&memory.told(), want, "torn at {torn}");
            let file = recovered.files.last().expect("the open file");
            assert_eq!(file.end, if unchanged { to } else { from } as u64);
        }
    }
}
