//! A gunicorn that begins before it is wanted.

use std::path::{Path, PathBuf};

use crate::harness::{Instance, get, python};

/// What of Django a waiting gunicorn looks at; `django/imports` has a line with the process for each import.
fn django(app: &Path, storage: &str) -> PathBuf {
    let imports = app.join("django/imports");
    for (file, text) in [
        ("django/__init__.py", include_str!("django.py")),
        ("django/contrib/staticfiles/storage.py", storage),
        ("django/db.py", "connections = {}\n"),
        ("django/utils/functional.py", "empty = object()\n"),
    ] {
        std::fs::create_dir_all(app.join(file).parent().unwrap()).unwrap();
        std::fs::write(app.join(file), text).unwrap();
    }
    imports
}

const UNTOUCHED: &str = "import types\nfrom django.utils.functional import empty\nstaticfiles_storage = types.SimpleNamespace(_wrapped=empty)\n";
const TOUCHED: &str = "import types\nstaticfiles_storage = types.SimpleNamespace(_wrapped=None)\n";

fn lines(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn warm(prepare: &str) -> Instance {
    let mut instance = Instance::new();
    instance.variables = vec![("MT_WARM", "1".into()), ("MT_PREPARE", prepare.into())];
    instance
}

#[test]
fn it_imports_while_all_is_prepared_and_serves_after_the_word() {
    let Some(_) = python() else { return };
    let mut instance = warm("4000");
    let imports = django(&instance.folder.path().join("app"), UNTOUCHED);
    instance.process = Some(instance.spawn());
    instance.until("an import", || !lines(&imports).is_empty());
    assert_eq!(instance.status().unwrap()["state"], "preparing");
    assert_eq!(get(&instance.listen, "/master", "").unwrap().0, 503);
    instance.wait_for("running");
    let master = instance.get("/master").unwrap().1;
    assert_eq!(lines(&imports), [format!("{master} with a word")]);
}

#[test]
fn what_it_has_read_too_early_is_read_again() {
    let Some(_) = python() else { return };
    for django_is_there in [true, false] {
        let mut instance = warm("10");
        let app = instance.folder.path().join("app");
        let imports = django(&app, TOUCHED);
        if django_is_there {
            // The application's own import tells whether its process is a new one.
            let wsgi = app.join("config/wsgi.py");
            let text = std::fs::read_to_string(&wsgi).unwrap();
            std::fs::write(&wsgi, format!("import django\n{text}")).unwrap();
        } else {
            std::fs::remove_dir_all(app.join("django")).unwrap();
        }
        instance.start();
        let master = instance.get("/master").unwrap().1;
        let expected: &[String] = match django_is_there {
            true => &[format!("{master} with a word"), format!("{master} without a word")],
            false => &[],
        };
        assert_eq!(lines(&imports), expected);
    }
}

#[test]
fn nobody_is_left_who_waits_for_a_dead_launchers_word() {
    let Some(_) = python() else { return };
    let instance = warm("60000");
    let imports = django(&instance.folder.path().join("app"), UNTOUCHED);
    let mut process = instance.spawn();
    instance.until("an import", || !lines(&imports).is_empty());
    let waiting = lines(&imports)[0].split(' ').next().unwrap().to_owned();
    process.kill().unwrap();
    process.wait().unwrap();
    instance.until("its end", || !Path::new("/proc").join(&waiting).exists());
}
