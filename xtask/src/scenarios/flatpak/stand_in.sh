# An ostree repository with a stand-in for freedesktop's runtime, of Debian's packages: org.freedesktop.Platform from /platform,
# org.freedesktop.Sdk from /sdk, and its extension with the Rust of /toolchain. Into /out/repo, branch $version.
machine=$(uname -m)
repo=/out/repo
ostree init --repo=$repo --mode=archive
# It is read once or twice, from this computer's disk.
printf '\n[archive]\nzlib-level=1\n' >>$repo/config

# NAME METADATA: of what lies in /parts/NAME, and over it in /more/NAME.
commit() {
	printf '%s' "$2" >"/more/$1/metadata"
	# A user's own installation takes neither owners nor set-user-id bits.
	ostree commit --repo=$repo --branch="runtime/$1/$machine/$version" --owner-uid=0 --owner-gid=0 --no-xattrs \
		--canonical-permissions --add-metadata-string=xa.metadata="$2" --tree=dir="/parts/$1" --tree=dir="/more/$1"
}

# NAME TREE FURTHER-METADATA: a runtime's `files` is what an application sees as /usr, and `etc` in it as /etc.
runtime() {
	mkdir -p "/parts/$1/files" "/more/$1/files/lib/sdk"
	mount --bind "$2/usr" "/parts/$1/files"
	cp -a "$2/etc" "/more/$1/files/etc"
	# Flatpak has its own for each run.
	(cd "/more/$1/files/etc" && rm -rf hostname hosts passwd* group* shadow* gshadow* subuid* subgid* resolv.conf machine-id)
	commit "$1" "[Runtime]
name=$1
runtime=org.freedesktop.Platform/$machine/$version
sdk=org.freedesktop.Sdk/$machine/$version
$3"
}

runtime org.freedesktop.Platform /platform ''
runtime org.freedesktop.Sdk /sdk '
[Extension org.freedesktop.Sdk.Extension]
directory=lib/sdk
subdirectories=true
no-autodownload=true
'

rust=org.freedesktop.Sdk.Extension.rust-stable
mkdir -p "/parts/$rust/files/lib" "/more/$rust/files/bin"
mount --bind /toolchain/lib "/parts/$rust/files/lib"
cp /toolchain/bin/cargo /toolchain/bin/rustc "/more/$rust/files/bin"
commit "$rust" "[Runtime]
name=$rust

[ExtensionOf]
ref=runtime/org.freedesktop.Sdk/$machine/$version
"
flatpak build-update-repo $repo
