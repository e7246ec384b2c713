# What people do without a tool of their own: everything is indexed anew. $1: apt, dnf, pacman or all.
set -eu
sign() {
	gpg --batch --yes --quiet --pinentry-mode loopback --local-user "$KEY" "$@"
}
if [ "$1" = apt ] || [ "$1" = all ]; then (
	cd apt
	cp "$NEW"/*.deb "pool/main/$NAME"
	for architecture in amd64 arm64; do
		index=dists/stable/main/binary-$architecture
		mkdir -p $index
		apt-ftparchive --arch $architecture packages pool >$index/Packages
		gzip -9nkf $index/Packages
		xz -kf $index/Packages
	done
	apt-ftparchive release dists/stable >Release
	mv Release dists/stable/Release
	sign --clear-sign --output dists/stable/InRelease dists/stable/Release
	sign --armor --detach-sign --output dists/stable/Release.gpg dists/stable/Release
); fi
if [ "$1" = dnf ] || [ "$1" = all ]; then (
	cd dnf
	for package in "$NEW"/*.rpm; do
		cp "$package" Packages
		rpmsign --define "_gpg_name $KEY" --define "__gpg $(command -v gpg)" --addsign "Packages/${package##*/}"
	done
	createrepo_c --quiet --no-database .
	sign --armor --detach-sign --output repodata/repomd.xml.asc repodata/repomd.xml
); fi
if [ "$1" = pacman ] || [ "$1" = all ]; then
	for architecture in x86_64 aarch64; do (
		cd pacman/$architecture
		for package in "$NEW"/*-$architecture.pkg.tar.zst; do
			cp "$package" .
			sign --detach-sign --output "${package##*/}.sig" "${package##*/}"
			# The names that repo-add asks for.
			mv "$NAME.db" "$NAME.db.tar.gz"
			mv "$NAME.files" "$NAME.files.tar.gz"
			repo-add --quiet "$NAME.db.tar.gz" "${package##*/}"
		done
		for index in db files; do
			sign --detach-sign --output "$NAME.$index.tar.gz.sig" "$NAME.$index.tar.gz"
		done
	); done
fi
