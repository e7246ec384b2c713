# Boots one throw-away machine, and starts it again whenever it reboots. Runs in mount and process namespaces of its own:
# with the last process, all that was mounted here is gone.
# Arguments: the base tree, an empty folder, the machine's name, further options of systemd-nspawn.
set -eu
base=$1 folder=$2 name=$3
shift 3

# A pure cgroup2 hierarchy, and a group of the machine's own in it: several machines can run side by side.
umount -R /sys/fs/cgroup 2>/dev/null || :
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$name"
echo $$ >"/sys/fs/cgroup/$name/cgroup.procs"

# systemd-nspawn leaves folders here that nobody but a host's tmpfiles removes.
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn

# Changes are kept in memory: fast, and nothing to clean up.
mount -t tmpfs -o mode=755,size=6g tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"

status=133
# 133: it wants to be started again.
while [ "$status" = 133 ]; do
	status=0
	systemd-nspawn --quiet --directory="$folder/root" --machine="$name" --boot --register=no --keep-unit \
		--private-network --console=read-only --notify-ready=yes --link-journal=no --resolv-conf=off \
		--timezone=off "$@" </dev/null || status=$?
done

echo $$ >/sys/fs/cgroup/cgroup.procs
find "/sys/fs/cgroup/$name" -depth -type d -exec rmdir {} + || :
exit "$status"
