//! `.SRCINFO`, which the AUR shows, without makepkg: `makepkg --printsrcinfo` prints the same, byte for byte.

use super::aur::Pkgbuild;

/// Renders `.SRCINFO` for a PKGBUILD of one package. makepkg prints single values first, then arrays, then the arrays of
/// an architecture, always in its own order; empty ones are left out.
pub(crate) fn render(pkgbuild: &Pkgbuild) -> String {
    let mut text = format!("pkgbase = {}\n", pkgbuild.pkgname);
    let pkgrel = pkgbuild.pkgrel.to_string();
    let source = format!("source_{}", pkgbuild.arch);
    let sums = format!("sha256sums_{}", pkgbuild.arch);
    let one = |text: &'_ String| vec![text.clone()];
    let attributes: [(&str, Vec<String>); 15] = [
        ("pkgdesc", one(&pkgbuild.pkgdesc)),
        ("pkgver", one(&pkgbuild.pkgver)),
        ("pkgrel", one(&pkgrel)),
        ("url", one(&pkgbuild.url)),
        ("install", one(&pkgbuild.install)),
        ("arch", one(&pkgbuild.arch)),
        ("license", one(&pkgbuild.license)),
        ("depends", pkgbuild.depends.clone()),
        ("optdepends", pkgbuild.optdepends.clone()),
        ("provides", pkgbuild.provides.clone()),
        ("conflicts", pkgbuild.conflicts.clone()),
        ("options", pkgbuild.options.clone()),
        ("backup", pkgbuild.backup.clone()),
        (&source, one(&pkgbuild.source)),
        (&sums, one(&pkgbuild.sha256)),
    ];
    for (name, values) in &attributes {
        for value in values {
            text += &format!("\t{name} = {value}\n");
        }
    }
    text + &format!("\npkgname = {}\n", pkgbuild.pkgname)
}
