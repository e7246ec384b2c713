# shellcheck shell=sh
if [ "$1" -eq 0 ]; then
    if [ -d /run/systemd/system ] && [ -x /usr/bin/systemctl ]; then
        # The backups first, that none begins or loses its server.
        /usr/bin/systemctl stop mathesar-backup.timer mathesar-backup.service 'mathesar-backup@*' || :
        /usr/bin/systemctl stop 'mathesar@*' || :
    fi
    # Of a template: the links of all its instances.
    if [ -x /usr/bin/systemctl ]; then
        /usr/bin/systemctl --no-reload disable mathesar-backup@.timer mathesar@.service || :
    fi
    if [ -x /usr/lib/systemd/systemd-update-helper ]; then
        /usr/lib/systemd/systemd-update-helper remove-system-units mathesar-backup.timer mathesar.service || :
    elif [ -x /usr/bin/systemctl ]; then
        /usr/bin/systemctl --no-reload disable mathesar-backup.timer mathesar.service || :
        if [ -d /run/systemd/system ]; then
            /usr/bin/systemctl stop mathesar.service || :
        fi
    fi
fi
