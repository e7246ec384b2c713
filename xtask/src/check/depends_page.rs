//! docs/dependencies.md: what the packages need, by distribution, and why.

use crate::manifest::{Distribution, Level, Manifest, Names};
use crate::table;

const HEAD: &str = "<!-- Generated from packaging/mathesar.toml by `cargo xtask check --write`; do not edit. -->\n\n\
    # What the packages need\n\n\
    One .deb serves every Debian and Ubuntu and one .rpm every Fedora, RHEL and openSUSE, so these say `a | b` or `(a or b)` where\n\
    the names differ. glibc and libgcc are read from the program itself.\n";

pub(super) fn page(manifest: &Manifest) -> String {
    let mut page = HEAD.to_owned();
    for (name, dependency) in &manifest.dependency {
        let level = match dependency.level {
            Level::Requires => "required",
            Level::Recommends => "recommended",
            Level::Suggests => "suggested",
        };
        let families =
            [&Distribution::DEB[..], &Distribution::RPM, &Distribution::ARCH, &Distribution::HOMEBREW]
                .concat();
        let rows = families.iter().filter_map(|distribution| {
            let names = dependency.names.get(distribution)?;
            Some(vec![distribution.id().to_owned(), shown(names)])
        });
        let rows = table::markdown(&["distribution", "package"], rows);
        page.push_str(&format!("\n## {name}\n\n{level}: {}\n\n{rows}", dependency.why));
    }
    page
}

fn shown(names: &Names) -> String {
    let code = |name: &String| format!("`{name}`");
    match names {
        Names::One(name) => code(name),
        Names::AnyOf(any) => any.iter().map(code).collect::<Vec<_>>().join(" or "),
        Names::None(reason) => format!("none: {}", reason.none),
    }
}
