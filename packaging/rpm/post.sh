# shellcheck shell=sh
# Enabled only where a preset of the distribution or the administrator says so. Nothing is started.
if [ "$1" -eq 1 ]; then
    if [ -x /usr/lib/systemd/systemd-update-helper ]; then
        /usr/lib/systemd/systemd-update-helper install-system-units mathesar-backup.timer mathesar.service || :
    elif [ -x /usr/bin/systemctl ]; then
        /usr/bin/systemctl --no-reload preset mathesar-backup.timer mathesar.service || :
    fi
fi
if [ -d /run/systemd/system ] && [ -x /usr/bin/systemd-tmpfiles ]; then
    /usr/bin/systemd-tmpfiles --create mathesar.conf || :
fi
