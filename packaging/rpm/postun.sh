# shellcheck shell=sh
# Restarts only, and the service only: a backup that runs goes on, and systemd reads a changed timer by itself.
# The data in /var/lib/mathesar and the user stay, as with every rpm.
if [ "$1" -ge 1 ]; then
    if [ -x /usr/lib/systemd/systemd-update-helper ]; then
        /usr/lib/systemd/systemd-update-helper mark-restart-system-units mathesar.service || :
    elif [ -d /run/systemd/system ] && [ -x /usr/bin/systemctl ]; then
        /usr/bin/systemctl try-restart mathesar.service || :
    fi
fi
