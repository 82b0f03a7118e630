use super::*;

fn disk(seed: u64) -> SimulatedDisk {
    let trace = Arc::new(Mutex::new(Trace::new(false)));
    SimulatedDisk::new(seed, &Arc::default(), &trace)
}

fn text(disk: &SimulatedDisk, name: &str) -> Option<String> {
    let file = disk.open(name).ok()?;
    let mut bytes = vec![0; file.len().ok()? as usize];
    file.read_at(&mut bytes, 0).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
}

fn put(disk: &SimulatedDisk, name: &str, text: &str) -> io::Result<()> {
    let file = disk.create(name, 16)?;
    file.write_at(text.as_bytes(), 0)?;
    file.sync_all()
}

#[test]
fn it_is_a_disk_like_the_systems() {
    let disk = disk(0);
    put(&disk, "a", "facts").expect("new");
    assert_eq!(put(&disk, "a", "").expect_err("there").kind(), io::ErrorKind::AlreadyExists);
    disk.rename("a", "b").expect("rename");
    assert_eq!(text(&disk, "b").as_deref(), Some("facts"));
    assert_eq!(disk.open("a").expect_err("gone").kind(), io::ErrorKind::NotFound);
    let guard = disk.lock("lock", "me").expect("free");
    assert_eq!(disk.lock("lock", "you").err().expect("taken").kind(), io::ErrorKind::WouldBlock);
    assert_eq!(text(&disk, "lock").as_deref(), Some("me"));
    drop(guard);
    disk.lock("lock", "you").expect("free again");
    disk.remove("b").expect("remove");
    assert_eq!(disk.list().expect("list"), ["lock"]);
}

#[test]
fn names_are_durable_with_a_sync_of_the_directory_and_renames_are_whole() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let disk = disk(seed);
        put(&disk, "manifest", "old").expect("new");
        disk.sync_directory().expect("sync");
        put(&disk, "manifest.new", "new").expect("new");
        disk.rename("manifest.new", "manifest").expect("rename");
        disk.end(End::Power);
        let manifest = text(&disk, "manifest").expect("one of both");
        assert!(["old", "new"].contains(&manifest.as_str()), "{manifest}");
        seen.insert(manifest);
    }
    assert_eq!(seen.len(), 2);
    let disk = disk(7);
    put(&disk, "a", "facts").expect("new");
    disk.sync_directory().expect("sync");
    disk.end(End::Power);
    assert_eq!(text(&disk, "a").as_deref(), Some("facts"));
}

#[test]
fn faults_befall_the_operation_that_they_were_meant_for() {
    let disk = disk(3);
    let file = disk.create("a", 4_096).expect("new");
    disk.schedule(2, Fault::Fail);
    file.write_at(b"x", 0).expect("the first");
    file.sync_data().expect_err("the second");
    file.sync_data().expect("the third");
    disk.set_full(true);
    assert_eq!(disk.create("b", 1).expect_err("full").kind(), io::ErrorKind::StorageFull);
    file.write_at(b"y", 9).expect("it has its room");
    file.write_at(b"y", 5_000).expect_err("no room");
    disk.set_full(false);
    disk.create("b", 4_096).expect("room again");
    disk.schedule(1, Fault::Misdirect);
    file.write_at(b"z", 0).expect("nobody is told");
    assert_eq!(disk.misdirected().len(), 1);
    assert_eq!(text(&disk, "a").expect("there").chars().next(), Some('x'));
    disk.schedule(1, Fault::Die);
    file.write_at(b"z", 0).expect_err("dead");
    assert!(disk.is_dead() && file.sync_data().is_err() && disk.list().is_err());
    disk.end(End::Process);
    assert_eq!(disk.list().expect("alive"), ["a", "b"]);
}
