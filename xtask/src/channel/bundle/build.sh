# $manifest, $id, $arch, $remote (where the runtime is had from), $sources (what is at hand, by digest), $bundle. What has not changed since
# the last build in this folder is not built again. Without FUSE, which not every machine has.
rm -rf built
flatpak-builder --user --force-clean --disable-rofiles-fuse --arch="$arch" --install-deps-from="$remote" \
  --extra-sources="$sources" --state-dir=state --repo=built app "$manifest"
flatpak build-bundle --arch="$arch" built "$bundle" "$id" master
