# shellcheck shell=sh
if [ "$1" -eq 0 ]; then
    if [ -x /usr/lib/systemd/systemd-update-helper ]; then
        /usr/lib/systemd/systemd-update-helper remove-system-units mathesar.service || :
    elif [ -x /usr/bin/systemctl ]; then
        /usr/bin/systemctl --no-reload disable --now mathesar.service || :
    fi
fi
