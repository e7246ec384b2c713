use super::*;

fn table(name: &str, rows: u64, checksum: &str) -> Table {
    Table {
        database: "people".to_owned(),
        schema: "public".to_owned(),
        table: name.to_owned(),
        rows,
        checksum: checksum.to_owned(),
    }
}

#[test]
fn every_difference_is_told() {
    let was = [table("a", 1, "7"), table("b", 2, "8"), table("c", 3, "9"), table("d", 4, "10")];
    let is = [table("a", 1, "7"), table("b", 3, "8"), table("c", 3, "1"), table("e", 0, "0")];
    let judged: Vec<(String, Judgement)> =
        compare(&was, &is).into_iter().map(|(table, judgement)| (table.table, judgement)).collect();
    let expected = [
        ("a", Judgement::Same),
        ("b", Judgement::Rows { was: 2, is: 3 }),
        ("c", Judgement::Content),
        ("d", Judgement::Missing),
        ("e", Judgement::Extra),
    ];
    assert_eq!(judged, expected.map(|(name, judgement)| (name.to_owned(), judgement)));
    assert!(compare(&was, &was).iter().all(|(_, judgement)| judgement.is_good()));
}

/// A cast to text may be a function that somebody has made, and it would run as superuser.
#[test]
fn rows_are_written_by_no_function_of_a_user() {
    for shared in [false, true] {
        let text = statements(shared);
        assert!(text.contains("record_out(t.*)::text") && !text.contains("t::text"), "{text}");
        assert!(text.starts_with("SET search_path = pg_catalog;"), "{text}");
        assert_eq!(text.contains("pg_authid"), shared);
    }
}
