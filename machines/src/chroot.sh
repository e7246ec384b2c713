# Runs one script over a base tree, with this computer's network, in mount and process namespaces of its own: with the last process, all
# that was mounted here is gone.
# Arguments: the base tree, an empty folder, the script, then pairs of a folder here and where it is seen.
set -eu
base=$1 folder=$2 script=$3
shift 3
mount -t tmpfs -o mode=755,size=6g tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
mount -t proc proc "$folder/root/proc"
mount --rbind /dev "$folder/root/dev"
for file in /etc/resolv.conf /etc/hosts; do
	if [ -e "$file" ]; then
		rm -f "$folder/root$file"
		cp -L "$file" "$folder/root$file"
	fi
done
while [ $# -gt 1 ]; do
	mkdir -p "$folder/root$2"
	mount --rbind "$1" "$folder/root$2"
	shift 2
done
exec chroot "$folder/root" sh -euc "$script"
