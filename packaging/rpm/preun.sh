# shellcheck shell=sh
if [ "$1" -eq 0 ]; then
    if [ -d /run/systemd/system ] && [ -x /usr/bin/systemctl ]; then
        /usr/bin/systemctl stop 'mathesar-backup*' 'mathesar@*' || :
        /usr/bin/systemctl --no-reload disable mathesar-backup.timer >/dev/null 2>&1 || :
    fi
    if [ -x /usr/lib/systemd/systemd-update-helper ]; then
        /usr/lib/systemd/systemd-update-helper remove-system-units mathesar.service || :
    elif [ -x /usr/bin/systemctl ]; then
        /usr/bin/systemctl --no-reload disable mathesar.service || :
        if [ -d /run/systemd/system ]; then
            /usr/bin/systemctl stop mathesar.service || :
        fi
    fi
fi
